/* The yardstick of docs/performance.md: a convolution as seven plain loops, timed in turns with winnow's `direct`.
 *
 * In: input channels, output channels, height and width (64 64 56); 3x3 filters, padding 1, batch 1. Out: a line of JSON
 * with the least time of each in µs, and the largest difference of a result from winnow's. The loops stand in two orders:
 * `sum`, the definition written down, with the filter innermost; `rows`, with a row of the result innermost, which
 * compilers vectorise. Sizes are arguments, so no compiler knows them.
 *
 *     cc -O3 -march=native -Iinclude bench/seven_loops.c -Lbuild -lwinnow -lm -o seven_loops
 *     LD_LIBRARY_PATH=build taskset -c 0 ./seven_loops 64 64 56 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "winnow/winnow.h"

enum { BATCH = 1, TAPS = 3, PAD = 1, ROUNDS = 12, CALLS = 20 };

#if defined(__GNUC__)
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE
#endif

typedef struct sizes {
  int c, k, i;
} sizes;

NOINLINE static void seven_loops_sum(sizes z, const float *restrict x, const float *restrict w,
                                     float *restrict y) {
  for (int n = 0; n < BATCH; ++n)
    for (int k = 0; k < z.k; ++k)
      for (int oy = 0; oy < z.i; ++oy)
        for (int ox = 0; ox < z.i; ++ox) {
          float sum = 0;
          for (int c = 0; c < z.c; ++c)
            for (int ky = 0; ky < TAPS; ++ky)
              for (int kx = 0; kx < TAPS; ++kx) {
                int iy = oy + ky - PAD, ix = ox + kx - PAD;
                if (iy < 0 || iy >= z.i || ix < 0 || ix >= z.i) continue;
                sum += x[((n * z.c + c) * z.i + iy) * z.i + ix] *
                       w[((k * z.c + c) * TAPS + ky) * TAPS + kx];
              }
          y[((n * z.k + k) * z.i + oy) * z.i + ox] = sum;
        }
}

NOINLINE static void seven_loops_rows(sizes z, const float *restrict x, const float *restrict w,
                                      float *restrict y) {
  for (int i = 0; i < BATCH * z.k * z.i * z.i; ++i) y[i] = 0;
  for (int n = 0; n < BATCH; ++n)
    for (int k = 0; k < z.k; ++k)
      for (int c = 0; c < z.c; ++c)
        for (int ky = 0; ky < TAPS; ++ky)
          for (int kx = 0; kx < TAPS; ++kx)
            for (int oy = 0; oy < z.i; ++oy) {
              int iy = oy + ky - PAD, begin = kx < PAD ? PAD - kx : 0,
                  end = kx > PAD ? z.i - kx + PAD : z.i;
              if (iy < 0 || iy >= z.i) continue;
              float g = w[((k * z.c + c) * TAPS + ky) * TAPS + kx];
              const float *from = &x[((n * z.c + c) * z.i + iy) * z.i + kx - PAD];
              float *to = &y[((n * z.k + k) * z.i + oy) * z.i];
              for (int ox = begin; ox < end; ++ox) to[ox] += from[ox] * g;
            }
}

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static float *noise(size_t count, unsigned seed) {
  float *v = malloc(count * sizeof *v);
  for (size_t i = 0; v && i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    v[i] = (float)(seed >> 8) / (float)(1 << 23) - 1.0f;
  }
  return v;
}

static wn_program *direct(wn_context *ctx, sizes z, const float *x, const float *w, float *y) {
  wn_tensor *in = wn_input(ctx, WN_F32, 4, (int64_t[]){BATCH, z.c, z.i, z.i}, x);
  wn_tensor *filters = wn_constant(ctx, WN_F32, 4, (int64_t[]){z.k, z.c, TAPS, TAPS}, w);
  wn_tensor *out =
      wn_conv(in, filters, &WN_CONV_PARAMS(.pad_lo = {PAD, PAD}, .pad_hi = {PAD, PAD}));
  wn_program *p;
  void *to = y;
  if (wn_compile(ctx, &out, &to, 1, &WN_OPTIONS(.plan = "direct", .threads = 1), &p) == WN_OK)
    return p;
  fprintf(stderr, "%s\n", wn_message(ctx));
  return NULL;
}

static double difference(const float *a, const float *b, size_t count) {
  double most = 0;
  for (size_t i = 0; i < count; ++i) most = fmax(most, fabs((double)a[i] - (double)b[i]));
  return most;
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: seven_loops INPUT-CHANNELS OUTPUT-CHANNELS SIZE\n");
    return 2;
  }
  sizes z = {atoi(argv[1]), atoi(argv[2]), atoi(argv[3])};
  if (z.c < 1 || z.k < 1 || z.i < 1 || z.c > 4096 || z.k > 4096 || z.i > 1024) return 2;
  size_t plane = (size_t)z.i * (size_t)z.i, outputs = BATCH * (size_t)z.k * plane;
  float *x = noise(BATCH * (size_t)z.c * plane, 1),
        *w = noise((size_t)z.k * (size_t)z.c * TAPS * TAPS, 2);
  float *y = malloc(outputs * sizeof *y), *sum = malloc(outputs * sizeof *sum),
        *rows = malloc(outputs * sizeof *rows);
  wn_context *ctx = NULL;
  if (!x || !w || !y || !sum || !rows || wn_context_create(&ctx) != WN_OK) return 2;
  wn_program *p = direct(ctx, z, x, w, y);
  if (!p || wn_run(p) != WN_OK) return 2;

  double best_direct = INFINITY, best_sum = INFINITY, best_rows = INFINITY;
  for (int round = 0; round < ROUNDS; ++round) {
    for (int call = 0; call < CALLS; ++call) {
      double start = now_us();
      wn_run(p);
      best_direct = fmin(best_direct, now_us() - start);
    }
    double start = now_us();
    seven_loops_sum(z, x, w, sum);
    best_sum = fmin(best_sum, now_us() - start);
    start = now_us();
    seven_loops_rows(z, x, w, rows);
    best_rows = fmin(best_rows, now_us() - start);
  }
  printf("{\"direct_us\": %.3f, \"sum_us\": %.3f, \"rows_us\": %.3f, \"difference\": %.3g}\n",
         best_direct, best_sum, best_rows,
         fmax(difference(y, sum, outputs), difference(y, rows, outputs)));
  wn_program_destroy(p);
  wn_context_destroy(ctx);
  free(x), free(w), free(y), free(sum), free(rows);
  return 0;
}
