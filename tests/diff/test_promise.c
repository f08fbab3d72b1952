/* What wn_math promises, on data that are not noise: images that are constant, ramps, waves, blobs, drawn scenes,
 * spikes, around 1000, under random filters and under derivatives made by hand.
 *   any data    relative to what was summed, |w| convolved with |x|, every default choice and every named plan without
 *               a tile of its own keeps max(1.2e-6, twice a direct fp32 sum's error)
 *   derivatives that are constant: relative to the result too, where the result is not zero
 *   fp32-strict treats NaN, infinity and the largest numbers as the definition does, and refuses what would not
 * Which filters count as cancelling: hand-made ones do, random ones of any shape do not, however few they are.
 * Drawn from a seed that is printed; WINNOW_SEED=<seed> draws the same again, WINNOW_LONG=1 draws more,
 * WINNOW_CASES=<n> so many. Under AddressSanitizer half of each are drawn. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "diff/conv_case.h"
#include "sanitized.h"

enum { QUICK_CASES = 12, LONG_CASES = 3000 };

static int cases(int quick) {
  const char *given = getenv("WINNOW_CASES");
  if (given != NULL) return atoi(given);
  if (in_part()) return quick / 2;
  return getenv("WINNOW_LONG") != NULL ? quick * (LONG_CASES / QUICK_CASES) : quick;
}

static void ignore_warning(void *user, const char *line) {
  (void)user;
  (void)line;
}

/* --- images ----------------------------------------------------------------------------------- */

typedef enum image {
  CONSTANT,
  RAMP,
  WAVE,
  BLOBS,
  SCENE,
  SPIKES,
  AROUND_1000,
  NOISE,
  IMAGE_KINDS
} image;
static const char *const image_names[] = {"constant", "ramp",   "wave",        "blobs",
                                          "scene",    "spikes", "around 1000", "noise"};

typedef struct shape { /* of a blob or of a thing in a scene */
  double y, x, size, value;
} shape;
enum { SHAPES = 5 };

static double uniform(uint64_t *s) { return (double)(next_random(s) >> 11) * 0x1p-53; }

/* A value of 0 to 255 or so at a place of the unit square. Things in a scene have edges and a shade, over a sky. */
static double pixel(image kind, const shape *list, double y, double x, uint64_t *s) {
  double v = list[0].value;
  switch (kind) {
    case CONSTANT:
      return v;
    case RAMP:
      return v * y + list[1].value * x;
    case WAVE:
      return 128 + 100 * sin(6 * list[0].size * y + list[0].x) * cos(9 * list[1].size * x);
    case BLOBS:
    case SCENE:
      v = kind == SCENE ? 150 + 60 * y : 20;
      for (int i = 0; i < SHAPES; ++i) {
        double r = hypot(y - list[i].y, x - list[i].x) / (0.1 + 0.3 * list[i].size);
        if (kind == BLOBS)
          v += list[i].value * exp(-r * r);
        else if (r < 1)
          v = list[i].value * (1 - 0.3 * r);
      }
      return kind == SCENE ? floor(v) : v; /* a photograph has 256 values */
    case SPIKES:
      return chance(s, 2) ? 255 : 0;
    case AROUND_1000:
      return 1000 + 2 * uniform(s) - 1;
    default:
      return 2 * uniform(s) - 1;
  }
}

static void draw_image(conv_case *c, image kind, uint64_t *s) {
  int64_t height = c->in[0], width = c->in[1];
  for (int64_t p = 0; p < c->n * c->c; ++p) {
    shape list[SHAPES];
    for (int i = 0; i < SHAPES; ++i)
      list[i] = (shape){uniform(s), uniform(s), uniform(s), 255 * uniform(s)};
    for (int64_t i = 0; i < height * width; ++i) {
      double y = (double)(i / width) / (double)height, x = (double)(i % width) / (double)width;
      c->x[p * height * width + i] = (float)pixel(kind, list, y, x, s);
    }
  }
}

/* --- filters ---------------------------------------------------------------------------------- */

typedef enum filter {
  RANDOM,
  LAPLACIAN,
  SOBEL,
  SCHARR,
  GAUSS_SLOPE,   /* derivative of a Gaussian: antisymmetric, so exactly 0 in sum */
  GAUSS_LAPLACE, /* Laplacian of a Gaussian, made to sum to 0 in double and then rounded */
  FILTER_KINDS
} filter;
static const char *const filter_names[] = {"random", "Laplacian",   "Sobel",
                                           "Scharr", "Gauss slope", "Gauss Laplacian"};

static bool is_by_hand(filter kind) { return kind != RANDOM; }

static double gauss(filter kind, double y, double x, double sigma) {
  double q = (y * y + x * x) / (2 * sigma * sigma);
  return exp(-q) * (kind == GAUSS_SLOPE ? x : q - 1);
}

/* r x r taps; which: a filter may lie or stand, and have a factor. */
static void draw_filter(float *w, int64_t r, filter kind, uint64_t *s) {
  static const double tables[][9] = {{0, 1, 0, 1, -4, 1, 0, 1, 0},
                                     {1, 0, -1, 2, 0, -2, 1, 0, -1},
                                     {3, 0, -3, 10, 0, -10, 3, 0, -3}};
  bool stands = chance(s, 50);
  double factor = (double)between(s, 1, 3) * (chance(s, 50) ? 1 : -1), sum = 0;
  double value[81], sigma = 0.6 + 0.1 * (double)r;
  for (int64_t i = 0; i < r * r; ++i) {
    int64_t y = i / r, x = i % r, mid = r / 2;
    if (kind == RANDOM)
      value[i] = 2 * uniform(s) - 1;
    else if (kind <= SCHARR) /* in the middle of a larger filter */
      value[i] = llabs(y - mid) > 1 || llabs(x - mid) > 1
                     ? 0
                     : tables[kind - LAPLACIAN][(y - mid + 1) * 3 + x - mid + 1];
    else
      value[i] = gauss(kind, (double)(y - mid), (double)(x - mid), sigma);
    sum += value[i];
  }
  for (int64_t i = 0; i < r * r; ++i) {
    int64_t from = stands ? i % r * r + i / r : i;
    double v = value[from];
    if (kind == GAUSS_LAPLACE) v -= sum / (double)(r * r);
    w[i] = (float)(kind == RANDOM ? v : factor * v);
  }
}

static void draw_filters(conv_case *c, filter kind, uint64_t *s) {
  int64_t taps = c->r[0] * c->r[1];
  for (int64_t i = 0; i < c->w_count / taps; ++i) draw_filter(c->w + i * taps, c->r[0], kind, s);
}

/* --- a case ----------------------------------------------------------------------------------- */

typedef struct trial {
  conv_case c;
  image image;
  filter filter;
  double sums, direct; /* L2 of what is summed; of the error of a direct fp32 sum */
  double size;         /* L2 of the result */
} trial;

static void measure(trial *t) {
  conv_case *c = &t->c, sizes = *c;
  int64_t outputs = c->y_count / (c->n * c->k);
  sizes.x = malloc(sizeof *c->x * (size_t)c->x_count);
  sizes.w = malloc(sizeof *c->w * (size_t)c->w_count);
  assert_true(sizes.x != NULL && sizes.w != NULL);
  for (int64_t i = 0; i < c->x_count; ++i) sizes.x[i] = fabsf(c->x[i]);
  for (int64_t i = 0; i < c->w_count; ++i) sizes.w[i] = fabsf(c->w[i]);
  t->sums = t->direct = t->size = 0;
  for (int64_t i = 0; i < c->y_count; ++i) {
    int64_t o = i % outputs, k = i / outputs % c->k, n = i / outputs / c->k;
    float single, unused;
    double exact = case_output(c, n, k, o, &single);
    double sum = case_output(&sizes, n, k, o, &unused);
    c->expected[i] = exact;
    t->size += exact * exact;
    t->sums += sum * sum;
    t->direct += ((double)single - exact) * ((double)single - exact);
  }
  t->size = sqrt(t->size);
  t->sums = sqrt(t->sums);
  t->direct = sqrt(t->direct);
  free(sizes.x);
  free(sizes.w);
}

static void allocate(conv_case *c) {
  assert_true(case_finish(c));
  case_describe(c);
  c->x = calloc((size_t)c->x_count, sizeof *c->x);
  c->w = calloc((size_t)c->w_count, sizeof *c->w);
  c->y = calloc((size_t)c->y_count, sizeof *c->y);
  c->expected = calloc((size_t)c->y_count, sizeof *c->expected);
  assert_true(c->x != NULL && c->w != NULL && c->y != NULL && c->expected != NULL);
}

static conv_case plain(int64_t channels, int64_t k, int64_t height, int64_t width, int64_t r,
                       bool padded) {
  int64_t pad = padded ? r / 2 : 0;
  return (conv_case){
      .nd = 2,
      .n = 1,
      .c = channels,
      .k = k,
      .groups = 1,
      .in = {height, width},
      .r = {r, r},
      .p = {.stride = {1, 1}, .dilation = {1, 1}, .pad_lo = {pad, pad}, .pad_hi = {pad, pad}}};
}

static trial draw(uint64_t seed) {
  static const int64_t channels[] = {1, 3, 16, 16, 32}, sizes[] = {12, 17, 32, 32, 41};
  uint64_t s = seed;
  trial t = {.image = (image)(seed % IMAGE_KINDS)};
  t.filter = chance(&s, 40) ? RANDOM : (filter)between(&s, LAPLACIAN, GAUSS_LAPLACE);
  t.c = plain(channels[below(&s, 5)], channels[below(&s, 5)], sizes[below(&s, 5)],
              sizes[below(&s, 5)],
              chance(&s, 70)   ? 3
              : chance(&s, 60) ? 5
                               : 7,
              chance(&s, 50));
  t.c.seed = seed;
  if (chance(&s, 15)) t.c.groups = t.c.k = t.c.c;
  allocate(&t.c);
  draw_image(&t.c, t.image, &s);
  draw_filters(&t.c, t.filter, &s);
  measure(&t);
  return t;
}

/* --- running it ------------------------------------------------------------------------------- */

static wn_status run(const conv_case *c, const wn_options *o, wn_program_info *info, char *text,
                     size_t size) {
  wn_context *ctx;
  wn_program *p = NULL;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_on_warning(ctx, ignore_warning, NULL);
  wn_tensor *y = case_graph(c, ctx);
  void *data = c->y;
  wn_status st = wn_compile(ctx, &y, &data, 1, o, &p);
  snprintf(text, size, "%s", wn_message(ctx));
  if (st == WN_OK) {
    wn_program_get_info(p, info);
    snprintf(text, size, "%s", info->placement);
    if (!o->plan_only) {
      memset(c->y, 0xff, sizeof *c->y * (size_t)c->y_count);
      assert_int_equal(wn_run(p), WN_OK);
    }
  }
  wn_program_destroy(p);
  wn_context_destroy(ctx);
  return st;
}

/* A program that is run on cases of one shape. */
typedef struct held {
  wn_context *ctx;
  wn_program *p; /* NULL: not yet */
} held;

static void run_held(held *h, const conv_case *c, const wn_options *o) {
  if (h->p == NULL) {
    assert_int_equal(wn_context_create(&h->ctx), WN_OK);
    wn_tensor *y = case_graph(c, h->ctx);
    if (wn_compile(h->ctx, &y, NULL, 1, o, &h->p) != WN_OK) fail_msg("%s", wn_message(h->ctx));
  }
  memset(c->y, 0xff, sizeof *c->y * (size_t)c->y_count);
  if (case_bind(h->p, c) != WN_OK || wn_run(h->p) != WN_OK)
    fail_msg("%s", wn_program_message(h->p));
}

static void let_go(held *h) {
  wn_program_destroy(h->p);
  wn_context_destroy(h->ctx);
}

static double error_of(const conv_case *c) {
  double e = 0;
  for (int64_t i = 0; i < c->y_count; ++i)
    e += ((double)c->y[i] - c->expected[i]) * ((double)c->y[i] - c->expected[i]);
  return sqrt(e);
}

static bool is_right_of_result(const trial *t, double error) {
  return error <= fmax(1.2e-6 * t->size, 2 * t->direct);
}

static int check_plan(const trial *t, const char *plan, wn_math math) {
  const wn_options o =
      WN_OPTIONS(.plan = plan, .math = math, .threads = 1, .no_cache = 1, .untuned = 1);
  wn_program_info info = WN_PROGRAM_INFO();
  char text[300];
  double least = math == WN_MATH_FP32_FAST ? 1e-5 : 1.2e-6;
  wn_status st = run(&t->c, &o, &info, text, sizeof text);
  if (st == WN_ERR_REFUSED && plan != NULL) return 0;
  if (st != WN_OK) fail_msg("%s, %s: %s", t->c.text, plan, text);
  double error = error_of(&t->c);
  bool holds = error <= fmax(least * t->sums, 2 * t->direct);
  if (plan == NULL && is_by_hand(t->filter) && t->size > 0) holds &= is_right_of_result(t, error);
  if (holds) return 0;
  print_message("# %s, %s under %s, seed %" PRIu64
                ", plan %s: %s: error %.2g of what was summed, %.2g of the result; "
                "direct fp32 %.2g and %.2g\n",
                t->c.text, image_names[t->image], filter_names[t->filter], t->c.seed,
                plan != NULL ? plan : "auto", text, error / t->sums, error / t->size,
                t->direct / t->sums, t->direct / t->size);
  return 1;
}

static void structured_data(void **state) {
  (void)state;
  static const char *const named[] = {"old", "fused", "new", "split", "direct"};
  uint64_t seed = test_seed();
  int broken = 0;
  for (int i = 0; i < cases(QUICK_CASES); ++i) {
    trial t = draw(seed + (uint64_t)i);
    broken += check_plan(&t, NULL, WN_MATH_FP32);
    broken += check_plan(&t, named[i % 5], WN_MATH_FP32);
    if (i % 4 == 0) broken += check_plan(&t, NULL, WN_MATH_FP32_FAST);
    if (i % 4 == 1) broken += check_plan(&t, NULL, WN_MATH_FP32_STRICT);
    case_free(&t.c);
  }
  assert_int_equal(broken, 0);
}

/* Smooth images without a border, large enough that a rewritten plan would be taken: those are far over what is
 * promised of noise, and `auto` is not. */
static void smooth_under_derivatives(void **state) {
  (void)state;
  static const image smooth[] = {RAMP, WAVE, BLOBS};
  uint64_t s = test_seed();
  int broken = 0, rewritten_broken = 0, first = (int)below(&s, 2);
  held fused = {NULL, NULL};
  for (int i = 0; i < 3; ++i) {
    for (filter kind = LAPLACIAN; kind < FILTER_KINDS; ++kind) {
      trial t = {.c = plain(16, 16, 56, 56, 3, false), .image = smooth[i], .filter = kind};
      allocate(&t.c);
      draw_image(&t.c, t.image, &s);
      draw_filters(&t.c, t.filter, &s);
      measure(&t);
      int only = in_part() ? (i + (int)kind + first) % 2 : -1;
      if (only != 0) broken += check_plan(&t, NULL, WN_MATH_FP32);
      if (only != 1)
        broken += check_plan(&t, "fused", WN_MATH_FP32); /* of what was summed, as any */
      run_held(&fused, &t.c, &WN_OPTIONS(.plan = "fused", .threads = 1, .no_cache = 1));
      rewritten_broken += t.size > 0 && !is_right_of_result(&t, error_of(&t.c));
      case_free(&t.c);
    }
  }
  let_go(&fused);
  assert_int_equal(broken, 0);
  assert_true(rewritten_broken >= 5);
}

/* --- which filters cancel --------------------------------------------------------------------- */

typedef struct reason {
  bool given, direct;
} reason;

static void look_for_reason(void *user, const char *text) {
  reason *r = user;
  r->given |= strstr(text, "its filters cancel") != NULL;
  r->direct |= strstr(text, "plan auto: direct") != NULL;
}

/* Does auto keep these weights direct for what they are, and say so? */
static bool stays(const conv_case *c) {
  wn_context *ctx;
  reason r = {false, false};
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *y = case_graph(c, ctx);
  void *data = c->y;
  const wn_options o = WN_OPTIONS(.threads = 1, .no_cache = 1, .untuned = 1);
  assert_int_equal(wn_explain(ctx, &y, &data, 1, &o, look_for_reason, &r), WN_OK);
  assert_true(r.direct || !r.given);
  wn_context_destroy(ctx);
  return r.given;
}

static void by_hand_stays_direct(void **state) {
  (void)state;
  static const int64_t counts[][2] = {{16, 16}, {32, 64}, {16, 1}, {3, 16}};
  uint64_t s = test_seed();
  int first = (int)below(&s, 2);
  for (int i = 0; i < 4; ++i) {
    for (filter kind = LAPLACIAN; kind < FILTER_KINDS; ++kind) {
      if (in_part() && (i + (int)kind) % 2 != first) continue;
      conv_case c = plain(counts[i][0], counts[i][1], 56, 56, 3, true);
      allocate(&c);
      draw_filters(&c, kind, &s);
      if (!stays(&c)) fail_msg("%s %s", c.text, filter_names[kind]);
      case_free(&c);
    }
  }
}

/* Zeros, NaN and infinity say nothing, and change nothing: the plan is that of random weights. */
static void odd_weights(void **state) {
  (void)state;
  uint64_t s = test_seed();
  conv_case c = plain(16, 16, 56, 56, 3, true);
  allocate(&c);
  assert_false(stays(&c)); /* all zero */
  draw_filters(&c, RANDOM, &s);
  assert_false(stays(&c));
  for (int64_t i = 0; i < c.w_count; ++i) c.w[i] = i % 9 == 4 ? c.w[i] : 0;
  assert_false(stays(&c)); /* pruned */
  draw_filters(&c, SOBEL, &s);
  assert_true(stays(&c));
  c.w[7] = NAN;
  assert_false(stays(&c));
  c.w[7] = INFINITY;
  assert_false(stays(&c));
  memset(c.w, 0, sizeof *c.w * (size_t)c.w_count);
  draw_filter(c.w + 9 * 5, 3, LAPLACIAN, &s); /* one filter among zeros */
  assert_true(stays(&c));
  case_free(&c);
}

/* --- NaN, infinity, the largest numbers ------------------------------------------------------- */

static bool same_float(float a, float b) { return isnan(a) ? isnan(b) : a == b; }

/* The definition in single precision, in which nothing but products and sums can overflow. */
static void strict_is_the_definition(void **state) {
  (void)state;
  static const float special[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e37f, 4.2e36f};
  uint64_t s = test_seed();
  held programs[2][2] = {{{NULL, NULL}}};
  for (int i = 0; i < cases(14); ++i) {
    conv_case c = plain(8, 8, 19, 23, 3, true);
    held *h = &programs[i % 5 == 4][i % 2];
    wn_program_info info = WN_PROGRAM_INFO();
    allocate(&c);
    draw_image(&c, NOISE, &s);
    draw_filters(&c, RANDOM, &s);
    float value = special[i % 7];
    bool all = chance(&s, 30) && isfinite(value);
    float tolerance = isfinite(value) ? 1e-4f * fabsf(value) : 1e-4f;
    for (int64_t j = 0; j < c.x_count; ++j) c.x[j] *= all ? fabsf(value) * 0.01f : 1;
    if (!all) c.x[below(&s, c.x_count)] = value;
    const wn_options o = WN_OPTIONS(.math = WN_MATH_FP32_STRICT, .threads = 1 + i % 2,
                                    .no_cache = 1, .backend = i % 5 == 4 ? "cpu:cc" : "cpu");
    run_held(h, &c, &o);
    assert_int_equal(wn_program_get_info(h->p, &info), WN_OK);
    assert_memory_equal(info.placement, "direct", strlen("direct"));
    int64_t outputs = c.y_count / c.k, differ = 0;
    for (int64_t j = 0; j < c.y_count; ++j) {
      float single;
      case_output(&c, 0, j / outputs, j % outputs, &single);
      bool close = isfinite(single) && fabsf(c.y[j] - single) <= tolerance;
      differ += !(close || same_float(c.y[j], single));
    }
    if (differ > 0) fail_msg("%g: %" PRId64 " differ from the definition", (double)value, differ);
    case_free(&c);
  }
  for (int i = 0; i < 4; ++i) let_go(&programs[i / 2][i % 2]);
}

static void strict_refuses_rewriting(void **state) {
  (void)state;
  const char *const *plan = wn_plan_names();
  conv_case c = plain(8, 8, 19, 23, 3, true);
  wn_program_info info = WN_PROGRAM_INFO();
  char text[300];
  allocate(&c);
  for (; *plan != NULL; ++plan) {
    bool may = strcmp(*plan, "direct") == 0 || strcmp(*plan, "auto") == 0;
    wn_options o =
        WN_OPTIONS(.plan = *plan, .math = WN_MATH_FP32_STRICT, .no_cache = 1, .plan_only = 1);
    wn_status st = run(&c, &o, &info, text, sizeof text);
    assert_int_equal(st, may ? WN_OK : WN_ERR_REFUSED);
    if (may) assert_memory_equal(text, "direct", strlen("direct"));
    if (!may && strstr(text, "fp32-strict") == NULL) fail_msg("%s: %s", *plan, text);
  }
  wn_options o =
      WN_OPTIONS(.wino = "4", .math = WN_MATH_FP32_STRICT, .no_cache = 1, .plan_only = 1);
  assert_int_equal(run(&c, &o, &info, text, sizeof text), WN_ERR_REFUSED);
  o.wino = "0";
  assert_int_equal(run(&c, &o, &info, text, sizeof text), WN_OK);
  case_free(&c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(structured_data),          cmocka_unit_test(smooth_under_derivatives),
      cmocka_unit_test(by_hand_stays_direct),     cmocka_unit_test(odd_weights),
      cmocka_unit_test(strict_is_the_definition), cmocka_unit_test(strict_refuses_rewriting),
  };
  return cmocka_run_group_tests_name("promise", tests, NULL, NULL);
}
