/* Scalar loads of neighbours as one vector, on devices, where a work item has no lanes of its own to load with.
 *
 * In: the values that a nest stores, or the terms of its sums. Out: four loads that fill an aligned vector of one of
 * winnow's arrays become one load and four EXTRACTs. Always holds: exactly what the four would touch is touched, and in
 * the scope where they would stand. */
#include "kernel/build.h"

enum { RUN = 4 };
static const unsigned WHOLE = (1u << RUN) - 1;
static const uint64_t RUN_KEY = UINT64_C(1) << 62; /* past any node's id in a scope's values */

typedef struct load_run {
  int64_t slot;
  const uop *base; /* of the offset */
  int64_t first;   /* added to it */
  unsigned have;   /* bit i: first + i is loaded */
  uint64_t number;
} load_run;

/* base + *disp is the offset of an unguarded scalar load from an array whose start is aligned. */
static bool is_candidate(builder *b, const uop *u, const uop **base, int64_t *disp) {
  int64_t coeff;
  if (u->op != OP_INDEX || u->nsrc != 3 || u->src[0]->op != OP_BUFFER) return false;
  array_role role = b->set->arrays.data[u->src[0]->arg.i].role;
  bool own = role == ROLE_WORK || role == ROLE_PREPARED || role == ROLE_LOCAL;
  if (!own || !uop_is_int(u->src[1], 1) || wn_dtype_size((wn_dtype)u->dtype) != sizeof(float))
    return false;
  return !is_vector(b, u) && split_lanes(b, u->src[2], base, &coeff, disp) && coeff == 0 &&
         is_multiple(*base, RUN);
}

static load_run *run_of(builder *b, int64_t slot, const uop *base, int64_t first) {
  for (size_t i = 0; i < b->runs.len; ++i) {
    load_run *r = b->runs.data[i];
    if (r->slot == slot && r->base == base && r->first == first) return r;
  }
  load_run *r = arena_new(b->a, load_run);
  *r = (load_run){.slot = slot, .base = base, .first = first, .number = b->runs.len};
  vec_push(b->a, &b->runs, r);
  return r;
}

void find_neighbours(builder *b, size_t nvalues, const uop *const *values) {
  if (b->k->group == 0) return;
  uop_order all = uop_toposort(b->a, (int)nvalues, values);
  for (size_t i = 0; i < all.len; ++i) {
    const uop *base;
    int64_t disp;
    if (!is_candidate(b, all.at[i], &base, &disp)) continue;
    int64_t lane = (disp % RUN + RUN) % RUN;
    load_run *r = run_of(b, all.at[i]->src[0]->arg.i, base, disp - lane);
    r->have |= 1u << lane;
    map_put_ptr(&b->run_of_load, all.at[i]->id, r);
  }
}

bool load_from_run(builder *b, const uop *index, uint32_t *value) {
  const load_run *r = map_get_ptr(&b->run_of_load, index->id);
  if (r == NULL || r->have != WHOLE) return false;
  scope *home = home_of(b, index);
  const uop *base;
  int64_t coeff, disp;
  uint64_t vector, key = RUN_KEY + r->number;
  split_lanes(b, index->src[2], &base, &coeff, &disp);
  if (!map_get(&home->values, key, &vector)) {
    lin_ins ins = {.op = OP_LOAD, .lanes = RUN, .nsrc = 1, .whole = true, .j = 1};
    ins.dtype = (uint8_t)register_dtype(index->dtype);
    ins.i = build_array(b, r->slot);
    ins.src[0] = emit(b, base);
    ins.disp = r->first;
    vector = build_ins(b, home, ins);
    map_put(&home->values, key, vector);
  }
  lin_ins lane = {.op = OP_EXTRACT, .lanes = 1, .nsrc = 1, .i = disp - r->first};
  lane.dtype = (uint8_t)register_dtype(index->dtype);
  lane.src[0] = (uint32_t)vector;
  *value = build_ins(b, home, lane);
  return true;
}
