/* What a compiled program says of itself. In: questions. Out: text and figures that belong to
 * the program. Always holds: nothing that a run reads is written; what is printed when it is
 * first asked for is printed under the compiled's lock. */
#include "base/fpenv.h"
#include "base/sized.h"
#include "program/program.h"

/* --- the program ----------------------------------------------------------------------------- */

wn_status wn_program_get_info(wn_program *p, wn_program_info *info) {
  const char *why = sized_out(&sized_program_info, info, p != NULL ? &p->compiled->info : NULL);
  if (p == NULL) return WN_ERR_USAGE;
  return why == NULL ? WN_OK : program_refuse(p, WN_ERR_USAGE, "%s", why);
}

/* Kernels are printed, and their machine code is read back, when somebody asks. */
static wn_status look_at_kernel(compiled_graph *c, int index, int *registers, int *spills) {
  int code = c->list.launch[index].code;
  volatile wn_status st = WN_OK;
  DIAG_TRY(&c->diag, st) {
    str s;
    str_init(&s, &c->keep);
    if (c->sources[code] == NULL) {
      runtime_source(c->rt, &c->codes[code]->lin, &s);
      c->sources[code] = str_text(&s);
    }
    if (c->loops[index] == NULL) {
      str_init(&s, &c->keep);
      nest_text_print(&s, &c->nests[code], c->stores[index]);
      c->loops[index] = str_text(&s);
    }
    *registers = *spills = -1;
    if (c->module != NULL) module_registers(c->module, code, registers, spills);
  }
  DIAG_END(&c->diag, st)
  return st;
}

static wn_status describe_kernel(compiled_graph *c, int index, wn_kernel_info *info) {
  int registers, spills;
  wn_status st = look_at_kernel(c, index, &registers, &spills);
  if (st != WN_OK) return st;
  const lin_kernel *k = &c->kernels[index]->lin;
  kernel_state s = compiled_kernel_state(c, index);
  const wn_kernel_info now = {.name = k->name,
                              .stage = k->stage,
                              .loops = k->loops,
                              .source = c->sources[c->list.launch[index].code],
                              .fallback = s.fallback,
                              .note = s.note,
                              .nest = c->loops[index],
                              .source_lines = s.source_lines,
                              .registers = registers,
                              .spills = spills,
                              .prepare = index < c->list.prepare,
                              .site = c->site_of[index],
                              .flops = k->flops,
                              .bytes = k->bytes};
  sized_out(&sized_kernel_info, info, &now);
  return WN_OK;
}

wn_status wn_program_get_kernel(wn_program *p, int index, wn_kernel_info *info) {
  const char *why = sized_out(&sized_kernel_info, info, NULL);
  if (p == NULL) return WN_ERR_USAGE;
  if (why != NULL) return program_refuse(p, WN_ERR_USAGE, "%s", why);
  compiled_graph *c = p->compiled;
  if (index < 0 || index >= c->list.count)
    return program_refuse(p, WN_ERR_USAGE,
                          "wn_program_get_kernel: there is no kernel of this number");
  fenv_t fp;
  fp_enter(&fp);
  fork_lock_take(&c->lock);
  wn_status st = describe_kernel(c, index, info);
  fork_lock_give(&c->lock);
  fp_leave(&fp);
  return st == WN_OK ? st : program_refuse(p, st, "out of memory for the source of a kernel");
}

wn_status wn_program_get_site(wn_program *p, int index, wn_site_info *info) {
  const char *why = sized_out(&sized_site_info, info, NULL);
  if (p == NULL) return WN_ERR_USAGE;
  if (why != NULL) return program_refuse(p, WN_ERR_USAGE, "%s", why);
  if (index < 0 || index >= p->compiled->info.sites)
    return program_refuse(p, WN_ERR_USAGE, "wn_program_get_site: there is no site of this number");
  sized_out(&sized_site_info, info, &p->compiled->sites[index]);
  return WN_OK;
}

/* --- slots ----------------------------------------------------------------------------------- */

wn_status wn_program_get_slot(wn_program *p, int slot, wn_slot_info *info) {
  const char *why = sized_out(&sized_slot_info, info, NULL);
  if (p == NULL) return WN_ERR_USAGE;
  if (why != NULL) return program_refuse(p, WN_ERR_USAGE, "%s", why);
  const slot_list *l = &p->compiled->slots;
  if (slot < 0 || slot >= l->count)
    return program_refuse(p, WN_ERR_USAGE,
                          "wn_program_get_slot: there is no slot %d: the program has %d, from 0",
                          slot, l->count);
  const program_slot *s = &l->at[slot];
  bool gone = s->kind == WN_SLOT_CONSTANT && p->prepared != NULL && slot_is_prepared(l, slot) &&
              atomic_load_explicit(&p->prepared->released, memory_order_relaxed);
  const wn_slot_info now = {.name = s->name,
                            .kind = s->kind,
                            .dtype = s->dtype,
                            .ndim = s->shape->len,
                            .shape = s->shape->at,
                            .bytes = s->bytes,
                            .data = gone ? NULL : p->bound[slot]};
  sized_out(&sized_slot_info, info, &now);
  return WN_OK;
}

wn_status wn_program_find(wn_program *p, const char *name, int *slot) {
  if (slot != NULL) *slot = -1;
  if (p == NULL) return WN_ERR_USAGE;
  if (name == NULL || slot == NULL)
    return program_refuse(p, WN_ERR_USAGE,
                          "wn_program_find: the name or the place for the number is NULL");
  const slot_list *l = &p->compiled->slots;
  int found = -1;
  for (int i = 0; i < l->count; ++i) {
    if (strcmp(l->at[i].name, name) != 0) continue;
    if (found >= 0)
      return program_refuse(p, WN_ERR_USAGE,
                            "wn_program_find: \"%.*s\" may be slot %d, %s, or %d, %s", WN_MAX_NAME,
                            name, found, l->at[found].text, i, l->at[i].text);
    found = i;
  }
  if (found < 0)
    return program_refuse(p, WN_ERR_USAGE, "wn_program_find: no slot is called \"%.*s\"",
                          WN_MAX_NAME, name);
  *slot = found;
  return WN_OK;
}
