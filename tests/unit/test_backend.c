/* A backend is a folder and a row: one that is made up runs a network of several layers like any other, each of its
 * calls fails in turn, and no file spells a backend's name but its own folder and the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <math.h>
#include <sys/stat.h>

#include "fake/fake_backend.h"
#include "sanitized.h"
#include "unit/lin_builder.h"
#include "winnow/winnow.h"

/* --- a network -------------------------------------------------------------------------------- */

/* y = relu(conv1x1(relu(conv3x3(x, w) + bias), v) + x); mean over pixels of each channel as a second output. */
enum { C = 6, K = 5, SIZE = 8, PIXELS = SIZE * SIZE, MOST_KERNELS = 64 };

typedef struct net {
  float x[C * PIXELS], w[K * C * 9], bias[K], v[C * K];
  float y[C * PIXELS], sum[C];
  double exact[C * PIXELS], exact_sum[C];
  int calls; /* of the fake device before the program was destroyed */
} net;

static void fill(float *x, int n, uint32_t seed) {
  for (int i = 0; i < n; ++i) {
    seed = seed * 1664525u + 1013904223u;
    x[i] = (float)(seed >> 8) / (float)(1 << 23) - 1;
  }
}

static double inner(const net *n, int k, int at) {
  double sum = (double)n->bias[k];
  for (int c = 0; c < C; ++c)
    for (int t = 0; t < 9; ++t) {
      int row = at / SIZE + t / 3 - 1, column = at % SIZE + t % 3 - 1;
      if (row < 0 || row >= SIZE || column < 0 || column >= SIZE) continue;
      sum += (double)n->x[c * PIXELS + row * SIZE + column] * (double)n->w[(k * C + c) * 9 + t];
    }
  return fmax(sum, 0);
}

static net *make_net(void) {
  net *n = calloc(1, sizeof *n);
  assert_non_null(n);
  fill(n->x, C * PIXELS, 1);
  fill(n->w, K * C * 9, 2);
  fill(n->bias, K, 3);
  fill(n->v, C * K, 4);
  for (int at = 0; at < PIXELS; ++at) {
    double h[K];
    for (int k = 0; k < K; ++k) h[k] = inner(n, k, at);
    for (int c = 0; c < C; ++c) {
      double sum = (double)n->x[c * PIXELS + at];
      for (int k = 0; k < K; ++k) sum += h[k] * (double)n->v[c * K + k];
      n->exact[c * PIXELS + at] = fmax(sum, 0);
      n->exact_sum[c] += fmax(sum, 0);
    }
  }
  return n;
}

static void assert_right(const net *n, const char *plan) {
  for (int i = 0; i < C * PIXELS; ++i)
    if (!(fabs((double)n->y[i] - n->exact[i]) < 1e-4))
      fail_msg("%s: y[%d] is %g, not %g", plan, i, (double)n->y[i], n->exact[i]);
  for (int c = 0; c < C; ++c)
    if (!(fabs((double)n->sum[c] - n->exact_sum[c]) < 1e-2))
      fail_msg("%s: sum[%d] is %g, not %g", plan, c, (double)n->sum[c], n->exact_sum[c]);
}

static void keep_quiet(void *user, const char *line) {
  (void)line;
  ++*(int *)user;
}

static wn_status compile(wn_context *ctx, net *n, const char *plan, wn_program **p) {
  wn_tensor *x = wn_input(ctx, WN_F32, 4, (int64_t[]){1, C, SIZE, SIZE}, n->x);
  wn_tensor *w = wn_constant(ctx, WN_F32, 4, (int64_t[]){K, C, 3, 3}, n->w);
  wn_tensor *v = wn_constant(ctx, WN_F32, 4, (int64_t[]){C, K, 1, 1}, n->v);
  wn_tensor *bias = wn_constant(ctx, WN_F32, 4, (int64_t[]){1, K, 1, 1}, n->bias);
  const wn_conv_params same = WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1});
  wn_tensor *h = wn_map(WN_RELU, wn_zip(WN_ADD, wn_conv(x, w, &same), bias));
  wn_tensor *y = wn_map(WN_RELU, wn_zip(WN_ADD, wn_conv(h, v, &WN_CONV_PARAMS(.groups = 1)), x));
  wn_tensor *outs[] = {y, wn_reduce(WN_SUM, y, (int[]){2, 3}, 2, 0)};
  void *data[] = {n->y, n->sum};
  const wn_options o = WN_OPTIONS(.plan = plan, .backend = "fake", .no_cache = 1);
  return wn_compile(ctx, outs, data, 2, &o, p);
}

/* All that a program can do; the first status that is not WN_OK. */
static wn_status live(wn_context *ctx, net *n, const char *plan, char message[256]) {
  wn_program *p = NULL;
  double us[MOST_KERNELS];
  message[0] = '\0';
  memset(n->y, 0xff, sizeof n->y);
  memset(n->sum, 0xff, sizeof n->sum);
  wn_status st = compile(ctx, n, plan, &p);
  if (st != WN_OK) {
    snprintf(message, 256, "%s", wn_message(ctx));
    return st;
  }
  st = wn_prepare(p);
  if (st == WN_OK) st = wn_run(p);
  if (st == WN_OK) st = wn_capture(p, "/nowhere/x.fake");
  if (st == WN_OK) st = wn_run_timed(p, us);
  if (st == WN_OK) st = wn_capture(p, NULL);
  if (st == WN_OK) st = wn_upload(p);
  if (st == WN_OK) st = wn_launch(p);
  if (st == WN_OK) st = wn_wait(p);
  if (st == WN_OK) st = wn_download(p);
  if (st != WN_OK) snprintf(message, 256, "%s", wn_program_message(p));
  if (st != WN_OK && wn_run(p) == WN_OK) assert_right(n, "after a failure");
  n->calls = fake.calls;
  wn_program_destroy(p);
  return st;
}

static const char *const plans[] = {"direct", "old", "fused", "auto",
                                    "x=global,g=global,m=global,o=global;chunk=16"};
enum { PLANS = sizeof plans / sizeof *plans };

static wn_context *begin(int *warnings) {
  wn_context *ctx;
  *warnings = 0;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_on_warning(ctx, keep_quiet, warnings);
  return ctx;
}

static void assert_nothing_is_left(void) {
  assert_int_equal(fake.devices, 0);
  assert_int_equal(fake.handles, 0);
  assert_int_equal(fake.blocks, 0);
}

/* --- running it ------------------------------------------------------------------------------- */

static int setup(void **state) {
  *state = make_net();
  memset(&fake, 0, sizeof fake);
  registry_add(&fake_row);
  return 0;
}

static int teardown(void **state) {
  registry_add(NULL);
  free(*state);
  return 0;
}

static void test_a_network(void **state) {
  net *n = *state;
  for (int i = 0; i < PLANS; ++i) {
    int warnings;
    char message[256];
    wn_context *ctx = begin(&warnings);
    if (live(ctx, n, plans[i], message) != WN_OK) fail_msg("%s: %s", plans[i], message);
    assert_right(n, plans[i]);
    assert_int_equal(warnings, 0);
    wn_context_destroy(ctx);
    assert_nothing_is_left();
  }
  assert_true(fake.launches > 0);
  assert_int_equal(fake.captures, PLANS);
}

/* Kernels that it does not compile run here, between others that run there: all of them, and every other one. */
static void test_kernels_fall_back(void **state) {
  static const unsigned refused[] = {~0u, 0x55555555u, 0xaaaaaaaau};
  net *n = *state;
  for (int i = 0; i < PLANS * 3; ++i) {
    int warnings;
    char message[256];
    wn_context *ctx = begin(&warnings);
    fake.refused = refused[i % 3];
    if (live(ctx, n, plans[i / 3], message) != WN_OK) fail_msg("%s: %s", plans[i / 3], message);
    assert_right(n, plans[i / 3]);
    assert_true(warnings > 0 || i % 3 == 2);
    wn_context_destroy(ctx);
    assert_nothing_is_left();
  }
}

/* Each call fails once, in part ever fewer of them: a status and one line, nothing is left, and the context goes on. */
static void fail_each_call(net *n, const char *plan, unsigned refused) {
  for (int at = 1;; at += in_part() ? 1 + at / 16 : 1) {
    int warnings;
    char message[256];
    wn_context *ctx = begin(&warnings);
    fake.refused = refused;
    fake.calls = 0;
    fake.fail_at = at;
    wn_status st = live(ctx, n, plan, message);
    bool reached = fake.calls >= at;
    fake.fail_at = 0;
    assert_nothing_is_left();
    if (st == WN_OK) assert_right(n, plan);
    /* it was a compile that failed, or nobody was left to tell */
    if (st == WN_OK) assert_true(!reached || warnings > 0 || n->calls < at);
    if (st != WN_OK) {
      assert_true(st == WN_ERR_DEVICE || st == WN_ERR_NOMEM);
      assert_true(message[0] != '\0' && strchr(message, '\n') == NULL);
      assert_int_equal(live(ctx, n, plan, message), WN_OK);
      assert_right(n, plan);
    }
    wn_context_destroy(ctx);
    assert_nothing_is_left();
    if (!reached) return;
    assert_true(at < 10000);
  }
}

static void test_each_call_fails(void **state) {
  fail_each_call(*state, "old", 0);
  fail_each_call(*state, "fused", 0);
  fail_each_call(*state, plans[PLANS - 1], 0x55555555u);
}

/* Each allocation of the host's fails with those behind it. */
static void test_each_lack_of_memory(void **state) {
  net *n = *state;
  int warnings;
  char message[256];
  wn_context *ctx = begin(&warnings);
  for (long at = 1;; at += 1 + at / 20) { /* the compiler's own are tests/alloc's */
    fake.refused = 0x55555555u;
    mem_fail_at(at);
    wn_status st = live(ctx, n, "old", message);
    bool reached = mem_count() >= at;
    mem_fail_at(0);
    assert_nothing_is_left();
    if (st == WN_OK) assert_right(n, "old");
    if (st != WN_OK) assert_true(st == WN_ERR_NOMEM || st == WN_ERR_DEVICE);
    if (st != WN_OK) assert_true(message[0] != '\0');
    if (!reached) break;
    wn_context_destroy(ctx); /* a tensor that could not be made is the context's error */
    ctx = begin(&warnings);
  }
  wn_context_destroy(ctx);
}

/* --- launching what another runtime has compiled ---------------------------------------------- */

/* y = x + x, a block an element. */
static const lin_kernel *twice(arena *a) {
  lin_builder b = lb_new(a, "twice", 16);
  int64_t x = lb_array(&b, SPACE_GLOBAL, WN_F32, 16), y = lb_array(&b, SPACE_GLOBAL, WN_F32, 16);
  uint32_t at = lb_grid(&b), value = lb_load(&b, x, 1, at, 1, LB_NO_MASK);
  lb_store(&b, y, at, lb_op2(&b, OP_ADD, WN_F32, value, value), 1, LB_NO_MASK);
  assert_null(lin_verify(a, b.k));
  return b.k;
}

/* On blocks of the first one's, with offsets, there and (fallen back) here. */
static void test_another_runtime_launches(void **state) {
  diag d;
  arena a;
  (void)state;
  diag_init(&d);
  arena_init(&a, &d);
  int warnings = 0;
  d.warn = keep_quiet;
  d.warn_user = &warnings;
  for (fake.refused = 0; fake.refused < 2; fake.refused++) {
    const lin_kernel *k = twice(&a);
    float x[40], y[40] = {0};
    double seconds = 0;
    for (int i = 0; i < 40; ++i) x[i] = (float)i;
    runtime *rt = runtime_create(&d, "fake", "generic", 0), *other = runtime_create_like(&d, rt);
    assert_false(runtime_in_place(other));
    assert_int_equal(fake.devices, 2);
    module *m = module_compile(rt, &d, 1, &k, NULL);
    assert_true((module_kernel(m, 0).fallback != NULL) == (fake.refused != 0));
    runtime_reserve(other, &d, m);
    void *block = runtime_alloc(rt, sizeof x);
    const device_arg args[] = {{block, -8},
                               {block, 80}}; /* x from 2 on, since 0 and 1 are no block's */
    runtime_begin(other);
    assert_null(runtime_write(other, block, 0, x, sizeof x));
    assert_null(module_launch(other, m, 0, args, 2, 16, 0));
    assert_null(runtime_finish(other));
    assert_null(runtime_stamp(other, 0, &seconds));
    assert_null(runtime_read(other, block, 0, y, sizeof y));
    runtime_end(other);
    assert_true(seconds >= 0);
    for (int i = 0; i < 40; ++i) assert_true(y[i] == (i >= 22 && i < 36 ? 2 * x[i - 22] : x[i]));
    runtime_free(other, block);
    runtime_destroy(other);
    module_destroy(m);
    runtime_destroy(rt);
    assert_nothing_is_left();
  }
  assert_int_equal(warnings, 1);
  arena_release(&a);
}

/* --- the table -------------------------------------------------------------------------------- */

static void test_it_is_in_the_table(void **state) {
  char names[256];
  const char *spec, *why;
  const device_info *list;
  diag d;
  arena a;
  (void)state;
  diag_init(&d);
  arena_init(&a, &d);
  assert_non_null(strstr(registry_names(names, sizeof names, " and ", true), " and fake[:N]"));
  assert_ptr_equal(registry_find("fake:0", &spec)->backend, &fake_backend);
  assert_string_equal(spec, "0");
  assert_null(registry_find("fakes", &spec));
  assert_null(registry_find("cpu:0", &spec));
  assert_int_equal(runtime_devices(&d, &a, "fake", &list, &why), 1);
  assert_true(registry_knows_isa(&fake_backend, "simt"));
  assert_false(registry_knows_isa(&fake_backend, "avx2"));
  volatile wn_status st;
  DIAG_TRY(&d, st) { runtime_destroy(runtime_create(&d, "fake:1", NULL, 0)); }
  DIAG_END(&d, st)
  assert_int_equal(st, WN_ERR_USAGE);
  DIAG_TRY(&d, st) { runtime_destroy(runtime_create(&d, "nosuch", NULL, 0)); }
  DIAG_END(&d, st)
  assert_int_equal(st, WN_ERR_USAGE);
  assert_non_null(strstr(d.message, "metal and fake"));
  assert_nothing_is_left();
  arena_release(&a);
}

/* --- where names are spelled ------------------------------------------------------------------ */

/* As strings, as structs, and as folders. */
static const char *const spelled[] = {"\"interp\"",    "\"cpu\"",           "\"cpu:",
                                      "\"opencl",      "\"metal",           "backend_interp",
                                      "backend_llvm",  "backend_cc",        "backend_opencl",
                                      "backend_metal", "\"backend/interp/", "\"backend/llvm/",
                                      "\"backend/cc/", "\"backend/opencl/", "\"backend/metal/"};

static void drop_comments(char *text) {
  for (char *at = text; (at = strstr(at, "/*")) != NULL;) {
    char *end = strstr(at, "*/");
    if (end == NULL) return;
    memset(at, ' ', (size_t)(end + 2 - at));
  }
}

static const char *spells(const char *path) {
  static char text[1 << 18];
  FILE *f = fopen(path, "r");
  assert_non_null(f);
  size_t n = fread(text, 1, sizeof text - 1, f);
  fclose(f);
  assert_true(n < sizeof text - 1);
  text[n] = '\0';
  drop_comments(text);
  for (size_t i = 0; i < sizeof spelled / sizeof *spelled; ++i)
    if (strstr(text, spelled[i]) != NULL) return spelled[i];
  return NULL;
}

typedef struct search {
  int files, found;
  char last[512];
} search;

static void look_in(search *s, const char *folder, int depth) {
  char path[512];
  DIR *d = opendir(folder);
  assert_non_null(d);
  for (const struct dirent *e; (e = readdir(d)) != NULL;) {
    struct stat info;
    snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
    if (e->d_name[0] == '.' || stat(path, &info) != 0) continue;
    bool own = depth == 2 || strstr(path, "/src/render") != NULL; /* src/backend/NAME, a renderer */
    size_t n = strlen(path);
    if (S_ISDIR(info.st_mode)) {
      look_in(s, path, strstr(path, "/src/backend") != NULL ? depth + 1 : depth);
      continue;
    }
    if (own || strchr("ch", path[n - 1]) == NULL || path[n - 2] != '.') continue;
    s->files++;
    const char *what = spells(path);
    if (what == NULL) continue;
    s->found++;
    snprintf(s->last, sizeof s->last, "%s", path);
    if (strstr(path, "src/backend/registry.c") == NULL) fail_msg("%s spells %s", path, what);
  }
  closedir(d);
}

static void test_one_file_names_them(void **state) {
  search s = {0};
  (void)state;
  look_in(&s, WN_SOURCE_DIR "/src", 0);
  look_in(&s, WN_SOURCE_DIR "/cli", 0);
  assert_true(s.files > 100);
  assert_int_equal(s.found, 1);
  assert_non_null(strstr(s.last, "registry.c"));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_a_network),
      TEST(test_kernels_fall_back),
      TEST(test_each_call_fails),
      TEST(test_each_lack_of_memory),
      TEST(test_another_runtime_launches),
      TEST(test_it_is_in_the_table),
      TEST(test_one_file_names_them),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
