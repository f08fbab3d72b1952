/* The Metal backend where there is no Metal: a line that says so, and nothing else happens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/metal/metal.h"

static void test_opening_says_what_is_missing(void **state) {
  diag d;
  machine target;
  (void)state;
  diag_init(&d);
  volatile wn_status st;
  DIAG_TRY(&d, st) { backend_metal.open(&d, NULL, NULL, NULL, &target); }
  DIAG_END(&d, st)
  assert_int_equal(st, WN_ERR_DEVICE);
  assert_non_null(strstr(d.message, "no Metal here: /usr/lib/libobjc.A.dylib"));
}

static void test_there_are_no_devices(void **state) {
  diag d;
  arena a;
  const device_info *list;
  const char *why = NULL;
  (void)state;
  diag_init(&d);
  arena_init(&a, &d);
  assert_int_equal(backend_metal.list(&d, &a, &list, &why), 0);
  assert_non_null(strstr(why, "libobjc"));
  arena_release(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_opening_says_what_is_missing),
                                     cmocka_unit_test(test_there_are_no_devices)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
