/* Any text is a schedule that prints and parses back to itself, or an error of usage. */
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "schedule/schedule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The printed form means the same schedule, and is the only printed form of it. */
static void check_round_trip(diag *d, arena *a, const schedule *s) {
  str first, second;
  schedule again;
  str_init(&first, a);
  str_init(&second, a);
  schedule_print(&first, s);
  if (!schedule_parse(d, str_text(&first), &again)) abort();
  schedule_print(&second, &again);
  if (!schedule_equal(s, &again) || schedule_hash(s) != schedule_hash(&again)) abort();
  if (strcmp(str_text(&first), str_text(&second)) != 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  diag d;
  arena a;
  volatile wn_status status, round_trip = WN_OK;
  diag_init(&d);
  arena_init(&a, &d);
  char *text = arena_alloc(&a, size + 1);
  if (size) memcpy(text, data, size);
  schedule s;
  volatile bool parsed = false;
  DIAG_TRY(&d, status) { parsed = schedule_parse(&d, text, &s); }
  DIAG_END(&d, status)
  if (status != WN_OK && (status != WN_ERR_USAGE || !d.message[0])) abort();
  if (parsed) {
    DIAG_TRY(&d, round_trip) { check_round_trip(&d, &a, &s); }
    DIAG_END(&d, round_trip)
  }
  arena_release(&a);
  if (round_trip != WN_OK) abort();
  return 0;
}
