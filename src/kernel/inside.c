/* Loops without conditions where none can fail.
 *
 * In: REDUCEs that are about to become one loop, with loads that are guarded at the edge of their array. Out: a scalar
 * condition under which every guard holds in all of the loop's iterations and lanes, and the same REDUCEs without those
 * guards. The loop is then emitted twice, of which one runs: a branch is cheaper than masks, and most tiles lie inside.
 * Always holds: a guard is only taken off a load that moves with a loop of the reduction, so that the load stays inside
 * the branch; what is not a comparison of linear forms keeps its guard. */
#include "kernel/build.h"

enum { MOST_GUARDED = 512 };

/* e with what moves inside the reduction at the end of its range where e is largest; NULL: e is not linear in it. */
static const uop *largest(builder *b, const uop *reduce, const uop *e) {
  linear_form f, out = {0};
  if (!linear_of(e, &f)) return NULL;
  out.constant = f.constant;
  for (int i = 0; i < f.n; ++i) {
    const uop *atom = f.atom[i];
    bool inner = atom == b->vector || !uop_has_range(reduce, atom);
    if (atom->op == OP_RANGE && inner) {
      if (f.coeff[i] > 0) out.constant += f.coeff[i] * (atom->arg.j - 1);
      continue;
    }
    for (int r = 0; r < atom->free_->len; ++r) {
      bool open = false;
      for (int k = 0; k < reduce->free_->len; ++k)
        open |= reduce->free_->at[k] == atom->free_->at[r];
      if (!open || (b->vector != NULL && b->vector->arg.i == atom->free_->at[r])) return NULL;
    }
    out.atom[out.n] = atom;
    out.coeff[out.n++] = f.coeff[i];
  }
  return linear_to_uop(b->g, &out);
}

/* Adds to *all what makes `valid` hold throughout; false where that cannot be said. */
static bool add_guard(builder *b, const uop *reduce, const uop *valid, const uop **all) {
  condition_list part = conditions_of(b->a, valid);
  for (size_t i = 0; i < part.len; ++i) {
    const uop *u = part.at[i];
    if (u->op != OP_LT || u->src[0]->dtype != WN_I64) return false;
    const uop *less = simplify(b->g, uop_add(b->g, u->src[0], uop_muli(b->g, u->src[1], -1)));
    const uop *most = largest(b, reduce, less);
    if (most == NULL) return false;
    *all = uop_and(b->g, *all, uop_lt(b->g, most, 0));
  }
  return true;
}

static bool moves_in_loop(builder *b, const uop *reduce, const uop *load) {
  for (int i = 1; i < reduce->nsrc; ++i) {
    uint64_t kind = AXIS_LOOP;
    map_get(&b->set->kinds, (uint64_t)reduce->src[i]->arg.i, &kind);
    if (kind == AXIS_LOOP && uop_has_range(load, reduce->src[i])) return true;
  }
  return false;
}

const uop *inside_of(builder *b, size_t n, const uop *const *reduce, const uop **without) {
  const uop *from[MOST_GUARDED], *to[MOST_GUARDED], *all = uop_bool(b->g, true);
  int count = 0;
  map seen;
  map_init(&seen, b->a);
  for (size_t m = 0; m < n; ++m) {
    uop_order nodes = uop_toposort(b->a, 1, &reduce[m]->src[0]);
    for (size_t i = 0; i < nodes.len; ++i) {
      const uop *u = nodes.at[i];
      uint64_t known;
      if (u->op != OP_INDEX || uop_is_const(u->src[1]) || map_get(&seen, u->id, &known)) continue;
      map_put(&seen, u->id, 1);
      if (count == MOST_GUARDED || !moves_in_loop(b, reduce[m], u)) continue;
      const uop *with = all;
      if (!add_guard(b, reduce[m], u->src[1], &with)) continue;
      all = with;
      from[count] = u;
      to[count++] = uop_index(b->g, u->src[0], uop_bool(b->g, true), u->nsrc - 2, u->src + 2);
    }
  }
  all = simplify(b->g, all);
  if (count == 0 || uop_is_const(all)) return NULL;
  for (size_t m = 0; m < n; ++m) {
    const uop *body = uop_replace(b->g, reduce[m]->src[0], count, from, to);
    without[m] =
        uop_reduce(b->g, (uop_op)reduce[m]->arg.i, body, reduce[m]->nsrc - 1, reduce[m]->src + 1);
  }
  return all;
}
