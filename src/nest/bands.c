/* Layers that take turns; see bands.h. The order of rows is that of wavefront or skewed tiling over loops that are not
 * fused; Alwani et al., "Fused-layer CNN accelerators", MICRO 2016, has the same with its bands recomputed or kept. */
#include "nest/bands.h"

#include "lower/lower.h"
#include "nest/touched.h"
#include "rewrite/rewrite.h"

enum { LEAST_STEPS = 4, MOST_ROUNDS = 64, MOST_KERNELS = 64 };

/* A kernel whose outermost loops are in steps of blocks: one loop, or two where the first is as short as images are
 * few. */
typedef struct stepping {
  const nest_kernel *k;
  const uop *outer[2];   /* RANGEs; NULL: it cannot take turns, or there is one */
  int64_t steps, blocks; /* of the loops; of the grid, in a step */
} stepping;

typedef struct finding {
  graph *g;
  arena *a;
  kernel_set *set;
  const band_request *request;
  stepping *of; /* by kernel */
} finding;

/* --- kernels ---------------------------------------------------------------------------------- */

static bool is_outer(const axis *a) { return a->kind == AXIS_GRID && !a->reduces; }

static stepping look_at(const nest_kernel *k) {
  stepping s = {.k = k, .blocks = 1};
  const nest *n = k->root[0];
  if (k->prepare || k->nroots != 1 || k->chunks > 1 || k->group > 0) return s;
  int outer = 0;
  for (s.steps = 1;
       outer < n->naxes && outer < 2 && is_outer(&n->axis[outer]) && s.steps < LEAST_STEPS;)
    s.steps *= n->axis[outer++].range->arg.j;
  if (s.steps < LEAST_STEPS) return s;
  for (int i = 0; i < outer; ++i) s.outer[i] = n->axis[i].range;
  for (int i = outer; i < n->naxes && n->axis[i].kind == AXIS_GRID; ++i)
    s.blocks *= n->axis[i].range->arg.j;
  return s;
}

/* The loops' values at a step. */
static void values_at(const stepping *s, int64_t step, int64_t value[2]) {
  const int64_t inner = s->outer[1] != NULL ? s->outer[1]->arg.j : 1;
  value[0] = step / inner;
  value[1] = step % inner;
}

static bool same_value(const nest_kernel *a, const nest_kernel *b) {
  return a->first_site == b->first_site;
}

/* The array that has the memory, and at which element of it another one begins. */
static int memory_of(const finding *f, int array, int64_t *at) {
  const array_info *a = &f->set->arrays.data[array];
  *at = a->whole > 0 ? a->at : 0;
  return a->whole > 0 ? a->whole - 1 : array;
}

/* --- elements by step ------------------------------------------------------------------------- */

typedef struct spans {
  bool any;
  int64_t *lo, *hi; /* by step */
} spans;

static void widen(spans *s, int64_t step, int64_t lo, int64_t hi) {
  if (lo < s->lo[step]) s->lo[step] = lo;
  if (hi > s->hi[step]) s->hi[step] = hi;
}

/* A number that data say, and not loops, is anywhere. */
static bool is_anywhere(const uop *e) {
  const int64_t far = INT64_C(1) << 48;
  return e->vmin < -far || e->vmax > far;
}

/* What an offset spans while the outer loop is at a step and all others go through. */
static void add_offset(const finding *f, const stepping *of, const uop *offset, int64_t at,
                       spans *s) {
  linear_form form;
  int64_t lo = 0, hi = 0, by[2] = {0}, value[2];
  const int outer = of->outer[1] != NULL ? 2 : 1;
  bool linear = linear_of(offset, &form), anywhere = is_anywhere(offset);
  for (int i = 0; linear && i < form.n && !anywhere; ++i) {
    const uop *atom = form.atom[i];
    if (is_anywhere(atom)) anywhere = true;
    if (anywhere) break;
    const int64_t c = form.coeff[i];
    bool is_step = false;
    for (int k = 0; k < outer; ++k) {
      if (atom == of->outer[k]) by[k] = c, is_step = true;
      linear &= atom == of->outer[k] || !uop_has_range(atom, of->outer[k]);
    }
    if (is_step) continue;
    lo += c * (c > 0 ? atom->vmin : atom->vmax);
    hi += c * (c > 0 ? atom->vmax : atom->vmin);
  }
  s->any = true;
  for (int64_t step = 0; step < of->steps; ++step) {
    values_at(of, step, value);
    if (anywhere) {
      widen(s, step, INT64_MIN, INT64_MAX);
      continue;
    }
    if (linear) {
      const int64_t first = at + form.constant + by[0] * value[0] + by[1] * value[1];
      widen(s, step, first + lo, first + hi);
      continue;
    }
    const uop *here[] = {uop_int(f->g, value[0]), uop_int(f->g, value[1])};
    const uop *e = simplify(f->g, uop_replace(f->g, offset, outer, of->outer, here));
    widen(s, step, at + e->vmin, at + e->vmax);
  }
}

static spans no_spans(const finding *f, const stepping *of) {
  spans s = {false, arena_array(f->a, int64_t, of->steps + 1),
             arena_array(f->a, int64_t, of->steps + 1)};
  for (int64_t i = 0; i < of->steps; ++i) s.lo[i] = INT64_MAX, s.hi[i] = INT64_MIN;
  return s;
}

static void add_reads(const finding *f, const stepping *of, const nest *n, int memory, spans *s) {
  const uop_order all = nest_walk(f->a, n);
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i];
    if (u->op != OP_INDEX || u->src[0]->op != OP_BUFFER) continue;
    int64_t at;
    if (memory_of(f, kernel_array(of->k, (int)u->src[0]->arg.i), &at) == memory)
      add_offset(f, of, u->src[2], at, s);
  }
  for (int i = 0; i < n->nchildren; ++i) add_reads(f, of, n->child[i].nest, memory, s);
}

static void add_writes(const finding *f, const stepping *of, const nest *n, int memory, spans *s) {
  for (int i = 0; i < n->nstores; ++i) {
    int64_t at;
    if (memory_of(f, kernel_array(of->k, n->store[i].array), &at) == memory)
      add_offset(f, of, n->store[i].offset, at, s);
  }
  for (int i = 0; i < n->nchildren; ++i) add_writes(f, of, n->child[i].nest, memory, s);
}

/* --- who waits for whom ----------------------------------------------------------------------- */

static bool has(const numbers *n, int x) {
  for (size_t i = 0; i < n->len; ++i)
    if (n->data[i] == x) return true;
  return false;
}

static void list_writes(const finding *f, const stepping *of, const nest *n, numbers *out) {
  int64_t at;
  for (int i = 0; i < n->nstores; ++i) {
    const int array = kernel_array(of->k, n->store[i].array), memory = memory_of(f, array, &at);
    if (f->set->arrays.data[array].role != ROLE_LOCAL && !has(out, memory))
      vec_push(f->a, out, memory);
  }
  for (int i = 0; i < n->nchildren; ++i) list_writes(f, of, n->child[i].nest, out);
}

/* By step of a reader: how many steps of a writer are to be done before; NULL: it waits for nothing. */
static int64_t *waits(const finding *f, const stepping *reader, const stepping *writer) {
  numbers memory = {0};
  int64_t *need = NULL;
  list_writes(f, writer, writer->k->root[0], &memory);
  for (size_t m = 0; m < memory.len; ++m) {
    spans in = no_spans(f, reader), out = no_spans(f, writer);
    add_reads(f, reader, reader->k->root[0], memory.data[m], &in);
    add_writes(f, reader, reader->k->root[0], memory.data[m], &in); /* not before it either */
    if (!in.any) continue;
    add_writes(f, writer, writer->k->root[0], memory.data[m], &out);
    if (need == NULL) need = arena_array(f->a, int64_t, reader->steps + 1);
    for (int64_t r = 0; r < reader->steps; ++r)
      for (int64_t w = writer->steps; w-- > need[r];)
        if (out.lo[w] <= in.hi[r] && in.lo[r] <= out.hi[w]) need[r] = w + 1;
  }
  return need;
}

/* What a writer reads, a later kernel of the group must not have overwritten: with arrays that all live as long as the
 * group does, that is only where it writes an array that an earlier one reads. */
static bool overwrites(const finding *f, const stepping *later, const stepping *earlier) {
  numbers memory = {0};
  list_writes(f, later, later->k->root[0], &memory);
  for (size_t m = 0; m < memory.len; ++m) {
    spans in = no_spans(f, earlier);
    add_reads(f, earlier, earlier->k->root[0], memory.data[m], &in);
    if (in.any) return true;
  }
  return false;
}

/* --- a group ---------------------------------------------------------------------------------- */

typedef struct group {
  int first, n;
  int64_t *need[MOST_KERNELS][MOST_KERNELS]; /* of reader, writer */
} group;

static bool may_join(const finding *f, const group *gr, int k) {
  return f->of[k].outer[0] != NULL && gr->n < MOST_KERNELS;
}

/* Does the kernel behind the group wait for its last one in bands, so that a part of it is enough to begin? */
static bool join(const finding *f, group *gr, int k) {
  const stepping *of = &f->of[k];
  if (!may_join(f, gr, k)) return false;
  for (int i = 0; i < gr->n; ++i) {
    const stepping *writer = &f->of[gr->first + i];
    if (overwrites(f, of, writer)) return false;
    gr->need[gr->n][i] = waits(f, of, writer);
  }
  const int64_t *need = gr->need[gr->n][gr->n - 1];
  if (need == NULL) return false;
  const int64_t ahead = need[(of->steps - 1) / 2], all = f->of[k - 1].steps;
  if (4 * ahead > 3 * all) return false;
  ++gr->n;
  return true;
}

/* Steps of each kernel that are done after every round. */
static int64_t *steps_of(const finding *f, const group *gr, int rounds) {
  int64_t *done = arena_array(f->a, int64_t, rounds * gr->n + 1);
  for (int r = 0; r < rounds; ++r) {
    int64_t *now = done + r * gr->n;
    for (int i = gr->n; i-- > 0;) {
      const int64_t steps = f->of[gr->first + i].steps;
      bool asked = i == gr->n - 1;
      int64_t until = r > 0 ? now[i - gr->n] : 0;
      if (asked) until = (steps * (r + 1) + rounds - 1) / rounds;
      for (int later = i + 1; later < gr->n; ++later) {
        const int64_t *need = gr->need[later][i];
        for (int64_t s = 0; need != NULL && s < now[later]; ++s)
          if (need[s] > until) until = need[s];
      }
      now[i] = r == rounds - 1 ? steps : until;
    }
  }
  return done;
}

static void add_group(finding *f, const group *gr, int rounds) {
  arena *keep = &f->g->arena;
  const int64_t *done = steps_of(f, gr, rounds);
  int64_t *until = arena_array(keep, int64_t, rounds * gr->n + 1);
  for (int i = 0; i < rounds * gr->n; ++i) until[i] = done[i] * f->of[gr->first + i % gr->n].blocks;
  vec_push(keep, &f->set->bands, ((band_group){gr->first, gr->first + gr->n, rounds, until}));
}

/* --- what it is worth ------------------------------------------------------------------------- */

typedef struct worth {
  double seconds; /* that are saved; < 0: lost */
  int rounds;
} worth;

static double bytes_of(const finding *f, int memory) {
  const array_info *a = &f->set->arrays.data[memory];
  return (double)a->len * (double)wn_dtype_size(a->dtype);
}

/* Bytes that the kernels write, and that they read of what is made once. */
static void count_bytes(const finding *f, const nest_kernel *k, const nest *n, numbers *seen,
                        double *weights) {
  const uop_order all = nest_walk(f->a, n);
  for (size_t i = 0; i < all.len; ++i) {
    if (all.at[i]->op != OP_BUFFER) continue;
    const int array = kernel_array(k, (int)all.at[i]->arg.i);
    const array_role role = f->set->arrays.data[array].role;
    if ((role != ROLE_PREPARED && role != ROLE_CONSTANT) || has(seen, array)) continue;
    vec_push(f->a, seen, array);
    *weights += bytes_of(f, array);
  }
  for (int i = 0; i < n->nchildren; ++i) count_bytes(f, k, n->child[i].nest, seen, weights);
}

static double result_bytes(const finding *f, int kernel) {
  numbers memory = {0};
  double bytes = 0;
  list_writes(f, &f->of[kernel], f->set->kernels.data[kernel].root[0], &memory);
  for (size_t i = 0; i < memory.len; ++i) bytes += bytes_of(f, memory.data[i]);
  return bytes;
}

/* A round of a layer goes on from where the next one's last round ended, and ahead of it by what its windows reach. */
static const double STEPS_AHEAD = 2;
/* Turns are taken where they save so many times what their launches cost. */
static const double SURE = 4;

static worth worth_of(const finding *f, const group *gr) {
  const cost_target *t = f->request->cost;
  double bytes[MOST_KERNELS], all = 0, ahead = 0, weights = 0;
  int64_t steps = INT64_MAX;
  numbers seen = {0};
  for (int i = 0; i < gr->n; ++i) {
    const stepping *of = &f->of[gr->first + i];
    all += bytes[i] = result_bytes(f, gr->first + i);
    ahead += bytes[i] * STEPS_AHEAD / (double)of->steps;
    if (of->steps < steps) steps = of->steps;
    count_bytes(f, of->k, of->k->root[0], &seen, &weights);
  }
  worth best = {0, 1};
  for (int rounds = 2; rounds <= MOST_ROUNDS && rounds <= steps; rounds *= 2) {
    const double together = all / rounds + ahead + weights;
    double saved = -SURE * cost_of_launches(t, (rounds - 1) * gr->n);
    for (int i = 0; i + 1 < gr->n; ++i) {
      const double both = bytes[i] + bytes[i + 1]; /* one after the other, two arrays are enough */
      saved +=
          cost_of_passing(t, bytes[i], both, both) - cost_of_passing(t, bytes[i], all, together);
    }
    if (saved > best.seconds) best = (worth){saved, rounds};
  }
  return best;
}

/* --- all of them ------------------------------------------------------------------------------ */

static int said_of(const finding *f, int kernel) {
  return f->request->said[f->set->kernels.data[kernel].first_site];
}

/* A value of several kernels ends or begins a group: its others run before or behind. */
static bool is_link(const finding *f, int k) {
  const nest_kernel *all = f->set->kernels.data;
  return k + 1 < (int)f->set->kernels.len && !same_value(&all[k], &all[k + 1]);
}

static bool is_single(const finding *f, int k) {
  const nest_kernel *all = f->set->kernels.data;
  return is_link(f, k) && (k == 0 || all[k - 1].prepare || !same_value(&all[k - 1], &all[k]));
}

static _Noreturn void refuse(const finding *f, int kernel) {
  const int site = f->set->kernels.data[kernel].first_site;
  diag_fail(
      f->g->diag, WN_ERR_REFUSED,
      "%s: bands= needs a next kernel that reads it by rows, both with rows outermost in memory "
      "and in their loops (layout=last)",
      site_text(&f->g->arena, f->request->sites, site));
}

/* As long as the plan says the same number. */
static int follow_plan(finding *f, group *gr, int rounds) {
  int k = gr->first;
  while (said_of(f, k) == rounds && (k == gr->first || is_single(f, k))) {
    if (!is_link(f, k) || !join(f, gr, k + 1)) refuse(f, k);
    ++k;
  }
  add_group(f, gr, rounds);
  return gr->first + gr->n;
}

/* As long as it is worth more, which is cheaper to know than whether it can be. */
static int grow(finding *f, group *gr) {
  worth best = {0, 1};
  int n = 1;
  for (int k = gr->first; is_link(f, k) && said_of(f, k) == 0 && may_join(f, gr, k + 1); ++k) {
    group longer = *gr;
    ++longer.n;
    const worth now = worth_of(f, &longer);
    if (now.seconds <= best.seconds || !join(f, gr, k + 1)) break;
    best = now, n = gr->n;
    if (!is_single(f, k + 1)) break;
  }
  if (n < 2) return gr->first + 1;
  gr->n = n;
  add_group(f, gr, best.rounds);
  return gr->first + n;
}

void bands_find(graph *g, kernel_set *set, arena *scratch, const band_request *request) {
  finding f = {.g = g, .a = scratch, .set = set, .request = request};
  const int n = (int)set->kernels.len;
  f.of = arena_array(scratch, stepping, n + 1);
  for (int k = 0; k < n; ++k) f.of[k] = look_at(&set->kernels.data[k]);
  for (int k = 0; k < n;) {
    const bool ends_value = !set->kernels.data[k].prepare && (is_link(&f, k) || k + 1 == n);
    const int said = ends_value ? said_of(&f, k) : 0;
    group *gr = arena_new(scratch, group);
    *gr = (group){.first = k, .n = 1};
    if (said > 1 && f.of[k].outer[0] == NULL) refuse(&f, k);
    if (said > 1)
      k = follow_plan(&f, gr, said);
    else if (ends_value && said == 0 && f.of[k].outer[0] != NULL && request->cost != NULL)
      k = grow(&f, gr);
    else
      ++k;
  }
}
