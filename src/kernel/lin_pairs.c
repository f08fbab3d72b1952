/* Pairs of arrays that may have one place: what follows from them, and their law.
 *
 * In: a linear kernel. Out: the first pair of which an element could be read after it was stored; NULL: there is none.
 * The law is not proved but tried: the integers of the kernel that accesses of the two arrays depend on are computed,
 * block by block and work item by work item, and every element that is touched is noted. Blocks may run in any order and
 * at once, so an element that is stored may be read in the same block alone, and only before. What the text of a nest
 * promises (nest/in_place.c) is thus looked at again in what became of it: vectors, shuffled stretches, transposed
 * tiles, tails, guards.
 * Always holds: kernels of few accesses are gone through completely; of larger ones the first and the last blocks, and
 * where that is too much the first and last iterations of each loop. */
#include <inttypes.h>
#include <stdlib.h>

#include "kernel/linear.h"

enum { MOST_ACCESSES = 1 << 16, MOST_STEPS = 1 << 21 };

bool lin_are_pair(const lin_kernel *k, size_t x, size_t y) {
  bool found = false;
  for (size_t i = 0; i < k->pairs.len; ++i) {
    const lin_pair *p = &k->pairs.data[i];
    found |= p->stored == (int)x && p->read == (int)y;
    found |= p->stored == (int)y && p->read == (int)x;
  }
  return found;
}

bool lin_is_paired(const lin_kernel *k, size_t array) {
  bool found = false;
  for (size_t i = 0; i < k->pairs.len; ++i)
    found |= k->pairs.data[i].stored == (int)array || k->pairs.data[i].read == (int)array;
  return found;
}

typedef struct event { /* an element is touched */
  int64_t element, block;
  int64_t at; /* in the order of all that is run */
  bool store;
} event;

typedef struct trial {
  arena *a;
  const lin_kernel *k;
  lin_pair pair;
  size_t *end;     /* by LOOP and IF: its END */
  bool *live;      /* by LOOP and IF: there are accesses in it */
  bool *needed;    /* by instruction: accesses depend on its value */
  int64_t **value; /* of those, by lane */
  bool sparse;     /* of each loop the first and last iterations */
  int64_t block, item, steps;
  VEC(event) events;
  const char *why;
} trial;

/* --- what accesses depend on ------------------------------------------------------------------ */

static bool is_access(const trial *t, const lin_ins *u) {
  if (u->op == OP_LOAD || u->op == OP_MATRIX_LOAD) return u->i == t->pair.read;
  return (u->op == OP_STORE || u->op == OP_MATRIX_STORE) && u->i == t->pair.stored;
}

static void need_operands(trial *t, const lin_ins *u) {
  const bool access = is_access(t, u);
  for (int s = 0; s < u->nsrc; ++s)
    if (!access || u->op != OP_STORE || s != 1) t->needed[u->src[s]] = true;
}

/* Backwards: operands stand before their users, and a loop's end behind all that is in it. */
static void find_needed(trial *t) {
  const lin_kernel *k = t->k;
  VEC(size_t) open = {0};
  for (size_t i = k->ins.len; i-- > 0;) {
    const lin_ins *u = &k->ins.data[i];
    if (u->op == OP_END) {
      t->end[u->src[0]] = i;
      vec_push(t->a, &open, u->src[0]);
    } else if (u->op == OP_LOOP || u->op == OP_IF) {
      --open.len;
      if (u->op == OP_IF && t->live[i]) need_operands(t, u);
    } else if (is_access(t, u)) {
      for (size_t o = 0; o < open.len; ++o) t->live[open.data[o]] = true;
      need_operands(t, u);
    } else if (t->needed[i]) {
      need_operands(t, u);
    }
  }
}

static void make_values(trial *t) {
  for (size_t i = 0; i < t->k->ins.len; ++i)
    if (t->needed[i] || t->live[i])
      t->value[i] = arena_array(t->a, int64_t, t->k->ins.data[i].lanes);
}

/* --- running ---------------------------------------------------------------------------------- */

static int64_t value_of(const trial *t, uint32_t source, int lane) {
  return t->value[source][t->k->ins.data[source].lanes == 1 ? 0 : lane];
}

static int64_t lane_of_shuffle(const trial *t, const lin_ins *u, int lane) {
  const int64_t from = u->list->at[lane], first = t->k->ins.data[u->src[0]].lanes;
  return from < first ? value_of(t, u->src[0], (int)from)
                      : value_of(t, u->src[1], (int)(from - first));
}

static bool compute_lane(const trial *t, const lin_ins *u, int lane, int64_t *to) {
  switch (u->op) {
    case OP_CONST:
      return *to = u->i, !dtype_is_float(u->dtype);
    case OP_GRID:
      return *to = t->block, true;
    case OP_LANE:
      return *to = t->item, true;
    case OP_IOTA:
      return *to = lane, true;
    case OP_BROADCAST:
    case OP_CAST:
      return *to = value_of(t, u->src[0], lane), !dtype_is_float(t->k->ins.data[u->src[0]].dtype);
    case OP_EXTRACT:
      return *to = value_of(t, u->src[0], (int)u->i), true;
    case OP_SHUFFLE:
      return *to = lane_of_shuffle(t, u, lane), true;
    case OP_NEG:
      return *to = -value_of(t, u->src[0], lane), !dtype_is_float(u->dtype);
    case OP_NOT:
      return *to = !value_of(t, u->src[0], lane), true;
    case OP_WHERE:
      return *to = value_of(t, u->src[value_of(t, u->src[0], lane) ? 1 : 2], lane), true;
    default:
      break;
  }
  const bool integers = u->nsrc == 2 && !dtype_is_float(t->k->ins.data[u->src[0]].dtype);
  return integers && uop_fold_int((uop_op)u->op, value_of(t, u->src[0], lane),
                                  value_of(t, u->src[1], lane), to);
}

static void compute(trial *t, size_t i) {
  const lin_ins *u = &t->k->ins.data[i];
  for (int l = 0; l < u->lanes; ++l) {
    if (compute_lane(t, u, l, &t->value[i][l])) continue;
    t->why = arena_printf(t->a, "the address or condition of an access depends on %%%zu %s", i,
                          op_table[u->op].name);
    return;
  }
}

static void note(trial *t, const lin_ins *u) {
  const bool store = u->op == OP_STORE;
  const int mask = store ? 2 : 1, lanes = store ? t->k->ins.data[u->src[1]].lanes : u->lanes;
  const bool each = t->k->ins.data[u->src[0]].lanes > 1;
  for (int l = 0; l < lanes; ++l) {
    if (u->nsrc > mask && value_of(t, u->src[mask], l) == 0) continue;
    const int64_t element =
        value_of(t, u->src[0], l) + u->disp + (each || lanes == 1 ? 0 : l * u->j);
    vec_push(t->a, &t->events,
             ((event){element, t->block * (t->k->group > 0 ? t->k->group : 1) + t->item, t->steps,
                      store}));
  }
}

/* The next iteration's number; that of the loop's end where there is none. */
static int64_t next_iteration(const trial *t, int64_t now, int64_t trips) {
  return t->sparse && now == 1 && trips > 4 ? trips - 2 : now + 1;
}

/* Returns where to go on. */
static size_t step(trial *t, size_t at) {
  const lin_ins *u = &t->k->ins.data[at];
  if (u->op == OP_LOOP || u->op == OP_IF) {
    if (!t->live[at]) return t->end[at] + 1;
    if (u->op == OP_IF) return value_of(t, u->src[0], 0) ? at + 1 : t->end[at] + 1;
    t->value[at][0] = 0;
    return u->i > 0 ? at + 1 : t->end[at] + 1;
  }
  if (u->op == OP_END) {
    const uint32_t head = u->src[0];
    const lin_ins *loop = &t->k->ins.data[head];
    if (loop->op == OP_IF) return at + 1;
    t->value[head][0] = next_iteration(t, t->value[head][0], loop->i);
    return t->value[head][0] < loop->i ? head + 1 : at + 1;
  }
  if (is_access(t, u)) {
    if (u->op == OP_MATRIX_LOAD || u->op == OP_MATRIX_STORE)
      t->why = "a matrix is accessed, by several work items at once";
    else
      note(t, u);
  }
  if (t->needed[at]) compute(t, at);
  return at + 1;
}

static void run_block(trial *t, int64_t number) {
  const int64_t items = t->k->group > 0 ? t->k->group : 1;
  t->block = number / items;
  t->item = number % items;
  for (size_t at = 0; at < t->k->ins.len && t->why == NULL; ++t->steps) at = step(t, at);
}

/* Instructions that a block goes through. */
static double steps_of_block(const trial *t) {
  double steps = 0, trips = 1;
  for (size_t i = 0; i < t->k->ins.len; ++i) {
    const lin_ins *u = &t->k->ins.data[i];
    const lin_ins *head = u->op == OP_END ? &t->k->ins.data[u->src[0]] : u;
    steps += trips;
    if (u->op == OP_END && head->op == OP_LOOP) trips /= (double)head->i;
    if ((u->op == OP_LOOP || u->op == OP_IF) && (!t->live[i] || (u->op == OP_LOOP && u->i < 1)))
      i = t->end[i];
    else if (u->op == OP_LOOP)
      trips *= (double)u->i;
  }
  return steps;
}

static bool is_enough(const trial *t) {
  return t->why != NULL || t->events.len > MOST_ACCESSES || t->steps > MOST_STEPS;
}

/* From the first block on and from the last one back. */
static void run(trial *t) {
  const int64_t blocks = t->k->grid * (t->k->group > 0 ? t->k->group : 1);
  t->sparse = steps_of_block(t) > MOST_STEPS / 8;
  for (int64_t i = 0; 2 * i < blocks && !is_enough(t); ++i) {
    run_block(t, i);
    if (blocks - 1 - i > i && t->why == NULL) run_block(t, blocks - 1 - i);
  }
}

/* --- the law ---------------------------------------------------------------------------------- */

static int by_element(const void *a, const void *b) {
  const event *x = a, *y = b;
  if (x->element != y->element) return x->element < y->element ? -1 : 1;
  return (x->at > y->at) - (x->at < y->at);
}

/* Events [first, end) of one element, in the order of running. */
static const char *check_element(const trial *t, size_t first, size_t end) {
  const event *e = t->events.data, *stored = NULL;
  for (size_t i = first; i < end; ++i) {
    if (e[i].store && stored == NULL) stored = &e[i];
  }
  for (size_t i = first; i < end && stored != NULL; ++i) {
    for (size_t s = first; s < end && !e[i].store; ++s)
      if (e[s].store && e[s].block != e[i].block)
        return arena_printf(
            t->a, "element %" PRId64 " is stored by block %" PRId64 " and read by block %" PRId64,
            e[i].element, e[s].block, e[i].block);
    if (!e[i].store && e[i].at > stored->at)
      return arena_printf(t->a, "element %" PRId64 " is read after it was stored", e[i].element);
  }
  return NULL;
}

static const char *check_pair(arena *a, const lin_kernel *k, lin_pair pair) {
  const int n = (int)k->arrays.len;
  if (pair.stored < 0 || pair.stored >= n || pair.read < 0 || pair.read >= n)
    return "one is no array";
  const lin_array *to = &k->arrays.data[pair.stored], *from = &k->arrays.data[pair.read];
  if (to->space != SPACE_GLOBAL || from->space != SPACE_GLOBAL) return "one is not global";
  if (to->dtype != from->dtype) return "they differ in dtype";
  if (to->read || from->written) return "the one is read, or the other stored, as well";
  trial t = {.a = a, .k = k, .pair = pair};
  t.end = arena_array(a, size_t, k->ins.len + 1);
  t.live = arena_array(a, bool, k->ins.len + 1);
  t.needed = arena_array(a, bool, k->ins.len + 1);
  t.value = arena_array(a, int64_t *, k->ins.len + 1);
  find_needed(&t);
  make_values(&t);
  run(&t);
  if (t.events.len > 0) qsort(t.events.data, t.events.len, sizeof *t.events.data, by_element);
  for (size_t i = 0, end; i < t.events.len && t.why == NULL; i = end) {
    for (end = i + 1; end < t.events.len && t.events.data[end].element == t.events.data[i].element;)
      ++end;
    t.why = check_element(&t, i, end);
  }
  return t.why;
}

const char *lin_verify_pairs(arena *a, const lin_kernel *k) {
  for (size_t i = 0; i < k->pairs.len; ++i) {
    const lin_pair p = k->pairs.data[i];
    const char *why = check_pair(a, k, p);
    if (why != NULL)
      return arena_printf(a, "%s: array %d may be in the place of %d, but %s", k->name, p.stored,
                          p.read, why);
  }
  return NULL;
}
