/* The named plans through the public API: kernels and buffers as the table of plans has them, their
 * names, what is refused and why, one workspace for many lives, the explosion of `inline-m` with and
 * without merging, the loud fallback, and results that do not depend on the number of threads. */
#include "cores.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "diff/conv_case.h"
#include "program/program.h"

#define LEN(a) (sizeof(a) / sizeof *(a))

/* The reference problem: 16 -> 16 channels, 32 x 32, 3 x 3, padded by 1. */
static const conv_case reference_problem = {
    .seed = 7,
    .nd = 2,
    .n = 1,
    .c = 16,
    .k = 16,
    .groups = 1,
    .in = {32, 32},
    .r = {3, 3},
    .p = {.stride = {1, 1}, .dilation = {1, 1}, .pad_lo = {1, 1}, .pad_hi = {1, 1}, .groups = 1}};

typedef struct fixture {
  conv_case c;
  wn_context *ctx;
  wn_program *p;
  wn_program_info info;
  int warnings;
  char warning[512];
} fixture;

static void on_warning(void *user, const char *line) {
  fixture *f = user;
  f->warnings++;
  snprintf(f->warning, sizeof f->warning, "%s", line);
}

static int set_up(void **state) {
  fixture *f = calloc(1, sizeof *f);
  if (f == NULL) return -1;
  f->c = reference_problem;
  if (!case_finish(&f->c) || !case_fill(&f->c)) return -1;
  case_describe(&f->c);
  *state = f;
  return 0;
}

static void drop(fixture *f) {
  wn_program_destroy(f->p);
  wn_context_destroy(f->ctx);
  f->p = NULL;
  f->ctx = NULL;
}

static int tear_down(void **state) {
  fixture *f = *state;
  drop(f);
  case_free(&f->c);
  free(f);
  return 0;
}

static wn_status compile_into(fixture *f, const wn_options *o, float *y) {
  drop(f);
  f->warnings = 0;
  assert_int_equal(wn_context_create(&f->ctx), WN_OK);
  wn_on_warning(f->ctx, on_warning, f);
  wn_tensor *t = case_graph(&f->c, f->ctx);
  void *data = y;
  wn_status st = wn_compile(f->ctx, &t, &data, 1, o, &f->p);
  f->info = WN_PROGRAM_INFO();
  if (st == WN_OK)
    assert_int_equal(wn_program_get_info(f->p, &f->info), WN_OK);
  else
    assert_null(f->p);
  return st;
}

static void compile_ok(fixture *f, wn_options o) {
  o.no_cache = 1;
  if (o.threads == 0) o.threads = 1;
  if (compile_into(f, &o, f->c.y) != WN_OK) fail_msg("%s: %s", o.plan, wn_message(f->ctx));
}

/* Runs and compares; the error. */
static double run(fixture *f) {
  memset(f->c.y, 0xff, sizeof *f->c.y * (size_t)f->c.y_count);
  assert_int_equal(wn_run(f->p), WN_OK);
  return relative_l2(f->c.y, f->c.expected, f->c.y_count);
}

/* --- the table -------------------------------------------------------------------------------- */

typedef struct plan_row {
  const char *name;
  int variable, constant; /* kernels of the run part */
  int buffers;
  const char *global; /* stages that have a kernel of their own with variable weights */
} plan_row;

static const plan_row table[] = {
    {"direct", 1, 1, 1, ""},   {"old", 4, 3, 4, "gxm"},     {"old-2k", 2, 2, 4, "gxm"},
    {"new", 2, 2, 2, "m"},     {"inline-m", 3, 2, 3, "gx"}, {"one", 1, 1, 1, ""},
    {"x-only", 3, 2, 3, "gm"}, {"g-only", 3, 3, 3, "xm"},   {"fused", 2, 1, 2, "g"},
    {"split", 4, 3, 4, "gxm"},
};

static int count_arrays(const wn_program *p) {
  int count = 0;
  for (size_t i = 0; i < p->compiled->set->arrays.len; ++i) {
    array_role role = p->compiled->set->arrays.data[i].role;
    count += role == ROLE_WORK || role == ROLE_PREPARED || role == ROLE_RESULT;
  }
  return count;
}

static void check_row(fixture *f, const plan_row *row, bool variable) {
  compile_ok(f, WN_OPTIONS(.plan = row->name, .variable_weights = variable, .backend = "interp",
                           .isa = "avx512"));
  int kernels = variable ? row->variable : row->constant;
  bool weights = strchr(row->global, 'g') != NULL;
  if (f->info.kernels != kernels || f->info.buffers != row->buffers) {
    fail_msg("%s, %s weights: %d kernels, %d buffers; expected %d, %d", row->name,
             variable ? "variable" : "constant", f->info.kernels, f->info.buffers, kernels,
             row->buffers);
  }
  assert_int_equal(count_arrays(f->p), row->buffers);
  assert_int_equal(f->info.prepare_kernels, weights && !variable ? 1 : 0);
  assert_int_equal(f->info.prepared_bytes != 0, weights && !variable);
  assert_string_equal(f->info.plan, row->name);
  assert_string_equal(f->info.wino, strcmp(row->name, "direct") == 0 ? "" : "4x4");
  assert_int_equal(f->info.promise_missed, 0);
  double error = run(f);
  if (!(error <= case_promise(&f->c))) fail_msg("%s: error %g", row->name, error);
}

static void test_table(void **state) {
  fixture *f = *state;
  for (size_t i = 0; i < LEN(table); ++i) {
    check_row(f, &table[i], true);
    check_row(f, &table[i], false);
  }
}

/* Every stage that is stored is written by exactly one kernel, and its array has its elements: an
 * inline stage has none, and 36 frequencies of 64 tiles of 16 channels are stored where it is global. */
static void test_arrays(void **state) {
  fixture *f = *state;
  const int64_t elements[] = {['x'] = 36 * 64 * 16, ['m'] = 36 * 64 * 16, ['g'] = 36 * 16 * 16};
  for (size_t i = 0; i < LEN(table); ++i) {
    compile_ok(f, WN_OPTIONS(.plan = table[i].name, .variable_weights = 1, .backend = "interp",
                             .isa = "avx512"));
    int stages = 0;
    for (size_t a = 0; a < f->p->compiled->set->arrays.len; ++a) {
      const array_info *info = &f->p->compiled->set->arrays.data[a];
      if (info->role != ROLE_WORK && info->role != ROLE_PREPARED) continue;
      stages++;
      char stage = info->name[0];
      if (strchr(table[i].global, stage) == NULL)
        fail_msg("%s stores %s", table[i].name, info->name);
      int64_t least = elements[(int)stage];
      if (info->len < least || info->len > 2 * least) {
        fail_msg("%s: %s has %lld elements, not %lld", table[i].name, info->name,
                 (long long)info->len, (long long)least);
      }
    }
    assert_int_equal(stages, strlen(table[i].global));
  }
}

static void test_names(void **state) {
  fixture *f = *state;
  const char *const *names = wn_plan_names();
  for (size_t i = 0; i < LEN(table); ++i) assert_string_equal(names[i], table[i].name);
  assert_string_equal(names[LEN(table)], "auto");
  assert_null(names[LEN(table) + 1]);
  for (int i = 0; names[i] != NULL;
       ++i) { /* what is printed can be asked for, and is the same program */
    compile_ok(f, WN_OPTIONS(.plan = names[i], .backend = "interp"));
    assert_string_equal(f->info.plan, names[i]);
    char *text = strdup(f->info.placement);
    int kernels = f->info.kernels, buffers = f->info.buffers, lines = f->info.source_lines;
    assert_non_null(text);
    compile_ok(f, WN_OPTIONS(.plan = text, .backend = "interp"));
    assert_string_equal(f->info.placement, text);
    assert_int_equal(f->info.kernels, kernels);
    assert_int_equal(f->info.buffers, buffers);
    assert_int_equal(f->info.source_lines, lines);
    free(text);
  }
}

static void test_kernel_info(void **state) {
  fixture *f = *state;
  for (size_t i = 0; i < LEN(table); ++i) {
    compile_ok(f, WN_OPTIONS(.plan = table[i].name, .backend = "interp"));
    int lines = 0, count = f->info.kernels + f->info.prepare_kernels;
    for (int k = 0; k < count; ++k) {
      wn_kernel_info info = WN_KERNEL_INFO(), other = WN_KERNEL_INFO();
      assert_int_equal(wn_program_get_kernel(f->p, k, &info), WN_OK);
      assert_int_equal(info.prepare, k < f->info.prepare_kernels);
      assert_true(strlen(info.name) > 2 && strlen(info.stage) > 0 && strlen(info.loops) > 0);
      assert_non_null(strstr(info.source, info.name));
      assert_true(info.flops >= 0 && info.bytes > 0); /* packing weights computes nothing */
      if (!info.prepare) assert_true(info.flops > 0);
      lines += info.source_lines;
      for (int j = 0; j < k; ++j) {
        assert_int_equal(wn_program_get_kernel(f->p, j, &other), WN_OK);
        assert_string_not_equal(info.name, other.name);
      }
    }
    assert_int_equal(lines, f->info.source_lines);
    wn_kernel_info none = WN_KERNEL_INFO();
    assert_int_not_equal(wn_program_get_kernel(f->p, count, &none), WN_OK);
    assert_int_not_equal(wn_program_get_kernel(f->p, -1, &none), WN_OK);
  }
}

/* --- refusals --------------------------------------------------------------------------------- */

static void refuse(fixture *f, wn_options o, wn_status expected, const char *reason) {
  wn_status st = compile_into(f, &o, f->c.y);
  if (st != expected || strstr(wn_message(f->ctx), reason) == NULL) {
    fail_msg("plan %s, wino %s: status %d, \"%s\"", o.plan ? o.plan : "-", o.wino ? o.wino : "-",
             (int)st, st == WN_OK ? "" : wn_message(f->ctx));
  }
}

static void test_refusals(void **state) {
  fixture *f = *state;
  refuse(f, WN_OPTIONS(.plan = "older"), WN_ERR_USAGE, "unknown plan \"older\"");
  refuse(f, WN_OPTIONS(.plan = "x=global"), WN_ERR_USAGE, "column 9");
  refuse(f, WN_OPTIONS(.wino = "0x4"), WN_ERR_USAGE, "tile size");
  refuse(f, WN_OPTIONS(.wino = "9"), WN_ERR_USAGE, "tile size");
  refuse(f, WN_OPTIONS(.wino = "-1"), WN_ERR_USAGE, "tile size");
  refuse(f, WN_OPTIONS(.wino = ""), WN_ERR_USAGE, "tile size");
  refuse(f, WN_OPTIONS(.wino = "4x"), WN_ERR_USAGE, "tile size");
  refuse(f, WN_OPTIONS(.plan = "old", .backend = "gpu"), WN_ERR_USAGE, "gpu");
  refuse(f, WN_OPTIONS(.plan = "old", .isa = "avx1024"), WN_ERR_USAGE, "avx1024");
  refuse(f, WN_OPTIONS(.plan = "old", .max_memory = 4096, .backend = "interp"), WN_ERR_REFUSED,
         "4096");
  refuse(f, WN_OPTIONS(.plan = "x=global,g=global,m=global@q,o=global"), WN_ERR_USAGE, "column");
  refuse(f, WN_OPTIONS(.plan = "x=global,g=global,m=global@c3,o=global", .backend = "interp"),
         WN_ERR_REFUSED, "c3");
  f->c.r[0] = f->c.r[1] = 1; /* a 1x1 filter has nothing to save */
  f->c.p.pad_lo[0] = f->c.p.pad_lo[1] = f->c.p.pad_hi[0] = f->c.p.pad_hi[1] = 0;
  assert_true(case_finish(&f->c));
  for (size_t i = 1; i < LEN(table); ++i) {
    refuse(f, WN_OPTIONS(.plan = table[i].name, .backend = "interp"), WN_ERR_REFUSED,
           "nothing to rewrite");
  }
}

/* A limit that is just large enough is. */
static void test_memory_limit(void **state) {
  fixture *f = *state;
  compile_ok(f, WN_OPTIONS(.plan = "old", .backend = "interp"));
  size_t need = f->info.workspace_bytes + f->info.prepared_bytes;
  assert_true(need > f->info.prepared_bytes);
  compile_ok(f, WN_OPTIONS(.plan = "old", .backend = "interp", .max_memory = need));
  refuse(f, WN_OPTIONS(.plan = "old", .backend = "interp", .max_memory = need - 1), WN_ERR_REFUSED,
         "workspace");
  compile_ok(f, WN_OPTIONS(.plan = "one", .backend = "interp", .max_memory = 1));
  assert_int_equal(f->info.workspace_bytes, 0);
}

/* --- merging ---------------------------------------------------------------------------------- */

static int accumulators(const lin_kernel *k) {
  int count = 0;
  for (size_t i = 0; i < k->ins.len; ++i) count += k->ins.data[i].op == OP_ACC;
  return count;
}

/* The products flow into the output transform: 36 sums for each tile and channel in registers, in as
 * many loops as registers ask for, however many of the 16 outputs use each. Without merging every one
 * of the 16 outputs has 36 (fewer where a coefficient is zero) of its own. */
static void test_explosion(void **state) {
  fixture *f = *state;
  compile_ok(f, WN_OPTIONS(.plan = "inline-m", .backend = "interp"));
  int last = f->info.kernels + f->info.prepare_kernels - 1;
  wn_kernel_info merged = WN_KERNEL_INFO(), exploded = WN_KERNEL_INFO();
  assert_int_equal(wn_program_get_kernel(f->p, last, &merged), WN_OK);
  int sums = accumulators(&f->p->compiled->kernels[last]->lin);
  print_message("# merged: %d accumulators, %d lines\n", sums, merged.source_lines);
  assert_true(sums > 0 && sums % 36 == 0);
  assert_true(merged.source_lines <= 500);
  assert_null(f->info.fallback);
  compile_ok(f, WN_OPTIONS(.plan = "inline-m", .backend = "interp", .no_merge = 1));
  assert_int_equal(wn_program_get_kernel(f->p, last, &exploded), WN_OK);
  int many = accumulators(&f->p->compiled->kernels[last]->lin);
  print_message("# without merging: %d accumulators, %d lines\n", many, exploded.source_lines);
  assert_true(exploded.source_lines > 4000);
  assert_true(many >= 8 * sums && many <= 16 * sums);
  assert_true(run(f) <= case_promise(&f->c));
}

/* --- fallback --------------------------------------------------------------------------------- */

static void test_fallback(void **state) {
  fixture *f = *state;
  compile_ok(f, WN_OPTIONS(.plan = "old"));
  assert_null(f->info.fallback);
  assert_int_equal(f->warnings, 0);
  compile_ok(f, WN_OPTIONS(.plan = "inline-m", .no_merge = 1));
  assert_non_null(f->info.fallback);
  assert_non_null(strstr(f->info.fallback, "2000"));
  assert_true(f->warnings >= 1);
  assert_non_null(strstr(f->warning, "interpreter"));
  bool told = false;
  for (int k = 0; k < f->info.kernels + f->info.prepare_kernels; ++k) {
    wn_kernel_info info = WN_KERNEL_INFO();
    assert_int_equal(wn_program_get_kernel(f->p, k, &info), WN_OK);
    assert_int_equal(info.fallback != NULL, info.source_lines > 2000);
    told |= info.fallback != NULL;
  }
  assert_true(told);
  assert_true(run(f) <= case_promise(&f->c));
  refuse(f, WN_OPTIONS(.plan = "inline-m", .no_merge = 1, .strict = 1), WN_ERR_STRICT,
         "interpreter");
  refuse(f, WN_OPTIONS(.plan = "old", .max_lines = 10, .strict = 1), WN_ERR_STRICT, "interpreter");
  compile_ok(f, WN_OPTIONS(.plan = "old", .max_lines = 10));
  assert_non_null(f->info.fallback);
  assert_true(run(f) <= case_promise(&f->c));
  compile_ok(f, WN_OPTIONS(.plan = "old", .strict = 1));
  assert_null(f->info.fallback);
}

/* --- what may not change a result ------------------------------------------------------------- */

static void test_threads(void **state) {
  fixture *f = *state;
  size_t bytes = sizeof *f->c.y * (size_t)f->c.y_count;
  float *first = malloc(bytes);
  assert_non_null(first);
  static const int counts[] = {1, 2, 3, 5};
  for (size_t i = 0; i < LEN(table); ++i) {
    for (size_t n = 0; n < LEN(counts); ++n) {
      int threads = counts[n];
      compile_ok(f, WN_OPTIONS(.plan = table[i].name, .threads = threads, .max_lines = 5000));
      assert_int_equal(f->info.threads, threads);
      assert_true(run(f) <= case_promise(&f->c));
      if (threads == 1) memcpy(first, f->c.y, bytes);
      if (memcmp(first, f->c.y, bytes) != 0)
        fail_msg("%s: %d threads give other bits", table[i].name, threads);
      run(f);
      if (memcmp(first, f->c.y, bytes) != 0)
        fail_msg("%s: a second run gives other bits", table[i].name);
    }
  }
  free(first);
}

/* An input may change between runs, a constant is read once; variable weights are read each time. */
static void test_inputs_change(void **state) {
  fixture *f = *state;
  assert_true(case_seal(&f->c, false));
  for (size_t i = 0; i < LEN(table); ++i) {
    compile_ok(f, WN_OPTIONS(.plan = table[i].name, .backend = "interp", .variable_weights = 1));
    assert_true(run(f) <= case_promise(&f->c));
    for (int64_t j = 0; j < f->c.x_count; ++j) f->c.x[j] = -2 * f->c.x[j];
    for (int64_t j = 0; j < f->c.w_count; ++j) f->c.w[j] = 4 * f->c.w[j];
    for (int64_t j = 0; j < f->c.y_count; ++j) f->c.expected[j] *= -8;
    double error = run(f);
    if (!(error <= case_promise(&f->c))) fail_msg("%s: error %g", table[i].name, error);
    for (int64_t j = 0; j < f->c.x_count; ++j) f->c.x[j] = -f->c.x[j] / 2;
    for (int64_t j = 0; j < f->c.w_count; ++j) f->c.w[j] = f->c.w[j] / 4;
    for (int64_t j = 0; j < f->c.y_count; ++j) f->c.expected[j] /= -8;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_table, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_arrays, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_kernel_info, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_memory_limit, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_explosion, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_fallback, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_inputs_change, set_up, tear_down),
  };
  return cmocka_run_group_tests_name("plans", tests, NULL, NULL);
}
