/* The rewritten IR, evaluated in double, equals the sum written as plain loops: every class of
 * loops, stride, dilation, pieces, axes that are left alone, layouts, and shapes chosen at random
 * from a printed seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <time.h>

#include "conv_ir.h"
#include "ir/ir_text.h"
#include "ir/walk.h"
#include "uop_eval.h"
#include "winograd/winograd.h"

static uint64_t rng_state;

static uint64_t rng(void) {
  rng_state ^= rng_state << 13;
  rng_state ^= rng_state >> 7;
  rng_state ^= rng_state << 17;
  return rng_state * 0x2545f4914f6cdd1du >> 16;
}

static int64_t pick(int64_t lo, int64_t hi) {
  return lo + (int64_t)(rng() % (uint64_t)(hi - lo + 1));
}

static double *noise(int64_t n) {
  double *p = malloc((size_t)n * sizeof *p);
  for (int64_t i = 0; i < n; i++) p[i] = (double)(rng() % 2001) / 1000.0 - 1.0;
  return p;
}

typedef struct fixture {
  graph g;
  diag d;
  conv_spec spec;
  conv_ir ir;
  wino_result result;
} fixture;

static void print_spec(const conv_spec *p) {
  print_error("n%lld g%lld c%lld k%lld", (long long)p->n, (long long)p->groups, (long long)p->c,
              (long long)p->k);
  for (int i = 0; i < p->nd; i++) {
    print_error(" [in %lld r %lld s %lld d %lld lo %lld hi %lld]", (long long)p->in[i],
                (long long)p->r[i], (long long)p->s[i], (long long)p->d[i], (long long)p->lo[i],
                (long long)p->hi[i]);
  }
  print_error(" last%d first%d commute%d flip%d,%d\n", p->channels_last, p->filter_first,
              p->commute, p->flip_x, p->flip_w);
}

static void build(fixture *f, conv_spec spec, const wino_options *o) {
  memset(f, 0, sizeof *f);
  diag_init(&f->d);
  graph_init(&f->g, &f->d);
  f->spec = conv_fill(spec);
  const uop *sum = conv_reduce(&f->g, &f->spec, &f->ir);
  const uop *root = simplify(&f->g, conv_result(&f->g, &f->ir, sum));
  f->result = wino_rewrite(&f->g, root, o);
}

/* Evaluates root and compares with the plain loops. */
static void compare(fixture *f, const uop *root) {
  const conv_spec *p = &f->spec;
  const char *broken = ir_verify(&f->g, root, UOP_EXPR);
  if (broken != NULL) fail_msg("%s\n%s", broken, f->result.trace);
  double *x = noise(conv_x_size(p)), *w = noise(conv_w_size(p));
  int64_t n = conv_y_size(p);
  double *want = malloc((size_t)n * sizeof *want), *got = malloc((size_t)n * sizeof *got);
  conv_direct(p, x, w, want);
  eval e;
  eval_init(&e);
  eval_buffer(&e, 0, x);
  eval_buffer(&e, 1, w);
  assert_int_equal(eval_tensor(&e, root, got), n);
  for (int64_t i = 0; i < n; i++) {
    if (fabs(got[i] - want[i]) > 1e-9 * (1 + fabs(want[i]))) {
      print_spec(p);
      print_error("%s", f->result.trace);
      fail_msg("element %lld: %.17g, not %.17g", (long long)i, got[i], want[i]);
    }
  }
  eval_release(&e);
  free(x), free(w), free(want), free(got);
}

/* Rewrites with tiles of m and checks that so many axes were transformed. */
static void check(conv_spec spec, int m, int axes) {
  fixture f;
  wino_options o = {.nm = 1, .m = {m}};
  build(&f, spec, &o);
  if (f.result.nsites != (axes > 0)) {
    print_spec(&f.spec);
    fail_msg("%d sites: %s", f.result.nsites, f.result.trace);
  }
  if (axes > 0) assert_int_equal(f.result.site[0].ndim, axes);
  compare(&f, f.result.root);
  graph_release(&f.g);
}

/* --- one class of loops at a time --- */

static void plain_2d(void **state) {
  (void)state;
  check(
      (conv_spec){
          .nd = 2, .n = 2, .c = 3, .k = 2, .in = {7, 9}, .r = {3, 3}, .lo = {1, 1}, .hi = {1, 1}},
      4, 2);
  check((conv_spec){.nd = 2, .c = 3, .k = 2, .in = {8, 8}, .r = {3, 3}}, 2, 2);
  check((conv_spec){.nd = 2, .c = 1, .k = 1, .in = {5, 6}, .r = {3, 2}}, 3, 2);
}

static void other_dimensions(void **state) {
  (void)state;
  check((conv_spec){.nd = 1, .c = 2, .k = 3, .in = {17}, .r = {3}, .lo = {1}, .hi = {1}}, 4, 1);
  check((conv_spec){.nd = 3,
                    .c = 2,
                    .k = 1,
                    .in = {4, 5, 3},
                    .r = {3, 3, 3},
                    .lo = {1, 1, 1},
                    .hi = {1, 1, 1}},
        2, 3);
  check((conv_spec){.nd = 3, .c = 2, .k = 2, .in = {3, 6, 6}, .r = {1, 3, 3}}, 2, 2);
  check(
      (conv_spec){.nd = 2, .c = 2, .k = 2, .in = {4, 11}, .r = {1, 7}, .lo = {0, 3}, .hi = {0, 3}},
      4, 1);
  check((conv_spec){.nd = 2, .c = 2, .k = 2, .in = {11, 4}, .r = {7, 1}}, 2, 1);
}

static void groups_and_depthwise(void **state) {
  (void)state;
  check(
      (conv_spec){
          .nd = 2, .n = 2, .groups = 3, .c = 2, .k = 2, .in = {6, 6}, .r = {3, 3}, .lo = {1, 1}},
      4, 2);
  check((conv_spec){.nd = 2, .groups = 4, .in = {6, 7}, .r = {3, 3}, .lo = {1, 1}, .hi = {1, 1}}, 4,
        2);
}

static void strides(void **state) {
  (void)state;
  for (int64_t s = 2; s <= 4; s++) {
    check(
        (conv_spec){.nd = 1, .c = 2, .k = 2, .in = {23}, .r = {5}, .s = {s}, .lo = {2}, .hi = {2}},
        3, 1);
    check(
        (conv_spec){
            .nd = 2, .c = 2, .in = {13, 11}, .r = {5, 3}, .s = {s, 1}, .lo = {1, 1}, .hi = {0, 1}},
        2, 2);
  }
  check((conv_spec){.nd = 2,
                    .c = 2,
                    .k = 2,
                    .in = {9, 9},
                    .r = {3, 3},
                    .s = {2, 2},
                    .lo = {1, 1},
                    .hi = {1, 1}},
        2, 2);
}

static void dilations(void **state) {
  (void)state;
  for (int64_t d = 2; d <= 3; d++) {
    check(
        (conv_spec){.nd = 1, .n = 2, .c = 2, .in = {23}, .r = {3}, .d = {d}, .lo = {2}, .hi = {2}},
        4, 1);
    check((conv_spec){.nd = 2,
                      .c = 2,
                      .k = 2,
                      .in = {13, 11},
                      .r = {3, 3},
                      .d = {1, d},
                      .lo = {1, 2},
                      .hi = {1, 2}},
          2, 2);
  }
}

static void stride_and_dilation(void **state) {
  (void)state;
  check(
      (conv_spec){.nd = 1, .c = 2, .in = {31}, .r = {5}, .s = {2}, .d = {3}, .lo = {4}, .hi = {3}},
      3, 1);
  check(
      (conv_spec){.nd = 1, .c = 2, .in = {31}, .r = {7}, .s = {3}, .d = {2}, .lo = {4}, .hi = {3}},
      2, 1);
  check(
      (conv_spec){.nd = 1, .c = 2, .in = {31}, .r = {5}, .s = {2}, .d = {2}, .lo = {4}, .hi = {4}},
      2, 1);
  check((conv_spec){.nd = 2,
                    .c = 2,
                    .in = {13, 15},
                    .r = {3, 3},
                    .s = {2, 1},
                    .d = {1, 2},
                    .lo = {1, 1},
                    .hi = {1, 1}},
        2, 2);
}

static void long_filters(void **state) {
  (void)state;
  check((conv_spec){.nd = 1, .c = 2, .k = 2, .in = {40}, .r = {9}, .lo = {4}, .hi = {4}}, 4, 1);
  check((conv_spec){.nd = 2, .c = 2, .in = {10, 12}, .r = {7, 5}, .lo = {3, 2}, .hi = {3, 2}}, 4,
        2);
  check((conv_spec){.nd = 1, .in = {60}, .r = {31}, .s = {2}, .lo = {15}, .hi = {15}}, 4, 1);
}

static void axes_left_alone(void **state) {
  (void)state;
  check((conv_spec){.nd = 2, .c = 2, .k = 2, .in = {12, 9}, .r = {3, 3}, .s = {3, 1}}, 4,
        1);                                                             /* no overlap along y */
  check((conv_spec){.nd = 2, .c = 2, .in = {3, 9}, .r = {3, 3}}, 4, 1); /* one row of outputs */
  check((conv_spec){.nd = 2, .c = 2, .in = {7, 9}, .r = {3, 3}, .d = {3, 1}}, 4,
        1); /* one output a phase */
  check((conv_spec){.nd = 2, .c = 2, .in = {3, 3}, .r = {3, 3}}, 4, 0);
}

static void tiles_of_an_axis(void **state) {
  (void)state;
  fixture f;
  wino_options o = {.nm = 2, .m = {1, 4}};
  build(&f, (conv_spec){.nd = 2, .c = 2, .k = 2, .in = {7, 9}, .r = {3, 3}}, &o);
  assert_int_equal(f.result.nsites, 1);
  const wino_site *s = &f.result.site[0];
  assert_int_equal(s->ndim, 1);
  assert_int_equal(s->m[0], 4);
  assert_int_equal(s->C, 6);     /* channels times the taps along y */
  assert_int_equal(s->T, 5 * 2); /* rows times tiles along x */
  assert_int_equal(s->nt, 2);
  compare(&f, f.result.root);
  graph_release(&f.g);

  o = (wino_options){.nm = 2, .m = {3, 6}};
  build(&f, (conv_spec){.nd = 2, .c = 2, .in = {9, 9}, .r = {3, 3}}, &o);
  assert_int_equal(f.result.site[0].n[0], 5);
  assert_int_equal(f.result.site[0].n[1], 8);
  compare(&f, f.result.root);
  graph_release(&f.g);
}

static void layouts_and_flips(void **state) {
  (void)state;
  conv_spec p = {
      .nd = 2, .n = 2, .c = 3, .k = 2, .in = {7, 6}, .r = {3, 3}, .lo = {1, 0}, .hi = {1, 2}};
  for (unsigned bits = 0; bits < 32; bits++) {
    p.channels_last = bits & 1, p.filter_first = bits & 2, p.commute = bits & 4;
    p.flip_x = bits & 8, p.flip_w = bits & 16;
    check(p, 2, 2);
  }
}

/* --- the structure --- */

static const uop *named(const uop *root, const char *name) {
  arena a;
  diag d;
  diag_init(&d);
  arena_init(&a, &d);
  const uop *found = NULL;
  uop_order order = uop_toposort(&a, 1, &root);
  for (size_t i = 0; i < order.len; i++) {
    const uop *u = order.at[i];
    if (u->op == OP_BUFFERIZE && strcmp(u->arg.info->name, name) == 0) found = u;
  }
  arena_release(&a);
  return found;
}

static void check_ranges(const uop *b, int n, const int64_t *extent) {
  assert_non_null(b);
  assert_int_equal(b->nsrc - 1, n);
  for (int i = 0; i < n; i++) assert_int_equal(b->src[1 + i]->arg.j, extent[i]);
  assert_true(b->free_ == NULL || b->free_->len == 0);
}

/* The reference problem: 16 -> 16 channels, 32x32, 3x3, pad 1. */
static void reference_structure(void **state) {
  (void)state;
  fixture f;
  wino_options o = {.nm = 1, .m = {4}};
  build(&f,
        (conv_spec){
            .nd = 2, .c = 16, .k = 16, .in = {32, 32}, .r = {3, 3}, .lo = {1, 1}, .hi = {1, 1}},
        &o);
  assert_int_equal(f.result.nsites, 1);
  const wino_site *s = &f.result.site[0];
  assert_int_equal(s->T, 64);
  assert_int_equal(s->C, 16);
  assert_int_equal(s->K, 16);
  assert_int_equal(s->G, 1);
  assert_int_equal(s->nt, 2);
  assert_int_equal(s->out_extent[1], 32);
  assert_non_null(
      strstr(f.result.trace,
             "conv 2-D, 16 -> 16 channels, 3x3, window loops oy/ky ox/kx, F(4x4,3x3), 64 tiles"));
  const uop *x = named(f.result.root, "x"), *m = named(f.result.root, "m");
  check_ranges(x, 4, (int64_t[]){6, 6, 16, 64});
  check_ranges(named(f.result.root, "g"), 4, (int64_t[]){6, 6, 16, 16});
  check_ranges(m, 4, (int64_t[]){6, 6, 16, 64});
  check_ranges(named(f.result.root, "o"), 4, (int64_t[]){16, 64, 4, 4});
  assert_int_equal(x->src[0]->op, OP_GET);
  assert_int_equal(x->src[0]->src[0]->op, OP_STACK);
  assert_int_equal(x->src[0]->src[0]->nsrc, 36);
  assert_int_equal(m->src[0]->op, OP_REDUCE);
  assert_int_equal(m->src[0]->nsrc, 2);
  assert_int_equal(m->src[0]->src[0]->op, OP_MUL);
  assert_false(s->promise_missed);
  assert_true(s->error > 0);
  graph_release(&f.g);
}

/* Multiply-adds of the six-point input transform: 12 a line, 6 lines along x and 6 along y. */
static void operations_of_x(void **state) {
  (void)state;
  fixture f;
  wino_options o = {.nm = 1, .m = {4}};
  build(&f, (conv_spec){.nd = 2, .c = 4, .k = 4, .in = {16, 16}, .r = {3, 3}}, &o);
  const uop *x = named(f.result.root, "x")->src[0]->src[0];
  uop_order order = uop_toposort(&f.g.arena, 1, &x);
  int adds = 0;
  for (size_t i = 0; i < order.len; i++) {
    const uop *u = order.at[i];
    if ((u->op == OP_ADD || u->op == OP_SUB) && dtype_is_float(u->dtype)) adds++;
  }
  assert_in_range(adds, 1, 144);
  graph_release(&f.g);
}

/* Two sums in one graph, the second reading the first through a BUFFERIZE. */
static void two_sites(void **state) {
  (void)state;
  diag d;
  graph g;
  diag_init(&d);
  graph_init(&g, &d);
  const uop *r[6];
  static const int64_t extent[] = {10, 3, 8, 3};
  for (int i = 0; i < 4; i++) r[i] = uop_range(&g, extent[i], NULL);
  const uop *x = uop_buffer(&g, 0, WN_F64, 1, (int64_t[]){12}),
            *w = uop_buffer(&g, 1, WN_F64, 1, (int64_t[]){3});
  const uop *at = uop_add(&g, r[0], r[1]);
  const uop *first = uop_mul(&g, uop_index(&g, x, NULL, 1, &at), uop_index(&g, w, NULL, 1, &r[1]));
  first = uop_bufferize(&g, uop_reduce(&g, OP_ADD, first, 1, &r[1]), 1, &r[0],
                        (bufferize_info){.name = "b0", .space = SPACE_GLOBAL, .site = -1});
  at = uop_add(&g, r[2], r[3]);
  const uop *second =
      uop_mul(&g, uop_index(&g, first, NULL, 1, &at), uop_index(&g, w, NULL, 1, &r[3]));
  second = uop_bufferize(&g, uop_reduce(&g, OP_ADD, second, 1, &r[3]), 1, &r[2],
                         (bufferize_info){.name = "result0", .space = SPACE_GLOBAL, .site = -1});
  wino_options o = {.nm = 1, .m = {2}};
  wino_result res = wino_rewrite(&g, second, &o);
  assert_int_equal(res.nsites, 2);
  assert_int_equal(res.site[0].number, 0);
  assert_int_equal(res.site[1].number, 1);
  assert_non_null(named(res.root, "m1"));
  double xs[12], ws[3] = {1, -2, 0.5}, b[10], got[8];
  for (int i = 0; i < 12; i++) xs[i] = i * i % 7;
  for (int i = 0; i < 10; i++) b[i] = xs[i] * ws[0] + xs[i + 1] * ws[1] + xs[i + 2] * ws[2];
  eval e;
  eval_init(&e);
  eval_buffer(&e, 0, xs);
  eval_buffer(&e, 1, ws);
  assert_int_equal(eval_tensor(&e, res.root, got), 8);
  for (int i = 0; i < 8; i++)
    assert_true(fabs(got[i] - (b[i] * ws[0] + b[i + 1] * ws[1] + b[i + 2] * ws[2])) < 1e-9);
  eval_release(&e);
  graph_release(&g);
}

static void off_changes_nothing(void **state) {
  (void)state;
  fixture f;
  memset(&f, 0, sizeof f);
  diag_init(&f.d);
  graph_init(&f.g, &f.d);
  f.spec = conv_fill((conv_spec){.nd = 1, .c = 2, .in = {9}, .r = {3}});
  const uop *root = conv_result(&f.g, &f.ir, conv_reduce(&f.g, &f.spec, &f.ir));
  root = conv_result(&f.g, &f.ir, root->src[0]);
  f.result = wino_rewrite(&f.g, root, &(wino_options){.off = true});
  assert_ptr_equal(f.result.root, root);
  assert_int_equal(f.result.nsites, 0);
  assert_non_null(strstr(f.result.trace, "conv 1-D, 2 -> 1 channels, 3 taps"));
  assert_non_null(strstr(f.result.trace, "rewriting is off"));
  graph_release(&f.g);
}

/* The default choice, whatever it is, computes the same. */
static void chosen_tiles(void **state) {
  (void)state;
  fixture f;
  wino_options o = {0};
  build(&f,
        (conv_spec){
            .nd = 2, .c = 24, .k = 24, .in = {16, 16}, .r = {3, 3}, .lo = {1, 1}, .hi = {1, 1}},
        &o);
  assert_int_equal(f.result.nsites, 1);
  assert_false(f.result.site[0].promise_missed);
  compare(&f, f.result.root);
  graph_release(&f.g);
}

/* Depthwise gains nothing: left alone by default, rewritten when asked for. */
static void always_rewrites(void **state) {
  (void)state;
  fixture f;
  conv_spec p = {.nd = 2, .groups = 3, .in = {9, 9}, .r = {3, 3}};
  build(&f, p, &(wino_options){0});
  assert_int_equal(f.result.nsites, 0);
  assert_non_null(strstr(f.result.trace, "direct is expected to be faster"));
  graph_release(&f.g);
  build(&f, p, &(wino_options){.always = true});
  assert_int_equal(f.result.nsites, 1);
  assert_true(f.result.site[0].cost > 0);
  compare(&f, f.result.root);
  graph_release(&f.g);
}

/* Tiles that are asked for run even where their error is over the promise, and say so. */
static void missed_promise(void **state) {
  (void)state;
  fixture f;
  conv_spec p = {.nd = 2, .c = 64, .k = 2, .in = {9, 9}, .r = {3, 3}, .dtype = WN_F32};
  build(&f, p, &(wino_options){.nm = 1, .m = {8}});
  assert_true(f.result.site[0].promise_missed);
  assert_non_null(strstr(f.result.trace, "(over the promise)"));
  graph_release(&f.g);
  p.dtype = WN_F64; /* the same in double is far below any promise */
  build(&f, p, &(wino_options){.nm = 1, .m = {8}});
  assert_false(f.result.site[0].promise_missed);
  graph_release(&f.g);
}

/* window_m of a site, given as options, makes the same site: a schedule that is stored replays. */
static void choice_replays(void **state) {
  (void)state;
  static const conv_spec specs[] = {
      {.nd = 2, .c = 64, .k = 64, .in = {20, 20}, .r = {5, 5}, .lo = {2, 2}, .hi = {2, 2}},
      {.nd = 2, .c = 64, .k = 64, .in = {20, 20}, .r = {3, 3}, .lo = {1, 1}, .hi = {1, 1}},
      {.nd = 3, .c = 32, .k = 32, .in = {8, 12, 12}, .r = {3, 3, 3}, .lo = {1, 1, 1}},
      {.nd = 1, .c = 32, .k = 32, .in = {200}, .r = {9}},
      {.nd = 2, .c = 3, .k = 64, .in = {50, 50}, .r = {7, 7}, .s = {2, 2}},
  };
  for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
    fixture f, again;
    conv_spec p = specs[i];
    p.dtype = WN_F32;
    build(&f, p, &(wino_options){.always = true});
    assert_int_equal(f.result.nsites, 1);
    const wino_site *s = &f.result.site[0], *t;
    wino_options o = {.nm = s->nwindow};
    memcpy(o.m, s->window_m, sizeof o.m);
    build(&again, p, &o);
    assert_int_equal(again.result.nsites, 1);
    t = &again.result.site[0];
    assert_int_equal(s->ndim, t->ndim);
    assert_memory_equal(s->window_m, t->window_m, sizeof s->window_m);
    for (int a = 0; a < s->ndim; a++) {
      if (s->m[a] != t->m[a] || s->r[a] != t->r[a]) {
        fail_msg("chosen:   %sreplayed: %s", f.result.trace, again.result.trace);
      }
    }
    assert_int_equal(s->C, t->C);
    graph_release(&f.g), graph_release(&again.g);
  }
}

/* --- at random --- */

static conv_spec random_spec(void) {
  conv_spec p = {.nd = (int)pick(1, 3),
                 .n = pick(1, 2),
                 .groups = pick(1, 3),
                 .c = pick(1, 3),
                 .k = pick(1, 3)};
  for (int i = 0; i < p.nd; i++) {
    p.r[i] = pick(1, p.nd == 3 ? 3 : p.nd == 2 ? 5 : 11);
    p.s[i] = pick(0, 2) == 0 ? pick(2, 3) : 1;
    p.d[i] = pick(0, 2) == 0 ? pick(2, 3) : 1;
    p.lo[i] = pick(0, 3);
    p.hi[i] = pick(0, 3);
    int64_t need = (p.r[i] - 1) * p.d[i] + 1 - p.lo[i] - p.hi[i];
    p.in[i] = (need > 1 ? need : 1) + pick(0, p.nd == 3 ? 4 : p.nd == 2 ? 8 : 20);
  }
  p.channels_last = pick(0, 1), p.filter_first = pick(0, 1), p.commute = pick(0, 1);
  p.flip_x = pick(0, 3) == 0, p.flip_w = pick(0, 3) == 0;
  return p;
}

static void random_shapes(void **state) {
  (void)state;
  int rewritten = 0;
  for (int i = 0; i < 120; i++) {
    fixture f;
    conv_spec p = random_spec();
    wino_options o = {.nm = 3, .m = {(int)pick(1, 4), (int)pick(1, 4), (int)pick(1, 4)}};
    build(&f, p, &o);
    compare(&f, f.result.root);
    rewritten += f.result.nsites;
    graph_release(&f.g);
  }
  assert_true(rewritten > 30);
}

int main(void) {
  const char *given = getenv("WINNOW_TEST_SEED");
  rng_state = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
  printf("seed %llu (WINNOW_TEST_SEED repeats it)\n", (unsigned long long)rng_state);
  rng_state = rng_state * 2654435761u + 88172645463325252u;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(plain_2d),
      cmocka_unit_test(other_dimensions),
      cmocka_unit_test(groups_and_depthwise),
      cmocka_unit_test(strides),
      cmocka_unit_test(dilations),
      cmocka_unit_test(stride_and_dilation),
      cmocka_unit_test(long_filters),
      cmocka_unit_test(axes_left_alone),
      cmocka_unit_test(tiles_of_an_axis),
      cmocka_unit_test(layouts_and_flips),
      cmocka_unit_test(reference_structure),
      cmocka_unit_test(operations_of_x),
      cmocka_unit_test(two_sites),
      cmocka_unit_test(off_changes_nothing),
      cmocka_unit_test(chosen_tiles),
      cmocka_unit_test(always_rewrites),
      cmocka_unit_test(missed_promise),
      cmocka_unit_test(choice_replays),
      cmocka_unit_test(random_shapes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
