/* The caller's arrays. In: slots, and memory for them. Out: what is wrong with it, in one line.
 * Always holds: what is written needs memory that nothing else is in, what is prepared once
 * memory that does not change; the same rules at compiling and at binding. */
#include <stdlib.h>

#include "base/text.h"
#include "program/program.h"

bool slot_is_prepared(const slot_list *slots, int slot) {
  wn_slot_kind kind = slots->at[slot].kind;
  return (kind == WN_SLOT_CONSTANT || kind == WN_SLOT_FIXED) && !slots->variable;
}

const char *slot_mistake(const program_slot *s, const void *data, char *line, size_t size) {
  size_t align = wn_dtype_size(s->dtype);
  if (s->bytes == 0 || (uintptr_t)data % align == 0) return NULL;
  text_format(line, size, "%s: its array at %p is not aligned to the %zu bytes of %s", s->text,
              data, align, wn_dtype_name(s->dtype));
  return line;
}

/* --- overlaps -------------------------------------------------------------------------------- */

/* What may have the same memory as others of its class: what is read by every run, and what is
 * prepared. */
typedef enum array_class { WRITTEN, READ, PREPARED, CLASSES } array_class;

static array_class class_of(const slot_list *slots, int slot) {
  if (slots->at[slot].kind == WN_SLOT_OUTPUT) return WRITTEN;
  return slot_is_prepared(slots, slot) ? PREPARED : READ;
}

static uintptr_t end_of(const slot_list *slots, int slot, const void *at) {
  uintptr_t begin = (uintptr_t)at, bytes = slots->at[slot].bytes;
  return begin > UINTPTR_MAX - bytes ? UINTPTR_MAX
                                     : begin + bytes; /* no such memory: not ours to find out */
}

bool slots_clash(const slot_list *slots, int a, const void *at_a, int b, const void *at_b) {
  array_class x = class_of(slots, a), y = class_of(slots, b);
  if (slots->at[a].bytes == 0 || slots->at[b].bytes == 0) return false;
  bool may = x != WRITTEN && x == y;
  return !may && (uintptr_t)at_a < end_of(slots, b, at_b) &&
         (uintptr_t)at_b < end_of(slots, a, at_a);
}

const char *slots_clash_text(const slot_list *slots, int a, int b, char *line, size_t size) {
  bool swap = class_of(slots, b) < class_of(slots, a) ||
              (class_of(slots, b) == class_of(slots, a) && b < a);
  const program_slot *x = &slots->at[swap ? b : a], *y = &slots->at[swap ? a : b];
  text_format(line, size, "%s overlaps %s: %s", x->text, y->text,
              x->kind == WN_SLOT_OUTPUT ? "what is written needs memory that nothing else is in"
                                        : "memory that may change between runs is no constant; "
                                          "make both wn_input, or copy one");
  return line;
}

typedef struct interval {
  uintptr_t begin, end;
  int slot;
} interval;

static int by_begin(const void *x, const void *y) {
  const interval *a = x, *b = y;
  if (a->begin != b->begin) return a->begin > b->begin ? 1 : -1;
  return (a->slot > b->slot) - (a->slot < b->slot);
}

/* By where they begin: what overlaps an array and begins before it ends behind its begin, and of
 * each class the one that ends last does if any does. */
static void check_overlaps(const slot_list *slots, diag *d, interval *all, int n) {
  const interval *last[CLASSES] = {NULL};
  char line[sizeof d->message];
  qsort(all, (size_t)n, sizeof *all, by_begin);
  for (int i = 0; i < n; ++i) {
    const interval *a = &all[i];
    array_class class = class_of(slots, a->slot);
    for (int k = 0; k < CLASSES; ++k) {
      if (last[k] != NULL && slots_clash(slots, last[k]->slot, (const void *)last[k]->begin,
                                         a->slot, (const void *)a->begin))
        diag_fail(d, WN_ERR_USAGE, "%s",
                  slots_clash_text(slots, last[k]->slot, a->slot, line, sizeof line));
    }
    if (last[class] == NULL || last[class]->end < a->end) last[class] = a;
  }
}

void slots_check(const slot_list *slots, diag *d, arena *scratch) {
  interval *all = arena_array(scratch, interval, slots->count + 1);
  char line[sizeof d->message];
  int n = 0;
  for (int i = 0; i < slots->count; ++i) {
    const program_slot *s = &slots->at[i];
    const void *data = slots->data[i];
    if (data == NULL || s->bytes == 0) continue;
    const char *wrong = slot_mistake(s, data, line, sizeof line);
    if (wrong != NULL) diag_fail(d, WN_ERR_USAGE, "%s", wrong);
    if (s->kind != WN_SLOT_FIXED) /* whose values were copied */
      all[n++] = (interval){(uintptr_t)data, end_of(slots, i, data), i};
  }
  check_overlaps(slots, d, all, n);
}
