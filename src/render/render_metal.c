/* Linear IR in the Metal Shading Language (2.3 or newer).
 *
 * In: a verified kernel. Out: one kernel with the ABI of render.h, or why there is none.
 * Always holds: what is written means the same in C++ with a header of the types and functions of
 * metal_stdlib that it uses (tests/metal has one); nothing is contracted, and max, min and
 * comparisons see NaNs, if the library is compiled without fast math (MTLCompileOptions:
 * fastMathEnabled NO, or mathMode MTLMathModeSafe). */
#include "render/render_gpu.h"

#include <inttypes.h>

/* Metal has no erf. Below 1 a polynomial of degree 6 in x^2 for erf(x) / x - 1; beyond it erfc(x) =
 * exp(-q(x)) with q of degree 8 up to 4, where 1 - erfc(x) is 1. Chebyshev interpolation of both;
 * the error is at most 0.6 units in the last place if exp is exact. */
static const char erf_text[] =
    "static inline float erf_f32(float x) {\n"
    "  const float a = fabs(x), s = x * x;\n"
    "  float p = 0x1.4a5690p-14f;\n"
    "  p = fma(p, s, -0x1.a45088p-11f);\n"
    "  p = fma(p, s, 0x1.541270p-8f);\n"
    "  p = fma(p, s, -0x1.b7fabap-6f);\n"
    "  p = fma(p, s, 0x1.ce2d10p-4f);\n"
    "  p = fma(p, s, -0x1.81273ep-2f);\n"
    "  p = fma(p, s, 0x1.06eba8p-3f);\n"
    "  if (a < 1.0f || x != x) return fma(p, x, x);\n"
    "  const float b = a < 4.0f ? a : 4.0f;\n"
    "  float q = -0x1.b77830p-20f;\n"
    "  q = fma(q, b, 0x1.825ce4p-15f);\n"
    "  q = fma(q, b, -0x1.38e5e6p-11f);\n"
    "  q = fma(q, b, 0x1.37ecc6p-8f);\n"
    "  q = fma(q, b, -0x1.b0e246p-6f);\n"
    "  q = fma(q, b, 0x1.c2e356p-4f);\n"
    "  q = fma(q, b, 0x1.437eb4p-1f);\n"
    "  q = fma(q, b, 0x1.2156fap+0f);\n"
    "  q = fma(q, b, -0x1.4fb068p-12f);\n"
    "  const float r = 1.0f - precise::exp(-q);\n"
    "  return x < 0.0f ? -r : r;\n"
    "}\n";

static const gpu_dialect dialect = {
    .function = {[OP_ABS] = "fabs",
                 [OP_FLOOR] = "floor",
                 [OP_ROUND] = "rint",
                 [OP_SQRT] = "precise::sqrt",
                 [OP_EXP] = "precise::exp",
                 [OP_LOG] = "precise::log",
                 [OP_SIN] = "precise::sin",
                 [OP_COS] = "precise::cos",
                 [OP_ATAN] = "precise::atan",
                 [OP_TANH] = "precise::tanh",
                 [OP_POW] = "precise::pow",
                 [OP_FMA] = "fma"},
    .make = {"", "("},
    .convert = {"", "("},
    .as = {"as_type<", ">("},
    .lane = {"[", "]"},
    .packed = true,
    .half_load = {"float((p)[", "])"},
    .erf = erf_text,
    .alignment = 16,
    .global = "device ",
    .local = "threadgroup ",
    .reg = "",
    .aligned = " __attribute__((aligned(16)))",
    .barrier = {"threadgroup_barrier(mem_flags::mem_none)",
                "threadgroup_barrier(mem_flags::mem_threadgroup)",
                "threadgroup_barrier(mem_flags::mem_device)",
                "threadgroup_barrier(mem_flags::mem_device | mem_flags::mem_threadgroup)"},
    .matrix = "simdgroup_float8x8",
};

enum { WIDEST = 4, BUFFERS = 31 };

/* The language adds matrices only to a product; the identity is what a single number constructs. */
static const char matrix_text[] =
    "static inline simdgroup_float8x8 matrix_add(simdgroup_float8x8 a, simdgroup_float8x8 b) {\n"
    "  simdgroup_float8x8 r;\n"
    "  simdgroup_multiply_accumulate(r, simdgroup_float8x8(1.0f), b, a);\n"
    "  return r;\n"
    "}\n";

static bool adds_matrices(const lin_kernel *k) {
  for (size_t i = 0; i < k->ins.len; ++i)
    if (k->ins.data[i].op == OP_ADD && k->ins.data[i].matrix) return true;
  return false;
}

const char *render_metal_refusal(arena *a, const lin_kernel *k) {
  if (render_uses_dtype(k, WN_F64)) return "Metal has no f64";
  for (size_t i = 0; i < k->ins.len; ++i)
    if (k->ins.data[i].lanes > WIDEST && !k->ins.data[i].matrix)
      return arena_printf(a, "Metal has no vectors of %d lanes", k->ins.data[i].lanes);
  int n;
  gpu_global_arrays(a, k, &n);
  if (n + 1 > BUFFERS)
    return arena_printf(a, "%d arrays are more than a Metal kernel's %d buffers hold", n, BUFFERS);
  return NULL;
}

void render_metal_prelude(str *out, int count, const lin_kernel *const *kernels) {
  str_add(out,
          "#include <metal_stdlib>\n"
          "using namespace metal;\n"
          "#pragma METAL fp contract(off)\n");
  gpu_print_helpers(out, &dialect, count, kernels);
  bool adds = false;
  for (int i = 0; i < count; ++i) adds |= adds_matrices(kernels[i]);
  if (adds) str_add(out, matrix_text);
}

/* Distinct slots are distinct memory wherever one of them is written, hence restrict, but for pairs. */
static void print_parameters(str *out, const lin_kernel *k, int n, const size_t *index) {
  for (int i = 0; i < n; ++i) {
    const lin_array *a = &k->arrays.data[index[i]];
    str_printf(out, "device %s%s *%s", a->written ? "" : "const ", gpu_memory_type(a->dtype),
               lin_is_paired(k, index[i]) ? "" : "__restrict ");
    gpu_print_array_name(out, k, index[i]);
    str_printf(out, " [[buffer(%d)]], ", i);
  }
  str_printf(out,
             "constant %s_args &args [[buffer(%d)]], uint group [[threadgroup_position_in_grid]], "
             "uint item [[thread_position_in_threadgroup]]",
             k->name, n);
}

void render_metal(str *out, const lin_kernel *k) {
  int n;
  const size_t *index = gpu_global_arrays(out->arena, k, &n);
  gpu_facts f = gpu_study(out->arena, k);
  const char *number = gpu_type(out->arena, &dialect, gpu_reg_dtype(&f, WN_I64), 1);
  str_printf(out, "struct %s_args { long first; long offset[%d]; };\n", k->name, n);
  str_printf(out, "kernel void %s(", k->name);
  print_parameters(out, k, n, index);
  str_add(out, ") {\n");
  for (int i = 0; i < n; ++i) {
    str_add(out, "  ");
    gpu_print_array_name(out, k, index[i]);
    str_printf(out, " += args.offset[%d];\n", i);
  }
  gpu_print_arrays(out, &dialect, k);
  if (gpu_has(k, OP_GRID))
    str_printf(out, "  const %s gid = (%s)(group + args.first);\n", number, number);
  if (gpu_has(k, OP_LANE)) str_printf(out, "  const %s lane = (%s)item;\n", number, number);
  gpu_print_body(out, &dialect, k);
  str_add(out, "}\n");
}
