/* The floating-point environment of a thread: rounding, traps, whether subnormal numbers are flushed.
 *
 * In: the caller's, whatever it is. Out: the default one, with or without flushing, and the caller's again. What winnow
 * computes, when it compiles and when it runs, is computed in the default one, on every thread.
 * Always holds: restoring gives back exactly what was there, the flags of exceptions included. */
#ifndef WN_BASE_FPENV_H
#define WN_BASE_FPENV_H

#include <fenv.h>
#include <stdbool.h>
#include <stdint.h>

/* Of what kernels use: SSE's register on x86, FPCR and FPSR on AArch64. A few instructions each. */
#if defined(__x86_64__) || defined(__SSE2__)
typedef unsigned fp_control;

/* Nearest, all exceptions masked; flushing is FTZ, of results, and DAZ, of operands. */
static inline fp_control fp_default(bool flush) { return flush ? 0x9fc0 : 0x1f80; }

static inline fp_control fp_read(void) { return __builtin_ia32_stmxcsr(); }

static inline void fp_write(fp_control control) { __builtin_ia32_ldmxcsr(control); }

/* But for the flags of exceptions, which are no reason for a write. */
static inline bool fp_same(fp_control a, fp_control b) { return ((a ^ b) & ~0x3fu) == 0; }

#elif defined(__aarch64__)
typedef struct fp_control {
  uint64_t control, status;
} fp_control;

static inline fp_control fp_default(bool flush) {
  return (fp_control){.control = flush ? UINT64_C(1) << 24 : 0};
}

static inline fp_control fp_read(void) {
  fp_control c;
  __asm__ volatile("mrs %0, fpcr" : "=r"(c.control));
  __asm__ volatile("mrs %0, fpsr" : "=r"(c.status));
  return c;
}

static inline void fp_write(fp_control c) {
  __asm__ volatile("msr fpcr, %0" : : "r"(c.control));
  __asm__ volatile("msr fpsr, %0" : : "r"(c.status));
}

static inline bool fp_same(fp_control a, fp_control b) { return a.control == b.control; }

#else /* which cannot flush */
typedef fenv_t fp_control;

static inline fp_control fp_read(void) {
  fp_control c;
  fegetenv(&c);
  return c;
}

static inline void fp_write(fp_control c) { fesetenv(&c); }

static inline fp_control fp_default(bool flush) {
  (void)flush;
  fp_control before = fp_read();
  fesetenv(FE_DFL_ENV);
  fp_control c = fp_read();
  fp_write(before);
  return c;
}

static inline bool fp_same(fp_control a, fp_control b) {
  (void)a, (void)b;
  return false;
}
#endif

/* All of it, with what the C library's conversions of text follow: around compiling. */
static inline void fp_enter(fenv_t *before) {
  fegetenv(before);
  fesetenv(FE_DFL_ENV);
  fp_write(fp_default(false));
}

static inline void fp_leave(const fenv_t *before) { fesetenv(before); }

#endif
