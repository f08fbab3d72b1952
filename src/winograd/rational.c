/* Exact rational numbers of 64-bit numerator and denominator.
 *
 * In: two rationals. Out: their sum, product or quotient, reduced, with a positive denominator.
 * Always holds: the result is exact; one that does not fit is an error, never a wrong number.
 * Common factors are cancelled before multiplying (Knuth, TAOCP vol. 2, 4.5.1), so that only a
 * result too large to write down fails. */
#include "winograd/algebra.h"

static int64_t gcd(int64_t a, int64_t b) {
  while (b != 0) {
    int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a < 0 ? -a : a;
}

static _Noreturn void overflow(diag *d) {
  diag_fail(d, WN_ERR_USAGE, "an exact fraction of the transform needs more than 64 bits");
}

static int64_t times(diag *d, int64_t a, int64_t b) {
  int64_t product;
  if (__builtin_mul_overflow(a, b, &product) || product == INT64_MIN) overflow(d);
  return product;
}

rational rat_make(diag *d, int64_t num, int64_t den) {
  if (den == 0) diag_fail(d, WN_ERR_USAGE, "a fraction has denominator zero");
  if (num == INT64_MIN || den == INT64_MIN) overflow(d); /* their negation does not exist */
  int64_t common = gcd(num, den);
  if (den < 0) common = -common;
  return (rational){num / common, den / common};
}

rational rat_add(diag *d, rational a, rational b) {
  int64_t common = gcd(a.den, b.den), sum;
  int64_t left = times(d, a.num, b.den / common), right = times(d, b.num, a.den / common);
  if (__builtin_add_overflow(left, right, &sum) || sum == INT64_MIN) overflow(d);
  /* What sum and denominator still share divides common. */
  int64_t shared = gcd(sum, common);
  return (rational){sum / shared, times(d, a.den / common, b.den / shared)};
}

rational rat_mul(diag *d, rational a, rational b) {
  int64_t ab = gcd(a.num, b.den), ba = gcd(b.num, a.den);
  return (rational){times(d, a.num / ab, b.num / ba), times(d, a.den / ba, b.den / ab)};
}

rational rat_div(diag *d, rational a, rational b) {
  if (b.num == 0) diag_fail(d, WN_ERR_USAGE, "a fraction is divided by zero");
  rational inverse = b.num < 0 ? (rational){-b.den, -b.num} : (rational){b.den, b.num};
  return rat_mul(d, a, inverse);
}
