/* Binding. In: slots and arrays. Out: a program whose next run uses those. Always holds: all of
 * a call or none of it; what is bound keeps the rules of slots.c; launches follow at once, so a
 * run looks at nothing but whether all is there. */
#include "base/text.h"
#include "program/program.h"

static const char running[] =
    "a thread runs or binds the program: it can be bound between runs, by one thread at a time";

/* NULL, or what is wrong with this array for this slot, without looking at the others. */
static const char *mistake(const wn_program *p, int slot, const void *data, char *line,
                           size_t size) {
  const slot_list *s = &p->compiled->slots;
  if (slot < 0 || slot >= s->count) {
    text_format(line, size, "there is no slot %d: the program has %d, from 0", slot, s->count);
    return line;
  }
  if (s->at[slot].kind == WN_SLOT_FIXED) {
    text_format(line, size, "%s was read when the program was compiled: compile again for others",
                s->at[slot].text);
    return line;
  }
  if (slot_is_prepared(s, slot) &&
      atomic_load_explicit(&p->prepared->released, memory_order_relaxed)) {
    text_format(line, size, "%s cannot be bound any more: raw weights of the program were released",
                s->at[slot].text);
    return line;
  }
  if (data != NULL && program_in_arena(p, data, s->at[slot].bytes)) {
    text_format(line, size, "%s overlaps the program's arena (wn_bind_arena)", s->at[slot].text);
    return line;
  }
  if (!slot_lacks(&s->at[slot], data)) return slot_mistake(&s->at[slot], data, line, size);
  text_format(line, size, "%s cannot be NULL", s->at[slot].text);
  return line;
}

/* NULL, or which two overlap of those that will be bound. */
static const char *overlap(const wn_program *p, int slot, char *line, size_t size) {
  const slot_list *s = &p->compiled->slots;
  for (int i = 0; i < s->count; ++i) {
    if (i != slot && p->next[i] != NULL && slots_clash(s, slot, p->next[slot], i, p->next[i]))
      return slots_clash_text(s, slot, i, line, size);
  }
  return NULL;
}

static const char *check(wn_program *p, int count, const int *slots, const void *const *data,
                         char *line, size_t size) {
  const char *wrong = NULL;
  for (int i = 0; i < count && wrong == NULL; ++i)
    wrong = mistake(p, slots[i], data[i], line, size);
  if (wrong != NULL) return wrong;
  memcpy(p->next, p->bound, (size_t)p->compiled->slots.count * sizeof *p->next);
  /* const ends here, since kernels take all arrays alike; what is no output is not written */
  for (int i = 0; i < count; ++i) p->next[slots[i]] = (void *)(uintptr_t)data[i];
  for (int i = 0; i < count && wrong == NULL; ++i)
    if (p->next[slots[i]] != p->bound[slots[i]]) wrong = overlap(p, slots[i], line, size);
  return wrong;
}

static bool any_prepared(const wn_program *p, int count, const int *slots) {
  bool any = false;
  for (int i = 0; i < count; ++i) any |= slot_is_prepared(&p->compiled->slots, slots[i]);
  return any;
}

static void take(wn_program *p, int slot) {
  p->unbound -= slot_lacks(&p->compiled->slots.at[slot], p->bound[slot]);
  p->bound[slot] = p->next[slot];
  if (p->in_place) program_place(p, slot, p->bound[slot]);
}

static wn_status bind_all(wn_program *p, int count, const int *slots, const void *const *data,
                          diag *errors) {
  const char *wrong = check(p, count, slots, data, errors->message, sizeof errors->message);
  if (wrong != NULL) return WN_ERR_USAGE;
  if (any_prepared(p, count, slots) && program_own_prepared(p) != WN_OK)
    return diag_set(errors, p->diag.status, "%s", p->diag.message);
  for (int i = 0; i < count; ++i) take(p, slots[i]);
  return WN_OK;
}

static wn_status bind_slots(wn_program *p, const char *who, int count, const int *slots,
                            const void *const *data) {
  if (program_no_code(p) != NULL) return program_refuse(p, WN_ERR_USAGE, "%s", program_no_code(p));
  if (!program_enter(p, PROGRAM_IS_BOUND))
    return program_refuse(p, WN_ERR_USAGE, "%s: %s", who, running);
  diag errors;
  wn_status st = bind_all(p, count, slots, data, &errors);
  program_leave(p);
  return st == WN_OK ? WN_OK : program_refuse(p, st, "%s: %s", who, errors.message);
}

wn_status wn_bind_many(wn_program *p, int count, const int *slots, const void *const *data) {
  if (p == NULL) return WN_ERR_USAGE;
  if (count < 0 || (count > 0 && (slots == NULL || data == NULL)))
    return program_refuse(p, WN_ERR_USAGE, "wn_bind_many: slots or arrays are missing");
  return bind_slots(p, "wn_bind_many", count, slots, data);
}

wn_status wn_bind(wn_program *p, int slot, const void *data) {
  if (p == NULL) return WN_ERR_USAGE;
  return bind_slots(p, "wn_bind", 1, &slot, &data);
}

/* --- the arena -------------------------------------------------------------------------------- */

/* NULL, or what is wrong with the block. */
static const char *arena_mistake(const wn_program *p, const void *at, size_t size, char *line,
                                 size_t room) {
  const slot_list *s = &p->compiled->slots;
  size_t need = p->compiled->set->workspace_bytes;
  if (!p->in_place) return "a device has memory of its own";
  if (at == NULL) return NULL;
  if (size < need) {
    text_format(line, room, "the arena has %zu bytes, and the program needs %zu", size, need);
    return line;
  }
  if ((uintptr_t)at % WN_ARENA_ALIGNMENT != 0) {
    text_format(line, room, "the arena at %p is not aligned to %d bytes", at, WN_ARENA_ALIGNMENT);
    return line;
  }
  for (int i = 0; i < s->count; ++i) {
    const char *array = p->bound[i], *begin = at;
    bool theirs = s->at[i].kind != WN_SLOT_FIXED && array != NULL && s->at[i].bytes > 0;
    if (!theirs || begin >= array + s->at[i].bytes || array >= begin + need) continue;
    text_format(line, room, "the arena overlaps %s", s->at[i].text);
    return line;
  }
  return NULL;
}

static wn_status bind_arena(wn_program *p, void *at, size_t size, diag *errors) {
  const char *wrong = arena_mistake(p, at, size, errors->message, sizeof errors->message);
  if (wrong != NULL && wrong != errors->message) diag_set(errors, WN_ERR_USAGE, "%s", wrong);
  if (wrong != NULL) return WN_ERR_USAGE;
  if (at == NULL && !p->lent_arena) return WN_OK;
  int block = p->compiled->slots.count + 1;
  void *before = p->block[block];
  bool lent = p->lent_arena;
  wn_status st = WN_OK;
  if (at != NULL) {
    program_place(p, block, at);
    p->lent_arena = true;
  } else {
    DIAG_TRY(&p->diag, st) program_own_arena(p);
    DIAG_END(&p->diag, st)
    if (st != WN_OK) return diag_set(errors, st, "%s", p->diag.message);
  }
  if (!lent) runtime_free(p->rt, before);
  return WN_OK;
}

wn_status wn_bind_arena(wn_program *p, void *at, size_t size) {
  if (p == NULL) return WN_ERR_USAGE;
  if (program_no_code(p) != NULL) return program_refuse(p, WN_ERR_USAGE, "%s", program_no_code(p));
  if (!program_enter(p, PROGRAM_IS_BOUND))
    return program_refuse(p, WN_ERR_USAGE, "wn_bind_arena: %s", running);
  diag errors;
  diag_init(&errors);
  wn_status st = bind_arena(p, at, size, &errors);
  program_leave(p);
  return st == WN_OK ? WN_OK : program_refuse(p, st, "wn_bind_arena: %s", errors.message);
}
