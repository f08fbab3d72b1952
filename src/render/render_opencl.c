/* Linear IR as OpenCL C 1.2.
 *
 * In: a verified kernel. Out: one kernel with the ABI of render.h.
 * Always holds: what is written needs no extension but cl_khr_fp64, and that only where a kernel
 * has f64; nothing is contracted; divisions and square roots are as exact as IEEE 754 has them only
 * if the program is built with -cl-fp32-correctly-rounded-divide-sqrt. */
#include "render/render_gpu.h"

#include <inttypes.h>

static const gpu_dialect dialect = {
    .function = {[OP_ABS] = "fabs",
                 [OP_FLOOR] = "floor",
                 [OP_ROUND] = "rint",
                 [OP_SQRT] = "sqrt",
                 [OP_EXP] = "exp",
                 [OP_LOG] = "log",
                 [OP_SIN] = "sin",
                 [OP_COS] = "cos",
                 [OP_ATAN] = "atan",
                 [OP_TANH] = "tanh",
                 [OP_ERF] = "erf",
                 [OP_POW] = "pow",
                 [OP_FMA] = "fma"},
    .make = {"(", ")("},
    .convert = {"convert_", "("},
    .as = {"as_", "("},
    .lane = {".s", ""},
    .int_masks = true,
    .half_opaque = true,
    .half_load = {"vload_half(", ", p)"},
    .alignment = 64,
    .global = "__global ",
    .local = "__local ",
    .reg = "",
    .aligned = " __attribute__((aligned(64)))",
    .barrier = {"barrier(CLK_LOCAL_MEM_FENCE)", "barrier(CLK_LOCAL_MEM_FENCE)",
                "barrier(CLK_GLOBAL_MEM_FENCE)",
                "barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)"},
};

void render_opencl_prelude(str *out, int count, const lin_kernel *const *kernels) {
  bool f64 = false;
  for (int i = 0; i < count; ++i) f64 |= render_uses_dtype(kernels[i], WN_F64);
  if (f64) str_add(out, "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n");
  str_add(out, "#pragma OPENCL FP_CONTRACT OFF\n");
  gpu_print_helpers(out, &dialect, count, kernels);
}

/* Distinct slots are distinct memory wherever one of them is written, hence restrict, but for pairs. */
static void print_parameters(str *out, const lin_kernel *k, int n, const size_t *index) {
  for (int i = 0; i < n; ++i) {
    const lin_array *a = &k->arrays.data[index[i]];
    str_printf(out, "__global %s%s *%s", a->written ? "" : "const ", gpu_memory_type(a->dtype),
               lin_is_paired(k, index[i]) ? "" : "restrict ");
    gpu_print_array_name(out, k, index[i]);
    str_add(out, ", ");
  }
  for (int i = 0; i < n; i++) str_printf(out, "long o%d, ", i);
  str_add(out, "long first");
}

void render_opencl(str *out, const lin_kernel *k) {
  int n;
  const size_t *index = gpu_global_arrays(out->arena, k, &n);
  gpu_facts f = gpu_study(out->arena, k);
  const char *number = gpu_type(out->arena, &dialect, gpu_reg_dtype(&f, WN_I64), 1);
  str_printf(out, "__kernel __attribute__((reqd_work_group_size(%d, 1, 1)))\nvoid %s(",
             k->group ? k->group : 1, k->name);
  print_parameters(out, k, n, index);
  str_add(out, ") {\n");
  for (int i = 0; i < n; ++i) {
    str_add(out, "  ");
    gpu_print_array_name(out, k, index[i]);
    str_printf(out, " += o%d;\n", i);
  }
  gpu_print_arrays(out, &dialect, k);
  if (gpu_has(k, OP_GRID))
    str_printf(out, "  const %s gid = (%s)(get_group_id(0) + first);\n", number, number);
  if (gpu_has(k, OP_LANE))
    str_printf(out, "  const %s lane = (%s)get_local_id(0);\n", number, number);
  gpu_print_body(out, &dialect, k);
  str_add(out, "}\n");
}
