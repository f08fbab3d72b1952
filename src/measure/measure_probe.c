/* Probes: chains of multiply-adds, sums over memory, stores to it.
 *
 * In: how much. Out: nothing but the time it takes. The rule: as many independent chains as cover the latency of an
 * addition on any core (12 of 4 to 5 cycles on two pipes); memory is read into 8 chains. Written with the compilers'
 * vector extensions, a copy for each instruction set that may run here. Always holds: results go through an empty asm
 * statement, so no compiler can leave the work out. */
#include "measure/measure_probe.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define TARGET(features) __attribute__((target(features)))
#else
#define TARGET(features)
#endif

enum { CHAINS = 12, STREAMS = 8 };

typedef float vec16 __attribute__((vector_size(16)));
#define MUL_ADD(x, a, b) ((x) * (a) + (b))

/* Written out, since an array of vectors may stay in memory. KEEP has its variable in a register and changed. */
#define EACH_CHAIN(X)  X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define EACH_STREAM(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define KEEP(x)        __asm__ volatile("" : "+" VECTOR_REGISTER(x))

#define CHAIN_OF(i)    x##i = b,
#define CHAIN_STEP(i)  x##i = FMA(x##i, a, b);
#define CHAIN_KEEP(i)  KEEP(x##i);
#define ARITHMETIC(name, vec, features)                       \
  TARGET(features) static void name(int64_t rounds) {         \
    vec a = {1.0f}, b = {0.5f}, EACH_CHAIN(CHAIN_OF) end = b; \
    for (int64_t r = 0; r < rounds; ++r) {                    \
      EACH_CHAIN(CHAIN_STEP)                                  \
      EACH_CHAIN(CHAIN_KEEP)                                  \
    }                                                         \
    KEEP(end);                                                \
  }

#define STREAM_OF(i)    x##i = zero,
#define STREAM_READ(i)  x##i += v[i];
#define STREAM_WRITE(i) v[i] = one;
#define STREAM_KEEP(i)  KEEP(x##i);
#define MEMORY(read, write, vec, features)                                     \
  TARGET(features) static void read(const float *at, size_t bytes) {           \
    const vec *v = (const vec *)(const void *)at, zero = {0};                  \
    const vec *stop = v + bytes / sizeof(vec);                                 \
    vec EACH_STREAM(STREAM_OF) end = zero;                                     \
    for (; v < stop; v += STREAMS) {                                           \
      EACH_STREAM(STREAM_READ)                                                 \
      EACH_STREAM(STREAM_KEEP)                                                 \
    }                                                                          \
    KEEP(end);                                                                 \
  }                                                                            \
  TARGET(features) static void write(float *at, size_t bytes) {                \
    vec *v = (vec *)(void *)at, one = {1.0f};                                  \
    vec *stop = v + bytes / sizeof(vec);                                       \
    for (; v < stop; v += STREAMS) {                                           \
      KEEP(one); /* so that it is a loop of stores and not a call of memset */ \
      EACH_STREAM(STREAM_WRITE)                                                \
    }                                                                          \
    __asm__ volatile("" : : "r"(at) : "memory");                               \
  }

#if defined(__x86_64__)
typedef float vec32 __attribute__((vector_size(32)));
typedef float vec64 __attribute__((vector_size(64)));
#define VECTOR_REGISTER(x) "x"(x)
#define FMA                MUL_ADD
ARITHMETIC(mul_add_16, vec16, "sse2")
#undef FMA
#define FMA _mm_fmadd_ps
ARITHMETIC(fma_16, vec16, "avx2,fma")
#undef FMA
#define FMA _mm256_fmadd_ps
ARITHMETIC(fma_32, vec32, "avx2,fma")
MEMORY(read_16, write_16, vec16, "sse2")
MEMORY(read_32, write_32, vec32, "avx2")
/* Clang before 19 takes a register of 64 bytes for wrong unless the whole file is compiled for those. */
#if defined(__clang__) && !defined(__AVX512F__) && \
    (defined(__apple_build_version__) || __clang_major__ < 19)
#define fma_64   fma_32
#define read_64  read_32
#define write_64 write_32
#define HAS_64   false
#else
#define HAS_64 __builtin_cpu_supports("avx512f") != 0
#undef VECTOR_REGISTER
#define VECTOR_REGISTER(x) "v"(x)
#undef FMA
#define FMA _mm512_fmadd_ps
ARITHMETIC(fma_64, vec64, "avx512f")
MEMORY(read_64, write_64, vec64, "avx512f")
#endif
static void (*const arithmetic[MACHINE_RATES])(int64_t) = {mul_add_16, fma_16, fma_32, fma_64};

bool probe_has(machine_rate rate) {
  __builtin_cpu_init();
  if (rate == MACHINE_MUL_ADD) return true;
  if (rate == MACHINE_FMA_64) return HAS_64;
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

void probe_read(const float *at, size_t bytes) {
  if (probe_has(MACHINE_FMA_64))
    read_64(at, bytes);
  else if (probe_has(MACHINE_FMA_32))
    read_32(at, bytes);
  else
    read_16(at, bytes);
}

void probe_write(float *at, size_t bytes) {
  if (probe_has(MACHINE_FMA_64))
    write_64(at, bytes);
  else if (probe_has(MACHINE_FMA_32))
    write_32(at, bytes);
  else
    write_16(at, bytes);
}
#else
/* The compiler's default instructions; where those have fused multiply-adds, it makes them of these. */
#if defined(__aarch64__)
#define VECTOR_REGISTER(x) "w"(x)
#include <arm_neon.h>
#define FUSED(x, a, b) ((vec16)vfmaq_f32((float32x4_t)(b), (float32x4_t)(x), (float32x4_t)(a)))
#else
#define VECTOR_REGISTER(x) "m"(x)
#define FUSED              MUL_ADD
#endif
#define FMA MUL_ADD
ARITHMETIC(mul_add_16, vec16, "")
#undef FMA
#define FMA FUSED
ARITHMETIC(fma_16, vec16, "")
MEMORY(probe_read_16, probe_write_16, vec16, "")
static void (*const arithmetic[MACHINE_RATES])(int64_t) = {mul_add_16, fma_16};

bool probe_has(machine_rate rate) {
#if defined(__aarch64__)
  return rate <= MACHINE_FMA_16;
#else
  return rate == MACHINE_MUL_ADD;
#endif
}
void probe_read(const float *at, size_t bytes) { probe_read_16(at, bytes); }
void probe_write(float *at, size_t bytes) { probe_write_16(at, bytes); }
#endif

void probe_arithmetic(machine_rate rate, int64_t rounds) { arithmetic[rate](rounds); }

double probe_flops(machine_rate rate, int64_t rounds) {
  static const double lanes[MACHINE_RATES] = {4, 4, 8, 16};
  return 2.0 * (double)rounds * (int)CHAINS * lanes[rate];
}
