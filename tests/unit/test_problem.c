/* The parser of benchdnn's notation: defaults, derived sizes, and where each mistake is marked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "problem.h"

static problem good(const char *text) {
  problem p;
  problem_error e;
  if (!problem_parse(text, &p, &e)) fail_msg("%s: at %zu: %s", text, e.at, e.message);
  return p;
}

static void bad(const char *text, size_t at, const char *part) {
  problem p;
  problem_error e;
  if (problem_parse(text, &p, &e)) fail_msg("%s was accepted", text);
  if (e.at != at || !strstr(e.message, part))
    fail_msg("%s: at %zu '%s', wanted %zu '%s'", text, e.at, e.message, at, part);
}

static void reference_problem(void **state) {
  (void)state;
  problem p = good("mb1ic16ih32oc16kh3ph1");
  assert_int_equal(p.nd, 2);
  assert_int_equal(p.mb, 1);
  assert_int_equal(p.groups, 1);
  for (int i = 0; i < 2; ++i) {
    assert_int_equal(p.in[i], 32);
    assert_int_equal(p.out[i], 32);
    assert_int_equal(p.filter[i], 3);
    assert_int_equal(p.stride[i], 1);
    assert_int_equal(p.dilation[i], 1);
    assert_int_equal(p.pad_lo[i], 1);
    assert_int_equal(p.pad_hi[i], 1);
  }
  assert_int_equal(p.in_count, 16 * 32 * 32);
  assert_int_equal(p.weight_count, 16 * 16 * 9);
  assert_int_equal(p.macs, 16 * 32 * 32 * 16 * 9);
  assert_string_equal(p.name, "");
}

static void defaults(void **state) {
  (void)state;
  problem p = good("  ic3ih224oc64oh112kh7sh2n\"resnet_50:conv1*2\"\r\n");
  assert_int_equal(p.mb, 2);
  assert_string_equal(p.name, "resnet_50:conv1*2");
  assert_int_equal(p.pad_lo[0], 2); /* ((112 - 1) * 2 - 224 + 7) / 2 = 2 */
  assert_int_equal(p.pad_hi[0], 3);
  p = good("ic4iw10oc4kw3");
  assert_int_equal(p.nd, 1);
  assert_int_equal(p.out[0], 8);
  p = good("mb1_g2ic4_id5ih6iw7_oc8_kd1kh2kw3_dh1");
  assert_int_equal(p.nd, 3);
  assert_int_equal(p.groups, 2);
  int64_t filter[] = {1, 2, 3}, dilation[] = {1, 2, 2}, out[] = {5, 4, 3};
  assert_memory_equal(p.filter, filter, sizeof filter);
  assert_memory_equal(p.dilation, dilation, sizeof dilation);
  assert_memory_equal(p.out, out, sizeof out);
  assert_int_equal(p.weight_count, 8 * 2 * 6);
  p = good("ic1ih9iw20oc1kh3kw5sh2sw3ph1pw0nplain");
  int64_t mixed[] = {5, 6};
  assert_memory_equal(p.out, mixed, sizeof mixed);
  assert_string_equal(p.name, "plain");
}

static void output_given(void **state) {
  (void)state;
  problem p = good("mb1ic48ih35oc48oh33kh3ph0");
  assert_int_equal(p.pad_hi[0], 0);
  p = good("mb1ic1ih10oc1oh4kh3ph0"); /* stops early: the last 4 rows are not read */
  assert_int_equal(p.pad_hi[0], -4);
  p = good("mb1ic1ih10oc1oh12kh3ph1");
  assert_int_equal(p.pad_hi[0], 3);
  p = good("mb1ic1ih1oc1kh3ph1");
  assert_int_equal(p.out[0], 1);
}

static void mistakes(void **state) {
  (void)state;
  bad("", 0, "expected a problem");
  bad("   ", 3, "expected a problem");
  bad("mb1ic16ihxoc16kh3", 9, "expected a number");
  bad("mb1ic16ih32oc16kh3zz1", 18, "expected a size");
  bad("mb0ic16ih32oc16kh3", 2, "at least 1");
  bad("mb1ic-4ih32oc16kh3", 5, "not negative");
  bad("ic16ih32oc16kh3sh0", 17, "at least 1");
  bad("ic16ih32oc16kh3ic8", 15, "ic is given twice");
  bad("ic99999999999999999999ih32oc16kh3", 2, "too large");
  bad("ic2147483648ih32oc16kh3", 2, "too large");
  bad("ic16ih32kh3n\"x\"", 11, "expected oc");
  bad("ih32oc16kh3", 11, "expected ic");
  bad("ic16oc16kh3", 11, "input size");
  bad("ic16ih32oc16", 12, "filter size: kh");
  bad("ic16iw32oc16kh3kw3", 12, "kh is given but ih is not");
  bad("g3ic4ih5oc3kh3", 2, "not a multiple");
  bad("g3ic3ih5oc4kh3", 8, "not a multiple");
  bad("ic1ih2oc1kh5ph1", 9, "spans 5");
  bad("ic1ih4oc1kh3n\"open", 18, "'\"'");
  bad("mb2147483647ic2147483647ih2147483647oc1kh1", 0, "overflow");
  bad("ic1ih4oc1kh3oh1ph9", 0, "no output reads");
}

/* What is printed parses to the same sizes. */
static void round_trip(void **state) {
  (void)state;
  static const char *const texts[] = {
      "mb1ic16ih32oc16kh3ph1",
      "ic4iw10oc4kw3",
      "g2ic4id5ih6iw7oc8kd1kh2kw3dh1n\"a b\"",
      "ic1ih9iw20oc1kh3kw5sh2sw3",
      "mb3ic1ih10oc1oh4kh3ph0",
      "mb1ic3ih224oc64oh112kh7sh2",
  };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i) {
    char first[512], second[512];
    problem p = good(texts[i]);
    problem_print(&p, first, sizeof first);
    problem q = good(first);
    problem_print(&q, second, sizeof second);
    assert_string_equal(first, second);
    assert_memory_equal(p.pad_hi, q.pad_hi, sizeof p.pad_hi);
    assert_int_equal(p.macs, q.macs);
  }
  char shortest[64];
  problem full = good("g1mb1ic16ih32iw32oc16oh32ow32kh3kw3sh1sw1dh0dw0ph1pw1");
  problem_print(&full, shortest, sizeof shortest);
  assert_string_equal(shortest, "mb1ic16ih32oc16kh3ph1");
  char tiny[8];
  problem p = good("mb1ic16ih32oc16kh3ph1");
  problem_print(&p, tiny, sizeof tiny);
  assert_int_equal(strlen(tiny), 7);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reference_problem), cmocka_unit_test(defaults),
      cmocka_unit_test(output_given),      cmocka_unit_test(mistakes),
      cmocka_unit_test(round_trip),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
