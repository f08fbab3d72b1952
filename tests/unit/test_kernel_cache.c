/* Compiled code that was kept: the same bits, registers and fallbacks as when it was new, found exactly when nothing
 * that it depends on has changed, and made anew when it does not load. Keys are checked field by field. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lin_builder.h"
#include "store/kernel_key.h"
#include "backend/runtime.h"
#include "unit/on_host.h"
#include "store/store.h"

typedef struct fixture {
  diag d;
  arena a;
  char root[64], file[96];
} fixture;

static int setup(void **state) {
  fixture *f = mem_alloc(sizeof *f);
  if (!f) return -1;
  /* where there is no disk to wait for, if there is such a place */
  const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  *f = (fixture){0};
  snprintf(f->root, sizeof f->root, "%s/winnow-test-XXXXXX", base);
  if (!mkdtemp(f->root)) return -1;
  snprintf(f->file, sizeof f->file, "%s/cache-1.db", f->root);
  setenv("WINNOW_CACHE", f->root, 1);
  diag_init(&f->d);
  arena_init(&f->a, &f->d);
  *state = f;
  return 0;
}

static int teardown(void **state) {
  fixture *f = *state;
  arena_release(&f->a);
  unlink(f->file);
  int status = rmdir(f->root);
  mem_free(f);
  return status;
}

/* --- keys ------------------------------------------------------------------------------------- */

/* y[8b..] = reversed x[8b..] + 2.5 */
static lin_kernel *sample(arena *a) {
  static const int64_t reversed[] = {7, 6, 5, 4, 3, 2, 1, 0};
  lin_builder b = lb_new(a, "sample", 4);
  int64_t x = lb_array(&b, SPACE_GLOBAL, WN_F32, 32), y = lb_array(&b, SPACE_GLOBAL, WN_F32, 32);
  lb_array(&b, SPACE_LOCAL, WN_F32, 16);
  uint32_t at = lb_op2(&b, OP_MUL, WN_I64, lb_grid(&b), lb_i64(&b, 8));
  uint32_t v = lb_load(&b, x, 8, at, 1, LB_NO_MASK), c = lb_float(&b, WN_F32, 8, 2.5);
  v = lb_shuffle(&b, WN_F32, 8, 1, v, 0, reversed);
  lb_store(&b, y, at, lb_op2(&b, OP_ADD, WN_F32, v, c), 1, LB_NO_MASK);
  assert_null(lin_verify(a, b.k));
  return b.k;
}

typedef struct key {
  const char *data;
  size_t len;
} key;

static key key_of_one(arena *a, const lin_kernel *k) {
  str s;
  str_init(&s, a);
  kernel_key_add(&s, k);
  return (key){s.data, s.len};
}

static bool same(key x, key y) { return x.len == y.len && memcmp(x.data, y.data, x.len) == 0; }

enum { PARTS = 9 /* of an instruction */ };

/* The n-th change of a kernel; false when there is none. */
static bool change(lin_kernel *k, arena *a, int n) {
  lin_array *x = &k->arrays.data[1];
  switch (n) {
    case 0:
      k->narrow = !k->narrow;
      return true;
    case 1:
      k->grid++;
      return true;
    case 2:
      k->scratch_bytes += 64;
      return true;
    case 3:
      k->once = true;
      return true;
    case 4:
      x->dtype = WN_I32;
      return true;
    case 5:
      x->space = SPACE_LOCAL;
      return true;
    case 6:
      x->len++;
      return true;
    case 7:
      x->slot++;
      return true;
    case 8:
      x->offset += 64;
      return true;
    case 9:
      x->read = !x->read;
      return true;
    case 10:
      x->written = !x->written;
      return true;
    case 11:
      x->aligned = !x->aligned;
      return true;
    case 12:
      k->arrays.len--;
      return true;
    case 13:
      k->ins.len--;
      return true;
    case 14:
    case 15:
      vec_push(a, &k->pairs, ((lin_pair){.stored = n - 14, .read = 1}));
      return true;
    default:
      break;
  }
  n -= 16;
  lin_ins *u = &k->ins.data[(size_t)n / PARTS < k->ins.len ? n / PARTS : 0];
  switch (n % PARTS) {
    case 0:
      if (u->op == OP_SHUFFLE)
        u->lanes = 99;
      else
        u->op++;
      break;
    case 1:
      u->dtype++;
      break;
    case 2:
      u->lanes++;
      break;
    case 3:
      u->lanes = (uint16_t)(u->lanes + 256);
      break;
    case 4:
      u->nsrc++;
      break;
    case 5:
      if (u->nsrc > 0)
        u->src[0]++;
      else
        u->lanes = 77;
      break;
    case 6:
      u->disp--, u->i += INT64_C(1) << 40;
      break;
    case 7:
      u->transposed = true;
      break;
    default:
      if (u->op == OP_SHUFFLE) {
        int_list *list =
            arena_copy(a, u->list, sizeof *list + (size_t)u->list->len * sizeof list->at[0]);
        list->at[list->len - 1]++;
        u->list = list;
      } else {
        u->j ^= INT64_C(1) << 50;
      }
  }
  return (size_t)n / PARTS < k->ins.len;
}

static void keys_differ(void **state) {
  fixture *f = *state;
  VEC(key) keys = {0};
  vec_push(&f->a, &keys, key_of_one(&f->a, sample(&f->a)));
  for (int n = 0;; n++) {
    lin_kernel *k = sample(&f->a);
    if (!change(k, &f->a, n)) break;
    vec_push(&f->a, &keys, key_of_one(&f->a, k));
  }
  assert_true(keys.len > 16 + PARTS * 5);
  for (size_t i = 0; i < keys.len; i++)
    for (size_t j = 0; j < i; j++)
      if (same(keys.data[i], keys.data[j])) fail_msg("changes %zu and %zu have one key", i, j);
}

/* Addresses and what is only for people make no difference, names neither. */
static void keys_agree(void **state) {
  fixture *f = *state;
  lin_kernel *one = sample(&f->a), *other = sample(&f->a);
  other->name = "other";
  other->stage = "other";
  other->loops = "other";
  other->flops = 3;
  other->bytes = 4;
  other->arrays.data[0].name = "other";
  assert_true(same(key_of_one(&f->a, one), key_of_one(&f->a, other)));
  str s, t;
  str_init(&s, &f->a);
  str_init(&t, &f->a);
  kernel_key_add(&s, one);
  other->grid++;
  kernel_key_add(&t, other);
  assert_string_not_equal(kernel_symbol(&f->a, &s), kernel_symbol(&f->a, &t));
}

/* --- programs --------------------------------------------------------------------------------- */

enum { C = 5, K = 7, H = 19, W = 22, X = C * H * W, F = K * C * 9, Y = K * H * W };

typedef struct outcome {
  int cached, kernels;
  char fallback[128];
  int registers[8], spills[8], lines[8];
  float y[Y];
} outcome;

static void fill(float *v, int count, uint32_t random) {
  for (int i = 0; i < count; i++) {
    random = random * 1664525u + 1013904223u;
    v[i] = (float)(random >> 8) / 8388608.0f - 1.0f;
  }
}

static void quiet(void *user, const char *line) {
  (void)line;
  ++*(int *)user;
}

static outcome live(wn_options options) {
  static float x[X], w[F];
  static outcome o;
  int warnings = 0;
  wn_context *ctx;
  wn_program *p;
  wn_program_info info = WN_PROGRAM_INFO();
  memset(&o, 0, sizeof o);
  memset(o.y, 0xff, sizeof o.y);
  fill(x, X, 1);
  fill(w, F, 2);
  options.threads = 1;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_on_warning(ctx, quiet, &warnings);
  wn_tensor *y = wn_conv(wn_input(ctx, WN_F32, 4, (int64_t[]){1, C, H, W}, x),
                         wn_constant(ctx, WN_F32, 4, (int64_t[]){K, C, 3, 3}, w),
                         &WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1}));
  void *data = o.y;
  if (wn_compile(ctx, &y, &data, 1, &options, &p) != WN_OK) fail_msg("%s", wn_message(ctx));
  assert_int_equal(wn_run(p), WN_OK);
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  o.cached = info.cached;
  o.kernels = info.kernels + info.prepare_kernels;
  assert_in_range(o.kernels, 1, 8);
  if (info.fallback) snprintf(o.fallback, sizeof o.fallback, "%s", info.fallback);
  for (int i = 0; i < o.kernels; i++) {
    wn_kernel_info k = WN_KERNEL_INFO();
    assert_int_equal(wn_program_get_kernel(p, i, &k), WN_OK);
    o.registers[i] = k.registers;
    o.spills[i] = k.spills;
    o.lines[i] = k.source_lines;
  }
  wn_program_destroy(p);
  wn_context_destroy(ctx);
  if (!info.fallback && strcmp(options.backend, "cpu:cc") == 0) assert_int_equal(warnings, 0);
  return o;
}

static void expect_equal(outcome first, outcome second) {
  assert_memory_equal(first.y, second.y, sizeof first.y);
  assert_int_equal(first.kernels, second.kernels);
  assert_string_equal(first.fallback, second.fallback);
  assert_memory_equal(first.registers, second.registers, sizeof first.registers);
  assert_memory_equal(first.spills, second.spills, sizeof first.spills);
  assert_memory_equal(first.lines, second.lines, sizeof first.lines);
}

static void same_as_new(const char *backend, int count) {
  static const char *const plans[] = {"old", "direct", "fused"};
  for (int i = 0; i < count; i++) {
    wn_options o = WN_OPTIONS(.plan = plans[i], .backend = backend);
    outcome first = live(o), second = live(o);
    assert_false(first.cached);
    assert_true(second.cached);
    expect_equal(first, second);
    o.no_cache = 1;
    outcome third = live(o);
    assert_false(third.cached);
    expect_equal(first, third);
    assert_string_equal(first.fallback, "");
  }
}

static void llvm(void **state) {
  (void)state;
  same_as_new("cpu", 3);
}

static void system_compiler(void **state) {
  (void)state;
  same_as_new("cpu:cc", 1);
}

/* What is over the limit runs in the interpreter whether or not the others were kept. */
static void with_fallback(void **state) {
  (void)state;
  wn_options o = WN_OPTIONS(.plan = "old", .backend = "cpu", .no_cache = 1);
  outcome all = live(o);
  for (int i = 0; i < all.kernels; i++)
    if (all.lines[i] > o.max_lines) o.max_lines = all.lines[i];
  o.max_lines--; /* all but the largest */
  o.no_cache = 0;
  outcome first = live(o), second = live(o);
  assert_false(first.cached);
  assert_true(second.cached);
  assert_string_not_equal(first.fallback, "");
  expect_equal(first, second);
  o.max_lines = 1; /* nothing is compiled, so nothing can come from anywhere */
  assert_false(live(o).cached);
  assert_false(live(o).cached);
}

/* Each of these needs code of its own. */
static void dependences(void **state) {
  (void)state;
  const wn_options base = WN_OPTIONS(.plan = "old", .backend = "cpu");
  wn_options others[] = {base, base, base, base};
  others[0].plan = "old-2k";
  others[1].wino = "2";
  others[2].isa = "generic";
  others[3].wino = "3";
  assert_false(live(base).cached);
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    if (live(others[i]).cached) fail_msg("options %zu found the code of others", i);
    assert_true(live(others[i]).cached);
  }
  assert_true(live(base).cached);
}

/* Puts bytes that are no code under the keys that are there. */
static void replace_code(fixture *f, const char *bytes) {
  sqlite3 *db;
  sqlite3_stmt *q;
  VEC(key) keys = {0};
  assert_int_equal(sqlite3_open(f->file, &db), SQLITE_OK);
  assert_int_equal(sqlite3_prepare_v2(db, "SELECT key FROM blobs;", -1, &q, NULL), SQLITE_OK);
  while (sqlite3_step(q) == SQLITE_ROW) {
    size_t size = (size_t)sqlite3_column_bytes(q, 0);
    key k = {arena_copy(&f->a, sqlite3_column_blob(q, 0), size), size};
    vec_push(&f->a, &keys, k);
  }
  sqlite3_finalize(q);
  sqlite3_close(db);
  assert_true(keys.len > 0);
  store *s = store_open(&f->d, false);
  assert_non_null(s);
  for (size_t i = 0; i < keys.len; ++i)
    assert_true(
        store_put(s, STORE_KERNELS, keys.data[i].data, keys.data[i].len, bytes, strlen(bytes)));
  store_close(s);
}

static void code_that_does_not_load(void **state) {
  static const char *const backends[] = {"cpu", "cpu:cc"};
  fixture *f = *state;
  for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
    const wn_options o = WN_OPTIONS(.plan = "direct", .backend = backends[i]);
    unlink(f->file);
    outcome first = live(o);
    replace_code(f, "this is no object");
    outcome second = live(o);
    assert_false(second.cached);
    expect_equal(first, second);
    assert_true(live(o).cached);
  }
}

static int kept_kernels(void) {
  diag d;
  arena a;
  diag_init(&d);
  arena_init(&a, &d);
  store *s = store_open(&d, false);
  int count, n = 0;
  const store_kind *kinds = store_kinds(s, &a, &count);
  for (int i = 0; i < count; ++i)
    if (strcmp(kinds[i].kind, STORE_KERNELS) == 0) n = (int)kinds[i].entries;
  store_close(s);
  arena_release(&a);
  return n;
}

static bool compile_pair(fixture *f, const char *backend, const lin_kernel *x,
                         const lin_kernel *y) {
  const lin_kernel *both[] = {x, y};
  runtime *rt = runtime_create(&f->d, backend, NULL, 2);
  store *s = store_open(&f->d, false);
  module *m = module_compile(rt, &f->d, 2, both, &(compile_options){.store = s});
  bool cached = module_cached(m);
  for (int i = 0; i < 2; ++i) assert_null(module_kernel(m, i).fallback);
  module_destroy(m);
  store_close(s);
  runtime_destroy(rt);
  return cached;
}

/* Each kernel is kept by itself, whatever it is called and whatever is beside it. */
static void kept_singly(void **state) {
  static const char *const backends[] = {"cpu", "cpu:cc"};
  fixture *f = *state;
  lin_kernel *x = sample(&f->a), *again = sample(&f->a), *y = sample(&f->a), *z = sample(&f->a);
  again->name = "again";
  y->name = "y";
  y->grid = 3;
  z->name = "z";
  z->grid = 2;
  for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
    unlink(f->file);
    assert_false(compile_pair(f, backends[i], x, y));
    assert_int_equal(kept_kernels(), 2);
    assert_true(compile_pair(f, backends[i], y, again));
    assert_true(compile_pair(f, backends[i], again, x));
    assert_false(compile_pair(f, backends[i], z, x));
    assert_int_equal(kept_kernels(), 3);
  }
}

/* With the n-th allocation and all later ones failing: no memory, or a module that is right; and what was kept is
 * still there afterwards. */
static void out_of_memory(void **state) {
  static const char *const backends[] = {"cpu", "cpu:cc"};
  fixture *f = *state;
  const lin_kernel *k = sample(&f->a);
  float x[32], y[32];
  fill(x, 32, 3);
  for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
    runtime *rt = runtime_create(&f->d, backends[i], NULL, 1);
    store *s = store_open(&f->d, false);
    assert_non_null(s);
    const compile_options o = {.store = s};
    volatile bool finished = false;
    module_destroy(module_compile(rt, &f->d, 1, &k, &o));
    for (volatile long n = 1; !finished; n++) {
      module *volatile m = NULL;
      volatile wn_status status;
      mem_fail_at(n);
      DIAG_TRY(&f->d, status) { m = module_compile(rt, &f->d, 1, &k, &o); }
      DIAG_END(&f->d, status)
      finished = mem_count() < n;
      mem_fail_at(0);
      if (status != WN_OK) {
        assert_int_equal(status, WN_ERR_NOMEM);
        continue;
      }
      if (finished) assert_true(module_cached(m));
      memset(y, 0xff, sizeof y);
      assert_null(launch_on_host(rt, m, 0, 2, (void *[]){x, y}, 0, 4));
      for (int e = 0; e < 32; e++) assert_true(y[e] == x[e / 8 * 8 + 7 - e % 8] + 2.5f);
      module_destroy(m);
    }
    store_close(s);
    runtime_destroy(rt);
  }
}

/* The same where two threads compile, from nothing. */
static void out_of_memory_in_threads(void **state) {
  static const char *const backends[] = {"cpu", "cpu:cc"};
  fixture *f = *state;
  lin_kernel *other = sample(&f->a);
  other->grid = 3;
  const lin_kernel *both[] = {sample(&f->a), other};
  float x[32], y[32];
  fill(x, 32, 3);
  for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
    runtime *rt = runtime_create(&f->d, backends[i], NULL, 2);
    volatile bool finished = false;
    for (volatile long n = 1; !finished; n += 1 + n / 8) {
      module *volatile m = NULL;
      volatile wn_status status;
      mem_fail_at(n);
      DIAG_TRY(&f->d, status) { m = module_compile(rt, &f->d, 2, both, NULL); }
      DIAG_END(&f->d, status)
      finished = mem_count() < n;
      mem_fail_at(0);
      assert_true(status == WN_OK || status == WN_ERR_NOMEM);
      if (finished) assert_int_equal(status, WN_OK);
      if (status != WN_OK) continue;
      for (int k = 0; k < 2; k++) {
        memset(y, 0, sizeof y);
        assert_null(module_kernel(m, k).fallback);
        assert_null(launch_on_host(rt, m, k, 2, (void *[]){x, y}, 0, 4 - k));
        for (int e = 0; e < 8 * (4 - k); e++) assert_true(y[e] == x[e / 8 * 8 + 7 - e % 8] + 2.5f);
      }
      module_destroy(m);
    }
    runtime_destroy(rt);
  }
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(keys_differ),   TEST(keys_agree),
      TEST(llvm),          TEST(system_compiler),
      TEST(with_fallback), TEST(dependences),
      TEST(kept_singly),   TEST(code_that_does_not_load),
      TEST(out_of_memory), TEST(out_of_memory_in_threads),
  };
  return cmocka_run_group_tests_name("kernel cache", tests, NULL, NULL);
}
