/* Nests as text, for dumps and explain: a tree of loops, a line each, that says what it stores at its ends.
 *
 *     grid t0 3
 *       loop f 36
 *         reduce loop c 16
 *           unroll t1 12
 *             vector k2 16
 *               store m                        a child of the block: it runs before what stands below it
 *       loop y1 3
 *         ...
 *
 * What is summed in registers stands outside the unrolled and vector loops, where the code has it. */
#include "ir/ir_text.h"
#include "nest/nest.h"

static const char *const role_name[] = {"input", "constant", "result", "prepared", "work", "local"};

typedef struct printer {
  graph *g;
  str *out;
  const kernel_set *set;
  const nest_kernel *k;
  bool places; /* in the place of what is stored */
} printer;

static void print_loop(const printer *p, int depth, bool reduces, axis_kind kind, const char *name,
                       int64_t extent) {
  str_printf(p->out, "%*s%s%s %s %lld\n", 2 * depth, "", reduces ? "reduce " : "",
             axis_kind_name[kind], name, (long long)extent);
}

const char *stage_label(arena *a, stage_id id, int site) {
  return site == 0 ? arena_printf(a, "%c", stage_letter[id])
                   : arena_printf(a, "%c%d", stage_letter[id], site);
}

const char *store_label(arena *a, const nest_kernel *k, const nest_store *s) {
  if (s->site < 0) return s->stage;
  int other = s->site - k->nsites; /* which of those behind the first value; < 0: it is that */
  if (s->id == STAGE_COUNT)
    return k->label == NULL ? s->stage : k->label[k->nothers > 0 && other >= 0 ? other + 1 : 0];
  return stage_label(a, s->id, kernel_site(k, s->site));
}

static void add_labels(str *s, arena *a, const nest_kernel *k, const nest *n) {
  for (int i = 0; i < n->nstores; ++i)
    str_printf(s, "%s%s", s->len ? "+" : "", store_label(a, k, &n->store[i]));
}

const char *nest_stages(arena *a, const nest_kernel *k) {
  str s;
  str_init(&s, a);
  for (int r = 0; r < k->nroots; ++r) {
    const nest *root = k->root[r];
    for (int c = 0; c < root->nchildren; ++c) add_labels(&s, a, k, root->child[c].nest);
    add_labels(&s, a, k, root);
  }
  return str_text(&s);
}

/* The loops of the REDUCEs in the nest's values, each once. Returns how many. */
static int print_sums(const printer *p, const nest *n, int depth) {
  arena *a = &p->g->arena;
  uop_order all = nest_walk(a, n);
  map seen;
  int count = 0;
  map_init(&seen, a);
  for (size_t i = all.len; i-- > 0;) {
    const uop *u = all.at[i];
    for (int r = 1; u->op == OP_REDUCE && r < u->nsrc; ++r) {
      uint64_t number = (uint64_t)u->src[r]->arg.i, known, kind = AXIS_LOOP;
      if (map_get(&seen, number, &known)) continue;
      map_put(&seen, number, 1);
      map_get(p->k->kinds != NULL ? p->k->kinds : &p->set->kinds, number, &kind);
      print_loop(p, depth + count++, true, (axis_kind)kind, uop_range_name(p->g, u->src[r]),
                 u->src[r]->arg.j);
    }
  }
  return count;
}

/* "m", "result0 in b3", "map3 in b4 in place of b2" */
static const char *stored_text(arena *a, const kernel_set *set, const nest_kernel *k,
                               const nest_store *s) {
  const array_info *array = &set->arrays.data[kernel_array(k, s->array)];
  const char *label = store_label(a, k, s);
  if (strcmp(array->name, label) != 0) label = arena_printf(a, "%s in %s", label, array->name);
  if (array->instead == 0) return label;
  return arena_printf(a, "%s in place of %s", label, set->arrays.data[array->instead - 1].name);
}

static void print_nest(const printer *p, const nest *n, int depth) {
  int sums = -1;
  bool adds = false;
  for (int i = 0; i <= n->naxes; ++i) {
    const axis *a = &n->axis[i];
    for (int c = 0; c < n->nchildren; ++c) {
      if (n->child[c].at == i) print_nest(p, n->child[c].nest, depth + i);
    }
    if (sums < 0 && (i == n->naxes || a->kind == AXIS_UNROLL || a->kind == AXIS_VECTOR)) {
      sums = print_sums(p, n, depth + i);
      depth += sums;
    }
    if (i < n->naxes) adds |= a->reduces;
    if (i < n->naxes) print_loop(p, depth + i, a->reduces, a->kind, a->name, a->range->arg.j);
  }
  for (int s = 0; s < n->nstores; ++s) {
    str_printf(p->out, "%*s%s ", 2 * (depth + n->naxes), "", adds ? "add to" : "store");
    if (p->places)
      str_printf(p->out, "%c\n", NEST_PLACE);
    else
      str_printf(p->out, "%s\n", stored_text(&p->g->arena, p->set, p->k, &n->store[s]));
  }
}

static void print_kernel(const printer *p, int depth) {
  const nest_kernel *k = p->k;
  if (k->chunks > 1)
    str_printf(p->out, "%*shost chunk %lld\n", 2 * depth++, "", (long long)k->chunks);
  for (int r = 0; r < k->nroots; ++r) print_nest(p, k->root[r], depth);
}

void nest_print_kernel(graph *g, str *out, const kernel_set *set, int kernel, int depth) {
  print_kernel(&(printer){g, out, set, &set->kernels.data[kernel], false}, depth);
}

nest_text nest_text_of(graph *g, arena *keep, const kernel_set *set, int kernel) {
  str text;
  str_init(&text, &g->arena);
  print_kernel(&(printer){g, &text, set, &set->kernels.data[kernel], true}, 0);
  return (nest_text){arena_strdup(keep, str_text(&text))};
}

/* In the order in which print_nest comes to them. */
static int add_stored(arena *keep, const kernel_set *set, const nest_kernel *k, const nest *n,
                      const char **to) {
  int count = 0;
  for (int i = 0; i <= n->naxes; ++i) {
    for (int c = 0; c < n->nchildren; ++c) {
      if (n->child[c].at != i) continue;
      count += add_stored(keep, set, k, n->child[c].nest, to == NULL ? NULL : to + count);
    }
  }
  for (int s = 0; s < n->nstores; ++s, ++count)
    if (to != NULL) to[count] = arena_strdup(keep, stored_text(keep, set, k, &n->store[s]));
  return count;
}

const char **nest_stores(arena *keep, const kernel_set *set, int kernel) {
  const nest_kernel *k = &set->kernels.data[kernel];
  int count = 0;
  for (int r = 0; r < k->nroots; ++r) count += add_stored(keep, set, k, k->root[r], NULL);
  const char **to = arena_array(keep, const char *, count + 1);
  count = 0;
  for (int r = 0; r < k->nroots; ++r) count += add_stored(keep, set, k, k->root[r], to + count);
  return to;
}

void nest_text_print(str *out, const nest_text *text, const char *const *stores) {
  for (const char *at = text->tree; *at != '\0'; ++at) {
    if (*at == NEST_PLACE)
      str_add(out, *stores++);
    else
      str_addn(out, at, 1);
  }
}

void nest_print(graph *g, str *out, const kernel_set *set) {
  for (size_t i = 0; i < set->arrays.len; ++i) {
    const array_info *a = &set->arrays.data[i];
    str_printf(out, "array %zu %s: %s, %lld x %s", i, a->name, role_name[a->role],
               (long long)(a->len - a->gaps), wn_dtype_name(a->dtype));
    if (a->gaps > 0) str_printf(out, " among %lld", (long long)a->len);
    if (a->whole > 0)
      str_printf(out, ", in %s from %lld on", set->arrays.data[a->whole - 1].name,
                 (long long)a->at);
    if (a->instead > 0) str_printf(out, ", in place of %s", set->arrays.data[a->instead - 1].name);
    str_add(out, "\n");
  }
  for (size_t k = 0; k < set->kernels.len; ++k) {
    str_printf(out, "kernel %zu%s\n", k, set->kernels.data[k].prepare ? " (prepare)" : "");
    nest_print_kernel(g, out, set, (int)k, 1);
  }
}
