/* The recogniser: is this REDUCE a convolution?
 *
 * In: a REDUCE of the range IR, simplified. Out: operands, windows and the class of every loop, or
 * the reason why not.
 * The rule: in sum over k.., c.. of act * wgt, a reduction loop k is a filter loop if some output
 * loop o, which wgt does not use, meets it in act as q * (s * o + d * k) everywhere (slide.c),
 * and wgt uses k. Any other output loop is a batch loop (act alone), an output channel (wgt alone)
 * or a group (both), any other reduction loop an input channel.
 * Always holds: no metadata is consulted, so operands may be commuted, layouts permuted, and the
 * window may have been written by hand; a factor of the product that depends on a window's output
 * loop belongs to the activations. */
#include <stdlib.h>

#include "winograd/recognise.h"

enum { MAX_FACTORS = 8 };

/* Why the best attempt failed; a later rank is nearer to a match. */
typedef struct verdict {
  int rank;
  const char *why;
} verdict;
enum { RANK_NO_WINDOW = 1, RANK_APART, RANK_WINDOW };

typedef struct factors {
  double constant;
  int n;
  const uop *at[MAX_FACTORS];
} factors;

typedef struct loop_pair {
  const uop *o, *k;
  int64_t s, d;
} loop_pair;

/* --- the product --- */

static int float_bits(unsigned dtype) { return dtype == WN_F64 ? 64 : dtype == WN_F32 ? 32 : 16; }

static bool widens(const uop *u, wn_dtype to) {
  return u->op == OP_CAST && dtype_is_float(u->src[0]->dtype) &&
         float_bits(u->src[0]->dtype) <= float_bits(to);
}

/* value as constant * factors, all of dtype `to`. Factors beyond the last stay products. */
static void split_product(graph *g, const uop *value, wn_dtype to, factors *f) {
  const uop *stack[2 * MAX_FACTORS];
  int top = 0;
  *f = (factors){.constant = 1};
  stack[top++] = value;
  while (top > 0) {
    const uop *u = stack[--top], *inner = u;
    while (widens(inner, to)) inner = inner->src[0];
    if (uop_is_const(inner)) {
      f->constant *= uop_const_value(inner);
    } else if (inner->op == OP_NEG) {
      f->constant = -f->constant;
      stack[top++] = inner->src[0];
    } else if (inner->op == OP_MUL && f->n + top + 2 <= MAX_FACTORS) {
      stack[top++] = inner->src[1];
      stack[top++] = inner->src[0];
    } else {
      f->at[f->n++] = u->dtype == to ? u : uop_cast(g, to, inner);
    }
  }
}

static const uop *product(graph *g, const factors *f, const bool *chosen, bool which,
                          const uop *start) {
  const uop *p = start;
  for (int i = 0; i < f->n; ++i) {
    if (chosen[i] == which) p = p == NULL ? f->at[i] : uop_mul(g, p, f->at[i]);
  }
  return p;
}

/* --- loops --- */

static int by_number(const void *a, const void *b) {
  int64_t x = (*(const uop *const *)a)->arg.i, y = (*(const uop *const *)b)->arg.i;
  return (x > y) - (x < y);
}

/* The RANGEs that are free in e, by number. False if there are too many. */
static bool free_loops(graph *g, const uop *e, loop_list *out) {
  map seen;
  uop_vec stack = {0};
  map_init(&seen, &g->arena);
  out->n = 0;
  if (e->free_ != NULL && e->free_->len > WINO_MAX_LOOPS) return false;
  vec_push(&g->arena, &stack, e);
  while (stack.len > 0) {
    const uop *u = stack.data[--stack.len];
    uint64_t old;
    if (u->free_ == NULL || u->free_->len == 0 || map_get(&seen, u->id, &old)) continue;
    map_put(&seen, u->id, 1);
    if (u->op == OP_RANGE && uop_has_range(e, u)) out->at[out->n++] = u;
    for (int i = 0; i < u->nsrc; ++i) vec_push(&g->arena, &stack, u->src[i]);
  }
  qsort(out->at, (size_t)out->n, sizeof out->at[0], by_number);
  return true;
}

static void add_loop(loop_list *l, const uop *loop) {
  WN_CHECK(l->n < WINO_MAX_LOOPS, "more than %d loops in a class", WINO_MAX_LOOPS);
  l->at[l->n++] = loop;
}

/* --- windows --- */

static const char *loop_name(graph *g, const uop *loop) { return uop_range_name(g, loop); }

static void fail(verdict *v, int rank, const char *why) {
  if (rank > v->rank) *v = (verdict){rank, why};
}

static void explain_pair(graph *g, wino_pair p, const uop *o, const uop *k, verdict *v) {
  const char *on = loop_name(g, o), *kn = loop_name(g, k);
  if (p == PAIR_DATA) {
    fail(v, RANK_APART,
         arena_printf(&g->arena, "data-dependent index: %s and %s reach an address through memory",
                      on, kn));
  } else if (p == PAIR_OPAQUE) {
    fail(v, RANK_APART,
         arena_printf(&g->arena, "%s and %s meet in an expression that cannot be read as a window",
                      on, kn));
  } else if (p == PAIR_APART) {
    fail(v, RANK_APART,
         arena_printf(
             &g->arena,
             "no fixed window: %s and %s meet in one index, but not everywhere in one proportion",
             on, kn));
  }
}

static int by_size(const void *a, const void *b) {
  const loop_pair *x = a, *y = b;
  int64_t sx = x->s + (x->d < 0 ? -x->d : x->d), sy = y->s + (y->d < 0 ? -y->d : y->d);
  return sx != sy ? (sx > sy) - (sx < sy)
                  : (x->o->arg.i > y->o->arg.i) - (x->o->arg.i < y->o->arg.i);
}

/* Every pair of loops that is a window of act, smallest stride and dilation first. */
static int find_candidates(graph *g, const uop *act, const loop_list *outs, const uop *reduce,
                           loop_pair *out, int max, verdict *v) {
  wino_walk w;
  int n = 0;
  wino_walk_init(&w, g, act);
  for (int i = 0; i < outs->n; ++i) {
    for (int j = 1; j < reduce->nsrc; ++j) {
      loop_pair c = {outs->at[i], reduce->src[j], 0, 0};
      if (!uop_has_range(act, c.o) || !uop_has_range(act, c.k)) continue;
      wino_pair p = wino_walk_pair(&w, c.o, c.k, &c.s, &c.d);
      if (p == PAIR_WINDOW && n < max) out[n++] = c;
      if (p != PAIR_WINDOW) explain_pair(g, p, c.o, c.k, v);
    }
  }
  if (n == 0 && w.loads.len > 0)
    fail(v, RANK_APART, "data-dependent index: an address is read from memory");
  qsort(out, (size_t)n, sizeof *out, by_size);
  return n;
}

static bool taken(const wino_match *m, const loop_pair *c) {
  for (int i = 0; i < m->naxes; ++i) {
    if (m->axis[i].o == c->o || m->axis[i].k == c->k) return true;
  }
  return false;
}

static int by_output_loop(const void *a, const void *b) {
  return by_number(&((const wino_slide *)a)->o, &((const wino_slide *)b)->o);
}

static void choose_axes(graph *g, wino_match *m, const loop_pair *c, int n, verdict *v) {
  for (int i = 0; i < n && m->naxes < WN_MAX_SPATIAL; ++i, ++c) {
    if (taken(m, c)) continue;
    if (uop_has_range(m->wgt, c->o)) {
      fail(v, RANK_WINDOW,
           arena_printf(&g->arena, "output loop %s of the window is in both operands",
                        loop_name(g, c->o)));
    } else if (!uop_has_range(m->wgt, c->k)) {
      fail(v, RANK_WINDOW,
           arena_printf(&g->arena, "window loop %s has no weights (pooling)", loop_name(g, c->k)));
    } else {
      m->axis[m->naxes++] = (wino_slide){c->o, c->k, c->s, c->d, c->o->arg.j, c->k->arg.j};
    }
  }
  qsort(m->axis, (size_t)m->naxes, sizeof m->axis[0], by_output_loop);
}

/* --- the match --- */

static void classify(wino_match *m, const loop_list *outs) {
  for (int i = 0; i < outs->n; ++i) {
    const uop *o = outs->at[i];
    bool in_act = uop_has_range(m->act, o), in_wgt = uop_has_range(m->wgt, o), window = false;
    for (int a = 0; a < m->naxes; ++a) window |= m->axis[a].o == o;
    if (!window) add_loop(in_act && in_wgt ? &m->groups : in_act ? &m->batch : &m->outs, o);
  }
  for (int j = 1; j < m->reduce->nsrc; ++j) {
    bool window = false;
    for (int a = 0; a < m->naxes; ++a) window |= m->axis[a].k == m->reduce->src[j];
    if (!window) add_loop(&m->chans, m->reduce->src[j]);
  }
}

/* Takes factor `seed` for activations and decides for the others. A window's output loops may only
 * be in activations; what has a filter loop and none of those is a weight; what depends on nothing
 * but loops of the seed, an output loop among them, scales the activations. Returns false if no
 * weights remain. */
static bool partition(const factors *f, int seed, const loop_pair *c, int n, const loop_list *outs,
                      bool *in_act) {
  bool weights = false;
  for (int i = 0; i < f->n; ++i) {
    const uop *u = f->at[i];
    bool slides = false, filters = false, scales = false;
    for (int j = 0; j < n; ++j) {
      slides |= uop_has_range(u, c[j].o);
      filters |= uop_has_range(u, c[j].k);
    }
    for (int j = 0; j < outs->n; ++j) scales |= uop_has_range(u, outs->at[j]);
    for (int j = 0; scales && u->free_ != NULL && j < outs->n; ++j) {
      if (uop_has_range(u, outs->at[j]) && !uop_has_range(f->at[seed], outs->at[j])) scales = false;
    }
    in_act[i] = i == seed || slides || (!filters && scales);
    weights |= !in_act[i];
  }
  return weights;
}

static bool try_seed(graph *g, const factors *f, int seed, const loop_list *outs, wino_match *m,
                     verdict *v) {
  enum { MAX_CANDIDATES = 64 };
  loop_pair c[MAX_CANDIDATES];
  bool in_act[MAX_FACTORS];
  const uop *reduce = m->reduce;
  int n = find_candidates(g, f->at[seed], outs, reduce, c, MAX_CANDIDATES, v);
  if (n == 0) return false;
  if (!partition(f, seed, c, n, outs, in_act)) {
    const char *name = loop_name(g, c[0].o);
    fail(v, RANK_WINDOW,
         f->n == 1
             ? "a sum of one operand: no weights (average pooling)"
             : arena_printf(&g->arena, "output loop %s of the window is in both operands", name));
    return false;
  }
  const uop *scale = f->constant == 1 ? NULL : uop_const(g, (wn_dtype)reduce->dtype, f->constant);
  m->act = product(g, f, in_act, true, NULL);
  m->wgt = product(g, f, in_act, false, scale);
  if (m->act != f->at[seed]) n = find_candidates(g, m->act, outs, reduce, c, MAX_CANDIDATES, v);
  choose_axes(g, m, c, n, v);
  if (m->naxes == 0) return false;
  classify(m, outs);
  return true;
}

static const char *why_no_sum(graph *g, const uop *r) {
  if (r->op != OP_REDUCE) return "not a reduction";
  if (r->arg.i != OP_ADD) {
    return arena_printf(&g->arena, "not a sum of products: a %s reduction",
                        op_table[r->arg.i].name);
  }
  if (r->dtype != WN_F32 && r->dtype != WN_F64) {
    return arena_printf(&g->arena, "%s sums: the transforms need f32 or f64",
                        wn_dtype_name((wn_dtype)r->dtype));
  }
  return NULL;
}

const char *wino_recognise(graph *g, const uop *reduce, wino_match *out) {
  const char *why = why_no_sum(g, reduce);
  if (why != NULL) return why;
  factors f;
  split_product(g, reduce->src[0], (wn_dtype)reduce->dtype, &f);
  if (f.n < 2) return "a sum of one operand: no weights (a plain sum or average pooling)";
  loop_list outs;
  if (!free_loops(g, reduce, &outs) || reduce->nsrc - 1 > WINO_MAX_LOOPS - WN_MAX_SPATIAL ||
      outs.n > WINO_MAX_LOOPS - WN_MAX_SPATIAL) {
    return "too many loops";
  }
  verdict v = {RANK_NO_WINDOW,
               "no overlapping window: no reduction loop slides along an output loop (a matrix "
               "product, a 1x1 "
               "convolution, or a stride not below the filter)"};
  wino_match best = {0};
  for (int seed = 0; seed < f.n; ++seed) {
    wino_match m = {.reduce = reduce};
    if (try_seed(g, &f, seed, &outs, &m, &v) && m.naxes > best.naxes) best = m;
  }
  if (best.naxes == 0) return v.why;
  *out = best;
  return NULL;
}

void wino_unpair(wino_match *m, int axis) {
  add_loop(&m->batch, m->axis[axis].o);
  add_loop(&m->chans, m->axis[axis].k);
  --m->naxes;
  for (int i = axis; i < m->naxes; ++i) m->axis[i] = m->axis[i + 1];
}

const char *wino_why_not(graph *g, const uop *reduce) {
  wino_match m;
  return wino_recognise(g, reduce, &m);
}
