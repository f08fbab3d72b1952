/* Lowering, checked by evaluating the range IR and comparing with plain loops, and by looking at
 * what indices became. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <time.h>

#include "ir/ir_text.h"
#include "ir/walk.h"
#include "lower/lower.h"
#include "tensor/tensor.h"
#include "uop_eval.h"

/* --- random numbers and plain tensors --------------------------------------------------------- */

static uint64_t seed_state;

static uint64_t next_random(void) {
  seed_state ^= seed_state << 13;
  seed_state ^= seed_state >> 7;
  seed_state ^= seed_state << 17;
  return seed_state;
}

static int64_t pick(int64_t lo, int64_t hi) {
  return lo + (int64_t)(next_random() % (uint64_t)(hi - lo + 1));
}

static void seed_from(uint64_t s) { seed_state = s * 0x9e3779b97f4a7c15u + 88172645463325252u; }

typedef struct plain {
  int ndim;
  int64_t shape[WN_MAX_DIMS], count;
  double *at;
} plain;

static plain plain_new(int ndim, const int64_t *shape) {
  plain p = {.ndim = ndim, .count = 1};
  for (int i = 0; i < ndim; ++i) {
    p.shape[i] = shape[i];
    p.count *= shape[i];
  }
  p.at = test_calloc((size_t)p.count, sizeof *p.at);
  return p;
}

static plain plain_random(int ndim, const int64_t *shape) {
  plain p = plain_new(ndim, shape);
  for (int64_t i = 0; i < p.count; ++i) p.at[i] = (double)pick(-512, 512) / 256;
  return p;
}

static void coordinates(const plain *p, int64_t flat, int64_t *c) {
  for (int i = p->ndim; i-- > 0;) {
    c[i] = flat % p->shape[i];
    flat /= p->shape[i];
  }
}

static int64_t flat_of(const plain *p, const int64_t *c) {
  int64_t f = 0;
  for (int i = 0; i < p->ndim; ++i) f = f * p->shape[i] + c[i];
  return f;
}

/* --- running the lowered graph ---------------------------------------------------------------- */

typedef struct fixture {
  wn_context *ctx;
  const void *data[EVAL_BUFFERS];
  int n;
} fixture;

static fixture fixture_new(void) {
  fixture f = {0};
  assert_int_equal(wn_context_create(&f.ctx), WN_OK);
  return f;
}

static wn_tensor *input(fixture *f, const plain *p) {
  assert_true(f->n < EVAL_BUFFERS);
  f->data[f->n++] = p->at;
  return wn_input(f->ctx, WN_F64, p->ndim, p->shape, p->at);
}

static const uop *lower(fixture *f, wn_tensor *t) {
  if (t == NULL) fail_msg("%s", wn_message(f->ctx));
  const uop *root = lower_tensors(&f->ctx->graph, 1, &t->node, NULL);
  assert_int_equal(root->op, OP_SINK);
  assert_int_equal(root->nsrc, 1);
  return root;
}

static void expect_near(const double *got, const double *want, int64_t count, double tolerance) {
  for (int64_t i = 0; i < count; ++i) {
    if (!(fabs(got[i] - want[i]) <= tolerance)) {
      fail_msg("element %lld of %lld is %.17g, not %.17g", (long long)i, (long long)count, got[i],
               want[i]);
    }
  }
}

/* Evaluates output `which` of root and compares. */
static void expect_output(fixture *f, const uop *root, int which, const plain *want) {
  eval e;
  eval_init(&e);
  for (int i = 0; i < f->n; ++i) eval_buffer(&e, i, f->data[i]);
  double *got = test_calloc((size_t)want->count, sizeof *got);
  assert_int_equal(eval_tensor(&e, root->src[which], got), want->count);
  expect_near(got, want->at, want->count, 1e-9);
  test_free(got);
  eval_release(&e);
}

static void expect_tensor(fixture *f, wn_tensor *t, const plain *want) {
  assert_int_equal(wn_ndim(t), want->ndim);
  for (int i = 0; i < want->ndim; ++i) assert_int_equal(wn_shape(t)[i], want->shape[i]);
  expect_output(f, lower(f, t), 0, want);
}

/* --- looking at the IR ------------------------------------------------------------------------ */

static int count_ops(const uop *root, uop_op op) {
  diag d;
  arena a;
  diag_init(&d);
  arena_init(&a, &d);
  uop_order o = uop_toposort(&a, 1, &root);
  int n = 0;
  for (size_t i = 0; i < o.len; ++i) n += o.at[i]->op == op;
  arena_release(&a);
  return n;
}

static const uop *find_load(const uop *root, int64_t slot) {
  diag d;
  arena a;
  diag_init(&d);
  arena_init(&a, &d);
  uop_order o = uop_toposort(&a, 1, &root);
  const uop *found = NULL;
  for (size_t i = 0; i < o.len; ++i) {
    const uop *u = o.at[i];
    if (u->op == OP_INDEX && u->src[0]->op == OP_BUFFER && u->src[0]->arg.i == slot) found = u;
  }
  arena_release(&a);
  assert_non_null(found);
  return found;
}

static void show(fixture *f, const uop *root) {
  str s;
  str_init(&s, &f->ctx->graph.arena);
  ir_print(&f->ctx->graph, &s, 1, &root);
  print_message("%s", str_text(&s));
}

static void expect_ops(fixture *f, const uop *root, uop_op op, int want) {
  int got = count_ops(root, op);
  if (got == want) return;
  show(f, root);
  fail_msg("%d %s, not %d", got, op_table[op].name, want);
}

/* The index is affine in RANGEs alone. */
static void expect_affine(fixture *f, const uop *root, const uop *index) {
  linear_form l;
  bool ok = linear_of(index, &l);
  for (int i = 0; ok && i < l.n; ++i) ok = l.atom[i]->op == OP_RANGE;
  if (ok) return;
  show(f, root);
  fail_msg("node %u is not affine", index->id);
}

/* --- convolution ------------------------------------------------------------------------------ */

typedef struct conv_problem {
  int ns;
  int64_t n, c, k, g, in[3], taps[3], out[3];
  wn_conv_params p;
} conv_problem;

/* False if some window does not fit. */
static bool conv_outputs(conv_problem *q) {
  for (int j = 0; j < q->ns; ++j) {
    int64_t room =
        q->in[j] + q->p.pad_lo[j] + q->p.pad_hi[j] - (q->taps[j] - 1) * q->p.dilation[j] - 1;
    if (room < 0) return false;
    q->out[j] = room / q->p.stride[j] + 1;
  }
  return true;
}

static conv_problem conv_random(void) {
  conv_problem q;
  do {
    q = (conv_problem){.ns = (int)pick(1, 3), .n = pick(1, 2), .g = pick(1, 3)};
    q.c = q.g * pick(1, 2);
    q.k = q.g * pick(1, 3);
    q.p = WN_CONV_PARAMS(.groups = q.g);
    for (int j = 0; j < q.ns; ++j) {
      q.in[j] = pick(1, 6);
      q.taps[j] = pick(1, 3);
      q.p.stride[j] = pick(1, 3);
      q.p.dilation[j] = pick(1, 3);
      q.p.pad_lo[j] = pick(0, 2);
      q.p.pad_hi[j] = pick(0, 3);
    }
  } while (!conv_outputs(&q));
  return q;
}

static plain tensor_shape_of(int64_t a, int64_t b, int ns, const int64_t *spatial, bool random) {
  int64_t shape[5] = {a, b};
  for (int j = 0; j < ns; ++j) shape[2 + j] = spatial[j];
  return random ? plain_random(2 + ns, shape) : plain_new(2 + ns, shape);
}

/* One output element, by the definition. */
static double conv_at(const conv_problem *q, const plain *x, const plain *w, const int64_t *o) {
  const int64_t per = q->c / q->g, group = o[1] / (q->k / q->g);
  int64_t taps = 1;
  for (int j = 0; j < q->ns; ++j) taps *= q->taps[j];
  double sum = 0;
  for (int64_t c = 0; c < per; ++c) {
    for (int64_t t = 0; t < taps; ++t) {
      int64_t xi[5] = {o[0], group * per + c}, wi[5] = {o[1], c}, rest = t;
      bool inside = true;
      for (int j = q->ns; j-- > 0;) {
        wi[2 + j] = rest % q->taps[j];
        rest /= q->taps[j];
        xi[2 + j] = o[2 + j] * q->p.stride[j] + wi[2 + j] * q->p.dilation[j] - q->p.pad_lo[j];
        inside = inside && xi[2 + j] >= 0 && xi[2 + j] < q->in[j];
      }
      if (inside) sum += x->at[flat_of(x, xi)] * w->at[flat_of(w, wi)];
    }
  }
  return sum;
}

static plain conv_reference(const conv_problem *q, const plain *x, const plain *w) {
  plain y = tensor_shape_of(q->n, q->k, q->ns, q->out, false);
  for (int64_t i = 0; i < y.count; ++i) {
    int64_t o[5];
    coordinates(&y, i, o);
    y.at[i] = conv_at(q, x, w, o);
  }
  return y;
}

static void test_conv_random(void **state) {
  (void)state;
  const uint64_t seed = (uint64_t)time(NULL);
  print_message("seed %llu\n", (unsigned long long)seed);
  seed_from(seed);
  for (int round = 0; round < 60; ++round) {
    conv_problem q = conv_random();
    plain x = tensor_shape_of(q.n, q.c, q.ns, q.in, true),
          w = tensor_shape_of(q.k, q.c / q.g, q.ns, q.taps, true);
    plain y = conv_reference(&q, &x, &w);
    fixture f = fixture_new();
    wn_tensor *xt = input(&f, &x), *wt = input(&f, &w), *t = wn_conv(xt, wt, &q.p);
    expect_tensor(&f, t, &y);
    const uop *root = lower(&f, t);
    expect_ops(&f, root, OP_BUFFERIZE, 1);
    expect_ops(&f, root, OP_IDIV, 0);
    expect_ops(&f, root, OP_MOD, 0);
    expect_ops(&f, root, OP_WHERE, 0);
    wn_context_destroy(f.ctx);
    test_free(x.at), test_free(w.at), test_free(y.at);
  }
}

static wn_tensor *conv_2d(fixture *f, int64_t c, int64_t k, int64_t hw, int64_t taps,
                          wn_conv_params p) {
  wn_tensor *x = wn_input(f->ctx, WN_F32, 4, (int64_t[]){1, c, hw, hw}, NULL);
  wn_tensor *w =
      wn_input(f->ctx, WN_F32, 4, (int64_t[]){k, c / (p.groups ? p.groups : 1), taps, taps}, NULL);
  return wn_conv(x, w, &p);
}

static void test_conv_form(void **state) {
  (void)state;
  fixture f = fixture_new();
  const uop *root =
      lower(&f, conv_2d(&f, 16, 8, 32, 3, WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1})));
  expect_ops(&f, root, OP_BUFFERIZE, 1);
  expect_ops(&f, root, OP_REDUCE, 1);
  expect_ops(&f, root, OP_LT, 4); /* one compare per bound */
  expect_ops(&f, root, OP_WHERE, 0);
  expect_ops(&f, root, OP_RANGE, 6);
  const uop *load = find_load(root, 0);
  expect_affine(&f, root, load->src[2]);
  linear_form l;
  assert_true(linear_of(load->src[2], &l));
  assert_int_equal(l.constant, -33);
  int ones = 0, rows = 0, planes = 0;
  for (int i = 0; i < l.n; ++i)
    ones += l.coeff[i] == 1, rows += l.coeff[i] == 32, planes += l.coeff[i] == 1024;
  assert_int_equal(l.n, 5);
  assert_int_equal(ones, 2);
  assert_int_equal(rows, 2);
  assert_int_equal(planes, 1);
  assert_true(find_load(root, 1)->src[1]->op == OP_CONST);
  wn_context_destroy(f.ctx);
}

static void test_window_form(void **state) {
  (void)state;
  for (int ns = 1; ns <= 3; ++ns) {
    for (int64_t s = 1; s <= 3; ++s) {
      for (int64_t d = 1; d <= 3; ++d) {
        fixture f = fixture_new();
        const int64_t shape[3] = {19, 23, 17}, window[3] = {3, 5, 2}, stride[3] = {s, 1, s},
                      dilation[3] = {d, d, 1};
        wn_tensor *x = wn_input(f.ctx, WN_F32, ns, shape, NULL);
        const uop *root = lower(&f, wn_window(x, ns, window, stride, dilation)),
                  *load = find_load(root, 0);
        expect_affine(&f, root, load->src[2]);
        assert_true(uop_is_int(load->src[1], 1));
        linear_form l;
        assert_true(linear_of(load->src[2], &l));
        assert_int_equal(l.n, 2 * ns);
        assert_int_equal(l.constant, 0);
        int64_t found = 0,
                last = ns -
                       1; /* the innermost axis: coefficients are stride and dilation themselves */
        for (int i = 0; i < l.n; ++i)
          found += l.coeff[i] == stride[last] || l.coeff[i] == dilation[last];
        assert_true(found >= 2);
        wn_context_destroy(f.ctx);
      }
    }
  }
}

static void test_conv_epilogue(void **state) {
  (void)state;
  fixture f = fixture_new();
  wn_tensor *y = conv_2d(&f, 4, 6, 8, 3, WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1}));
  wn_tensor *bias = wn_input(f.ctx, WN_F32, 3, (int64_t[]){6, 1, 1}, NULL);
  wn_tensor *residual = wn_input(f.ctx, WN_F32, 4, (int64_t[]){1, 6, 8, 8}, NULL);
  y = wn_map(WN_RELU, wn_zip(WN_ADD, wn_zip(WN_ADD, y, bias), residual));
  const uop *root = lower(&f, y);
  expect_ops(&f, root, OP_BUFFERIZE, 1);
  expect_ops(&f, root, OP_REDUCE, 1);
  wn_context_destroy(f.ctx);
}

/* relu(x + s) before a padded convolution stays in the operand; the padding stays 0 although
 * relu(0 + s) is not. */
static void test_conv_producer(void **state) {
  (void)state;
  seed_from(5);
  conv_problem q = {.ns = 2, .n = 1, .c = 2, .k = 3, .g = 1, .in = {4, 5}, .taps = {3, 3}};
  q.p = WN_CONV_PARAMS(.stride = {1, 1}, .dilation = {1, 1}, .pad_lo = {1, 1}, .pad_hi = {1, 1});
  assert_true(conv_outputs(&q));
  plain x = tensor_shape_of(1, 2, 2, q.in, true), w = tensor_shape_of(3, 2, 2, q.taps, true);
  plain shift = plain_random(3, (int64_t[]){2, 1, 1});
  fixture f = fixture_new();
  wn_tensor *xt = input(&f, &x), *wt = input(&f, &w), *st = input(&f, &shift);
  wn_tensor *t = wn_conv(wn_map(WN_RELU, wn_zip(WN_ADD, xt, st)), wt, &q.p);
  plain produced = tensor_shape_of(1, 2, 2, q.in, false);
  for (int64_t i = 0; i < x.count; ++i) produced.at[i] = fmax(x.at[i] + shift.at[i / 20], 0);
  plain y = conv_reference(&q, &produced, &w);
  expect_tensor(&f, t, &y);
  expect_ops(&f, lower(&f, t), OP_BUFFERIZE, 1);
  wn_context_destroy(f.ctx);
  test_free(x.at), test_free(w.at), test_free(y.at), test_free(shift.at), test_free(produced.at);
}

/* conv(relu(conv(x))): the first convolution is stored once, after its relu. */
static void test_conv_chain(void **state) {
  (void)state;
  seed_from(6);
  conv_problem q = {.ns = 1, .n = 2, .c = 2, .k = 2, .g = 1, .in = {7}, .taps = {3}};
  q.p = WN_CONV_PARAMS(.stride = {1}, .dilation = {1}, .pad_lo = {1}, .pad_hi = {1});
  assert_true(conv_outputs(&q));
  plain x = tensor_shape_of(2, 2, 1, q.in, true), w = tensor_shape_of(2, 2, 1, q.taps, true);
  fixture f = fixture_new();
  wn_tensor *xt = input(&f, &x), *wt = input(&f, &w);
  wn_tensor *t = wn_conv(wn_map(WN_RELU, wn_conv(xt, wt, &q.p)), wt, &q.p);
  plain mid = conv_reference(&q, &x, &w);
  for (int64_t i = 0; i < mid.count; ++i) mid.at[i] = fmax(mid.at[i], 0);
  plain y = conv_reference(&q, &mid, &w);
  expect_tensor(&f, t, &y);
  const uop *root = lower(&f, t);
  expect_ops(&f, root, OP_BUFFERIZE, 2);
  expect_ops(&f, root, OP_REDUCE, 2);
  expect_ops(&f, root, OP_WHERE, 0); /* the stored value is a bare load: its condition is enough */
  wn_context_destroy(f.ctx);
  test_free(x.at), test_free(w.at), test_free(y.at), test_free(mid.at);
}

/* A convolution written as a matrix product over unrolled windows has the loops of a
 * convolution. */
static void test_unrolled_windows(void **state) {
  (void)state;
  fixture f = fixture_new();
  wn_tensor *x = wn_input(f.ctx, WN_F32, 3, (int64_t[]){4, 10, 12}, NULL);
  wn_tensor *w = wn_input(f.ctx, WN_F32, 2, (int64_t[]){6, 4 * 3 * 3}, NULL);
  wn_tensor *win = wn_window(x, 2, (int64_t[]){3, 3}, NULL, NULL); /* [4, 8, 10, 3, 3] */
  wn_tensor *columns = wn_reshape(wn_permute(win, (int[]){0, 3, 4, 1, 2}), 2, (int64_t[]){36, 80});
  const uop *root = lower(&f, wn_matmul(w, columns));
  expect_ops(&f, root, OP_BUFFERIZE, 1);
  expect_ops(&f, root, OP_IDIV, 0);
  expect_ops(&f, root, OP_MOD, 0);
  expect_ops(&f, root, OP_RANGE, 6);
  expect_affine(&f, root, find_load(root, 0)->src[2]);
  expect_affine(&f, root, find_load(root, 1)->src[2]);
  wn_context_destroy(f.ctx);
}

/* Groups are a loop of their own, also below a bias on the ungrouped channel axis. */
static void test_groups_split(void **state) {
  (void)state;
  fixture f = fixture_new();
  wn_tensor *y = conv_2d(&f, 8, 12, 9, 3, WN_CONV_PARAMS(.groups = 4));
  y = wn_zip(WN_ADD, y, wn_input(f.ctx, WN_F32, 3, (int64_t[]){12, 1, 1}, NULL));
  const uop *root = lower(&f, y);
  expect_ops(&f, root, OP_IDIV, 0);
  expect_ops(&f, root, OP_RANGE, 7); /* g, k, y, x; c, two taps */
  assert_int_equal(root->src[0]->nsrc, 5);
  wn_context_destroy(f.ctx);
}

/* A stored value takes the split of its axis along if every reader can follow. */
static void test_split_stored(void **state) {
  (void)state;
  seed_from(13);
  conv_problem q = {.ns = 1, .n = 2, .c = 4, .k = 4, .g = 2, .in = {6}, .taps = {3}};
  q.p = WN_CONV_PARAMS(.stride = {1}, .dilation = {1}, .pad_lo = {1}, .pad_hi = {1}, .groups = 2);
  assert_true(conv_outputs(&q));
  conv_problem dense = q;
  dense.g = dense.p.groups = 1;
  plain x = tensor_shape_of(2, 4, 1, q.in, true), w = tensor_shape_of(4, 2, 1, q.taps, true);
  plain v = tensor_shape_of(4, 4, 1, q.taps, true), mid = conv_reference(&q, &x, &w);
  for (int then_dense = 0; then_dense < 2; ++then_dense) {
    plain y = then_dense ? conv_reference(&dense, &mid, &v) : conv_reference(&q, &mid, &w);
    fixture f = fixture_new();
    wn_tensor *xt = input(&f, &x), *wt = input(&f, &w), *vt = input(&f, &v),
              *t = wn_conv(xt, wt, &q.p);
    t = then_dense ? wn_conv(t, vt, &dense.p) : wn_conv(t, wt, &q.p);
    expect_tensor(&f, t, &y);
    const uop *root = lower(&f, t);
    expect_ops(&f, root, OP_BUFFERIZE, 2);
    expect_ops(&f, root, OP_IDIV, 0);
    expect_ops(&f, root, OP_MOD, 0);
    wn_context_destroy(f.ctx);
    test_free(y.at);
  }
  test_free(x.at), test_free(w.at), test_free(v.at), test_free(mid.at);
}

/* Depth to space after a convolution: the convolution is stored in its own order, since a kernel that went through its
 * loops in the order of the result would be many times slower, and then moved: the outputs' fused axes are loops of their
 * own in both, and nothing is divided. */
static void test_depth_to_space(void **state) {
  (void)state;
  fixture f = fixture_new();
  wn_tensor *y = conv_2d(&f, 3, 8, 7, 3, WN_CONV_PARAMS()); /* [1, 8, 5, 5] */
  y = wn_permute(wn_reshape(y, 6, (int64_t[]){1, 2, 2, 2, 5, 5}), (int[]){0, 1, 4, 2, 5, 3});
  const uop *root = lower(&f, wn_reshape(y, 4, (int64_t[]){1, 2, 10, 10}));
  expect_ops(&f, root, OP_BUFFERIZE, 2);
  expect_ops(&f, root, OP_REDUCE, 1);
  expect_ops(&f, root, OP_IDIV, 0);
  expect_ops(&f, root, OP_MOD, 0);
  expect_affine(&f, root, find_load(root, 0)->src[2]);
  expect_affine(&f, root, find_load(root, 1)->src[2]);
  wn_context_destroy(f.ctx);
}

/* What costs an exponential is stored before a loop would compute it again for every output
 * channel and tap. */
static void test_dear_producer(void **state) {
  (void)state;
  fixture f = fixture_new();
  wn_tensor *x = wn_input(f.ctx, WN_F32, 3, (int64_t[]){1, 8, 20}, NULL);
  wn_tensor *w = wn_input(f.ctx, WN_F32, 3, (int64_t[]){8, 8, 3}, NULL);
  expect_ops(&f, lower(&f, wn_conv(wn_map(WN_GELU, x), w, NULL)), OP_BUFFERIZE, 2);
  expect_ops(&f, lower(&f, wn_conv(wn_map(WN_RELU, x), w, NULL)), OP_BUFFERIZE, 1);
  wn_context_destroy(f.ctx);
}

/* Integers wrap and divide as integers; a convolution of them has the same form. */
static void test_integers(void **state) {
  (void)state;
  const int32_t x[6] = {5, -7, 9, 2, -4, 1}, w[3] = {1, -2, 3};
  const double sum[4] = {46, -19, -7, 13}, half[4] = {23, -10, -4, 6};
  plain a = plain_new(3, (int64_t[]){1, 1, 4}), b = plain_new(3, (int64_t[]){1, 1, 4});
  memcpy(a.at, sum, sizeof sum), memcpy(b.at, half, sizeof half);
  fixture f = fixture_new();
  wn_tensor *xt = wn_input(f.ctx, WN_I32, 3, (int64_t[]){1, 1, 6}, x);
  wn_tensor *wt = wn_input(f.ctx, WN_I32, 3, (int64_t[]){1, 1, 3}, w);
  f.data[f.n++] = x, f.data[f.n++] = w;
  wn_tensor *y = wn_conv(xt, wt, NULL);
  expect_tensor(&f, y, &a);
  expect_tensor(&f, wn_zip(WN_DIV, y, wn_scalar(f.ctx, WN_I32, 2)), &b);
  wn_context_destroy(f.ctx);
  test_free(a.at), test_free(b.at);
}

/* --- other graphs ----------------------------------------------------------------------------- */

static void test_matmul(void **state) {
  (void)state;
  seed_from(7);
  plain a = plain_random(3, (int64_t[]){3, 4, 5}), b = plain_random(2, (int64_t[]){5, 6});
  plain y = plain_new(3, (int64_t[]){3, 4, 6});
  for (int64_t i = 0; i < 12; ++i) {
    for (int64_t j = 0; j < 6; ++j) {
      for (int64_t k = 0; k < 5; ++k) y.at[i * 6 + j] += a.at[i * 5 + k] * b.at[k * 6 + j];
    }
  }
  fixture f = fixture_new();
  wn_tensor *at = input(&f, &a), *bt = input(&f, &b), *t = wn_matmul(at, bt);
  expect_tensor(&f, t, &y);
  expect_ops(&f, lower(&f, t), OP_BUFFERIZE, 1);
  /* a chain of two: the inner one is stored, not computed again for every column */
  wn_tensor *c = wn_input(f.ctx, WN_F64, 2, (int64_t[]){6, 9}, NULL);
  expect_ops(&f, lower(&f, wn_matmul(t, c)), OP_BUFFERIZE, 2);
  wn_context_destroy(f.ctx);
  test_free(a.at), test_free(b.at), test_free(y.at);
}

static wn_tensor *softmax(wn_tensor *x) {
  const int last = -1;
  wn_tensor *e = wn_map(WN_EXP, wn_zip(WN_SUB, x, wn_reduce(WN_MAXIMUM, x, &last, 1, 1)));
  return wn_zip(WN_DIV, e, wn_reduce(WN_SUM, e, &last, 1, 1));
}

static void test_softmax(void **state) {
  (void)state;
  seed_from(8);
  plain x = plain_random(2, (int64_t[]){5, 7}), y = plain_new(2, (int64_t[]){5, 7});
  for (int64_t i = 0; i < 5; ++i) {
    double max = -INFINITY, sum = 0;
    for (int64_t j = 0; j < 7; ++j) max = fmax(max, x.at[i * 7 + j]);
    for (int64_t j = 0; j < 7; ++j) sum += exp(x.at[i * 7 + j] - max);
    for (int64_t j = 0; j < 7; ++j) y.at[i * 7 + j] = exp(x.at[i * 7 + j] - max) / sum;
  }
  fixture f = fixture_new();
  wn_tensor *t = softmax(input(&f, &x));
  expect_tensor(&f, t, &y);
  expect_ops(&f, lower(&f, t), OP_BUFFERIZE, 3); /* maximum, sum, result */
  wn_context_destroy(f.ctx);
  test_free(x.at), test_free(y.at);
}

static void test_pooling(void **state) {
  (void)state;
  seed_from(9);
  plain x = plain_random(3, (int64_t[]){2, 7, 9}), most = plain_new(3, (int64_t[]){2, 3, 4}),
        mean = most;
  mean.at = test_calloc(24, sizeof(double));
  for (int64_t i = 0; i < 24; ++i) {
    int64_t o[3];
    coordinates(&most, i, o);
    most.at[i] = -INFINITY;
    for (int64_t t = 0; t < 9; ++t) {
      double v = x.at[(o[0] * 7 + o[1] * 2 + t / 3) * 9 + o[2] * 2 + t % 3];
      most.at[i] = fmax(most.at[i], v);
      mean.at[i] += v / 9;
    }
  }
  fixture f = fixture_new();
  wn_tensor *w = wn_window(input(&f, &x), 2, (int64_t[]){3, 3}, (int64_t[]){2, 2}, NULL);
  const int taps[] = {-2, -1};
  expect_tensor(&f, wn_reduce(WN_MAXIMUM, w, taps, 2, 0), &most);
  wn_tensor *sum = wn_reduce(WN_SUM, w, taps, 2, 0);
  expect_tensor(&f, wn_zip(WN_MUL, sum, wn_scalar(f.ctx, WN_F64, 1.0 / 9)), &mean);
  /* axis by axis is the same reduction */
  wn_tensor *twice = wn_reduce(WN_SUM, wn_reduce(WN_SUM, w, taps + 1, 1, 0), taps + 1, 1, 0);
  const uop *root = lower(&f, twice);
  expect_ops(&f, root, OP_REDUCE, 1);
  expect_ops(&f, root, OP_BUFFERIZE, 1);
  /* pooling after a convolution leaves the convolution alone */
  wn_tensor *y = conv_2d(&f, 2, 4, 10, 3, WN_CONV_PARAMS());
  y = wn_reduce(WN_MAXIMUM, wn_window(y, 2, (int64_t[]){2, 2}, (int64_t[]){2, 2}, NULL), taps, 2,
                0);
  expect_ops(&f, lower(&f, y), OP_BUFFERIZE, 2);
  wn_context_destroy(f.ctx);
  test_free(x.at), test_free(most.at), test_free(mean.at);
}

static void test_activations(void **state) {
  (void)state;
  const double in[] = {-800, -30, -1.5, -1e-3, 0, 1e-3, 0.7, 3, 40, 800};
  plain x = plain_new(1, (int64_t[]){10}), y = plain_new(1, (int64_t[]){10});
  memcpy(x.at, in, sizeof in);
  fixture f = fixture_new();
  wn_tensor *t = input(&f, &x);
  for (int i = 0; i < 10; ++i) y.at[i] = in[i] > 0 ? in[i] : 0;
  expect_tensor(&f, wn_map(WN_RELU, t), &y);
  for (int i = 0; i < 10; ++i) y.at[i] = 1 / (1 + exp(-in[i]));
  expect_tensor(&f, wn_map(WN_SIGMOID, t), &y);
  for (int i = 0; i < 10; ++i) y.at[i] = 0.5 * in[i] * (1 + erf(in[i] / sqrt(2)));
  expect_tensor(&f, wn_map(WN_GELU, t), &y);
  for (int i = 0; i < 10; ++i) y.at[i] = tanh(in[i]);
  expect_tensor(&f, wn_map(WN_TANH, t), &y);
  wn_context_destroy(f.ctx);
  test_free(x.at), test_free(y.at);
}

/* Several outputs: what one stores the other reads; the same tensor may be asked for twice. */
static void test_outputs(void **state) {
  (void)state;
  seed_from(10);
  plain a = plain_random(2, (int64_t[]){4, 5}), b = plain_random(2, (int64_t[]){5, 3});
  plain y = plain_new(2, (int64_t[]){4, 3}), z = plain_new(2, (int64_t[]){4, 3});
  for (int64_t i = 0; i < 12; ++i) {
    for (int64_t k = 0; k < 5; ++k) y.at[i] += a.at[i / 3 * 5 + k] * b.at[k * 3 + i % 3];
    z.at[i] = fmax(y.at[i], 0);
  }
  fixture f = fixture_new();
  wn_tensor *at = input(&f, &a), *bt = input(&f, &b), *m = wn_matmul(at, bt),
            *r = wn_map(WN_RELU, m);
  const uop *root =
      lower_tensors(&f.ctx->graph, 3, (const uop *[]){m->node, r->node, m->node}, NULL);
  expect_ops(&f, root, OP_BUFFERIZE, 3);
  expect_ops(&f, root, OP_REDUCE, 1);
  expect_output(&f, root, 0, &y);
  expect_output(&f, root, 1, &z);
  expect_output(&f, root, 2, &y);
  for (int i = 0; i < 3; ++i) {
    char name[16];
    snprintf(name, sizeof name, "result%d", i);
    assert_string_equal(root->src[i]->arg.info->name, name);
    assert_int_equal(root->src[i]->arg.info->space, SPACE_GLOBAL);
    assert_true(root->src[i]->arg.info->explicit_);
  }
  wn_context_destroy(f.ctx);
  test_free(a.at), test_free(b.at), test_free(y.at), test_free(z.at);
}

/* sum(x) - mean-like graphs over everything: results and stored values without any loop. */
static void test_scalars(void **state) {
  (void)state;
  seed_from(11);
  plain x = plain_random(1, (int64_t[]){6}), y = plain_new(0, NULL),
        z = plain_new(1, (int64_t[]){6});
  for (int i = 0; i < 6; ++i) y.at[0] += x.at[i];
  for (int i = 0; i < 6; ++i) z.at[i] = x.at[i] - y.at[0];
  fixture f = fixture_new();
  const int axis = 0;
  wn_tensor *t = input(&f, &x), *sum = wn_reduce(WN_SUM, t, &axis, 1, 0);
  expect_tensor(&f, sum, &y);
  expect_tensor(&f, wn_zip(WN_SUB, t, sum), &z);
  wn_context_destroy(f.ctx);
  test_free(x.at), test_free(y.at), test_free(z.at);
}

/* The value of a chain of additions, without recursion: the one load is replaced by its element. */
static double chain_value(eval *e, const uop *u) {
  double sum = 0;
  while (u->op == OP_ADD) {
    sum += uop_const_value(u->src[1]);
    u = u->src[0];
  }
  assert_int_equal(u->op, OP_INDEX);
  return sum + eval_uop(e, u);
}

static void expect_chain(fixture *f, const uop *root, const plain *want) {
  eval e;
  eval_init(&e);
  eval_buffer(&e, 0, f->data[0]);
  const uop *b = root->src[0];
  for (int64_t i = 0; i < want->count; ++i) {
    int64_t c[WN_MAX_DIMS];
    coordinates(want, i, c);
    for (int k = 0; k < want->ndim; ++k) eval_bind(&e, b->src[1 + k], c[k]);
    assert_true(chain_value(&e, b->src[0]) == want->at[i]);
  }
  eval_release(&e);
}

static void test_long_chain(void **state) {
  (void)state;
  fixture f = fixture_new();
  plain x = plain_new(2, (int64_t[]){4, 6}), y = plain_new(2, (int64_t[]){4, 6});
  for (int i = 0; i < 24; ++i) x.at[i] = i;
  wn_tensor *t = input(&f, &x), *one = wn_scalar(f.ctx, WN_F64, 1);
  for (int i = 0; i < 2500; ++i) { /* four nodes a round */
    t = wn_flip(wn_zip(WN_ADD, t, one), (int[]){i % 2}, 1);
    t = wn_shrink(wn_pad(t, (int64_t[]){1, 2}, (int64_t[]){0, 1}), (int64_t[]){1, 2},
                  (int64_t[]){5, 8});
  }
  for (int i = 0; i < 24; ++i) y.at[i] = i + 2500; /* an even number of flips of each axis */
  const uop *root = lower(&f, t);
  expect_ops(&f, root, OP_BUFFERIZE, 1);
  expect_ops(&f, root, OP_INDEX, 1);
  expect_chain(&f, root, &y);
  wn_context_destroy(f.ctx);
  test_free(x.at), test_free(y.at);
}

/* Each step reads the one before twice, at different places: stored now and then, not 2^40
 * loads. */
static void test_stencil_chain(void **state) {
  (void)state;
  fixture f = fixture_new();
  wn_tensor *t = wn_input(f.ctx, WN_F32, 1, (int64_t[]){64}, NULL);
  for (int i = 0; i < 40; ++i) {
    wn_tensor *shifted =
        wn_shrink(wn_pad(t, (int64_t[]){1}, (int64_t[]){0}), (int64_t[]){0}, (int64_t[]){64});
    t = wn_zip(WN_ADD, t, shifted);
  }
  const uop *root = lower(&f, t);
  assert_in_range(count_ops(root, OP_BUFFERIZE), 2, 40);
  assert_in_range(count_ops(root, OP_ADD), 40, 2000);
  wn_context_destroy(f.ctx);
}

/* --- random graphs against eager loops -------------------------------------------------------- */

typedef struct pair {
  wn_tensor *lazy;
  plain eager;
} pair;

/* Element c of the result comes from element source_of(c) of p; false: 0. */
typedef bool (*source_fn)(const plain *p, const int64_t *arg, const int64_t *c, int64_t *from);

static plain gather(plain p, int ndim, const int64_t *shape, source_fn source, const int64_t *arg) {
  plain r = plain_new(ndim, shape);
  for (int64_t i = 0; i < r.count; ++i) {
    int64_t c[WN_MAX_DIMS], from[WN_MAX_DIMS];
    coordinates(&r, i, c);
    if (source(&p, arg, c, from)) r.at[i] = p.at[flat_of(&p, from)];
  }
  test_free(p.at);
  return r;
}

static bool from_permuted(const plain *p, const int64_t *arg, const int64_t *c, int64_t *from) {
  for (int i = 0; i < p->ndim; ++i) from[arg[i]] = c[i];
  return true;
}

static bool from_padded(const plain *p, const int64_t *arg, const int64_t *c, int64_t *from) {
  bool in = true;
  for (int i = 0; i < p->ndim; ++i) {
    from[i] = c[i] - arg[i];
    in = in && from[i] >= 0 && from[i] < p->shape[i];
  }
  return in;
}

static bool from_strided(const plain *p, const int64_t *arg, const int64_t *c, int64_t *from) {
  for (int i = 0; i < p->ndim; ++i) from[i] = c[i] * arg[i];
  return true;
}

static bool from_flipped(const plain *p, const int64_t *arg, const int64_t *c, int64_t *from) {
  for (int i = 0; i < p->ndim; ++i) from[i] = i == arg[0] ? p->shape[i] - 1 - c[i] : c[i];
  return true;
}

static bool from_expanded(const plain *p, const int64_t *arg, const int64_t *c, int64_t *from) {
  (void)arg;
  for (int i = 0; i < p->ndim; ++i) from[i] = p->shape[i] == 1 ? 0 : c[i];
  return true;
}

static bool from_windowed(const plain *p, const int64_t *arg, const int64_t *c, int64_t *from) {
  for (int i = 0; i < p->ndim; ++i) from[i] = c[i];
  from[p->ndim - 1] = c[p->ndim - 1] * arg[0] + c[p->ndim] * arg[1];
  return true;
}

static void step_pad(pair *t) {
  int64_t lo[WN_MAX_DIMS], hi[WN_MAX_DIMS], shape[WN_MAX_DIMS];
  for (int i = 0; i < t->eager.ndim; ++i) {
    lo[i] = pick(0, 2), hi[i] = pick(0, 1);
    shape[i] = t->eager.shape[i] + lo[i] + hi[i];
  }
  t->lazy = wn_pad(t->lazy, lo, hi);
  t->eager = gather(t->eager, t->eager.ndim, shape, from_padded, lo);
}

static void step_shrink(pair *t) {
  int64_t begin[WN_MAX_DIMS], end[WN_MAX_DIMS], shape[WN_MAX_DIMS], minus[WN_MAX_DIMS];
  for (int i = 0; i < t->eager.ndim; ++i) {
    begin[i] = pick(0, t->eager.shape[i] - 1);
    end[i] = pick(begin[i] + 1, t->eager.shape[i]);
    shape[i] = end[i] - begin[i];
    minus[i] = -begin[i];
  }
  t->lazy = wn_shrink(t->lazy, begin, end);
  t->eager = gather(t->eager, t->eager.ndim, shape, from_padded, minus);
}

static void step_permute(pair *t) {
  int axes[WN_MAX_DIMS], n = t->eager.ndim;
  int64_t arg[WN_MAX_DIMS], shape[WN_MAX_DIMS];
  for (int i = 0; i < n; ++i) axes[i] = i;
  for (int i = n; i-- > 1;) {
    int j = (int)pick(0, i), k = axes[i];
    axes[i] = axes[j], axes[j] = k;
  }
  for (int i = 0; i < n; ++i) arg[i] = axes[i], shape[i] = t->eager.shape[axes[i]];
  t->lazy = wn_permute(t->lazy, axes);
  t->eager = gather(t->eager, n, shape, from_permuted, arg);
}

static void step_stride(pair *t) {
  int64_t steps[WN_MAX_DIMS], shape[WN_MAX_DIMS];
  for (int i = 0; i < t->eager.ndim; ++i) {
    steps[i] = pick(1, 2);
    shape[i] = (t->eager.shape[i] + steps[i] - 1) / steps[i];
  }
  t->lazy = wn_stride(t->lazy, steps);
  t->eager = gather(t->eager, t->eager.ndim, shape, from_strided, steps);
}

static void step_flip(pair *t) {
  const int axis = (int)pick(0, t->eager.ndim - 1);
  t->lazy = wn_flip(t->lazy, &axis, 1);
  t->eager = gather(t->eager, t->eager.ndim, t->eager.shape, from_flipped, (int64_t[]){axis});
}

/* Some prime factor of the elements in front, all others behind. */
static void step_reshape(pair *t) {
  int64_t a = 1, rest = t->eager.count, shape[3];
  for (int64_t f = 2; f <= rest; ++f) {
    while (rest % f == 0 && pick(0, 1)) rest /= f, a *= f;
  }
  shape[0] = a, shape[1] = rest, shape[2] = 1;
  if (pick(0, 1)) shape[1] = 1, shape[2] = rest;
  t->lazy = wn_reshape(t->lazy, 3, shape);
  t->eager.ndim = 3;
  memcpy(t->eager.shape, shape, sizeof shape);
}

static void step_expand(pair *t) {
  int64_t shape[WN_MAX_DIMS];
  for (int i = 0; i < t->eager.ndim; ++i)
    shape[i] = t->eager.shape[i] == 1 ? pick(1, 3) : t->eager.shape[i];
  t->lazy = wn_expand(t->lazy, t->eager.ndim, shape);
  t->eager = gather(t->eager, t->eager.ndim, shape, from_expanded, NULL);
}

static void step_window(pair *t) {
  const int n = t->eager.ndim;
  int64_t i = t->eager.shape[n - 1], k = pick(1, i < 3 ? i : 3), arg[2] = {pick(1, 3), 1},
          shape[WN_MAX_DIMS];
  if (n > 4) return;
  if (k > 1 && (k - 1) * 2 < i) arg[1] = pick(1, 2);
  memcpy(shape, t->eager.shape, sizeof shape);
  shape[n - 1] = (i - (k - 1) * arg[1] - 1) / arg[0] + 1;
  shape[n] = k;
  t->lazy = wn_window(t->lazy, 1, &k, &arg[0], &arg[1]);
  t->eager = gather(t->eager, n + 1, shape, from_windowed, arg);
}

static void step_reduce(pair *t) {
  const int axis = (int)pick(0, t->eager.ndim - 1);
  const bool sum = pick(0, 1);
  int64_t shape[WN_MAX_DIMS];
  memcpy(shape, t->eager.shape, sizeof shape);
  shape[axis] = 1;
  plain r = plain_new(t->eager.ndim, shape);
  for (int64_t i = 0; i < r.count; ++i) r.at[i] = sum ? 0 : -INFINITY;
  for (int64_t i = 0; i < t->eager.count; ++i) {
    int64_t c[WN_MAX_DIMS];
    coordinates(&t->eager, i, c);
    c[axis] = 0;
    double *to = &r.at[flat_of(&r, c)];
    *to = sum ? *to + t->eager.at[i] : fmax(*to, t->eager.at[i]);
  }
  test_free(t->eager.at);
  t->lazy = wn_reduce(sum ? WN_SUM : WN_MAXIMUM, t->lazy, &axis, 1, 1);
  t->eager = r;
}

static void step_scale(pair *t) {
  const double by = (double)pick(-4, 4) / 4;
  wn_tensor *k = wn_scalar(t->lazy->ctx, WN_F64, by);
  t->lazy = wn_zip(WN_ADD, wn_zip(WN_MUL, t->lazy, k), k);
  for (int64_t i = 0; i < t->eager.count; ++i) t->eager.at[i] = t->eager.at[i] * by + by;
}

/* t + the same flipped: two readers at different places. */
static void step_twice(pair *t) {
  const int axis = (int)pick(0, t->eager.ndim - 1);
  plain copy = plain_new(t->eager.ndim, t->eager.shape);
  memcpy(copy.at, t->eager.at, sizeof(double) * (size_t)copy.count);
  copy = gather(copy, copy.ndim, copy.shape, from_flipped, (int64_t[]){axis});
  t->lazy = wn_zip(WN_ADD, t->lazy, wn_flip(t->lazy, &axis, 1));
  for (int64_t i = 0; i < copy.count; ++i) t->eager.at[i] += copy.at[i];
  test_free(copy.at);
}

/* Reshapes and permutes whose index arithmetic does not simplify: stored now and then, so the
 * work stays linear. */
static void test_tangled_chain(void **state) {
  (void)state;
  seed_from(12);
  fixture f = fixture_new();
  plain x = plain_random(2, (int64_t[]){4, 6});
  pair t = {input(&f, &x), plain_new(2, x.shape)};
  memcpy(t.eager.at, x.at, sizeof(double) * 24);
  for (int i = 0; i < 200; ++i) {
    const int axis = i % 2;
    wn_tensor *flipped = wn_flip(t.lazy, &axis, 1);
    t.eager = gather(t.eager, 2, (int64_t[]){4, 6}, from_flipped, (int64_t[]){axis});
    t.lazy = wn_reshape(wn_permute(flipped, (int[]){1, 0}), 2, (int64_t[]){4, 6});
    t.eager = gather(t.eager, 2, (int64_t[]){6, 4}, from_permuted, (int64_t[]){1, 0});
    memcpy(t.eager.shape, x.shape, sizeof x.shape);
  }
  expect_tensor(&f, t.lazy, &t.eager);
  assert_in_range(count_ops(lower(&f, t.lazy), OP_BUFFERIZE), 2, 100);
  wn_context_destroy(f.ctx);
  test_free(x.at), test_free(t.eager.at);
}

static void test_random_graphs(void **state) {
  (void)state;
  static void (*const steps[])(pair *) = {step_pad,    step_shrink,  step_permute, step_stride,
                                          step_flip,   step_reshape, step_expand,  step_window,
                                          step_reduce, step_scale,   step_twice,   step_pad};
  const uint64_t seed = (uint64_t)time(NULL);
  print_message("seed %llu\n", (unsigned long long)seed);
  seed_from(seed + 1);
  for (int round = 0; round < 300; ++round) {
    fixture f = fixture_new();
    plain x = plain_random(3, (int64_t[]){pick(1, 4), pick(1, 6), pick(1, 6)});
    pair t = {input(&f, &x), plain_new(3, x.shape)};
    memcpy(t.eager.at, x.at, sizeof(double) * (size_t)x.count);
    for (int64_t i = pick(1, 9); i-- > 0 && t.eager.count < 500;) {
      steps[pick(0, (int64_t)(sizeof steps / sizeof *steps) - 1)](&t);
    }
    expect_tensor(&f, t.lazy, &t.eager);
    map memo;
    map_init(&memo, &f.ctx->graph.arena);
    assert_ptr_equal(tensor_shape(&f.ctx->graph, &memo, t.lazy->node), t.lazy->shape);
    const uop *root = lower(&f, t.lazy);
    const char *wrong = ir_verify(&f.ctx->graph, root, UOP_EXPR);
    if (wrong != NULL) fail_msg("%s", wrong);
    wn_context_destroy(f.ctx);
    test_free(x.at), test_free(t.eager.at);
  }
}

/* Whichever allocation fails, lowering unwinds with a status, and the context can still be released. */
static void test_allocation_failure(void **state) {
  (void)state;
  volatile wn_status st = WN_ERR_NOMEM;
  volatile int failures = 0;
  for (volatile long n = 1; st != WN_OK && n < 10000; ++n) {
    fixture f = fixture_new();
    wn_tensor *x = wn_input(f.ctx, WN_F32, 3, (int64_t[]){1, 4, 9}, NULL);
    wn_tensor *w = wn_input(f.ctx, WN_F32, 3, (int64_t[]){4, 2, 3}, NULL);
    wn_tensor *y = wn_conv(wn_conv(x, w, &WN_CONV_PARAMS(.groups = 2)), w,
                           &WN_CONV_PARAMS(.groups = 2, .pad_lo = {1}));
    assert_non_null(y);
    mem_fail_at(n);
    DIAG_TRY(&f.ctx->diag, st) lower_tensors(&f.ctx->graph, 1, &y->node, NULL);
    DIAG_END(&f.ctx->diag, st)
    mem_fail_at(0);
    failures += st == WN_ERR_NOMEM;
    assert_true(st == WN_OK || st == WN_ERR_NOMEM);
    wn_context_destroy(f.ctx);
  }
  assert_int_equal(st, WN_OK);
  assert_true(failures > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_conv_random),
      cmocka_unit_test(test_conv_form),
      cmocka_unit_test(test_window_form),
      cmocka_unit_test(test_conv_epilogue),
      cmocka_unit_test(test_conv_producer),
      cmocka_unit_test(test_conv_chain),
      cmocka_unit_test(test_unrolled_windows),
      cmocka_unit_test(test_groups_split),
      cmocka_unit_test(test_split_stored),
      cmocka_unit_test(test_depth_to_space),
      cmocka_unit_test(test_dear_producer),
      cmocka_unit_test(test_integers),
      cmocka_unit_test(test_matmul),
      cmocka_unit_test(test_softmax),
      cmocka_unit_test(test_pooling),
      cmocka_unit_test(test_activations),
      cmocka_unit_test(test_outputs),
      cmocka_unit_test(test_scalars),
      cmocka_unit_test(test_long_chain),
      cmocka_unit_test(test_stencil_chain),
      cmocka_unit_test(test_tangled_chain),
      cmocka_unit_test(test_random_graphs),
      cmocka_unit_test(test_allocation_failure),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
