/* Graphs of two and more layers: which kernels each gets, whether its weights are packed, which plan it has. A layer's
 * kernels are the ones that it has alone, whatever stands before and behind it. Then plans for sites as text, and
 * limits of memory that only some sites can meet. Nothing is run here, apart from what is inlined; on `interp` an
 * instruction set need not be this machine's. */
#include "cores.h" /* with _GNU_SOURCE: wait4 */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "program/program.h"
#include "sanitized.h"
#include "winnow/winnow.h"

#define LEN(a) (sizeof(a) / sizeof *(a))
enum { MOST_OUTPUTS = 3, TEXT = 16384 };

typedef struct fixture {
  wn_context *ctx;
  wn_tensor *t,
      *out[MOST_OUTPUTS]; /* the value that the next layer reads; what was said to be an output */
  int nout;
  wn_program *p;
  wn_program_info info;
  const char *isa; /* NULL: avx512 */
} fixture;

static int set_up(void **state) {
  *state = calloc(1, sizeof(fixture));
  return *state == NULL ? -1 : 0;
}

static void drop(fixture *f) {
  wn_program_destroy(f->p);
  wn_context_destroy(f->ctx);
  f->p = NULL;
  f->ctx = NULL;
}

static int tear_down(void **state) {
  drop(*state);
  free(*state);
  return 0;
}

/* --- layers ----------------------------------------------------------------------------------- */

static void begin(fixture *f, int nd, const int64_t *shape) {
  drop(f);
  assert_int_equal(wn_context_create(&f->ctx), WN_OK);
  f->t = wn_input(f->ctx, WN_F32, nd, shape, NULL);
  f->nout = 0;
}

static void image(fixture *f, int64_t channels, int64_t size) {
  begin(f, 4, (int64_t[]){1, channels, size, size});
}

/* conv, bias, ReLU: k channels, filters of r x r, same size. */
static void layer(fixture *f, int64_t k, int64_t r) {
  wn_dtype dtype = wn_tensor_dtype(f->t);
  wn_tensor *w = wn_constant(f->ctx, dtype, 4, (int64_t[]){k, wn_shape(f->t)[1], r, r}, NULL),
            *b = wn_constant(f->ctx, dtype, 4, (int64_t[]){1, k, 1, 1}, NULL);
  const wn_conv_params same = WN_CONV_PARAMS(.pad_lo = {r / 2, r / 2}, .pad_hi = {r / 2, r / 2});
  f->t = wn_map(WN_RELU, wn_zip(WN_ADD, wn_conv(f->t, w, &same), b));
}

/* The same over x[n][h][w][c] with filters [r][r][c][k]. */
static void layer_nhwc(fixture *f, int64_t k, int64_t r) {
  wn_tensor *w = wn_constant(f->ctx, WN_F32, 4, (int64_t[]){r, r, wn_shape(f->t)[3], k}, NULL),
            *b = wn_constant(f->ctx, WN_F32, 1, (int64_t[]){k}, NULL);
  const wn_conv_params same = WN_CONV_PARAMS(.pad_lo = {r / 2, r / 2}, .pad_hi = {r / 2, r / 2});
  wn_tensor *y =
      wn_conv(wn_permute(f->t, (int[]){0, 3, 1, 2}), wn_permute(w, (int[]){3, 2, 0, 1}), &same);
  f->t = wn_map(WN_RELU, wn_zip(WN_ADD, wn_permute(y, (int[]){0, 2, 3, 1}), b));
}

static void pool(fixture *f) {
  wn_tensor *windows = wn_window(f->t, 2, (int64_t[]){2, 2}, (int64_t[]){2, 2}, NULL);
  f->t = wn_reduce(WN_MAXIMUM, windows, (int[]){4, 5}, 2, 0);
}

static void multiply(fixture *f, int64_t n) {
  int nd = wn_ndim(f->t);
  f->t =
      wn_matmul(f->t, wn_constant(f->ctx, WN_F32, 2, (int64_t[]){wn_shape(f->t)[nd - 1], n}, NULL));
}

static void depthwise_of(fixture *f, int64_t r) {
  int64_t c = wn_shape(f->t)[1], p = r / 2;
  wn_tensor *w = wn_constant(f->ctx, WN_F32, 4, (int64_t[]){c, 1, r, r}, NULL);
  f->t = wn_conv(f->t, w, &WN_CONV_PARAMS(.pad_lo = {p, p}, .pad_hi = {p, p}, .groups = c));
}

static void depthwise(fixture *f) { depthwise_of(f, 3); }

static void sum_rows(fixture *f) { f->t = wn_reduce(WN_SUM, f->t, (int[]){3}, 1, 1); }

static void is_output(fixture *f) {
  assert_true(f->nout < MOST_OUTPUTS);
  f->out[f->nout++] = f->t;
}

static wn_status compile_with(fixture *f, wn_options o) {
  void *data[MOST_OUTPUTS] = {NULL};
  if (f->nout == 0 || f->out[f->nout - 1] != f->t) is_output(f);
  wn_program_destroy(f->p);
  if (o.backend == NULL) o.backend = "interp";
  if (o.isa == NULL && strcmp(o.backend, "interp") == 0) o.isa = f->isa != NULL ? f->isa : "avx512";
  o.threads = 1;
  o.no_cache = o.plan_only = 1;
  wn_status st = wn_compile(f->ctx, f->out, data, f->nout, &o, &f->p);
  f->info = WN_PROGRAM_INFO();
  if (st == WN_OK) assert_int_equal(wn_program_get_info(f->p, &f->info), WN_OK);
  return st;
}

static void compile(fixture *f, const char *plan) {
  if (compile_with(f, WN_OPTIONS(.plan = plan)) != WN_OK)
    fail_msg("plan %.200s: %s", plan, wn_message(f->ctx));
}

/* --- what kernels are ------------------------------------------------------------------------- */

static wn_kernel_info kernel(fixture *f, int i) {
  wn_kernel_info k = WN_KERNEL_INFO();
  assert_int_equal(wn_program_get_kernel(f->p, i, &k), WN_OK);
  return k;
}

/* Letters of a word that depends on the graph: the name of an array, the number of a sum's loop. */
static size_t of_graph(const char *text) {
  if (strncmp(text, "store ", 6) == 0) return strcspn(text, "\n");
  size_t digits = strncmp(text, " r", 2) == 0 ? strspn(text + 2, "0123456789") : 0;
  return digits > 0 ? 2 + digits : 0;
}

/* Loops of the run's kernels. */
static void append_nests(fixture *f, char *text) {
  size_t n = strlen(text);
  for (int i = f->info.prepare_kernels; i < f->info.prepare_kernels + f->info.kernels; ++i) {
    for (const char *at = kernel(f, i).nest; *at != '\0';) {
      size_t skip = of_graph(at);
      text[n++] = skip > 0 ? '*' : *at;
      at += skip > 0 ? skip : 1;
      assert_true(n < TEXT);
    }
  }
  text[n] = '\0';
}

/* Of the kernel that stores the value of a site: stage is "x", "result0", "b1", ... */
static bool has_loop(fixture *f, const char *stage, const char *loop) {
  for (int i = 0; i < f->info.prepare_kernels + f->info.kernels; ++i) {
    wn_kernel_info k = kernel(f, i);
    if (strcmp(k.stage, stage) == 0) return strstr(k.loops, loop) != NULL;
  }
  fail_msg("no kernel stores %s", stage);
  return false;
}

/* What is between the braces behind a site's name, or all of a placement without braces. */
static const char *plan_of(const fixture *f, const char *site, char *out, size_t size) {
  char name[32];
  snprintf(name, sizeof name, "%s{", site);
  const char *at = strstr(f->info.placement, name);
  if (at == NULL && strchr(f->info.placement, '{') == NULL) {
    snprintf(out, size, "%s", f->info.placement);
  } else {
    if (at == NULL) fail_msg("no plan of %s in %s", site, f->info.placement);
    at += strlen(name);
    snprintf(out, size, "%.*s", (int)strcspn(at, "}"), at);
  }
  return out;
}

/* --- D1: weights of later layers -------------------------------------------------------------- */

static const char *const cpus[] = {"sse2", "avx2", "avx512", "neon"};

/* Rows that no vector divides, and too long to be one loop with others: channels are in the lanes. */
enum { LONG_ROW = 37 };

static void pixels_chain(fixture *f, int n) {
  image(f, 32, LONG_ROW);
  for (int i = 0; i < n; ++i) layer(f, 32, 1);
}

static void products_chain(fixture *f, int n) {
  begin(f, 2, (int64_t[]){64, 48});
  for (int i = 0; i < n; ++i) {
    multiply(f, 48);
    f->t = wn_map(WN_RELU, f->t);
  }
}

static void nhwc_chain(fixture *f, int n) {
  begin(f, 4, (int64_t[]){1, 28, 28, 32});
  for (int i = 0; i < n; ++i) layer_nhwc(f, 32, 3);
}

static void (*const chains[])(fixture *f, int n) = {pixels_chain, products_chain, nhwc_chain};

/* What one layer has, each of several has. */
static void weights_of_all_layers_are_packed(void **state) {
  fixture *f = *state;
  for (size_t c = 0; c < LEN(chains); ++c) {
    for (size_t i = 0; i < LEN(cpus); ++i) {
      f->isa = cpus[i];
      chains[c](f, 1);
      compile(f, "direct");
      int prepare = f->info.prepare_kernels, codes = f->p->compiled->ncodes;
      size_t prepared = f->info.prepared_bytes;
      if (c == 0) assert_true(prepare == 1 && prepared > 0);
      chains[c](f, 4);
      compile(f, "direct");
      /* of images the first reads and the last writes what the caller has, and between them channels are last */
      if (c == 0) codes *= 3;
      if (f->info.prepare_kernels != 4 * prepare || f->p->compiled->ncodes != codes)
        fail_msg("chain %zu, %s: %d of %d are packed, %d kernels differ, not %d", c, cpus[i],
                 f->info.prepare_kernels, 4 * prepare, f->p->compiled->ncodes, codes);
      assert_int_equal(f->info.kernels, 4);
      assert_in_range(f->info.prepared_bytes, 4 * (prepared / 64 * 64), 4 * (prepared + 128));
    }
  }
}

/* Layers that differ, under auto: each has an array of its own. */
static void weights_of_different_layers_are_packed(void **state) {
  fixture *f = *state;
  static const int64_t widths[] = {48, 16, 64};
  image(f, 32, LONG_ROW);
  for (size_t i = 0; i < LEN(widths); ++i) layer(f, widths[i], 1);
  compile(f, NULL);
  assert_int_equal(f->info.prepare_kernels, 3);
  assert_int_equal(f->p->compiled->ncodes, 6);
  for (int i = 0; i < 3; ++i) {
    wn_kernel_info k = kernel(f, i);
    assert_true(k.prepare);
    assert_non_null(strstr(k.stage, "packed"));
  }
}

/* --- D2: kernels do not depend on neighbours -------------------------------------------------- */

static void conv3(fixture *f) { layer(f, 24, 3); }
static void conv5(fixture *f) { layer(f, 24, 5); }
static void conv1(fixture *f) { layer(f, 24, 1); }

static const struct {
  const char *name;
  void (*add)(fixture *f);
} layers[] = {{"3x3", conv3}, {"1x1", conv1},           {"pool", pool},
              {"5x5", conv5}, {"depthwise", depthwise}, {"sums", sum_rows}};

/* The loops of a layer alone; its result has the shape that it has behind the first one. */
static void nests_alone(fixture *f, size_t which, int64_t channels, int64_t size, const char *plan,
                        char *text) {
  image(f, channels, size);
  layers[which].add(f);
  compile(f, plan);
  append_nests(f, text);
}

static void kernels_are_as_alone(void **state) {
  fixture *f = *state;
  static char apart[TEXT], together[TEXT];
  const char *plan = "direct;layout=given";
  for (size_t n = 0; n < LEN(layers) * LEN(layers); ++n) {
    size_t first = n % LEN(layers), second = n / LEN(layers) % LEN(layers);
    if (layers[first].add == sum_rows) continue; /* of its result there is a pixel a row */
    apart[0] = together[0] = '\0';
    nests_alone(f, first, 24, 20, plan, apart);
    int64_t size = wn_shape(f->t)[3];
    nests_alone(f, second, 24, size, plan, apart);
    image(f, 24, 20);
    layers[first].add(f);
    layers[second].add(f);
    compile(f, plan);
    append_nests(f, together);
    if (strcmp(apart, together) != 0)
      fail_msg("%s then %s, plan %s: apart\n%s\ntogether\n%s", layers[first].name,
               layers[second].name, plan, apart, together);
  }
}

/* An elementwise value over a stored convolution is no sum. */
static void map_over_a_convolution_is_a_map(void **state) {
  fixture *f = *state;
  static char alone[TEXT], both[TEXT];
  alone[0] = both[0] = '\0';
  image(f, 24, 20);
  f->t = wn_map(WN_TANH, f->t);
  compile(f, "direct");
  append_nests(f, alone);
  image(f, 24, 20);
  layer(f, 24, 3);
  is_output(f);
  f->t = wn_map(WN_TANH, f->t);
  compile(f, "direct");
  assert_int_equal(f->info.kernels, 2);
  append_nests(f, both);
  assert_true(strlen(both) > strlen(alone));
  assert_string_equal(both + strlen(both) - strlen(alone), alone);
  assert_false(has_loop(f, "result1", "reduce"));
  assert_true(has_loop(f, "result0", "reduce"));
  assert_int_equal(compile_with(f, WN_OPTIONS(.plan = "map9{inline}")), WN_ERR_USAGE);
  assert_non_null(strstr(wn_message(f->ctx), "the graph has conv0 map1"));
}

/* --- D3: inner layers with channels last ------------------------------------------------------ */

static int lines_in(const char *text) {
  int n = 0;
  for (; *text != '\0'; ++text) n += *text == '\n';
  return n;
}

static void inner_layers_have_lanes_of_channels(void **state) {
  fixture *f = *state;
  static char one[TEXT], all[TEXT];
  for (int64_t r = 1; r <= 3; r += 2) {
    one[0] = all[0] = '\0';
    begin(f, 4, (int64_t[]){1, 28, 28, 32});
    layer_nhwc(f, 32, r);
    compile(f, "direct");
    append_nests(f, one);
    assert_non_null(strstr(one, "vector k2 16"));
    begin(f, 4, (int64_t[]){1, 28, 28, 32});
    for (int i = 0; i < 3; ++i) layer_nhwc(f, 32, r);
    compile(f, "direct");
    append_nests(f, all);
    /* between two layers the order of storage is theirs: whole vectors of it, in a tile as large */
    int vectors = 0;
    for (const char *at = all; (at = strstr(at, "vector ")) != NULL; ++at) {
      assert_memory_equal(at + strlen("vector k2"), " 16", 3);
      ++vectors;
    }
    assert_int_equal(vectors, 3);
    assert_int_equal(lines_in(all), 3 * lines_in(one));
  }
}

/* --- D4: the placement that is given back ----------------------------------------------------- */

static void mixed_layers(fixture *f) {
  image(f, 16, 28);
  layer(f, 32, 3);
  wn_tensor *before = f->t;
  layer(f, 32, 5);
  f->t = wn_zip(WN_ADD, f->t, before);
  layer(f, 16, 1);
  depthwise_of(f, 5); /* whose filter is cut into pieces or is not */
  pool(f);
  depthwise_of(f, 7);
  layer(f, 16, 3);
  f->t = wn_reduce(WN_SUM, f->t, (int[]){2, 3}, 2, 0);
  multiply(f, 10);
}

static void placement_gives_the_same_program(void **state) {
  fixture *f = *state;
  static const char *const isas[] = {"sse2", "avx512", "simt"};
  const char *const *names = wn_plan_names();
  for (int i = 0; names[i] != NULL; ++i) {
    for (size_t k = 0; k < LEN(isas); ++k) {
      if (in_part() && (size_t)i % LEN(isas) != k) continue;
      f->isa = isas[k];
      mixed_layers(f);
      compile(f, names[i]);
      char *placement = strdup(f->info.placement), *identity = strdup(f->info.identity);
      assert_true(placement != NULL && identity != NULL);
      compile(f, placement);
      assert_string_equal(f->info.placement, placement);
      if (strcmp(f->info.identity, identity) != 0)
        fail_msg("plan %s on %s: %s is another program", names[i], isas[k], placement);
      free(placement);
      free(identity);
    }
  }
}

/* --- one machine ------------------------------------------------------------------------------ */

/* Where products are made of matrices, that is what is priced: they cost less than scalar products do. */
static void matrices_have_prices(void **state) {
  fixture *f = *state;
  static const char *const isas[] = {"simt", "simdgroup"};
  double seconds[2];
  for (int i = 0; i < 2; ++i) {
    f->isa = isas[i];
    image(f, 64, 56);
    layer(f, 64, 3);
    layer(f, 64, 3);
    compile(f, "old");
    assert_int_equal(has_loop(f, "m1", "lane lane 32"), i);
    seconds[i] = f->info.predicted_s;
  }
  assert_true(seconds[1] > 0 && seconds[1] < 0.9 * seconds[0]);
}

/* Registers hold f32 whatever memory has: lanes are as many as of f32. */
static void lanes_go_by_the_dtype_of_arithmetic(void **state) {
  fixture *f = *state;
  static char text[2][TEXT];
  for (size_t i = 0; i < LEN(cpus); ++i) {
    f->isa = cpus[i];
    for (int half = 0; half < 2; ++half) {
      image(f, 64, 28);
      f->t = wn_input(f->ctx, half ? WN_F16 : WN_F32, 4, (int64_t[]){1, 64, 28, 28}, NULL);
      layer(f, 64, 3);
      layer(f, 64, 1);
      compile(f, "direct");
      text[half][0] = '\0';
      append_nests(f, text[half]);
    }
    assert_string_equal(text[1], text[0]);
  }
}

/* A device's instruction set in the environment says nothing to a CPU. */
static void isas_of_devices_are_not_a_cpus(void **state) {
  fixture *f = *state;
  static const char *const isas[] = {"simt", "simd", "simdgroup"}, *const backends[] = {"cpu",
                                                                                        "cpu:cc"};
  for (size_t i = 0; i < LEN(isas) * LEN(backends); ++i) {
    void *data = NULL;
    char usual[32] = "";
    for (int set = 0; set < 2; ++set) {
      image(f, 8, 8);
      layer(f, 8, 3);
      if (set) setenv("WINNOW_ISA", isas[i / 2], 1);
      const wn_options o =
          WN_OPTIONS(.backend = backends[i % 2], .threads = 1, .no_cache = 1, .plan_only = 1);
      wn_status st = wn_compile(f->ctx, &f->t, &data, 1, &o, &f->p);
      unsetenv("WINNOW_ISA");
      if (st != WN_OK)
        fail_msg("WINNOW_ISA=%s, %s: %s", isas[i / 2], backends[i % 2], wn_message(f->ctx));
      f->info = WN_PROGRAM_INFO();
      assert_int_equal(wn_program_get_info(f->p, &f->info), WN_OK);
      if (set) assert_string_equal(f->info.isa, usual);
      snprintf(usual, sizeof usual, "%s", f->info.isa);
    }
  }
  /* a device hears it, and has it or says that it has not */
  void *data = NULL;
  image(f, 8, 8);
  layer(f, 8, 3);
  setenv("WINNOW_ISA", "simdgroup", 1);
  const wn_options o = WN_OPTIONS(.backend = "metal", .threads = 1, .no_cache = 1, .plan_only = 1);
  wn_status st = wn_compile(f->ctx, &f->t, &data, 1, &o, &f->p);
  unsetenv("WINNOW_ISA");
  assert_int_equal(st, WN_ERR_USAGE);
  assert_non_null(strstr(wn_message(f->ctx), "Metal has no instruction set 'simdgroup'"));
}

/* --- tiles of their own, code in common ------------------------------------------------------- */

static void filters_have_tiles_of_their_own(void **state) {
  fixture *f = *state;
  char plan[6][256];
  image(f, 64, 28);
  for (int i = 0; i < 6; ++i) layer(f, 64, i % 2 == 0 ? 3 : 5);
  compile(f, NULL);
  for (int i = 0; i < 6; ++i) {
    char site[16];
    snprintf(site, sizeof site, "conv%d", i);
    plan_of(f, site, plan[i], sizeof plan[i]);
  }
  /* the first reads and the last writes what the caller has */
  assert_string_not_equal(plan[1], plan[2]);
  assert_string_equal(plan[1], plan[3]);
  assert_string_equal(plan[2], plan[4]);
}

/* However many layers are alike, they have the kernels of one, and each its own arrays. */
static void equal_layers_share_code(void **state) {
  fixture *f = *state;
  enum { LAYERS = 32 };
  static const char *const plans[] = {NULL, "direct", "old", "fused", "split"};
  for (size_t i = 0; i < LEN(plans); ++i) {
    int kernels = 0, prepare = 0, codes = 0;
    for (int residual = 0; residual < 2; ++residual) {
      for (int n = 1; n <= LAYERS; n += LAYERS - 1) {
        image(f, 16, 14);
        for (int l = 0; l < n; ++l) {
          wn_tensor *before = f->t;
          layer(f, 16, 3);
          if (residual) f->t = wn_zip(WN_ADD, f->t, before);
        }
        compile(f, plans[i]);
        if (n == 1) {
          kernels = f->info.kernels;
          prepare = f->info.prepare_kernels;
          codes = f->p->compiled->ncodes;
          continue;
        }
        /* the caller's image is read, or its result stored, by others than what is channels last */
        if (f->p->compiled->ncodes > 3 * codes)
          fail_msg("plan %s%s: %d kernels differ, %d of one layer", plans[i] ? plans[i] : "auto",
                   residual ? ", residual" : "", f->p->compiled->ncodes, codes);
        assert_int_equal(f->info.kernels, LAYERS * kernels);
        assert_int_equal(f->info.prepare_kernels, LAYERS * prepare);
      }
    }
  }
}

/* --- texts ------------------------------------------------------------------------------------ */

/* conv0, conv1, product2 or so: conv 3x3, conv 1x1, both stored; tanh of the second is an output beside it. */
static void text_graph(fixture *f) {
  image(f, 8, 12);
  layer(f, 8, 3);
  layer(f, 8, 3);
  is_output(f);
  f->t = wn_map(WN_TANH, f->t);
  is_output(f);
  multiply(f, 6);
}

static const struct {
  const char *plan, *message;
} bad_plans[] = {
    {"conv7{direct}", "there is no site conv7; the graph has conv0 conv1 map2 product3"},
    {"conv2{direct}", "there is no site conv2; the graph has conv0"},
    {"map0{inline}", "there is no site map0"},
    {"sum2{inline}", "there is no site sum2"},
    {"conv99999999999999999999999999999999{direct}", "there is no site conv9999"},
    {"map2{old}", "expected global, inline or with=, since it is no convolution at column 6"},
    {"map2{x=global,g=global,m=global,o=global}", "since it is no convolution"},
    {"map2{direct}", "since it is no convolution"},
    {"map2{}", "since it is no convolution"},
    {"map2{global;t=8}", "lanes=, regs= or the end: a map has no sizes"},
    {"product3{old}", "since it is no convolution"},
    {"product3{global;c=4}", "nothing but t=, k=, v= and chains="},
    {"product3{global;t=8,chunk=4}", "nothing but t=, k=, v= and chains="},
    {"product3{global;wino=4", "}"},
    {"conv0{inline}", "unknown plan \"inline\""},
    {"conv0{global}", "unknown plan \"global\""},
    {"conv0{}", "unknown plan \"\""},
    {"conv0{direct", "column"},
    {"conv0{", "unknown plan"},
    {"conv0{auto", "unknown plan \"auto\""},
    {"conv0{fused conv1{direct}", "unknown plan"},
    {"map2{global", "expected }"},
    {"product3{global;t=8", "expected }"},
    {"conv0{direct}} conv1{old}", "a site and its plan"},
    {"conv0{direct} conv0{old}", "each site once at column 15"},
    {"conv0{direct} fused", "a site and its plan, such as conv3{direct} at column 15"},
    {"fused direct", "a site and its plan"},
    {"fused conv1{direct} old", "a site and its plan"},
    {"{direct}", "unknown plan"},
    {"conv{direct}", "unknown plan"},
    {"Conv0{direct}", "unknown plan"},
    {"conv0 {direct}", "unknown plan \"conv0\""},
    {"conv-1{direct}", "unknown plan"},
    {"map2{inline}", "it is a result"},
    {"product3{inline}", "it is a result"},
    {"fused map2{inline}", "it is a result"},
};

static void bad_texts(void **state) {
  fixture *f = *state;
  text_graph(f);
  for (size_t i = 0; i < LEN(bad_plans); ++i) {
    wn_status st = compile_with(f, WN_OPTIONS(.plan = bad_plans[i].plan));
    const char *said = st == WN_OK ? "taken" : wn_message(f->ctx);
    if (st != WN_ERR_USAGE || strstr(said, bad_plans[i].message) == NULL ||
        strchr(said, '\n') != NULL)
      print_error("\"%s\": status %d, %s; expected %s\n", bad_plans[i].plan, (int)st, said,
                  bad_plans[i].message);
    assert_int_equal(st, WN_ERR_USAGE);
    assert_non_null(strstr(said, bad_plans[i].message));
  }
}

/* Texts beside others that say the same. */
static void good_texts(void **state) {
  fixture *f = *state;
  char *identity = NULL;
  static const char *const rows[][2] = {
      {"direct", "direct"},
      {"conv0{direct} conv1{direct}", "direct"},
      {" conv1{direct}\n\tconv0{direct} ", "direct"},
      {"conv0{direct}conv1{direct}", "direct"},
      {"conv00{direct} conv1{direct}", "direct"},
      {"direct product3{global;t=8}", "conv0{direct} conv1{direct} product3{global;t=8}"},
      {"direct product3{global}", "direct"},
      {"direct map2{global}", "direct"},
      {"old;wino=2", NULL},
      {"auto conv0{direct} conv1{direct}", "direct"},
  };
  for (size_t i = 0; i < LEN(rows); ++i) {
    text_graph(f);
    wn_status st = compile_with(f, WN_OPTIONS(.plan = rows[i][0]));
    if (rows[i][1] == NULL) { /* a name takes no sizes */
      assert_int_equal(st, WN_ERR_USAGE);
      continue;
    }
    if (st != WN_OK) fail_msg("\"%s\": %s", rows[i][0], wn_message(f->ctx));
    free(identity);
    identity = strdup(f->info.identity);
    text_graph(f);
    compile(f, rows[i][1]);
    assert_string_equal(f->info.identity, identity);
  }
  free(identity);
}

/* What is for all is for those that braces do not name. */
static void some_sites_differ(void **state) {
  fixture *f = *state;
  char plan[256];
  image(f, 16, 28);
  for (int i = 0; i < 4; ++i) layer(f, 16, 3);
  compile(f, "fused");
  assert_int_equal(f->info.kernels, 4);
  compile(f, "fused conv3{direct} conv1{old}");
  assert_int_equal(f->info.kernels, 3 + 3);
  assert_non_null(strstr(plan_of(f, "conv0", plan, sizeof plan), "x=local,g=global,m=local"));
  assert_non_null(strstr(plan_of(f, "conv1", plan, sizeof plan), "x=global,g=global,m=global"));
  assert_non_null(strstr(plan_of(f, "conv2", plan, sizeof plan), "x=local,g=global,m=local"));
  assert_memory_equal(plan_of(f, "conv3", plan, sizeof plan), "direct", strlen("direct"));
  int wanted[] = {1, 3, 1, 1}, got[4] = {0};
  for (size_t i = (size_t)f->info.prepare_kernels; i < f->p->compiled->set->kernels.len; ++i)
    got[f->p->compiled->set->kernels.data[i].first_site]++;
  assert_memory_equal(got, wanted, sizeof got);
}

/* Rounds of a host loop are of one layer: what the next one reads is whole before it begins. */
static void rounds_are_of_one_layer(void **state) {
  fixture *f = *state;
  image(f, 16, 28);
  for (int i = 0; i < 3; ++i) layer(f, 16, 3);
  compile(f, "x=global,g=global,m=global,o=global;chunk=8");
  const nest_kernel *before = NULL;
  int in_rounds = 0;
  for (size_t i = 0; i < f->p->compiled->set->kernels.len; ++i) {
    const nest_kernel *k = &f->p->compiled->set->kernels.data[i];
    if (k->chunks <= 1) continue;
    in_rounds++;
    if (before != NULL)
      assert_int_equal(k->chunk_group == before->chunk_group, k->first_site == before->first_site);
    before = k;
  }
  assert_int_equal(in_rounds, 9);
}

/* A plan in braces that cannot be had is refused; one for all is for those that can have it. */
static void plans_that_are_refused(void **state) {
  fixture *f = *state;
  static const char none[] =
      "x=global,g=global,m=global,o=global;wino=1"; /* tiles of one pixel save nothing */
  char plan[256];
  image(f, 16, 28);
  layer(f, 16, 3);
  layer(f, 16, 3);
  snprintf(plan, sizeof plan, "conv0{old} conv1{%s}", none);
  assert_int_equal(compile_with(f, WN_OPTIONS(.plan = plan)), WN_ERR_REFUSED);
  assert_non_null(strstr(wn_message(f->ctx), "plan of conv1: it is not rewritten"));
  assert_int_equal(compile_with(f, WN_OPTIONS(.plan = none)), WN_ERR_REFUSED);
  assert_non_null(strstr(wn_message(f->ctx), "nothing to rewrite"));
  assert_int_equal(
      compile_with(f, WN_OPTIONS(.plan = "conv1{x=global,g=global,m=global@c3,o=global}")),
      WN_ERR_REFUSED);
  assert_non_null(strstr(wn_message(f->ctx), "c3"));
  image(f, 16, 28);
  layer(f, 16, 1);
  assert_int_equal(compile_with(f, WN_OPTIONS(.plan = "old")), WN_ERR_REFUSED);
  assert_non_null(strstr(wn_message(f->ctx), "nothing to rewrite"));
  layer(f, 16, 3); /* one that can have it is enough */
  compile(f, "old");
  assert_non_null(strstr(f->info.placement, "x=global,g=global,m=global,o=global"));
}

/* A megabyte of anything is refused at once, in a line of ordinary length. */
static void long_texts(void **state) {
  fixture *f = *state;
  enum { LONG = 1 << 20 };
  static const struct {
    const char *before, *again, *after;
    bool fine;
  } rows[] = {
      {"", "a", "", false},
      {"conv0{", "a", "", false},
      {"conv0{direct", ";t=8", "}", false},
      {"conv0{direct", ";", "}", false},
      {"conv", "0", "{direct}", true},
      {"conv", "1", "{direct}", false},
      {"conv0{direct}", " ", "", true},
      {"", " ", "conv0{direct}", true},
      {"", "{", "", false},
      {"", "}", "", false},
      {"conv0{direct} ", "conv0{direct} ", "", false},
      {"fused ", "(", "", false},
      {"(", " ", ")", false},
      {"x=global(", "t0 ", ")", false},
      {"conv0{x=global(", "t0 ", ")}", false},
      {"conv0{direct;t=", "1", "}", false},
      {"map2{global;", "t", "}", false},
      {"product3{global;", "t=8,", "}", false},
  };
  text_graph(f);
  char *text = malloc(LONG + 256);
  assert_non_null(text);
  for (size_t i = 0; i < LEN(rows); ++i) {
    size_t n = strlen(rows[i].before), step = strlen(rows[i].again);
    memcpy(text, rows[i].before, n);
    for (; n + step < LONG; n += step) memcpy(text + n, rows[i].again, step);
    strcpy(text + n, rows[i].after);
    struct timespec start, end;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    wn_status st = compile_with(f, WN_OPTIONS(.plan = text));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    double seconds =
        (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
    const char *said = wn_message(f->ctx);
    if (st != (rows[i].fine ? WN_OK : WN_ERR_USAGE) || (st != WN_OK && strlen(said) > 500) ||
        seconds > 1)
      fail_msg("%s%s...%s: status %d after %.2f s, %.600s", rows[i].before, rows[i].again,
               rows[i].after, (int)st, seconds, st == WN_OK ? "" : said);
    if (st == WN_OK) assert_true(strlen(f->info.placement) < 500);
  }
  free(text);
}

/* --- inlining --------------------------------------------------------------------------------- */

/* A value that is read twice is stored; inlined it has no kernel and no array, and its readers compute it. */
static void inlined_maps_have_no_kernel(void **state) {
  fixture *f = *state;
  float x[4 * 6], w[6 * 5], y[2][4 * 6 * 5], z[2][4 * 6];
  for (int i = 0; i < 4 * 6; ++i) x[i] = 0.1f * (float)(i % 7) - 0.3f;
  for (int i = 0; i < 6 * 5; ++i) w[i] = 0.2f * (float)(i % 5) - 0.4f;
  int kernels[2], buffers[2];
  for (int inlined = 0; inlined < 2; ++inlined) {
    drop(f);
    assert_int_equal(wn_context_create(&f->ctx), WN_OK);
    wn_tensor *a = wn_input(f->ctx, WN_F32, 2, (int64_t[]){4, 6}, x);
    for (int i = 0; i < 4; ++i) a = wn_map(WN_TANH, wn_map(WN_EXP, a));
    wn_tensor *b = wn_matmul(a, wn_constant(f->ctx, WN_F32, 2, (int64_t[]){6, 5}, w));
    wn_tensor *outs[] = {b, wn_zip(WN_MUL, a, a)};
    void *data[] = {y[inlined], z[inlined]};
    const wn_options o = WN_OPTIONS(.plan = inlined ? "map0{inline}" : NULL, .threads = 1,
                                    .no_cache = 1, .backend = "interp");
    if (wn_compile(f->ctx, outs, data, 2, &o, &f->p) != WN_OK) fail_msg("%s", wn_message(f->ctx));
    f->info = WN_PROGRAM_INFO();
    assert_int_equal(wn_program_get_info(f->p, &f->info), WN_OK);
    assert_int_equal(wn_run(f->p), WN_OK);
    kernels[inlined] = f->info.kernels;
    buffers[inlined] = f->info.buffers;
    if (inlined) assert_memory_equal(f->info.placement, "map0{inline}", strlen("map0{inline}"));
  }
  assert_int_equal(kernels[1], kernels[0] - 1);
  assert_true(buffers[1] < buffers[0]); /* weights of a sum of so much are not packed either */
  for (int i = 0; i < 4 * 5; ++i)
    assert_true(y[0][i] - y[1][i] < 1e-6f && y[1][i] - y[0][i] < 1e-6f);
  for (int i = 0; i < 4 * 6; ++i)
    assert_true(z[0][i] - z[1][i] < 1e-6f && z[1][i] - z[0][i] < 1e-6f);
}

/* --- memory ----------------------------------------------------------------------------------- */

static size_t workspace_within(fixture *f, const char *plan, size_t limit) {
  wn_status st = compile_with(f, WN_OPTIONS(.plan = plan, .max_memory = limit));
  if (st != WN_OK) fail_msg("%s within %zu: %s", plan, limit, wn_message(f->ctx));
  size_t bytes = f->info.workspace_bytes + f->info.prepared_bytes;
  assert_true(limit == 0 || bytes <= limit);
  return bytes;
}

/* What the refusal of an impossible limit says is needed at least. */
static size_t least_workspace(fixture *f, const char *plan) {
  assert_int_equal(compile_with(f, WN_OPTIONS(.plan = plan, .max_memory = 1)), WN_ERR_REFUSED);
  const char *at = strstr(wn_message(f->ctx), "at least ");
  if (at == NULL) fail_msg("%s", wn_message(f->ctx));
  return (size_t)strtoull(at + strlen("at least "), NULL, 10);
}

/* Two layers of which the second has far more tiles: its blocks are the ones that become smaller. */
static void uneven_graph(fixture *f) {
  image(f, 8, 8);
  layer(f, 8, 3);
  wn_tensor *small = f->t;
  f->t = wn_input(f->ctx, WN_F32, 4, (int64_t[]){1, 32, 64, 64}, NULL);
  layer(f, 32, 3);
  f->out[f->nout++] = small;
}

static void the_largest_site_shrinks(void **state) {
  fixture *f = *state;
  uneven_graph(f);
  size_t usual = workspace_within(f, "split", 0), least = least_workspace(f, "split");
  char before[2][256], after[256];
  assert_true(least < usual);
  workspace_within(f, "split", usual);
  /* numbers follow the order of computing: which is which is seen from the plan that changes */
  plan_of(f, "conv0", before[0], sizeof before[0]);
  plan_of(f, "conv1", before[1], sizeof before[1]);
  size_t limit = least + (usual - least) / 2;
  workspace_within(f, "split", limit);
  int changed = 0;
  for (int i = 0; i < 2; ++i) {
    plan_of(f, i == 0 ? "conv0" : "conv1", after, sizeof after);
    changed += strcmp(before[i], after) != 0;
  }
  assert_int_equal(changed, 1);
  assert_true(f->info.workspace_bytes < usual);
  workspace_within(f, "split", least);
  assert_int_equal(compile_with(f, WN_OPTIONS(.plan = "split", .max_memory = least - 1)),
                   WN_ERR_REFUSED);
}

/* A site whose plan was spelled keeps it; the other gives way, or nothing does. */
static void spelled_sites_keep_their_sizes(void **state) {
  fixture *f = *state;
  static const char split[] = "x=global,g=global,m=global,o=global;chunk=256";
  char plan[512], got[256];
  uneven_graph(f);
  size_t usual = workspace_within(f, "split", 0);
  for (int i = 0; i < 2; ++i) {
    snprintf(plan, sizeof plan, "split conv%d{%s}", i, split);
    size_t least = least_workspace(f, plan);
    workspace_within(f, plan, least);
    char site[16];
    snprintf(site, sizeof site, "conv%d", i);
    assert_non_null(strstr(plan_of(f, site, got, sizeof got), "chunk=256"));
    assert_true(least <= usual);
  }
}

/* Any limit from what is needed at least up: met, and the placement that is then reported is that program. */
static void every_limit_is_met(void **state) {
  fixture *f = *state;
  static const char *const plans[] = {NULL, "split", "fused", "old"};
  for (size_t i = 0; i < LEN(plans); ++i) {
    mixed_layers(f);
    size_t usual = workspace_within(f, plans[i], 0), prepared = f->info.prepared_bytes,
           least = least_workspace(f, plans[i]);
    assert_true(least <= usual);
    for (int eighth = 0; eighth <= 8; eighth += in_part() ? 4 : 1) {
      workspace_within(f, plans[i], least + (usual - least) / 8 * (size_t)eighth);
      char *placement = strdup(f->info.placement), *identity = strdup(f->info.identity);
      size_t needs = f->info.workspace_bytes;
      compile(f, placement);
      assert_string_equal(f->info.identity, identity);
      assert_true(f->info.workspace_bytes == needs);
      if (plans[i] == NULL && eighth == 0)
        assert_true(f->info.prepared_bytes < prepared / 2); /* copies for lanes stay */
      free(placement);
      free(identity);
    }
  }
}

/* --- many sites ------------------------------------------------------------------------------- */

/* In a process of its own: what it had at most is measured. 0: compiled; 1: refused, with a line; 2: neither. */
static int compile_many(int layers_of, bool alike) {
  fixture f = {0};
  image(&f, 4, 8);
  for (int i = 0; i < layers_of; ++i) layer(&f, alike ? 4 : 3 + i % 5, i % 2 == 0 ? 3 : 1);
  wn_status st = compile_with(&f, WN_OPTIONS());
  int result = st == WN_OK && f.info.kernels >= layers_of ? 0 : 2;
  if (st == WN_ERR_REFUSED && strlen(wn_message(f.ctx)) > 20) result = 1;
  drop(&f);
  return result;
}

static void many_sites(void **state) {
  (void)state;
  enum { MOST_KIB = 1 << 20, MOST_SECONDS = 20 };
  if (ADDRESS_SANITIZER || THREAD_SANITIZER) skip(); /* whose own memory is more */
  int sites = getenv("WINNOW_LONG") != NULL ? 10000 : 2500;
  for (int alike = 0; alike < 2; ++alike) {
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(compile_many(sites, alike == 1));
    int status;
    struct rusage used;
    while (wait4(child, &status, 0, &used) != child) continue;
    double seconds = (double)used.ru_utime.tv_sec + 1e-6 * (double)used.ru_utime.tv_usec;
    print_message("# %d sites: %s, %.1f s, %ld MiB\n", sites,
                  WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "compiled" : "not compiled",
                  seconds, used.ru_maxrss >> 10);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
    assert_true(used.ru_maxrss <= (long)MOST_KIB * sites / 10000);
#ifdef NDEBUG
    assert_true(seconds < MOST_SECONDS);
#endif
  }
}

int main(void) {
  unsetenv("WINO");
  unsetenv("WINNOW_ISA");
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(weights_of_all_layers_are_packed),
      TEST(weights_of_different_layers_are_packed),
      TEST(kernels_are_as_alone),
      TEST(map_over_a_convolution_is_a_map),
      TEST(inner_layers_have_lanes_of_channels),
      TEST(placement_gives_the_same_program),
      TEST(matrices_have_prices),
      TEST(lanes_go_by_the_dtype_of_arithmetic),
      TEST(isas_of_devices_are_not_a_cpus),
      TEST(filters_have_tiles_of_their_own),
      TEST(equal_layers_share_code),
      TEST(bad_texts),
      TEST(good_texts),
      TEST(some_sites_differ),
      TEST(rounds_are_of_one_layer),
      TEST(plans_that_are_refused),
      TEST(long_texts),
      TEST(inlined_maps_have_no_kernel),
      TEST(the_largest_site_shrinks),
      TEST(spelled_sites_keep_their_sizes),
      TEST(every_limit_is_met),
      TEST(many_sites),
  };
  return cmocka_run_group_tests_name("sites", tests, NULL, NULL);
}
