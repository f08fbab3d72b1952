/* Which loops the work items of a group share: from the innermost stage on, or from a later loop that a plan names. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "plan/share.h"

#define LEN(a) (sizeof(a) / sizeof *(a))

/* Two loops of the grid, a block of tiles, a block of channels, channels, a sum, tiles, copies. */
static const axis axes[] = {{.kind = AXIS_GRID, .name = "n"},
                            {.kind = AXIS_GRID, .name = "t0"},
                            {.kind = AXIS_LOOP, .name = "k0"},
                            {.kind = AXIS_LOOP, .name = "k1"},
                            {.kind = AXIS_LOOP, .name = "c", .reduces = true},
                            {.kind = AXIS_LOOP, .name = "x0"},
                            {.kind = AXIS_UNROLL, .name = "p"}};

/* Where it is refused, from is -1. */
static wn_status try_share(diag *d, arena *mem, const schedule *s, int naxes, int around,
                           sharing *out) {
  volatile wn_status st;
  *out = (sharing){.from = -1};
  DIAG_TRY(d, st) { *out = share_from(d, mem, s, naxes, axes, around, "result"); }
  DIAG_END(d, st)
  return st;
}

static void loops_that_are_shared(void **state) {
  (void)state;
  static const struct {
    int naxes, around;
    const char *asked; /* NULL: nothing */
    int from;          /* -1: refused */
    const char *said;  /* "": nothing */
  } table[] = {
      {7, 0, NULL, 2, "k0"}, {7, 2, NULL, 2, "k0"}, {7, 3, NULL, 3, "k1"},
      {7, 4, NULL, 4, ""}, /* behind the sum there is x0 only */
      {7, 3, "k1", 3, "k1"}, {7, 3, "x0", 5, "x0"}, {7, 2, "k1", 3, "k1"},
      {7, 3, "k0", -1, ""},                       /* around a stage */
      {7, 3, "t0", -1, ""},  {7, 0, "n", -1, ""}, /* of the grid */
      {7, 3, "c", -1, ""},   {7, 3, "p", -1, ""},   {7, 3, "x1", -1, ""},
      {7, 3, "x", -1, ""},   {2, 0, NULL, 2, ""},   {4, 3, NULL, 3, ""},
  };
  for (size_t i = 0; i < LEN(table); ++i) {
    diag d;
    arena mem;
    diag_init(&d);
    arena_init(&mem, &d);
    schedule s = {.direct = false};
    if (table[i].asked != NULL)
      s.share = (loop_name){table[i].asked[0],
                            (int8_t)(table[i].asked[1] != '\0' ? table[i].asked[1] - '0' : -1)};
    sharing found;
    char said[3] = "";
    wn_status st = try_share(&d, &mem, &s, table[i].naxes, table[i].around, &found);
    if (found.said.letter != 0) said[0] = found.said.letter;
    if (found.said.letter != 0 && found.said.part >= 0) said[1] = (char)('0' + found.said.part);
    if (st != WN_OK && (st != WN_ERR_REFUSED || strstr(d.message, "the kernel of result") == NULL))
      fail_msg("row %zu: %d, %s", i, (int)st, d.message);
    if (found.from != table[i].from || strcmp(said, table[i].said) != 0)
      fail_msg("row %zu: from %d, says \"%s\"", i, found.from, said);
    arena_release(&mem);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(loops_that_are_shared)};
  return cmocka_run_group_tests_name("share", tests, NULL, NULL);
}
