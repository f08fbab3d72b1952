/* What is left of a compile.
 *
 * In: a compiled graph with all of its IR. Out: the same without IR: linear kernels (which are interpreted, and printed
 * when somebody asks), launches, arrays, slots, text. Always holds: what a compile leaves is proportional to its codes
 * and launches, each as long as it is; nothing that is kept points into the graph, whose memory is given back. */
#include "program/program.h"

static const int_list *keep_list(arena *keep, map *lists, const int_list *of) {
  uint64_t key = (uintptr_t)of;
  const int_list *known = map_get_ptr(lists, key);
  if (known != NULL) return known;
  known = arena_copy(keep, of, sizeof *of + sizeof *of->at * (size_t)of->len);
  map_put_ptr(lists, key, (void *)(uintptr_t)known);
  return known;
}

linear_kernel *keep_code(arena *keep, map *lists, const linear_kernel *of) {
  linear_kernel *k = arena_copy(keep, of, sizeof *of);
  lin_kernel *l = &k->lin;
  l->name = arena_strdup(keep, l->name);
  l->stage = arena_strdup(keep, l->stage);
  l->loops = arena_strdup(keep, l->loops);
  l->arrays.data = arena_copy(keep, l->arrays.data, sizeof *l->arrays.data * l->arrays.len);
  l->ins.data = arena_copy(keep, l->ins.data, sizeof *l->ins.data * l->ins.len);
  k->args.data = arena_copy(keep, k->args.data, sizeof *k->args.data * k->args.len);
  l->arrays.cap = l->arrays.len;
  l->ins.cap = l->ins.len;
  k->args.cap = k->args.len;
  for (size_t i = 0; i < l->arrays.len; ++i)
    l->arrays.data[i].name = arena_strdup(keep, l->arrays.data[i].name);
  for (size_t i = 0; i < l->ins.len; ++i) {
    lin_ins *ins = &l->ins.data[i];
    if (ins->op == OP_SHUFFLE) ins->list = keep_list(keep, lists, ins->list);
  }
  return k;
}

static const char *keep_text(arena *keep, const char *text) {
  return text == NULL ? NULL : arena_strdup(keep, text);
}

static const int_list *keep_shape(arena *keep, const int_list *of) {
  return arena_copy(keep, of, sizeof *of + sizeof *of->at * (size_t)of->len);
}

static void keep_slots(arena *keep, slot_list *l) {
  l->at = arena_copy(keep, l->at, sizeof *l->at * (size_t)l->count);
  l->data = arena_copy(keep, l->data, sizeof *l->data * (size_t)l->count);
  l->of = NULL;
  for (int i = 0; i < l->count; ++i) {
    program_slot *s = &l->at[i];
    s->name = keep_text(keep, s->name);
    s->text = keep_text(keep, s->text);
    s->shape = keep_shape(keep, s->shape);
    if (s->kind == WN_SLOT_FIXED && l->data[i] != NULL)
      l->data[i] = arena_copy(keep, l->data[i], s->bytes);
  }
}

/* Arrays, and of each launch what needs no nests. */
static kernel_set *keep_set(arena *keep, const kernel_set *of) {
  kernel_set *set = arena_new(keep, kernel_set);
  set->arrays.len = set->arrays.cap = of->arrays.len;
  set->arrays.data = arena_copy(keep, of->arrays.data, sizeof *of->arrays.data * of->arrays.len);
  for (size_t i = 0; i < set->arrays.len; ++i)
    set->arrays.data[i].name = keep_text(keep, set->arrays.data[i].name);
  set->kernels.len = set->kernels.cap = of->kernels.len;
  set->kernels.data = arena_array(keep, nest_kernel, of->kernels.len + 1);
  for (size_t i = 0; i < set->kernels.len; ++i) {
    const nest_kernel *k = &of->kernels.data[i];
    set->kernels.data[i] = (nest_kernel){.prepare = k->prepare,
                                         .chunks = k->chunks,
                                         .chunk_group = k->chunk_group,
                                         .group = k->group,
                                         .first_site = k->first_site,
                                         .nsites = k->nsites,
                                         .code = k->code};
  }
  set->workspace_bytes = of->workspace_bytes;
  set->workspace_least = of->workspace_least;
  set->prepared_bytes = of->prepared_bytes;
  set->scratch_bytes = of->scratch_bytes;
  set->ncodes = of->ncodes;
  return set;
}

static void keep_info(arena *keep, wn_program_info *info) {
  const char **text[] = {&info->plan, &info->placement, &info->wino, &info->identity};
  for (size_t i = 0; i < sizeof text / sizeof *text; ++i) *text[i] = keep_text(keep, *text[i]);
}

static void keep_sites(arena *keep, int n, wn_site_info *sites) {
  for (int i = 0; i < n; ++i) {
    wn_site_info *s = &sites[i];
    s->label = keep_text(keep, s->label);
    s->name = keep_text(keep, s->name);
    s->plan = keep_text(keep, s->plan);
    s->in_place_of = keep_text(keep, s->in_place_of);
    s->plan_why = keep_text(keep, s->plan_why);
    s->other = keep_text(keep, s->other);
    s->shape = arena_copy(keep, s->shape, sizeof *s->shape * (size_t)s->ndim);
  }
}

void compiled_end(compiled_graph *c) {
  keep_slots(&c->keep, &c->slots);
  c->set = keep_set(&c->keep, c->set);
  keep_info(&c->keep, &c->info);
  keep_sites(&c->keep, c->info.sites, c->sites);
  graph_release(&c->graph);
  graph_init(&c->graph, &c->diag);
}
