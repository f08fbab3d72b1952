/* Order of elements for operators of the host: integers with the same order, and the largest of them.
 *
 * In: elements. Out: numbers of elements, sorted. Always holds: the order is one alone, whatever the elements are: NaN
 * is above all numbers, and of equal elements the one with the lower number is first. */
#include <math.h>

#include "onnx/host.h"

static uint64_t key_of_double(double x) {
  uint64_t u;
  if (isnan(x)) return UINT64_MAX;
  if (x == 0) x = 0; /* -0 is 0 */
  memcpy(&u, &x, sizeof u);
  return u >> 63 != 0 ? ~u : u | UINT64_C(1) << 63;
}

static uint64_t key_of_integer(int64_t x) { return (uint64_t)x ^ UINT64_C(1) << 63; }

void host_keys(wn_dtype dtype, const void *p, int64_t step, int64_t n, uint64_t *keys) {
  switch (dtype) {
    case WN_F64:
      for (int64_t i = 0; i < n; ++i) keys[i] = key_of_double(((const double *)p)[i * step]);
      break;
    case WN_F32:
      for (int64_t i = 0; i < n; ++i) keys[i] = key_of_double((double)((const float *)p)[i * step]);
      break;
    case WN_I32:
      for (int64_t i = 0; i < n; ++i) keys[i] = key_of_integer(((const int32_t *)p)[i * step]);
      break;
    case WN_I64:
      for (int64_t i = 0; i < n; ++i) keys[i] = key_of_integer(((const int64_t *)p)[i * step]);
      break;
    default:
      for (int64_t i = 0; i < n; ++i) keys[i] = ((const unsigned char *)p)[i * step];
      break;
  }
}

/* Is number i to be behind number j? */
static bool is_behind(const uint64_t *keys, int64_t i, int64_t j) {
  return keys[i] != keys[j] ? keys[i] < keys[j] : i > j;
}

/* A heap of numbers, the one that is behind all others at its root: what is at `at` sinks to its place. */
static void sink(const uint64_t *keys, int64_t *heap, int64_t n, int64_t at) {
  const int64_t moving = heap[at];
  for (int64_t child; (child = 2 * at + 1) < n; at = child) {
    if (child + 1 < n && is_behind(keys, heap[child + 1], heap[child])) ++child;
    if (!is_behind(keys, heap[child], moving)) break;
    heap[at] = heap[child];
  }
  heap[at] = moving;
}

void host_largest(const uint64_t *keys, int64_t n, int64_t k, int64_t *best) {
  for (int64_t i = 0; i < k; ++i) best[i] = i;
  for (int64_t i = k / 2; i-- > 0;) sink(keys, best, k, i);
  for (int64_t i = k; k > 0 && i < n; ++i) {
    if (!is_behind(keys, best[0], i)) continue;
    best[0] = i;
    sink(keys, best, k, 0);
  }
  for (int64_t left = k; left > 1;) { /* the last one of those left goes behind them */
    const int64_t last = best[0];
    best[0] = best[--left];
    best[left] = last;
    sink(keys, best, left, 0);
  }
}
