/* PCG32 (O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms",
 * 2014): XSH-RR 64/32. The same numbers everywhere for the same seed and stream. */
#ifndef WINNOW_CLI_RANDOM_H
#define WINNOW_CLI_RANDOM_H

#include <stddef.h>
#include <stdint.h>

typedef struct random_state {
  uint64_t state, increment;
} random_state;

static inline uint32_t random_u32(random_state *r) {
  uint64_t old = r->state;
  r->state = old * UINT64_C(6364136223846793005) + r->increment;
  uint32_t x = (uint32_t)(((old >> 18) ^ old) >> 27), rot = (uint32_t)(old >> 59);
  return x >> rot | x << ((32 - rot) & 31);
}

static inline void random_seed(random_state *r, uint64_t seed, uint64_t stream) {
  r->state = 0;
  r->increment = stream << 1 | 1;
  random_u32(r);
  r->state += seed;
  random_u32(r);
}

/* Uniform in [-1, 1), a multiple of 2^-23, so exact in float32. */
static inline float random_f32(random_state *r) {
  return (float)(random_u32(r) >> 8) * 0x1p-23f - 1.0f;
}

static inline void random_fill(float *dst, size_t count, uint64_t seed, uint64_t stream) {
  random_state r;
  random_seed(&r, seed, stream);
  for (size_t i = 0; i < count; ++i) dst[i] = random_f32(&r);
}

#endif
