/* The fixed text in front of kernels printed as C, and which parts of it given kernels need.
 *
 * In: kernels. Out: typedefs and helper functions for the vector lengths and memory dtypes that
 * occur in them.
 * Always holds: the text includes nothing that a freestanding compiler lacks; every vector helper
 * is a loop over lanes of its scalar twin, which compilers turn into one instruction where the
 * machine has it, so that scalar and vector code agree to the bit; a masked-out lane touches no
 * memory, and no compiler is left a way to make it: what moves under a mask is either one
 * instruction that says so, or an access through a pointer that nothing is known of (WN_ONLY), which
 * cannot be made before its condition. gcc 12 turned `m[l] ? p[l] : 0` under a constant mask into a
 * blend with all of p. Rounding from f32 to f16 and bf16 is to nearest even. */
#include "render/render.h"

/* Scalar helpers: TAG is a register dtype, T its C type, S the suffix of C's math functions. max
 * and min give NaN if either operand is NaN: a > b is false where b is NaN, which picks b. */
static const char scalar_text[] =
    "#include <stdint.h>\n"
    "#define WN_INLINE static inline __attribute__((always_inline, unused))\n"
    "#ifdef __clang__\n"
    "#define WN_LANES(L) _Pragma(\"clang loop unroll(full)\") for (int l = 0; l < L; l++)\n"
    "#define WN_UNROLLED(L) WN_LANES(L)\n"
    "#else\n"
    "#define WN_LANES(L) for (int l = 0; l < L; l++)\n"
    "#define WN_UNROLLED(L) _Pragma(\"GCC unroll 64\") for (int l = 0; l < L; l++)\n"
    "#endif\n"
    "WN_INLINE void *wn_only(const void *p) { __asm__(\"\" : \"+r\"(p)); return (void *)p; }\n"
    "#define WN_ONLY(p) (*(__typeof__(&*(p)))wn_only(p))\n"
    "#define WN_NUMBER(TAG, T) \\\n"
    "  WN_INLINE T max_##TAG(T a, T b) { return (a > b) | (a != a) ? a : b; } \\\n"
    "  WN_INLINE T min_##TAG(T a, T b) { return (a < b) | (a != a) ? a : b; }\n"
    "#define WN_FLOAT(TAG, T, S) \\\n"
    "  WN_NUMBER(TAG, T) \\\n"
    "  WN_INLINE T abs_##TAG(T a) { return __builtin_fabs##S(a); } \\\n"
    "  WN_INLINE T floor_##TAG(T a) { return __builtin_floor##S(a); } \\\n"
    "  WN_INLINE T rint_##TAG(T a) { return __builtin_rint##S(a); } \\\n"
    "  WN_INLINE T sqrt_##TAG(T a) { return __builtin_sqrt##S(a); } \\\n"
    "  WN_INLINE T exp_##TAG(T a) { return __builtin_exp##S(a); } \\\n"
    "  WN_INLINE T log_##TAG(T a) { return __builtin_log##S(a); } \\\n"
    "  WN_INLINE T sin_##TAG(T a) { return __builtin_sin##S(a); } \\\n"
    "  WN_INLINE T cos_##TAG(T a) { return __builtin_cos##S(a); } \\\n"
    "  WN_INLINE T atan_##TAG(T a) { return __builtin_atan##S(a); } \\\n"
    "  WN_INLINE T tanh_##TAG(T a) { return __builtin_tanh##S(a); } \\\n"
    "  WN_INLINE T erf_##TAG(T a) { return __builtin_erf##S(a); } \\\n"
    "  WN_INLINE T pow_##TAG(T a, T b) { return __builtin_pow##S(a, b); } \\\n"
    "  WN_INLINE T fma_##TAG(T a, T b, T c) { return __builtin_fma##S(a, b, c); }\n"
    "#define WN_INT(TAG, T) \\\n"
    "  WN_NUMBER(TAG, T) \\\n"
    "  WN_INLINE T abs_##TAG(T a) { return a < 0 ? -a : a; } \\\n"
    "  WN_INLINE T idiv_##TAG(T a, T b) { \\\n"
    "    if (b == 0) return 0; \\\n"
    "    if (b == -1) return -a; \\\n"
    "    return a / b - ((a % b != 0) & ((a < 0) != (b < 0))); \\\n"
    "  } \\\n"
    "  WN_INLINE T mod_##TAG(T a, T b) { return a - b * idiv_##TAG(a, b); }\n"
    "WN_FLOAT(f32, float, f)\n"
    "WN_FLOAT(f64, double, )\n"
    "WN_INT(i32, int32_t)\n"
    "WN_INT(i64, int64_t)\n";

/* f16 of IEEE 754 and bf16 (the upper half of an f32). */
static const char half_text[] =
    "WN_INLINE uint32_t wn_bits(float x) { uint32_t u; __builtin_memcpy(&u, &x, 4); return u; }\n"
    "WN_INLINE float wn_float(uint32_t u) { float x; __builtin_memcpy(&x, &u, 4); return x; }\n"
    "WN_INLINE float from_bf16(uint16_t h) { return wn_float((uint32_t)h << 16); }\n"
    "WN_INLINE uint16_t to_bf16(float x) {\n"
    "  uint32_t u = wn_bits(x);\n"
    "  if (x != x) return (uint16_t)(u >> 16 | 0x40);\n"
    "  return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);\n"
    "}\n"
    "WN_INLINE float from_f16(uint16_t h) {\n"
    "  uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & "
    "1023;\n"
    "  if (exponent == 0) return wn_float(sign | wn_bits((float)fraction * 0x1p-24f));\n"
    "  if (exponent == 31) return wn_float(sign | 0x7f800000 | fraction << 13);\n"
    "  return wn_float(sign | (exponent + 112) << 23 | fraction << 13);\n"
    "}\n"
    "WN_INLINE uint16_t to_f16(float x) {\n"
    "  uint32_t u = wn_bits(x), sign = u >> 16 & 0x8000, v = u & 0x7fffffff;\n"
    "  if (v > 0x7f800000) return (uint16_t)(sign | 0x7e00);\n"
    "  if (v >= 0x477ff000) return (uint16_t)(sign | 0x7c00);\n"
    "  if (v < 0x38800000) return (uint16_t)(sign | (wn_bits(wn_float(v) + 0.5f) - 0x3f000000));\n"
    "  return (uint16_t)(sign | ((v + 0xfff + (v >> 13 & 1) - 0x38000000) >> 13));\n"
    "}\n";

/* Vectors of L lanes. A vector of bool is an i32 vector of 0 and -1, whatever it masks. */
static const char vector_text[] =
    "#define WN_SPLAT(TAG, T, L, OP) \\\n"
    "  WN_INLINE TAG##x##L splat_##TAG##x##L(T a) { return a OP (TAG##x##L){0}; }\n"
    "#define WN_WHERE(TAG, BITS, L) \\\n"
    "  WN_INLINE TAG##x##L where_##TAG##x##L(i32x##L m, TAG##x##L a, TAG##x##L b) { \\\n"
    "    BITS##x##L w = __builtin_convertvector(m, BITS##x##L); \\\n"
    "    return (TAG##x##L)((w & (BITS##x##L)a) | (~w & (BITS##x##L)b)); \\\n"
    "  }\n"
    "#define WN_MAP1(NAME, TAG, L) \\\n"
    "  WN_INLINE TAG##x##L NAME##_##TAG##x##L(TAG##x##L a) { \\\n"
    "    WN_LANES(L) a[l] = NAME##_##TAG(a[l]); \\\n"
    "    return a; \\\n"
    "  }\n"
    "#define WN_MAP2(NAME, TAG, L) \\\n"
    "  WN_INLINE TAG##x##L NAME##_##TAG##x##L(TAG##x##L a, TAG##x##L b) { \\\n"
    "    WN_LANES(L) a[l] = NAME##_##TAG(a[l], b[l]); \\\n"
    "    return a; \\\n"
    "  }\n"
    "#define WN_MAP3(NAME, TAG, L) \\\n"
    "  WN_INLINE TAG##x##L NAME##_##TAG##x##L(TAG##x##L a, TAG##x##L b, TAG##x##L c) { \\\n"
    "    WN_LANES(L) a[l] = NAME##_##TAG(a[l], b[l], c[l]); \\\n"
    "    return a; \\\n"
    "  }\n"
    "#define WN_FLOATS(TAG, T, BITS, L) \\\n"
    "  WN_SPLAT(TAG, T, L, -) WN_WHERE(TAG, BITS, L) WN_MAP2(max, TAG, L) WN_MAP2(min, TAG, L) \\\n"
    "  WN_MAP1(abs, TAG, L) WN_MAP1(floor, TAG, L) WN_MAP1(rint, TAG, L) WN_MAP1(sqrt, TAG, L) \\\n"
    "  WN_MAP1(exp, TAG, L) WN_MAP1(log, TAG, L) WN_MAP1(sin, TAG, L) WN_MAP1(cos, TAG, L) \\\n"
    "  WN_MAP1(atan, TAG, L) WN_MAP1(tanh, TAG, L) WN_MAP1(erf, TAG, L) WN_MAP2(pow, TAG, L) \\\n"
    "  WN_MAP3(fma, TAG, L)\n"
    "#define WN_INTS(TAG, T, L) \\\n"
    "  WN_SPLAT(TAG, T, L, +) WN_WHERE(TAG, TAG, L) WN_MAP2(max, TAG, L) WN_MAP2(min, TAG, L) \\\n"
    "  WN_MAP1(abs, TAG, L) WN_MAP2(idiv, TAG, L) WN_MAP2(mod, TAG, L)\n"
    "#define WN_VECTORS(L) \\\n"
    "  typedef float f32x##L __attribute__((vector_size(4 * L))); \\\n"
    "  typedef double f64x##L __attribute__((vector_size(8 * L))); \\\n"
    "  typedef int32_t i32x##L __attribute__((vector_size(4 * L))); \\\n"
    "  typedef int64_t i64x##L __attribute__((vector_size(8 * L))); \\\n"
    "  WN_FLOATS(f32, float, i32, L) WN_FLOATS(f64, double, i64, L) \\\n"
    "  WN_INTS(i32, int32_t, L) WN_INTS(i64, int64_t, L)\n";

/* Memory of dtype TAG and C type M, seen from registers of dtype REG through FROM and TO. */
static const char memory_text[] =
    "#define WN_SAME(x) (x)\n"
    "#define WN_FROM_BOOL(x) (-(int32_t)((x) != 0))\n"
    "#define WN_TO_BOOL(x) ((uint8_t)((x) != 0))\n"
    "#define WN_PLAIN(TAG, M, L) \\\n"
    "  WN_INLINE TAG##x##L load_##TAG##x##L(const M *p) { \\\n"
    "    TAG##x##L v; \\\n"
    "    __builtin_memcpy(&v, p, sizeof v); \\\n"
    "    return v; \\\n"
    "  } \\\n"
    "  WN_INLINE void store_##TAG##x##L(M *p, TAG##x##L v) { __builtin_memcpy(p, &v, sizeof v); }\n"
    "#define WN_CONVERTED(TAG, M, REG, FROM, TO, L) \\\n"
    "  WN_INLINE REG##x##L load_##TAG##x##L(const M *p) { \\\n"
    "    REG##x##L v; \\\n"
    "    WN_LANES(L) v[l] = FROM(p[l]); \\\n"
    "    return v; \\\n"
    "  } \\\n"
    "  WN_INLINE void store_##TAG##x##L(M *p, REG##x##L v) { WN_LANES(L) p[l] = TO(v[l]); }\n";

/* LOOP WHERE PARAMETERS AT GUARD ELSE: lane l goes to p[AT] where its mask, if there is one, says
 * so; ONLY is WN_ONLY then, else *. */
static const char access_text[] =
    "#define WN_LOAD(NAME, M, REG, L, LOOP, GUARD, ONLY, AT, FROM, ...) \\\n"
    "  WN_INLINE REG##x##L load_##NAME(const M *p, __VA_ARGS__) { \\\n"
    "    REG##x##L v = {0}; \\\n"
    "    LOOP(L) v[l] = GUARD ? FROM(ONLY(p + AT)) : 0; \\\n"
    "    return v; \\\n"
    "  }\n"
    "#define WN_STORE(NAME, M, REG, L, LOOP, GUARD, ONLY, AT, TO, ...) \\\n"
    "  WN_INLINE void store_##NAME(M *p, REG##x##L v, __VA_ARGS__) { \\\n"
    "    LOOP(L) if (GUARD) ONLY(p + AT) = TO(v[l]); \\\n"
    "  }\n"
    "#define WN_ACCESS(TAG, M, REG, L, LOOP, KIND, GUARD, ONLY, AT, FROM, TO, ...) \\\n"
    "  WN_LOAD(TAG##x##L##_##KIND, M, REG, L, LOOP, GUARD, ONLY, AT, FROM, __VA_ARGS__) \\\n"
    "  WN_STORE(TAG##x##L##_##KIND, M, REG, L, LOOP, GUARD, ONLY, AT, TO, __VA_ARGS__)\n"
    "#define WN_MASKED_LANES(TAG, M, REG, FROM, TO, L) \\\n"
    "  WN_ACCESS(TAG, M, REG, L, WN_UNROLLED, masked, m[l], WN_ONLY, l, FROM, TO, i32x##L m)\n"
    "#define WN_MEMORY(TAG, M, REG, FROM, TO, L) \\\n"
    "  WN_ACCESS(TAG, M, REG, L, WN_UNROLLED, strided, 1, *, l * j, FROM, TO, int64_t j) \\\n"
    "  WN_ACCESS(TAG, M, REG, L, WN_UNROLLED, strided_masked, m[l], WN_ONLY, l * j, FROM, TO, "
    "int64_t j, i32x##L m) \\\n"
    "  WN_ACCESS(TAG, M, REG, L, WN_UNROLLED, indexed, 1, *, at[l], FROM, TO, i64x##L at) \\\n"
    "  WN_ACCESS(TAG, M, REG, L, WN_UNROLLED, indexed_masked, m[l], WN_ONLY, at[l], FROM, TO, "
    "i64x##L at, i32x##L m)\n";

/* Masked moves of a machine that has them, WN_WIDEST bytes at a time: S and Q are the suffixes of a
 * lane as a float and as an integer, INT and T the integer of its size. In words of the assembler,
 * since compilers look into their intrinsics as into any other code. */
static const char masked_text[] =
    "#if defined(__AVX512VL__) && defined(__AVX512DQ__)\n"
    "#define WN_WIDEST 64\n"
    "#define WN_BITS(Q, m) \\\n"
    "  unsigned short kept; \\\n"
    "  __asm__(\"vpmov\" Q \"2m %1, %0\" : \"=Yk\"(kept) : \"v\"(m));\n"
    "#define WN_GET(S, Q, v, at, m) \\\n"
    "  WN_BITS(Q, m) \\\n"
    "  __asm__(\"vmovup\" S \" %1, %0%{%2%}%{z%}\" : \"=v\"(v) : \"m\"(at), \"Yk\"(kept));\n"
    "#define WN_PUT(S, Q, v, at, m) \\\n"
    "  WN_BITS(Q, m) \\\n"
    "  __asm__(\"vmovup\" S \" %1, %0%{%2%}\" : \"+m\"(at) : \"v\"(v), \"Yk\"(kept));\n"
    "#elif defined(__AVX2__)\n"
    "#define WN_WIDEST 32\n"
    "#define WN_GET(S, Q, v, at, m) \\\n"
    "  __asm__(\"vmaskmovp\" S \" %1, %2, %0\" : \"=x\"(v) : \"m\"(at), \"x\"(m));\n"
    "#define WN_PUT(S, Q, v, at, m) \\\n"
    "  __asm__(\"vmaskmovp\" S \" %1, %2, %0\" : \"+m\"(at) : \"x\"(v), \"x\"(m));\n"
    "#endif\n"
    "#define WN_MASKED(TAG, M, INT, T, S, Q, L) \\\n"
    "  enum { TAG##x##L##_w = L * sizeof(M) < WN_WIDEST ? L : WN_WIDEST / sizeof(M) }; \\\n"
    "  typedef M TAG##x##L##_part __attribute__((vector_size(TAG##x##L##_w * sizeof(M)))); \\\n"
    "  typedef T TAG##x##L##_mask __attribute__((vector_size(TAG##x##L##_w * sizeof(M)))); \\\n"
    "  typedef TAG##x##L##_part TAG##x##L##_at __attribute__((aligned(1), may_alias)); \\\n"
    "  typedef union { INT##x##L all; TAG##x##L##_mask part[L / TAG##x##L##_w]; } TAG##x##L##_m; "
    "\\\n"
    "  typedef union { TAG##x##L all; TAG##x##L##_part part[L / TAG##x##L##_w]; } TAG##x##L##_v; "
    "\\\n"
    "  WN_INLINE TAG##x##L load_##TAG##x##L##_masked(const M *p, i32x##L m) { \\\n"
    "    TAG##x##L##_m k = {__builtin_convertvector(m, INT##x##L)}; \\\n"
    "    TAG##x##L##_v v; \\\n"
    "    WN_UNROLLED(L / TAG##x##L##_w) { \\\n"
    "      WN_GET(S, Q, v.part[l], ((const TAG##x##L##_at *)p)[l], k.part[l]) \\\n"
    "    } \\\n"
    "    return v.all; \\\n"
    "  } \\\n"
    "  WN_INLINE void store_##TAG##x##L##_masked(M *p, TAG##x##L x, i32x##L m) { \\\n"
    "    TAG##x##L##_m k = {__builtin_convertvector(m, INT##x##L)}; \\\n"
    "    TAG##x##L##_v v = {x}; \\\n"
    "    WN_UNROLLED(L / TAG##x##L##_w) { \\\n"
    "      WN_PUT(S, Q, v.part[l], ((TAG##x##L##_at *)p)[l], k.part[l]) \\\n"
    "    } \\\n"
    "  }\n";

/* C type in memory, register dtype and conversions; identity (NULL) lets whole vectors be copied.
 */
static const struct {
  const char *memory, *reg, *from, *to;
} memory_form[WN_DTYPE_COUNT] = {
    [WN_F64] = {"double", "f64", NULL, NULL},
    [WN_F32] = {"float", "f32", NULL, NULL},
    [WN_F16] = {"uint16_t", "f32", "from_f16", "to_f16"},
    [WN_BF16] = {"uint16_t", "f32", "from_bf16", "to_bf16"},
    [WN_I32] = {"int32_t", "i32", NULL, NULL},
    [WN_I64] = {"int64_t", "i64", NULL, NULL},
    [WN_BOOL] = {"uint8_t", "i32", "WN_FROM_BOOL", "WN_TO_BOOL"},
};

/* 8 x 8 matrices, row major. */
static const char matrix_text[] =
    "static f32x64 matrix_load(const float *p, int64_t rows, int transposed) {\n"
    "  f32x64 v;\n"
    "  for (int i = 0; i < 64; i++)\n"
    "    v[i] = transposed ? p[i % 8 * rows + i / 8] : p[i / 8 * rows + i % 8];\n"
    "  return v;\n"
    "}\n"
    "static f32x64 matrix_muladd(f32x64 a, f32x64 b, f32x64 c) {\n"
    "  for (int i = 0; i < 64; i++)\n"
    "    for (int k = 0; k < 8; k++) c[i] += a[i / 8 * 8 + k] * b[k * 8 + i % 8];\n"
    "  return c;\n"
    "}\n"
    "static void matrix_store(float *p, int64_t rows, f32x64 v) {\n"
    "  for (int i = 0; i < 64; i++) p[i / 8 * rows + i % 8] = v[i];\n"
    "}\n";

/* Bit b of lanes: vectors of 2^b lanes occur; of memory[b]: array dtypes moved in such vectors. */
typedef struct needs {
  uint32_t lanes, memory[16];
  bool half, matrix;
} needs;

static int log2_of(unsigned lanes) {
  int b = 0;
  while (lanes >>= 1) ++b;
  return b;
}

static void collect(needs *n, const lin_kernel *k) {
  for (size_t i = 0; i < k->ins.len; ++i) {
    const lin_ins *u = &k->ins.data[i];
    int lanes = u->op == OP_STORE ? k->ins.data[u->src[1]].lanes : u->lanes;
    bool moves = u->op == OP_LOAD || u->op == OP_STORE;
    n->matrix |= u->op == OP_MATRIX_STORE;
    if (lanes > 1) n->lanes |= 1u << log2_of((unsigned)lanes);
    if (!moves) continue;
    wn_dtype dt = k->arrays.data[u->i].dtype;
    if (dt == WN_F16 || dt == WN_BF16) n->half = true;
    if (lanes > 1) n->memory[log2_of((unsigned)lanes)] |= 1u << dt;
  }
}

/* Masked moves are of lanes of 4 and 8 bytes, 16 bytes or more. */
static bool has_instruction(wn_dtype dt, int lanes) {
  size_t size = wn_dtype_size(dt);
  return (size == 4 || size == 8) && size * (size_t)lanes >= 16;
}

static void print_memory(str *out, wn_dtype dt, int lanes) {
  const char *tag = wn_dtype_name(dt), *memory = memory_form[dt].memory, *reg = memory_form[dt].reg;
  const char *from = memory_form[dt].from, *to = memory_form[dt].to;
  if (from != NULL)
    str_printf(out, "WN_CONVERTED(%s, %s, %s, %s, %s, %d)\n", tag, memory, reg, from, to, lanes);
  else
    str_printf(out, "WN_PLAIN(%s, %s, %d)\n", tag, memory, lanes);
  if (from == NULL) from = "WN_SAME";
  if (to == NULL) to = "WN_SAME";
  str_printf(out, "WN_MEMORY(%s, %s, %s, %s, %s, %d)\n", tag, memory, reg, from, to, lanes);
  bool instruction = has_instruction(dt, lanes), wide = wn_dtype_size(dt) == 8;
  if (instruction)
    str_printf(out, "#ifdef WN_WIDEST\nWN_MASKED(%s, %s, %s, %d)\n#else\n", tag, memory,
               wide ? "i64, int64_t, \"d\", \"q\"" : "i32, int32_t, \"s\", \"d\"", lanes);
  str_printf(out, "WN_MASKED_LANES(%s, %s, %s, %s, %s, %d)\n", tag, memory, reg, from, to, lanes);
  if (instruction) str_add(out, "#endif\n");
}

void render_c_prelude(str *out, int count, const lin_kernel *const *kernels) {
  needs n = {0};
  for (int i = 0; i < count; ++i) collect(&n, kernels[i]);
  str_add(out, scalar_text);
  if (n.half) str_add(out, half_text);
  if (!n.lanes) return;
  str_add(out, vector_text);
  str_add(out, memory_text);
  str_add(out, access_text);
  str_add(out, masked_text);
  for (int b = 1; b < 16; ++b) {
    if (!(n.lanes >> b & 1)) continue;
    str_printf(out, "WN_VECTORS(%d)\n", 1 << b);
    for (int dt = 0; dt < WN_DTYPE_COUNT; ++dt)
      if (n.memory[b] >> dt & 1) print_memory(out, (wn_dtype)dt, 1 << b);
  }
  if (n.matrix) str_add(out, matrix_text);
}
