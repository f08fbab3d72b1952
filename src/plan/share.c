/* Loops of work items; see share.h. */
#include "plan/share.h"

#include "base/text.h"

/* "k1" as schedules spell it; letter 0: they cannot. */
static loop_name name_of(const axis *a) {
  loop_name l = {a->name[0], -1};
  const char *part = a->name + 1;
  if (*part >= '0' && *part <= '3') l.part = (int8_t)(*part++ - '0');
  if (strchr("tkcgfpnzyx", l.letter) == NULL || *part != '\0') l.letter = 0;
  return l;
}

static bool can_be_shared(const axis *a) { return a->kind <= AXIS_LOOP && !a->reduces; }

static _Noreturn void refuse(diag *d, arena *mem, loop_name want, int first, int naxes,
                             const axis *a, const char *of) {
  str names;
  str_init(&names, mem);
  for (int i = first; i < naxes; ++i)
    if (can_be_shared(&a[i])) str_printf(&names, " %s", a[i].name);
  char part[4] = {want.part >= 0 ? (char)('0' + want.part) : '\0', 0};
  diag_fail(
      d, WN_ERR_REFUSED,
      "share=%c%s: the kernel of %s has no such loop inside of its stages; its loops there:%s",
      want.letter, part, of, str_text(&names));
}

sharing share_from(diag *d, arena *mem, const schedule *s, int naxes, const axis *a, int around,
                   const char *of) {
  int first = 0, choices = 0;
  while (first < naxes && a[first].kind == AXIS_GRID) ++first;
  if (around > first) first = around;
  sharing out = {.from = first};
  for (int i = first; i < naxes; ++i) choices += can_be_shared(&a[i]);
  if (s != NULL && s->share.letter != 0) {
    int at = first;
    while (at < naxes && !(can_be_shared(&a[at]) && loop_named(s->share, a[at].name))) ++at;
    if (at == naxes) refuse(d, mem, s->share, first, naxes, a, of);
    out.from = at;
  }
  int from = out.from;
  while (from < naxes && !can_be_shared(&a[from])) ++from;
  if (choices > 1 && from < naxes) out.said = name_of(&a[from]);
  return out;
}
