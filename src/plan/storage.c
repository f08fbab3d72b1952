/* Layouts; see storage.h. */
#include "plan/storage.h"

#include "ir/walk.h"
#include "lower/cats.h"
#include "lower/lower.h"
#include "rewrite/rewrite.h"
#include "rewrite/scratch.h"
#include "rewrite/transform.h"

/* Fewer would leave lanes of the narrowest vectors empty. */
enum { LEAST_CHANNELS = 8, MOST_ROUNDS = 16 };

stored_order *storage_of(const storage *s, const uop *base) {
  uint64_t at;
  bool known = base->op == OP_BUFFERIZE && map_get(&s->of, (uintptr_t)base->arg.info->name, &at);
  return known ? &s->value[at - 1] : NULL;
}

bool storage_is_constant(const storage *s, const uop *index) {
  const uop *base = index->src[0];
  const stored_order *v = storage_of(s, base);
  return v != NULL ? s->sites->value[v - s->value].constant : s->user[base->arg.i].constant;
}

/* --- what there is to choose ------------------------------------------------------------------ */

static int64_t channels_of(const stored_order *v) { return v->b->src[v->axis + 1]->arg.j; }

static void find_values(storage *s) {
  map_init(&s->of, s->a);
  s->value = arena_array(s->a, stored_order, s->sites->nvalues + 1);
  for (int i = 0; i < s->sites->nvalues; ++i) {
    map_put(&s->of, (uintptr_t)s->sites->value[i].label, (uint64_t)i + 1);
    s->value[i] = (stored_order){.axis = -1, .family = i};
  }
  uop_order all = uop_toposort(s->a, 1, &s->root);
  for (size_t i = 0; i < all.len; ++i) {
    stored_order *v = storage_of(s, all.at[i]);
    if (v != NULL) v->b = all.at[i];
  }
}

/* A concatenation and its parts are stored alike; the first of them stands for all. */
static int family_of(const storage *s, int value) {
  while (s->value[value].family != value) value = s->value[value].family;
  return value;
}

static void unite(storage *s, int a, int b) {
  a = family_of(s, a), b = family_of(s, b);
  s->value[a < b ? b : a].family = a < b ? a : b;
}

int storage_axis_of_part(const uop *whole, int loop, const uop *part) {
  const bool joined = whole->src[0]->arg.i == loop; /* parts have channels of their own */
  if (loop < 0 || (!joined && part->nsrc != whole->nsrc)) return -1;
  int64_t front = 1, behind = 1, before = 1;
  for (int i = 0; i < loop; ++i) front *= whole->src[i + 1]->arg.j;
  for (int i = loop + 2; i < whole->nsrc; ++i) behind *= whole->src[i]->arg.j;
  if (!joined) return loop;
  for (int i = 1; i < part->nsrc; before *= part->src[i++]->arg.j)
    if (before == front && before * part->src[i]->arg.j * behind == uop_elements(part))
      return i - 1;
  return -1;
}

static void find_families(storage *s) {
  for (int i = 0; i < s->sites->nvalues; ++i) {
    stored_order *v = &s->value[i];
    const uop *cat = v->b->src[0];
    if (s->sites->value[i].whole > 0) unite(s, i, s->sites->value[i].whole - 1);
    for (int k = 0; is_whole(v->b) && k < cat->nsrc; ++k) {
      const stored_order *part = storage_of(s, cat->src[k]);
      if (part != NULL) unite(s, i, (int)(part - s->value));
      v->fixed |= part == NULL /* the caller's array */ || part->axis < 0 ||
                  part->axis != storage_axis_of_part(v->b, v->axis, part->b);
    }
  }
  for (int i = 0; i < s->sites->nvalues; ++i) s->value[i].family = family_of(s, i);
}

static bool has_choice(const storage *s, int value) {
  const stored_value *of = &s->sites->value[value];
  const stored_order *v = &s->value[value];
  if (v->fixed || of->result >= 0 || of->constant || v->axis < 0) return false;
  return v->axis < v->b->nsrc - 2 && channels_of(v) >= LEAST_CHANNELS;
}

static void find_choices(storage *s) {
  const int n = s->sites->nvalues;
  bool *fixed = arena_array(s->a, bool, n + 1);
  for (int i = 0; i < n; ++i) fixed[s->value[i].family] |= !has_choice(s, i);
  for (int i = 0; i < n; ++i) {
    stored_order *v = &s->value[i];
    v->fixed = fixed[v->family];
    v->last = v->axis >= 0 && v->axis == v->b->nsrc - 2;
  }
}

/* --- what the plan says ----------------------------------------------------------------------- */

static void refuse(const storage *s, int site) {
  const graph_site *at = &s->sites->at[site];
  const stored_value *v = &s->sites->value[at->value];
  const char *why = v->result >= 0             ? "it stores an output, whose order is the caller's"
                    : v->constant              ? "it is made once, of constants"
                    : s->value[at->value].last ? "its channels are last as the graph has it"
                    : v->whole > 0 ? "it is stored as a part of a concatenation, which cannot"
                                   : "none of its loops is channels, 8 or more, in front of others";
  diag_fail(s->g->diag, WN_ERR_USAGE, "plan: %s cannot have layout=last: %s",
            site_text(&s->g->arena, s->sites, site), why);
}

static void hear(storage *s, const plan_request *asked) {
  for (int i = 0; i < asked->plan.n; ++i) {
    const value_layout said = asked->plan.site[i].layout;
    stored_order *v = &s->value[s->sites->at[i].value];
    if (said == LAYOUT_CHOSEN || asked->source[i] == PLAN_CHOOSE) continue;
    if (v->fixed && said == LAYOUT_LAST && asked->source[i] == PLAN_GIVEN) refuse(s, i);
    if (v->fixed) continue;
    stored_order *head = &s->value[v->family];
    if (head->said && head->last != (said == LAYOUT_LAST))
      diag_fail(s->g->diag, WN_ERR_USAGE,
                "plan: %s has layout=%s, and what it is stored together with has another",
                site_text(&s->g->arena, s->sites, i), said == LAYOUT_LAST ? "last" : "given");
    head->said = true;
    head->last = said == LAYOUT_LAST;
  }
  for (int i = 0; i < s->sites->nvalues; ++i) {
    const stored_order *head = &s->value[s->value[i].family];
    if (head->said) s->value[i].last = head->last;
  }
}

/* --- the least price -------------------------------------------------------------------------- */

static double price_of_all(storage *s) {
  double sum = 0;
  for (int i = 0; i < s->sites->nvalues; ++i) sum += storage_price(s, &s->value[i]);
  return sum;
}

typedef VEC(int) numbers;

/* By family: those whose price its layout changes, its values and their readers. */
static numbers *find_readers(storage *s) {
  const int n = s->sites->nvalues;
  numbers *of = arena_array(s->a, numbers, n + 1);
  for (int i = 0; i < n; ++i) {
    const stored_value *v = &s->sites->value[i];
    vec_push(s->a, &of[s->value[i].family], i);
    for (int k = 0; k < v->narrays && !value_is_cat(v); ++k) {
      if (v->array[k] >= 0) continue;
      numbers *readers = &of[s->value[~v->array[k]].family];
      if (readers->len == 0 || readers->data[readers->len - 1] != i) vec_push(s->a, readers, i);
    }
  }
  return of;
}

static double price_around(storage *s, const numbers *of) {
  double sum = 0;
  for (size_t i = 0; i < of->len; ++i) sum += storage_price(s, &s->value[of->data[i]]);
  return sum;
}

static void turn(storage *s, int family) {
  const bool last = !s->value[family].last;
  for (int i = family; i < s->sites->nvalues; ++i)
    if (s->value[i].family == family) s->value[i].last = last;
}

/* What the other layout of these values would cost more. */
static double gain_of(storage *s, int family, const numbers *around) {
  const double now = price_around(s, around);
  turn(s, family);
  const double then = price_around(s, around);
  turn(s, family);
  return then - now;
}

static void improve(storage *s, const numbers *around) {
  bool more = true;
  for (int round = 0; more && round < MOST_ROUNDS; ++round) {
    more = false;
    for (int i = 0; i < s->sites->nvalues; ++i) {
      const stored_order *v = &s->value[i];
      if (v->family != i || v->fixed || v->said || gain_of(s, i, &around[i]) >= 0) continue;
      turn(s, i);
      more = true;
    }
  }
}

/* From both ends: chains of maps change together or not at all. */
static void choose(storage *s) {
  const int n = s->sites->nvalues;
  const numbers *around = find_readers(s);
  bool *last = arena_array(s->a, bool, n + 1);
  improve(s, around);
  const double kept = price_of_all(s);
  for (int i = 0; i < n; ++i) {
    stored_order *v = &s->value[i];
    last[i] = v->last;
    if (!v->fixed && !s->value[v->family].said) v->last = true;
  }
  improve(s, around);
  if (price_of_all(s) >= kept)
    for (int i = 0; i < n; ++i) s->value[i].last = last[i];
  for (int i = 0; i < n; ++i)
    if (!s->value[i].fixed && s->value[i].family == i) s->value[i].gain = gain_of(s, i, &around[i]);
}

/* --- carrying it out -------------------------------------------------------------------------- */

/* A CAT whose parts have their loop number `moved` behind the others now. */
static const uop *moved_cat(graph *g, const uop *cat, int moved, int n) {
  const int64_t was = cat->arg.i;
  const uop_arg now = {.i = was == moved ? n - 1 : was > moved ? was - 1 : was};
  return uop_new(g, OP_CAT, (wn_dtype)cat->dtype, cat->nsrc, cat->src, now);
}

static const uop *reorder(void *user, const uop *u) {
  const storage *s = user;
  if (u->op != OP_INDEX && u->op != OP_BUFFERIZE) return u;
  const uop *b = u->op == OP_INDEX ? u->src[0] : u, *at[WN_MAX_DIMS * 2];
  const stored_order *v = storage_of(s, b);
  if (v == NULL || v->fixed || !v->last) return u;
  const int first = u->op == OP_INDEX ? 2 : 1, n = u->nsrc - first;
  for (int i = 0, to = 0; i < n; ++i)
    if (i != v->axis) at[to++] = u->src[first + i];
  at[n - 1] = u->src[first + v->axis];
  if (is_whole(u))
    return uop_bufferize(s->g, moved_cat(s->g, u->src[0], v->axis, n), n, at, *u->arg.info);
  if (u->op == OP_INDEX) return uop_index(s->g, b, u->src[1], n, at);
  return uop_bufferize(s->g, u->src[0], n, at, *u->arg.info);
}

/* What was chosen, for the plan to say. */
static const site_list *note(const storage *s, bool changed) {
  const site_list *sites = s->sites;
  site_list *out = arena_copy(&s->g->arena, sites, sizeof *sites);
  stored_value *value =
      arena_copy(&s->g->arena, sites->value, (size_t)sites->nvalues * sizeof *value);
  for (int i = 0; i < sites->nvalues; ++i) {
    if (s->value[i].fixed) continue;
    value[i].layout = s->value[i].last ? LAYOUT_LAST : LAYOUT_GIVEN;
    value[i].layout_gain = s->value[s->value[i].family].gain;
  }
  out->value = value;
  if (!changed) return out;
  site_list *again = arena_new(&s->g->arena, site_list);
  *again = sites_again(s->g, simplify(s->g, s->root), s->user, out);
  return again;
}

typedef struct job {
  storage s;
  const plan_request *asked;
  bool any, changed;
} job;

static void run(arena *a, void *state) {
  job *j = state;
  storage *s = &j->s;
  s->a = a;
  find_values(s);
  storage_find_axes(s);
  find_families(s);
  find_choices(s);
  for (int i = 0; i < s->sites->nvalues; ++i) j->any |= !s->value[i].fixed;
  if (j->asked != NULL) hear(s, j->asked);
  if (!j->any) return;
  choose(s);
  for (int i = 0; i < s->sites->nvalues; ++i) j->changed |= !s->value[i].fixed && s->value[i].last;
  if (j->changed) s->root = uop_transform(s->g, a, s->root, reorder, s);
  s->sites = note(s, j->changed);
}

const site_list *storage_choose(graph *g, const site_list *sites, const user_buffer *user,
                                const plan_request *asked) {
  job j = {.s = {.g = g, .sites = sites, .user = user, .root = sites->root}, .asked = asked};
  with_scratch(g->diag, run, &j);
  return j.s.sites;
}
