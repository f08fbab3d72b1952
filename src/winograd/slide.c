/* Windows: how an output loop and a filter loop meet in the index arithmetic of an expression.
 *
 * In: an operand of a product. Out: which pairs of loops (o, k) it contains only through
 * s * o + d * k, and the operand as a function of that one value. Every maximal integer sum under
 * the operand (an index, one side of a condition, the numerator of a division) is read as a linear
 * form; the atoms of a form that are not loops are searched in turn.
 * The rule: if each form that contains o or k contains q * (s * o + d * k) with the same coprime s
 * and d, then the operand depends on (o, k) through u = s * o + d * k alone, whatever it does with
 * u: padding, clamping, division, arithmetic.
 * Always holds: no expression is changed unless all of it could be read; loops reached through
 * loaded addresses are never paired, because an address computed from a u that no (o, k) produces
 * need not exist. */
#include <stdlib.h>

#include "winograd/recognise.h"

/* --- reading --- */

typedef struct pending {
  const uop *u;
  bool address; /* inside an index of a load */
} pending;

typedef struct reader {
  wino_walk *w;
  arena *arena;
  map seen;
  VEC(pending) stack;
} reader;

static bool is_closed(const uop *u) { return u->free_ == NULL || u->free_->len == 0; }

static bool binds(const uop *u) { return u->op == OP_REDUCE || u->op == OP_BUFFERIZE; }

static void later(reader *r, const uop *u, bool address) {
  if (is_closed(u)) return;
  uint64_t key = (uint64_t)u->id * 2 + address, old;
  if (map_get(&r->seen, key, &old)) return;
  map_put(&r->seen, key, 1);
  vec_push(r->arena, &r->stack, ((pending){u, address}));
}

static void children(reader *r, const uop *u, bool address) {
  if (u->op == OP_INDEX) {
    if (address) vec_push(r->arena, &r->w->loads, u);
    later(r, u->src[0], false);
    later(r, u->src[1], false);
    for (int i = 2; i < u->nsrc; ++i) later(r, u->src[i], true);
  } else if (binds(u)) {
    later(r, u->src[0], address);
    for (int i = 1; i < u->nsrc; ++i) vec_push(r->arena, &r->w->bound, u->src[i]);
  } else {
    for (int i = 0; i < u->nsrc; ++i) later(r, u->src[i], address);
  }
}

static bool is_comparison(const uop *u) {
  return (u->op == OP_LT || u->op == OP_EQ) && dtype_is_int(u->src[0]->dtype) &&
         !is_closed(u->src[0]) && !is_closed(u->src[1]);
}

/* a - b; false if there are too many atoms. */
static bool difference(const linear_form *a, const linear_form *b, linear_form *out) {
  *out = *a;
  out->constant -= b->constant;
  for (int i = 0; i < b->n; ++i) {
    int at = 0;
    while (at < out->n && out->atom[at] != b->atom[i]) ++at;
    if (at == out->n) {
      if (out->n == (int)(sizeof out->atom / sizeof *out->atom)) return false;
      out->atom[out->n] = b->atom[i];
      out->coeff[out->n++] = 0;
    }
    out->coeff[at] -= b->coeff[i];
  }
  return true;
}

static bool read_form(const uop *u, linear_form *out) {
  if (!is_comparison(u)) return linear_of(u, out);
  linear_form a, b;
  return linear_of(u->src[0], &a) && linear_of(u->src[1], &b) && difference(&a, &b, out);
}

static void read_node(reader *r, const uop *u, bool address) {
  wino_visit v = {u, NULL};
  if (u->op == OP_SUBSTITUTE) {
    vec_push(r->arena, &r->w->opaque, u);
  } else if (dtype_is_int(u->dtype) || is_comparison(u)) {
    linear_form f;
    if (!read_form(u, &f)) {
      vec_push(r->arena, &r->w->opaque, u);
      return;
    }
    v.form = arena_copy(r->arena, &f, sizeof f);
    vec_push(r->arena, &r->w->visits, v);
    for (int i = 0; i < f.n; ++i) {
      if (f.atom[i]->op != OP_RANGE) children(r, f.atom[i], address);
    }
  } else {
    vec_push(r->arena, &r->w->visits, v);
    children(r, u, address);
  }
}

static int by_id(const void *a, const void *b) {
  uint32_t x = ((const wino_visit *)a)->u->id, y = ((const wino_visit *)b)->u->id;
  return (x > y) - (x < y);
}

void wino_walk_init(wino_walk *w, graph *g, const uop *e) {
  *w = (wino_walk){.g = g};
  reader r = {.w = w, .arena = &g->arena};
  map_init(&r.seen, r.arena);
  later(&r, e, false);
  while (r.stack.len > 0) {
    pending p = r.stack.data[--r.stack.len];
    read_node(&r, p.u, p.address);
  }
  if (w->visits.len > 0) qsort(w->visits.data, w->visits.len, sizeof *w->visits.data, by_id);
}

/* --- pairing --- */

static int64_t coefficient(const linear_form *f, const uop *range) {
  for (int i = 0; i < f->n; ++i) {
    if (f->atom[i] == range) return f->coeff[i];
  }
  return 0;
}

static int64_t magnitude(int64_t a) { return a < 0 ? -a : a; }

static bool any_has(const uop_vec *v, const uop *o, const uop *k) {
  for (size_t i = 0; i < v->len; ++i) {
    if (uop_has_range(v->data[i], o) || uop_has_range(v->data[i], k)) return true;
  }
  return false;
}

/* Windows s * o + d * k of neighbouring outputs share an input, and two of the d phases' outputs
 * exist. Anything else is how a row-major index looks: i * columns + j. */
static bool overlaps(const uop *o, const uop *k, int64_t s, int64_t d) {
  return k->arg.j > s && o->arg.j > magnitude(d);
}

wino_pair wino_walk_pair(const wino_walk *w, const uop *o, const uop *k, int64_t *s, int64_t *d) {
  bool apart = false, meets = false;
  *s = *d = 0;
  for (size_t i = 0; i < w->visits.len; ++i) {
    const linear_form *f = w->visits.data[i].form;
    if (f == NULL) continue;
    int64_t co = coefficient(f, o), ck = coefficient(f, k);
    if (co == 0 && ck == 0) continue;
    if (co == 0 || ck == 0) {
      apart = true;
      continue;
    }
    int64_t unit = co < 0 ? -int_gcd(co, ck) : int_gcd(co, ck), fs = co / unit, fd = ck / unit;
    if (meets && (fs != *s || fd != *d)) apart = true;
    if (!meets || overlaps(o, k, fs, fd)) *s = fs, *d = fd;
    meets = true;
  }
  if (!meets || !overlaps(o, k, *s, *d)) return PAIR_NONE;
  if (any_has(&w->loads, o, k)) return PAIR_DATA;
  if (any_has(&w->opaque, o, k) || any_has(&w->bound, o, k)) return PAIR_OPAQUE;
  return apart ? PAIR_APART : PAIR_WINDOW;
}

/* --- rebuilding --- */

typedef struct rebuild {
  graph *g;
  const wino_match *match;
  const uop *const *u;
  map made; /* id -> the node as a function of u */
} rebuild;

static const uop *made(const rebuild *r, const uop *u) {
  const uop *n = map_get_ptr(&r->made, u->id);
  return n != NULL ? n : u;
}

static const uop *with_made_sources(const rebuild *r, const uop *u) {
  const uop **src = arena_array(&r->g->arena, const uop *, u->nsrc + 1);
  bool changed = false;
  for (int i = 0; i < u->nsrc; ++i) {
    src[i] = binds(u) && i > 0 ? u->src[i] : made(r, u->src[i]);
    changed |= src[i] != u->src[i];
  }
  return changed ? uop_with_src(r->g, u, src) : u;
}

/* The axis whose o or k the atom is, or -1. */
static int axis_of(const wino_match *m, const uop *atom) {
  for (int i = 0; i < m->naxes; ++i) {
    if (m->axis[i].o == atom || m->axis[i].k == atom) return i;
  }
  return -1;
}

/* q * (s * o + d * k) becomes q * u for d > 0; for d < 0, u counts k from the other end:
 * s * o + d * k = s * o + |d| * (taps - 1 - k) - |d| * (taps - 1). */
static const uop *form_in_u(const rebuild *r, const linear_form *f, wn_dtype dtype) {
  graph *g = r->g;
  int64_t constant = f->constant;
  const uop *sum = NULL;
  for (int i = 0; i < f->n; ++i) {
    const uop *atom = f->atom[i];
    int64_t k = f->coeff[i];
    int axis = axis_of(r->match, atom);
    if (axis >= 0) {
      const wino_slide *x = &r->match->axis[axis];
      if (atom == x->k) continue;
      k /= x->s;
      if (x->d < 0) constant += k * x->d * (x->taps - 1);
      atom = r->u[axis];
    } else {
      atom = atom->op == OP_RANGE ? atom : with_made_sources(r, atom);
    }
    const uop *term = k == 1 ? atom : uop_mul(g, atom, uop_const(g, dtype, (double)k));
    sum = sum == NULL ? term : uop_add(g, sum, term);
  }
  const uop *last = uop_const(g, dtype, (double)constant);
  return sum == NULL ? last : uop_add(g, sum, last);
}

const uop *wino_window(graph *g, const wino_match *m, const uop *const *u) {
  wino_walk w;
  wino_walk_init(&w, g, m->act);
  rebuild r = {g, m, u, {0}};
  map_init(&r.made, &g->arena);
  for (size_t i = 0; i < w.visits.len; ++i) {
    const wino_visit *v = &w.visits.data[i];
    const uop *n;
    if (v->form == NULL) {
      n = with_made_sources(&r, v->u);
    } else if (is_comparison(v->u)) {
      wn_dtype dtype = v->u->src[0]->dtype;
      n = uop_alu2(g, v->u->op, form_in_u(&r, v->form, dtype), uop_const(g, dtype, 0));
    } else {
      n = form_in_u(&r, v->form, v->u->dtype);
    }
    map_put_ptr(&r.made, v->u->id, n);
  }
  return made(&r, m->act);
}
