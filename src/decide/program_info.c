/* Describing a program; see program_sites.h. */
#include "decide/program_sites.h"

void program_describe(compiled_graph *p, const decision *d, double schedule_s, double compile_s) {
  wn_program_info *i = &p->info;
  str placement;
  str_init(&placement, &p->graph.arena);
  const choice *ch = &d->choice;
  const fitting *f = &d->fit;
  plan_print(&placement, &d->complete, ch->sites);
  const machine *t = runtime_machine(p->rt);
  *i = (wn_program_info){.plan = ch->name,
                         .placement = str_text(&placement),
                         .wino = "",
                         .backend = runtime_backend(p->rt),
                         .isa = t->name,
                         .device = t->model,
                         .threads = runtime_threads(p->rt),
                         .kernels = p->list.count - p->list.prepare,
                         .prepare_kernels = p->list.prepare,
                         .inputs = p->slots.inputs,
                         .constants = p->slots.constants,
                         .outputs = p->slots.outputs,
                         .sites = ch->sites->n,
                         .workspace_bytes = memory_needed(p->set, runtime_scratch_blocks(p->rt)),
                         .prepared_bytes = p->set->prepared_bytes,
                         .arena_bytes = p->set->workspace_bytes,
                         .arena_least = p->set->workspace_least,
                         .schedule_s = schedule_s,
                         .compile_s = compile_s,
                         .predicted_s = ch->seconds,
                         .tuned = (int)ch->tuned,
                         .cached = p->module != NULL && module_cached(p->module),
                         .identity = launches_identity(p)};
  for (size_t a = 0; a < p->set->arrays.len; ++a) {
    array_role role = p->set->arrays.data[a].role;
    bool own = p->set->arrays.data[a].whole == 0;
    i->buffers += own && (role == ROLE_RESULT || role == ROLE_WORK || role == ROLE_PREPARED);
  }
  for (size_t k = 0; k < p->set->kernels.len; ++k) {
    kernel_state s = compiled_kernel_state(p, (int)k);
    i->source_lines = s.source_lines < 0 ? -1 : i->source_lines + s.source_lines;
    if (i->fallback == NULL) i->fallback = s.fallback;
  }
  for (int v = 0; v < f->sites->nvalues; ++v) {
    for (int s = 0; s < f->of[v]->w.nsites; ++s) {
      const wino_site *site = &f->of[v]->w.site[s];
      str tile;
      str_init(&tile, &p->graph.arena);
      for (int a = 0; a < site->ndim; ++a) str_printf(&tile, "%s%d", a ? "x" : "", site->m[a]);
      if (*i->wino == '\0') i->wino = str_text(&tile);
      if (site->error > i->error_bound) i->error_bound = site->error;
      i->promise_missed |= site->promise_missed;
    }
  }
}
