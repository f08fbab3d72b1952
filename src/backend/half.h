/* f16 (IEEE 754 binary16) and bf16 (the upper half of an f32), one number at a time.
 *
 * In and out: bits and doubles.
 * Always holds: rounding is to nearest even, once, also from double; overflow gives infinity; a
 * NaN stays a quiet NaN. */
#ifndef WN_BACKEND_HALF_H
#define WN_BACKEND_HALF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float half_from_bf16(uint16_t h) {
  uint32_t u = (uint32_t)h << 16;
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

static inline double half_from_f16(uint16_t h) {
  int exponent = h >> 10 & 31, fraction = h & 1023;
  double x = exponent == 31  ? (fraction ? (double)NAN : (double)INFINITY)
             : exponent == 0 ? ldexp(fraction, -24)
                             : ldexp(1024 + fraction, exponent - 25);
  return h & 0x8000 ? -x : x;
}

/* |x| as a count of the format's units at its size, rounded by rint (to nearest even), then packed.
 * digits: of the significand, the leading one included; low: exponent of the smallest normal
 * number; high: of the largest. */
static inline uint16_t half_pack(double x, int digits, int low, int high) {
  unsigned sign = signbit(x) ? 0x8000u : 0, infinity = (unsigned)(high - low + 2) << (digits - 1);
  if (isnan(x)) return (uint16_t)(sign | infinity | 1u << (digits - 2));
  if (isinf(x)) return (uint16_t)(sign | infinity);
  int exponent = low;
  if (fabs(x) >= ldexp(1, low)) exponent = ilogb(x);
  if (exponent > high) return (uint16_t)(sign | infinity);
  /* A significand that rounds up to the next power of two carries into the exponent by itself. */
  unsigned units = (unsigned)rint(ldexp(fabs(x), digits - 1 - exponent));
  return (uint16_t)(sign | (((unsigned)(exponent - low) << (digits - 1)) + units));
}

static inline uint16_t half_to_f16(double x) { return half_pack(x, 11, -14, 15); }
static inline uint16_t half_to_bf16(double x) { return half_pack(x, 8, -126, 127); }

#endif
