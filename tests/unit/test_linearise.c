/* Kernels as linear IR: the laws hold for every kernel of every plan, loop-invariant code stands
 * outside its loop, products are fused with the sums that they feed, equal reductions share a loop,
 * and names say what a kernel is. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "diff/conv_case.h"
#include "program/program.h"
#include "render/render.h"

#define LEN(a) (sizeof(a) / sizeof *(a))

static const conv_case shapes[] = {
    {.nd = 2,
     .n = 1,
     .c = 16,
     .k = 16,
     .in = {32, 32},
     .r = {3, 3},
     .groups = 1,
     .p = {.stride = {1, 1}, .dilation = {1, 1}, .pad_lo = {1, 1}, .pad_hi = {1, 1}}},
    {.nd = 2,
     .n = 3,
     .c = 5,
     .k = 7,
     .in = {17, 23},
     .r = {3, 5},
     .groups = 1,
     .p = {.stride = {2, 1}, .dilation = {1, 2}, .pad_lo = {0, 3}, .pad_hi = {1, 0}}},
    {.nd = 1,
     .n = 2,
     .c = 9,
     .k = 9,
     .in = {41},
     .r = {3},
     .groups = 9,
     .p = {.stride = {1}, .dilation = {1}, .pad_lo = {1}, .pad_hi = {1}}},
    {.nd = 3,
     .n = 1,
     .c = 3,
     .k = 4,
     .in = {5, 6, 7},
     .r = {3, 3, 3},
     .groups = 1,
     .p = {.stride = {1, 1, 1}, .dilation = {1, 1, 1}, .pad_lo = {1, 1, 1}, .pad_hi = {1, 1, 1}}},
    {.nd = 2,
     .n = 1,
     .c = 200,
     .k = 3,
     .in = {6, 6},
     .r = {3, 3},
     .groups = 1,
     .p = {.stride = {1, 1}, .dilation = {1, 1}, .pad_lo = {1, 1}, .pad_hi = {1, 1}}},
};

typedef struct compiled {
  conv_case c;
  wn_context *ctx;
  wn_program *p;
} compiled;

static void ignore_warning(void *user, const char *line) {
  (void)user;
  (void)line;
}

static compiled compile(conv_case c, const char *plan, const char *isa, int no_merge) {
  compiled r = {.c = c};
  assert_true(case_finish(&r.c));
  assert_true(case_fill(&r.c));
  case_describe(&r.c);
  assert_int_equal(wn_context_create(&r.ctx), WN_OK);
  wn_on_warning(r.ctx, ignore_warning, NULL);
  wn_tensor *y = case_graph(&r.c, r.ctx);
  void *data = r.c.y;
  const wn_options o =
      WN_OPTIONS(.plan = plan, .backend = "interp", .threads = 1, .isa = isa, .no_merge = no_merge);
  if (wn_compile(r.ctx, &y, &data, 1, &o, &r.p) != WN_OK)
    fail_msg("%s %s: %s", r.c.text, plan, wn_message(r.ctx));
  return r;
}

static void release(compiled *r) {
  wn_program_destroy(r->p);
  wn_context_destroy(r->ctx);
  case_free(&r->c);
}

static size_t kernel_count(const compiled *r) { return r->p->compiled->set->kernels.len; }
static const lin_kernel *kernel(const compiled *r, size_t i) {
  return &r->p->compiled->kernels[i]->lin;
}

/* --- laws ------------------------------------------------------------------------------------- */

/* What lin_verify does not know: arrays match the program's, names are identifiers that tell
 * reductions (r_) from the rest (E_), a global array is written once at most by a kernel's nests. */
static void check_kernel(compiled *r, const char *plan, size_t i) {
  const linear_kernel *lk = r->p->compiled->kernels[i];
  const lin_kernel *k = &lk->lin;
  const char *broken = lin_verify(&r->p->compiled->graph.arena, k);
  if (broken != NULL) fail_msg("%s %s: %s", r->c.text, plan, broken);
  bool accumulates = false;
  for (size_t n = 0; n < k->ins.len; ++n) accumulates |= k->ins.data[n].op == OP_ACC;
  assert_true(k->name[1] == '_' && (k->name[0] == 'r' || k->name[0] == 'E'));
  if (k->name[0] == 'E' && accumulates) fail_msg("%s %s: %s reduces", r->c.text, plan, k->name);
  assert_int_equal(strspn(k->name + 1, "_0123456789n"), strlen(k->name + 1));
  assert_true(k->grid >= 1);
  for (size_t a = 0; a < k->arrays.len; ++a) {
    const lin_array *arr = &k->arrays.data[a];
    assert_true(arr->read || arr->written);
    if (arr->space == SPACE_LOCAL)
      assert_true(arr->offset + arr->len * 4 <= (int64_t)k->scratch_bytes);
    if (arr->space != SPACE_GLOBAL) continue;
    assert_true(arr->slot >= 0 && (size_t)arr->slot < lk->args.len);
    const array_info *info = &r->p->compiled->set->arrays.data[lk->args.data[arr->slot]];
    assert_int_equal(info->len, arr->len);
    assert_true(!arr->written || (info->role != ROLE_INPUT && info->role != ROLE_CONSTANT));
  }
}

static void test_laws(void **state) {
  (void)state;
  static const char *const isas[] = {NULL, "sse2"};
  for (size_t s = 0; s < LEN(shapes); ++s) {
    for (const char *const *plan = wn_plan_names(); *plan != NULL; ++plan) {
      for (size_t v = 0; v < LEN(isas); ++v) {
#if !defined(__x86_64__)
        if (isas[v] != NULL) continue;
#endif
        compiled r = compile(shapes[s], *plan, isas[v], 0);
        for (size_t i = 0; i < kernel_count(&r); ++i) check_kernel(&r, *plan, i);
        release(&r);
      }
    }
  }
}

/* --- where code stands ------------------------------------------------------------------------ */

enum { DEEPEST = 32 };

/* The depth of the innermost loop that an instruction's value depends on, against the depth at which it
 * stands. Loads of arrays that the kernel writes, accumulators and masked code stay where they are. */
static int invariant_instructions(const lin_kernel *k, int *total) {
  size_t n = k->ins.len;
  int *depends = calloc(n + 1, sizeof *depends), depth = 0, wrong = 0;
  int in_if[DEEPEST] = {0};
  assert_non_null(depends);
  *total = 0;
  for (size_t i = 0; i < n; ++i) {
    const lin_ins *ins = &k->ins.data[i];
    if (ins->op == OP_END) {
      --depth;
      continue;
    }
    for (int s = 0; s < ins->nsrc; ++s) {
      if (depends[ins->src[s]] > depends[i]) depends[i] = depends[ins->src[s]];
    }
    if (ins->op == OP_LOOP || ins->op == OP_IF) {
      assert_true(++depth < DEEPEST);
      in_if[depth] = in_if[depth - 1] || ins->op == OP_IF;
      depends[i] = depth;
      continue;
    }
    bool memory = ins->op == OP_LOAD && k->arrays.data[ins->i].written;
    bool stays = memory || ins->op == OP_ACC || ins->op == OP_ACC_SET || ins->op == OP_STORE ||
                 ins->op == OP_PREFETCH;
    if (ins->op == OP_ACC || memory) depends[i] = depth + 1; /* its value changes inside */
    if (stays || in_if[depth]) continue;
    ++*total;
    wrong += depends[i] < depth;
  }
  free(depends);
  return wrong;
}

static void test_hoisting(void **state) {
  (void)state;
  static const char *const plans[] = {"direct",   "old",    "new",    "one",
                                      "inline-m", "x-only", "g-only", "fused"};
  for (size_t s = 0; s < LEN(shapes); ++s) {
    for (size_t p = 0; p < LEN(plans); ++p) {
      compiled r = compile(shapes[s], plans[p], NULL, 0);
      for (size_t i = 0; i < kernel_count(&r); ++i) {
        int total, wrong = invariant_instructions(kernel(&r, i), &total);
        if (wrong > 0) {
          fail_msg("%s %s: %d of %d instructions of %s could stand outside their loop", r.c.text,
                   plans[p], wrong, total, kernel(&r, i)->name);
        }
      }
      release(&r);
    }
  }
}

/* --- fusing ----------------------------------------------------------------------------------- */

/* A product that nothing but one addition reads would have been fused with it. */
static int unfused(const lin_kernel *k) {
  size_t n = k->ins.len;
  int *uses = calloc(n + 1, sizeof *uses), found = 0;
  assert_non_null(uses);
  for (size_t i = 0; i < n; ++i) {
    for (int s = 0; s < k->ins.data[i].nsrc; ++s) uses[k->ins.data[i].src[s]]++;
  }
  for (size_t i = 0; i < n; ++i) {
    const lin_ins *ins = &k->ins.data[i];
    if (ins->op != OP_ADD || !dtype_is_float(ins->dtype)) continue;
    for (int s = 0; s < 2; ++s)
      found += k->ins.data[ins->src[s]].op == OP_MUL && uses[ins->src[s]] == 1;
  }
  free(uses);
  return found;
}

static int count_op(const lin_kernel *k, uop_op op) {
  int count = 0;
  for (size_t i = 0; i < k->ins.len; ++i) count += k->ins.data[i].op == op;
  return count;
}

static void test_fma(void **state) {
  (void)state;
  for (const char *const *plan = wn_plan_names(); *plan != NULL; ++plan) {
    compiled r = compile(shapes[0], *plan, NULL, 0);
    int fused = 0;
    for (size_t i = 0; i < kernel_count(&r); ++i) {
      const lin_kernel *k = kernel(&r, i);
      if (unfused(k) > 0)
        fail_msg("%s: %d products of %s are not fused", *plan, unfused(k), k->name);
      fused += count_op(k, OP_FMA);
    }
    assert_true(fused > 0);
    release(&r);
  }
}

/* The six-point input transform of two axes: twelve operations a vector and axis. */
static void test_transform_operations(void **state) {
  (void)state;
  compiled r = compile(shapes[0], "old", NULL, 0);
  bool seen = false;
  for (size_t i = 0; i < kernel_count(&r); ++i) {
    const lin_kernel *k = kernel(&r, i);
    if (strcmp(k->stage, "x") != 0) continue;
    seen = true;
    int operations = 0;
    for (size_t n = 0; n < k->ins.len; ++n) {
      const lin_ins *ins = &k->ins.data[n];
      operations +=
          dtype_is_float(ins->dtype) && ins->lanes > 1 && (op_table[ins->op].flags & UOP_ALU);
    }
    print_message("# %d float operations for a 6 x 6 tile\n", operations);
    assert_in_range(operations, 1, 2 * 6 * 12);
  }
  assert_true(seen);
  release(&r);
}

/* --- merging ---------------------------------------------------------------------------------- */

/* Loops that accumulate, and how many accumulators there are for `kernel` of the plan. */
static void count_sums(const lin_kernel *k, int *loops, int *sums) {
  *sums = count_op(k, OP_ACC);
  *loops = 0;
  for (size_t i = 0; i < k->ins.len; ++i) {
    bool last = i + 1 < k->ins.len && k->ins.data[i + 1].op == OP_END;
    *loops += k->ins.data[i].op == OP_ACC_SET && last;
  }
}

static void test_merging(void **state) {
  (void)state;
  int loops, sums, apart, many;
  compiled r = compile(shapes[0], "inline-m", NULL, 0);
  count_sums(kernel(&r, kernel_count(&r) - 1), &loops, &sums);
  release(&r);
  r = compile(shapes[0], "inline-m", NULL, 1);
  count_sums(kernel(&r, kernel_count(&r) - 1), &apart, &many);
  release(&r);
  print_message("# %d sums in %d loops, %d in %d without merging\n", sums, loops, many, apart);
  assert_int_equal(sums % 36, 0);
  assert_true(loops <= (sums + 11) / 12); /* even 16 registers hold 12 sums */
  assert_int_equal(many, apart);
  assert_true(many >= 8 * sums);
}

/* The same program gives the same text, and instances of a kernel have names of their own. */
static void test_deterministic(void **state) {
  (void)state;
  for (const char *const *plan = wn_plan_names(); *plan != NULL; ++plan) {
    compiled a = compile(shapes[1], *plan, NULL, 0), b = compile(shapes[1], *plan, NULL, 0);
    assert_int_equal(kernel_count(&a), kernel_count(&b));
    for (size_t i = 0; i < kernel_count(&a); ++i) {
      str x, y;
      str_init(&x, &a.p->compiled->graph.arena);
      str_init(&y, &b.p->compiled->graph.arena);
      lin_print(&x, kernel(&a, i));
      lin_print(&y, kernel(&b, i));
      assert_string_equal(str_text(&x), str_text(&y));
      for (size_t j = 0; j < i; ++j)
        assert_string_not_equal(kernel(&a, i)->name, kernel(&a, j)->name);
    }
    release(&a);
    release(&b);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_laws),    cmocka_unit_test(test_hoisting),
      cmocka_unit_test(test_fma),     cmocka_unit_test(test_transform_operations),
      cmocka_unit_test(test_merging), cmocka_unit_test(test_deterministic),
  };
  return cmocka_run_group_tests_name("linearising", tests, NULL, NULL);
}
