/* Parts and how a program is made of them; see parts.h. */
#include "nest/parts.h"

#include "rewrite/scratch.h"

/* --- one part --------------------------------------------------------------------------------- */

static bool is_same_request(const part *p, const part_request *asked) {
  bool same = true;
  for (int i = 0; i < value_sites(p->value) && same; ++i) {
    const schedule *a = &p->asked[i], *b = &asked->plan[i];
    same = p->off[i] == asked->rewrite[i].off &&
           (schedule_equal(a, b) || schedule_equal(&p->plan[i], b)); /* as it was settled */
  }
  return same;
}

/* The arrays of a value as those of a caller: the kernels of a part know of them what is the same for all that are
 * alike. */
static user_buffer *describe_arrays(graph *g, const site_list *sites, const stored_value *v,
                                    const user_buffer *user) {
  user_buffer *a = arena_array(&g->arena, user_buffer, v->narrays + 1);
  for (int i = 0; i < v->narrays; ++i) {
    int from = v->array[i];
    if (from >= 0) {
      a[i] = user[from];
      continue;
    }
    const stored_value *other = &sites->value[~from];
    a[i] = (user_buffer){.dtype = value_dtype(other),
                         .len = other->span,
                         .gaps = other->span - other->len,
                         .constant = other->constant};
    if (other == v) a[i].joined = 1;
    for (int k = 0; k < v->nothers; ++k)
      if (v->others[k] == ~from) a[i].joined = v->nsites + k + 1;
  }
  return a;
}

static map number_convs(graph *g, const stored_value *v) {
  map numbers;
  map_init(&numbers, &g->arena);
  for (int i = 0; i < v->nconvs; ++i) map_put(&numbers, v->conv[i]->id, (uint64_t)i);
  return numbers;
}

/* The tile that a rewrite chose is part of the plan; a convolution that was not rewritten is direct. */
static void settle(part *p, schedule *plan) {
  bool *rewritten = arena_array(p->arena, bool, value_sites(p->value) + 1);
  for (int i = 0; i < p->w.nsites; ++i) {
    const wino_site *site = &p->w.site[i];
    rewritten[site->number] = true;
    plan[site->number].nm = site->nwindow;
    memcpy(plan[site->number].m, site->window_m, sizeof plan->m);
  }
  for (int i = 0; i < p->value->nconvs; ++i) {
    if (rewritten[i]) continue;
    if (!plan[i].direct) plan[i] = (schedule){.direct = true};
    plan[i].nm = 0;
  }
  p->rewritten = rewritten;
  p->plan = plan;
}

/* A concatenation: no kernels. */
static part *made_of_others(part_store *store, part *p, arena *a, const stored_value *v) {
  *p = (part){.arena = a, .value = v, .w.trace = "", .set = arena_new(a, kernel_set)};
  return store->of[v->alike] = p;
}

part *part_make(graph *g, part_store *store, const site_list *sites, int value,
                const part_request *asked, const machine *m, const user_buffer *user, int *site) {
  const stored_value *v = &sites->value[sites->value[value].alike];
  for (part *p = store->of[sites->value[value].alike]; p != NULL; p = p->next) {
    if (is_same_request(p, asked)) return p;
  }
  arena *a = &g->arena;
  size_t n = (size_t)value_sites(v);
  part *p = arena_new(a, part);
  if (value_is_cat(v)) return made_of_others(store, p, a, v);
  bool *off = arena_array(a, bool, n + 1);
  for (size_t i = 0; i < n; ++i) off[i] = asked->rewrite[i].off;
  *p = (part){.arena = a,
              .value = v,
              .off = off,
              .asked = arena_copy(a, asked->plan, n * sizeof *asked->plan)};
  *site = -1;
  map numbers = number_convs(g, v);
  p->w = wino_rewrite_sites(g, v->canonical, &numbers, asked->rewrite);
  settle(p, arena_copy(a, asked->plan, n * sizeof *asked->plan));
  p->set = schedule_apply(g, &p->w, p->plan, (int)n, m, asked->variable_weights, v->narrays,
                          describe_arrays(g, sites, v, user), site);
  p->next = store->of[sites->value[value].alike];
  store->of[sites->value[value].alike] = p;
  return p;
}

/* --- all of them ------------------------------------------------------------------------------ */

typedef struct assembly {
  graph *g;
  const part_list *parts;
  kernel_set *set;
  bool variable_weights;
  const band_request *bands;
  const side_request *sides;
  int *array_of; /* by stored value: its array */
} assembly;

static const char *array_label(arena *a, const array_info *info, int site, const char *value) {
  if (info->stage == STAGE_COUNT) return info->site >= 0 ? value : info->name;
  return stage_label(a, info->stage, site);
}

/* Of a value with an array of its own: the caller's, or in the workspace. */
static void place_result(array_info *a, const stored_value *v) {
  a->role = v->result >= 0 ? ROLE_RESULT : ROLE_WORK;
  a->user = v->result;
}

/* Of one that is stored in another's. */
static void put_into_whole(const assembly *s, array_info *a, const stored_value *v) {
  int whole = s->array_of[v->whole - 1];
  a->role = s->set->arrays.data[whole].role;
  a->user = s->set->arrays.data[whole].user;
  a->whole = whole + 1;
  a->at = v->at;
}

/* All of a program is made once that depends on constants alone, unless it is the caller's. */
static bool is_made_once(const assembly *s, const stored_value *v) {
  return v->constant && v->result < 0 && !s->variable_weights;
}

/* The arrays of concatenations, those with memory of their own first, so that values are stored into them. */
static void add_wholes(assembly *s, bool own) {
  const site_list *sites = s->parts->sites;
  for (int i = 0; i < sites->nvalues; ++i) {
    const stored_value *v = &sites->value[i];
    if (!value_is_cat(v) || (v->whole == 0) != own) continue;
    array_info a = {.name = v->label, .dtype = value_dtype(v), .stage = STAGE_COUNT};
    a.len = v->span;
    a.gaps = v->span - v->len;
    a.site = -1;
    place_result(&a, v);
    if (own && is_made_once(s, v)) a.role = ROLE_PREPARED;
    if (!own) put_into_whole(s, &a, v);
    s->array_of[i] = (int)s->set->arrays.len;
    vec_push(&s->g->arena, &s->set->arrays, a);
  }
}

/* An array that the part's kernels make: the value, or what is between them. */
static int add_array(assembly *s, const stored_value *v, const stored_value *of_kernel,
                     const array_info *of) {
  array_info a = *of;
  if (a.role == ROLE_RESULT && v->whole > 0) {
    put_into_whole(s, &a, v);
  } else if (a.role == ROLE_RESULT) {
    place_result(&a, v);
  }
  a.site = of->site >= 0 ? value_site(s->parts->sites, of_kernel, of->site) : -1;
  a.name = array_label(&s->g->arena, of, a.site, v->label);
  vec_push(&s->g->arena, &s->set->arrays, a);
  return (int)s->set->arrays.len - 1;
}

/* Which of the values of a kernel it is. */
static int value_stored(const stored_value *v, int value, int site) {
  return site < v->nsites ? value : v->others[site - v->nsites];
}

static const int *map_arrays(assembly *s, const stored_value *v, const part *p, int value) {
  const kernel_set *of = p->set;
  int *to = arena_array(&s->g->arena, int, of->arrays.len + 1);
  for (int i = 0; i < v->narrays; ++i)
    to[i] = v->array[i] >= 0 ? v->array[i] : s->array_of[~v->array[i]];
  for (size_t i = (size_t)v->narrays; i < of->arrays.len; ++i) {
    const array_info *made = &of->arrays.data[i];
    int by = made->role == ROLE_RESULT ? value_stored(v, value, made->site) : value;
    to[i] = add_array(s, by == value ? v : &s->parts->sites->value[by], v, made);
    if (made->role == ROLE_RESULT) s->array_of[by] = to[i];
  }
  return to;
}

/* The first time that a part is used: its kernels get numbers. */
static void open_part(assembly *s, part *p) {
  p->first_code = s->set->ncodes;
  s->set->ncodes += (int)p->set->kernels.len;
}

static void set_prepared(kernel_set *set, const int *arrays, const nest *n) {
  for (int i = 0; i < n->nstores; ++i) {
    array_info *a = &set->arrays.data[arrays[n->store[i].array]];
    if (a->role == ROLE_WORK) a->role = ROLE_PREPARED;
  }
}

static void add_value(assembly *s, int value) {
  const stored_value *v = &s->parts->sites->value[value];
  part *p = s->parts->of[value];
  if (value_is_cat(v)) return;
  if (p->first_code < 0) open_part(s, p);
  const int *arrays = map_arrays(s, v, p, value);
  int *others = arena_array(&s->g->arena, int, v->nothers + 1);
  const char **label = arena_array(&s->g->arena, const char *, v->nothers + 1);
  label[0] = v->label;
  for (int i = 0; i < v->nothers; ++i) {
    others[i] = s->parts->sites->value[v->others[i]].first;
    label[i + 1] = s->parts->sites->value[v->others[i]].label;
  }
  bool once = is_made_once(s, v);
  for (size_t i = 0; i < p->set->kernels.len; ++i) {
    nest_kernel k = p->set->kernels.data[i];
    k.arrays = arrays;
    k.first_site = v->first;
    k.nsites = v->nsites;
    k.nothers = v->nothers;
    k.others = others;
    k.label = label;
    k.kinds = &p->set->kinds;
    k.chunk_group += v->first;
    k.code = p->first_code + (int)i;
    k.prepare |= once;
    for (int r = 0; r < k.nroots && k.prepare; ++r) set_prepared(s->set, arrays, k.root[r]);
    vec_push(&s->g->arena, &s->set->kernels, k);
  }
}

static void place_memory(arena *a, void *state) {
  const assembly *s = state;
  bands_find(s->g, s->set, a, s->bands);
  sides_find(s->g, s->set, a, s->sides);
  plan_memory(s->set, a);
}

kernel_set *parts_assemble(graph *g, const part_list *parts, bool variable_weights, int nuser,
                           const user_buffer *user, const band_request *bands,
                           const side_request *sides) {
  int n = parts->sites->nvalues;
  assembly s = {
      .g = g, .parts = parts, .variable_weights = variable_weights, .bands = bands, .sides = sides};
  s.set = arena_new(&g->arena, kernel_set);
  s.array_of = arena_array(&g->arena, int, n + 1);
  map_init(&s.set->kinds, &g->arena);
  add_user_arrays(s.set, &g->arena, nuser, user);
  add_wholes(&s, true);
  add_wholes(&s, false);
  for (int v = 0; v < n; ++v) parts->of[v]->first_code = -1;
  const int *order = parts->sites->order;
  for (int v = 0; order == NULL && v < n; ++v) add_value(&s, v);
  for (int i = 0; order != NULL && order[i] >= 0; ++i) add_value(&s, order[i]);
  launch_prepare_first(s.set, &g->arena);
  with_scratch(g->diag, place_memory, &s);
  return s.set;
}
