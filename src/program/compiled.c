/* What is compiled of a graph, which programs share: made, let go, asked for its kernels. Always holds: it lives until
 * the last program of it is gone. */
#include "program/program.h"

compiled_graph *compiled_new(const diag *warn) {
  compiled_graph *c = mem_alloc(sizeof *c);
  if (c == NULL) return NULL;
  memset(c, 0, sizeof *c);
  if (!fork_lock_init(&c->lock)) {
    mem_free(c);
    return NULL;
  }
  atomic_init(&c->holders, 1);
  diag_init(&c->diag);
  c->diag.warn = warn->warn;
  c->diag.warn_user = warn->warn_user;
  graph_init(&c->graph, &c->diag);
  arena_init(&c->keep, &c->diag);
  return c;
}

void compiled_release(compiled_graph *c) {
  if (c == NULL || atomic_fetch_sub_explicit(&c->holders, 1, memory_order_acq_rel) > 1) return;
  compiled_close_store(c);
  if (c->module != NULL) module_destroy(c->module);
  if (c->rt != NULL) runtime_destroy(c->rt);
  graph_release(&c->graph);
  arena_release(&c->keep);
  fork_lock_destroy(&c->lock);
  mem_free(c);
}

void compiled_close_store(compiled_graph *c) {
  store_close(c->store);
  c->store = NULL;
}

kernel_state compiled_kernel_state(const compiled_graph *c, int index) {
  return c->module != NULL ? module_kernel(c->module, c->list.launch[index].code)
                           : (kernel_state){.source_lines = -1};
}

const char *compiled_line_limit(const compiled_graph *c, arena *a, int max_lines) {
  const char *why = NULL;
  int lines;
  for (int i = 0; i < c->ncodes && why == NULL; ++i)
    why = runtime_line_limit(c->rt, a, a, &c->codes[i]->lin, max_lines, &lines);
  return why;
}
