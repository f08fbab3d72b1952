/* Products with arrays of their own: which stored values there are of a graph, what their sites are called, and that the
 * results are those of plain loops, with the same bits whatever plan says where things are. */
#include "cores.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ir/ir_text.h"
#include "unit/lowered.h"

enum { ROWS = 24, INNER = 40, COLUMNS = 36, FEW = 20, SIZE = 14, CHANNELS = 8, MOST = 1 << 14 };

typedef struct fixture {
  wn_context *ctx;
  float *noise; /* MOST numbers; arrays stand behind each other in it */
  size_t used;
} fixture;

static int set_up(void **state) {
  fixture *f = calloc(1, sizeof *f);
  if (f == NULL) return -1;
  f->noise = malloc(MOST * sizeof *f->noise);
  if (f->noise == NULL) return -1;
  uint32_t seed = 11;
  for (int i = 0; i < MOST; ++i) {
    seed = seed * 1664525u + 1013904223u;
    f->noise[i] = (float)(seed >> 8) * 0x1p-23f - 1.0f;
  }
  *state = f;
  return wn_context_create(&f->ctx) == WN_OK ? 0 : -1;
}

static int tear_down(void **state) {
  fixture *f = *state;
  wn_context_destroy(f->ctx);
  free(f->noise);
  free(f);
  return 0;
}

/* --- graphs ----------------------------------------------------------------------------------- */

#define SHAPE(...) \
  (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) { __VA_ARGS__ }

static wn_tensor *array(fixture *f, bool constant, int nd, const int64_t *shape) {
  const float *data = f->noise + f->used;
  size_t n = 1;
  for (int i = 0; i < nd; ++i) n *= (size_t)shape[i];
  f->used += (n + 15) / 16 * 16;
  assert_true(f->used <= MOST);
  return constant ? wn_constant(f->ctx, WN_F32, nd, shape, data)
                  : wn_input(f->ctx, WN_F32, nd, shape, data);
}

static wn_tensor *product(fixture *f, int64_t inner) {
  wn_tensor *a = array(f, false, SHAPE(ROWS, inner)), *b = array(f, true, SHAPE(inner, COLUMNS));
  return wn_matmul(a, b);
}

static wn_tensor *add(wn_tensor *a, wn_tensor *b) { return wn_zip(WN_ADD, a, b); }

static wn_tensor *image(fixture *f) { return array(f, false, SHAPE(1, CHANNELS, SIZE, SIZE)); }

static wn_tensor *conv(fixture *f, wn_tensor *x, int64_t r) {
  const wn_conv_params same = WN_CONV_PARAMS(.pad_lo = {r / 2, r / 2}, .pad_hi = {r / 2, r / 2});
  return wn_conv(x, array(f, true, SHAPE(CHANNELS, CHANNELS, r, r)), &same);
}

static wn_tensor *one_product(fixture *f) { return wn_map(WN_RELU, product(f, INNER)); }

static wn_tensor *two_products(fixture *f) {
  wn_tensor *few = wn_name(product(f, FEW), "few"), *many = wn_name(product(f, INNER), "many");
  return add(few, many);
}

static wn_tensor *three_products(fixture *f) {
  wn_tensor *two = add(product(f, FEW), product(f, INNER));
  return add(two, product(f, FEW));
}

static wn_tensor *conv_and_product(fixture *f) {
  wn_tensor *x = image(f), *a = wn_name(conv(f, x, 3), "body"),
            *b = wn_name(conv(f, x, 1), "shortcut");
  return wn_map(WN_RELU, add(a, b));
}

static wn_tensor *two_convs(fixture *f) {
  wn_tensor *x = image(f), *a = wn_name(conv(f, x, 3), "three"),
            *b = wn_name(conv(f, x, 5), "five");
  return add(a, b);
}

static wn_tensor *two_convs_and_product(fixture *f) {
  wn_tensor *two = two_convs(f);
  return add(two, conv(f, image(f), 1));
}

/* Terms that are squares: what is summed is a product, but not of two arrays. */
static wn_tensor *sum_and_squares(fixture *f) {
  wn_tensor *x = array(f, false, SHAPE(ROWS, COLUMNS));
  return add(wn_reduce(WN_SUM, x, (int[]){1}, 1, 0),
             wn_reduce(WN_SUM, wn_zip(WN_MUL, x, x), (int[]){1}, 1, 0));
}

/* A bias that is a product itself: over some of the loops. */
static wn_tensor *product_of_a_row(fixture *f) {
  wn_tensor *a = array(f, false, SHAPE(1, FEW)), *b = array(f, true, SHAPE(FEW, COLUMNS));
  wn_tensor *row = wn_matmul(a, b);
  return add(product(f, INNER), row);
}

/* --- which values there are ------------------------------------------------------------------- */

static const struct {
  const char *name;
  wn_tensor *(*graph)(fixture *f);
  int before, nsites;
  const char *sites[4]; /* as text, values in their order */
} table[] = {
    {"one product", one_product, 1, 1, {"product0"}},
    {"two products", two_products, 1, 2, {"product0 \"few\"", "product1 \"many\""}},
    {"three products", three_products, 1, 3, {"product0", "product1", "product2"}},
    {"a convolution and a product",
     conv_and_product,
     1,
     2,
     {"product0 \"shortcut\"", "conv1 \"body\""}},
    {"two convolutions", two_convs, 1, 2, {"conv0 \"three\"", "conv1 \"five\""}},
    {"those and a product",
     two_convs_and_product,
     1,
     3,
     {"product0", "conv1 \"three\"", "conv2 \"five\""}},
    {"a sum and a sum of squares", sum_and_squares, 1, 1, {"product0"}},
};

static int values_of(graph *g, const uop *root) {
  uop_order all = uop_toposort(&g->arena, 1, &root);
  int n = 0;
  for (size_t i = 0; i < all.len; ++i) n += all.at[i]->op == OP_BUFFERIZE;
  return n;
}

static void which_are_apart(void **state) {
  fixture *f = *state;
  for (size_t i = 0; i < sizeof table / sizeof *table; ++i) {
    f->used = 0;
    wn_tensor *t = table[i].graph(f);
    graph *g = &f->ctx->graph;
    lowered l = lower_all(f->ctx, 1, &t);
    if (values_of(g, l.together) != table[i].before)
      fail_msg("%s: there are %d values before", table[i].name, values_of(g, l.together));
    int convs = 0;
    for (int s = 0; s < l.sites.n; ++s) convs += l.sites.at[s].kind == SITE_CONV;
    assert_int_equal(values_of(g, l.root), l.sites.nvalues);
    assert_int_equal(l.sites.nvalues, table[i].nsites - (convs > 0 ? convs - 1 : 0));
    if (l.sites.nvalues == 1) assert_ptr_equal(l.root, l.together);
    for (int s = 0; s < table[i].nsites; ++s) {
      const char *text = site_text(&g->arena, &l.sites, s);
      if (strcmp(text, table[i].sites[s]) != 0)
        fail_msg("%s: site %d is %s, not %s", table[i].name, s, text, table[i].sites[s]);
    }
    assert_ptr_equal(products_separate(g, l.root), l.root); /* once is enough */
  }
}

/* The largest one stays where it was, and the others are arrays over the loops that they have. */
static void arrays_have_their_loops(void **state) {
  fixture *f = *state;
  wn_tensor *t = product_of_a_row(f);
  lowered l = lower_all(f->ctx, 1, &t);
  assert_int_equal(l.sites.nvalues, 2);
  assert_int_equal(l.sites.value[0].len, COLUMNS);
  assert_int_equal(l.sites.value[1].len, ROWS * COLUMNS);
  assert_int_equal(l.sites.value[1].result, 0);
}

/* --- what comes out --------------------------------------------------------------------------- */

static void run(fixture *f, wn_tensor *t, const char *plan, float *y, char *placement,
                size_t size) {
  void *data = y;
  wn_program *p;
  const wn_options o = WN_OPTIONS(.plan = plan, .threads = 2, .no_cache = 1, .untuned = 1);
  if (wn_compile(f->ctx, &t, &data, 1, &o, &p) != WN_OK)
    fail_msg("plan %s: %s", plan, wn_message(f->ctx));
  assert_int_equal(wn_run(p), WN_OK);
  wn_program_info info = WN_PROGRAM_INFO();
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  snprintf(placement, size, "%s", info.placement);
  wn_program_destroy(p);
}

static const float *behind(const float *at, int64_t n) { return at + (n + 15) / 16 * 16; }

/* Element (i, j) of the product of rows x inner at `a` and of what stands behind it. */
static double multiplied(const float *a, int64_t inner, int i, int j) {
  const float *b = behind(a, ROWS * inner);
  double sum = 0;
  for (int64_t k = 0; k < inner; ++k) sum += (double)a[i * inner + k] * (double)b[k * COLUMNS + j];
  return sum;
}

static void products_are_right(void **state) {
  fixture *f = *state;
  static float y[4][ROWS * COLUMNS];
  char text[4][1024], again[1024];
  wn_tensor *t = two_products(f);
  const float *few = f->noise, *many = behind(behind(few, ROWS * FEW), FEW * COLUMNS);
  run(f, t, "direct", y[0], text[0], sizeof text[0]);
  for (int i = 0; i < ROWS * COLUMNS; ++i) {
    double want = multiplied(few, FEW, i / COLUMNS, i % COLUMNS) +
                  multiplied(many, INNER, i / COLUMNS, i % COLUMNS);
    if (!(fabs((double)y[0][i] - want) <= 1e-4))
      fail_msg("element %d: %g, not %g", i, (double)y[0][i], want);
  }
  /* sums of one chain have the order of their loops in every tile, and plans are written out as they are */
  run(f, t, "product0{global;t=16,k=4;chains=1} product1{global;t=8,k=2;chains=1}", y[1], text[1],
      sizeof text[1]);
  run(f, t, text[0], y[2], again, sizeof again);
  assert_string_equal(again, text[0]);
  run(f, t, text[1], y[3], again, sizeof again);
  assert_string_equal(again, text[1]);
  assert_string_not_equal(text[1], text[0]);
  for (int i = 1; i < 4; ++i) assert_memory_equal(y[i], y[0], sizeof y[0]);
}

/* Beside a convolution, under each of its plans: a product's array is what the product alone is. */
static void shortcuts_are_right(void **state) {
  fixture *f = *state;
  enum { N = CHANNELS * SIZE * SIZE };
  static const char *const plans[] = {"direct", "old", "fused", NULL};
  static float y[N], body[N], shortcut[N];
  wn_tensor *x = image(f), *a = conv(f, x, 3), *b = conv(f, x, 1), *t = add(a, b);
  char text[1024], again[1024];
  for (size_t i = 0; i < sizeof plans / sizeof *plans; ++i) {
    run(f, t, plans[i], y, text, sizeof text);
    run(f, a, plans[i], body, again, sizeof again);
    run(f, b, "direct", shortcut, again, sizeof again);
    for (int k = 0; k < N; ++k) {
      float want = body[k] + shortcut[k];
      if (!(fabsf(y[k] - want) <= 1e-5f))
        fail_msg("%s, element %d: %g, not %g", text, k, (double)y[k], (double)want);
    }
    memcpy(body, y, sizeof y);
    run(f, t, text, y, again, sizeof again);
    assert_string_equal(again, text);
    assert_memory_equal(y, body, sizeof y);
  }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(which_are_apart),
      TEST(arrays_have_their_loops),
      TEST(products_are_right),
      TEST(shortcuts_are_right),
  };
  return cmocka_run_group_tests_name("separate", tests, NULL, NULL);
}
