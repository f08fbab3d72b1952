/* Any text is a schedule that prints and parses back to itself, or an error of usage; so it is as a plan of a graph's
 * sites. */
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "plan/plan.h"

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

static const graph_site at[] = {{.kind = SITE_CONV, .value = 0},
                                {.kind = SITE_CONV, .value = 1},
                                {.kind = SITE_MAP, .value = 2},
                                {.kind = SITE_SUM, .value = 3},
                                {.kind = SITE_PRODUCT, .value = 4}};
static const stored_value value[] = {
    {.result = -1}, {.result = -1}, {.result = -1}, {.result = 0}, {.result = -1}};
static const site_list sites = {.nvalues = 5, .value = value, .n = 5, .at = at};

/* The same of a plan; what it does not say of a site is left to be chosen and is printed as direct. */
static void check_plan(graph *g, const graph_plan *p) {
  str first, second;
  str_init(&first, &g->arena);
  str_init(&second, &g->arena);
  plan_print(&first, p, &sites);
  graph_plan again = plan_parse(g, str_text(&first), &sites).plan;
  plan_print(&second, &again, &sites);
  if (!plan_equal(p, &again) || strcmp(str_text(&first), str_text(&second)) != 0) abort();
}

static void try_plan(const char *text) {
  diag d;
  graph g;
  volatile wn_status status, round_trip = WN_OK;
  plan_request asked = {0};
  diag_init(&d);
  graph_init(&g, &d);
  DIAG_TRY(&d, status) { asked = plan_parse(&g, text, &sites); }
  DIAG_END(&d, status)
  if (status != WN_OK && (status != WN_ERR_USAGE || !d.message[0])) abort();
  if (status == WN_OK) {
    DIAG_TRY(&d, round_trip) { check_plan(&g, &asked.plan); }
    DIAG_END(&d, round_trip)
  }
  if (round_trip != WN_OK) abort();
  graph_release(&g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  diag d;
  arena a;
  volatile wn_status status, round_trip = WN_OK;
  diag_init(&d);
  arena_init(&a, &d);
  char *text = arena_alloc(&a, size + 1);
  if (size) memcpy(text, data, size);
  try_plan(text);
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
