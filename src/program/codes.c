/* Kernels of nests as linear IR, and that as machine code.
 *
 * In: parts, each carried out once whatever launches it. Out: a code for each kernel that differs, and for each launch
 * the code with arrays of its own. Always holds: names of codes differ; the text of each is there when somebody asks.
 * */
#include "program/program.h"

/* Each kernel of a part once, under a name of its own. */
static void linearise_part(compiled_graph *c, const part *of, const linear_options *lo, map *names,
                           map *lists) {
  for (size_t i = 0; i < of->set->kernels.len; ++i) {
    int code = of->first_code + (int)i;
    const nest_kernel *nests = &of->set->kernels.data[i];
    c->codes[code] = keep_code(&c->keep, lists, linearise(&c->graph, of->set, nests, lo));
    c->nests[code] = nest_text_of(&c->graph, &c->keep, of->set, (int)i);
    lin_kernel *k = &c->codes[code]->lin;
    uint64_t again = (uintptr_t)intern_string(&c->graph, k->name), known;
    if (map_get(names, again, &known)) k->name = arena_printf(&c->keep, "%sn%d", k->name, code);
    map_put(names, again, 1);
  }
}

/* The number that the code has for an array of the set that this launch stores, or reads; -1: it does not. */
static int array_of_code(const linear_kernel *code, const nest_kernel *k, int array, bool stored) {
  for (size_t i = 0; i < code->lin.arrays.len; ++i) {
    const lin_array *x = &code->lin.arrays.data[i];
    if (x->space == SPACE_GLOBAL && kernel_array(k, code->args.data[x->slot]) == array &&
        (stored ? x->written : x->read))
      return (int)i;
  }
  return -1;
}

static void add_pair(compiled_graph *c, lin_kernel *k, lin_pair pair) {
  if (pair.stored >= 0 && pair.read >= 0 &&
      !lin_are_pair(k, (size_t)pair.stored, (size_t)pair.read))
    vec_push(&c->keep, &k->pairs, pair);
}

/* What memory planning placed so. A code that several launches have gets the pairs of all. */
static void mark_pairs(compiled_graph *c, const nest_kernel *k) {
  linear_kernel *code = c->codes[k->code];
  for (int i = 0; i < k->npairs; ++i) {
    const int stored = kernel_array(k, k->pairs[i].stored),
              read = kernel_array(k, k->pairs[i].read);
    if (c->set->arrays.data[stored].instead != read + 1) continue;
    add_pair(c, &code->lin,
             (lin_pair){array_of_code(code, k, stored, true), array_of_code(code, k, read, false)});
  }
}

static void verify(compiled_graph *c, const lin_kernel *k) {
#ifndef NDEBUG
  arena *a = &c->graph.arena;
  const char *broken = lin_verify(a, k);
  if (broken == NULL) return;
  str text;
  str_init(&text, a);
  lin_print(&text, k);
  WN_CHECK(false, "kernel %s: %s\n%s", k->name, broken, str_text(&text));
#else
  (void)c, (void)k;
#endif
}

/* What a launch has of its own: arrays, and what it is called. */
static linear_kernel *launch_of(compiled_graph *c, const nest_kernel *k) {
  arena *a = &c->keep;
  linear_kernel *of = arena_copy(a, c->codes[k->code], sizeof *of);
  int *args = arena_array(a, int, of->args.len + 1);
  for (size_t i = 0; i < of->args.len; ++i) args[i] = kernel_array(k, of->args.data[i]);
  of->args.data = args;
  of->lin.stage = nest_stages(a, k);
  of->lin.once = k->prepare;
  return of;
}

void codes_make(compiled_graph *c, const part_list *parts, bool merge) {
  arena *a = &c->keep;
  bool device = runtime_machine(c->rt)->group > 0;
  linear_options lo = {.accumulators = device ? 0 : runtime_machine(c->rt)->registers - 4,
                       .no_merge = !merge,
                       .fma = runtime_machine(c->rt)->fma};
  size_t n = c->set->kernels.len;
  map names, lists;
  map_init(&names, &c->graph.arena);
  map_init(&lists, &c->graph.arena);
  c->ncodes = c->set->ncodes;
  c->codes = arena_array(a, linear_kernel *, c->ncodes + 1);
  c->kernels = arena_array(a, linear_kernel *, n + 1);
  c->sources = arena_array(a, const char *, c->ncodes + 1);
  c->nests = arena_array(a, nest_text, c->ncodes + 1);
  c->stores = arena_array(a, const char **, n + 1);
  c->loops = arena_array(a, const char *, n + 1);
  for (int v = 0; v < parts->sites->nvalues; ++v) {
    const part *of = parts->of[v];
    if (of->set->kernels.len > 0 && c->codes[of->first_code] == NULL)
      linearise_part(c, of, &lo, &names, &lists);
  }
  for (size_t i = 0; i < n; ++i) mark_pairs(c, &c->set->kernels.data[i]);
  for (int i = 0; i < c->ncodes; ++i) verify(c, &c->codes[i]->lin);
  for (size_t i = 0; i < n; ++i) {
    c->kernels[i] = launch_of(c, &c->set->kernels.data[i]);
    c->stores[i] = nest_stores(a, c->set, (int)i);
  }
}

void codes_compile(compiled_graph *c, const compile_options *options) {
  const lin_kernel **ks = arena_array(&c->graph.arena, const lin_kernel *, c->ncodes + 1);
  for (int i = 0; i < c->ncodes; ++i) ks[i] = &c->codes[i]->lin;
  compile_options o = *options;
  o.side = c->list.side;
  o.side_args = c->list.side_args;
  c->module = module_compile(c->rt, &c->diag, c->ncodes, ks, &o);
}
