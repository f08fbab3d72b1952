/* Layouts; see storage.h. */
#include "plan/storage.h"

#include "lower/cats.h"
#include "lower/lower.h"
#include "rewrite/rewrite.h"
#include "rewrite/scratch.h"
#include "rewrite/transform.h"

/* Fewer would leave lanes of the narrowest vectors empty. */
enum { LEAST_CHANNELS = 8 };

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

static int64_t before_channels(const stored_order *v) {
  int64_t rounds = 1;
  for (int i = 0; i < v->axis; ++i) rounds *= v->b->src[i + 1]->arg.j;
  return rounds;
}

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
    if (v == NULL) continue;
    v->b = all.at[i];
    if (!is_whole(v->b)) v->own = uop_walk_value(s->a, v->b->src[0]);
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
      if (part == NULL /* the caller's array */ || part->axis < 0 ||
          part->axis != storage_axis_of_part(v->b, v->axis, part->b))
        v->why = LAYOUT_OF_A_PART;
    }
  }
  for (int i = 0; i < s->sites->nvalues; ++i) s->value[i].family = family_of(s, i);
}

/* Why it has no choice by itself. */
static layout_reason reason_of(const storage *s, int value) {
  const stored_value *of = &s->sites->value[value];
  const stored_order *v = &s->value[value];
  if (of->result >= 0) return LAYOUT_OF_OUTPUT;
  if (of->constant) return LAYOUT_OF_CONSTANT;
  if (v->axis < 0) return LAYOUT_NO_CHANNELS;
  if (v->last) return LAYOUT_LAST_AS_GIVEN;
  if (channels_of(v) < LEAST_CHANNELS) return LAYOUT_FEW_CHANNELS;
  return v->why == LAYOUT_IS_CHOSEN ? LAYOUT_IS_CHOSEN : LAYOUT_OF_A_PART;
}

static void find_choices(storage *s) {
  const int n = s->sites->nvalues;
  bool *fixed = arena_array(s->a, bool, n + 1);
  for (int i = 0; i < n; ++i) {
    stored_order *v = &s->value[i];
    v->last = v->axis >= 0 && v->axis == v->b->nsrc - 2;
    v->why = reason_of(s, i);
    fixed[v->family] |= v->why != LAYOUT_IS_CHOSEN;
  }
  for (int i = 0; i < n; ++i)
    if (fixed[s->value[i].family] && s->value[i].why == LAYOUT_IS_CHOSEN)
      s->value[i].why = LAYOUT_OF_A_PART;
}

/* --- what the plan says ----------------------------------------------------------------------- */

static void refuse(const storage *s, int site, layout_reason why) {
  static const char *const text[LAYOUT_REASONS] = {
      [LAYOUT_OF_DEVICE] = "on a device values keep the order that the graph has",
      [LAYOUT_OF_OUTPUT] = "it stores an output, whose order is the caller's",
      [LAYOUT_OF_CONSTANT] = "it is made once, of constants",
      [LAYOUT_NO_CHANNELS] = "none of its loops is known to be channels",
      [LAYOUT_LAST_AS_GIVEN] = "its channels are last as the graph has it",
      [LAYOUT_FEW_CHANNELS] = "it has fewer than 8 channels",
      [LAYOUT_OF_A_PART] = "it is stored together with what cannot, in a concatenation"};
  diag_fail(s->g->diag, WN_ERR_USAGE, "plan: %s cannot have layout=last: %s",
            site_text(&s->g->arena, s->sites, site), text[why]);
}

static bool has_choice(const stored_order *v) { return v->why < LAYOUT_OF_DEVICE; }

/* One site's; what is said of all gives way where it cannot be. */
static void hear_site(storage *s, int site, value_layout said, bool of_all) {
  const stored_order *v = &s->value[s->sites->at[site].value];
  if (!has_choice(v) && said == LAYOUT_LAST && !of_all) refuse(s, site, v->why);
  if (!has_choice(v)) return;
  stored_order *head = &s->value[v->family];
  if (head->why == LAYOUT_IS_SAID && of_all) return;
  if (head->why == LAYOUT_IS_SAID && head->last != (said == LAYOUT_LAST))
    diag_fail(s->g->diag, WN_ERR_USAGE,
              "plan: %s has layout=%s, and what it is stored together with has another",
              site_text(&s->g->arena, s->sites, site), said == LAYOUT_LAST ? "last" : "given");
  head->why = LAYOUT_IS_SAID;
  head->last = said == LAYOUT_LAST;
}

static void hear(storage *s, const plan_request *asked) {
  static const plan_source order[] = {PLAN_GIVEN, PLAN_FOR_ALL};
  for (int k = 0; k < 2; ++k)
    for (int i = 0; i < asked->plan.n; ++i) {
      const value_layout said = asked->plan.site[i].layout;
      if (said != LAYOUT_CHOSEN && asked->source[i] == order[k]) hear_site(s, i, said, k > 0);
    }
  for (int i = 0; i < s->sites->nvalues; ++i) {
    const stored_order *head = &s->value[s->value[i].family];
    if (head->why != LAYOUT_IS_SAID) continue;
    s->value[i].why = head->why;
    s->value[i].last = head->last;
  }
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
  if (v == NULL || !has_choice(v) || !v->last) return u;
  const int first = u->op == OP_INDEX ? 2 : 1, n = u->nsrc - first;
  for (int i = 0, to = 0; i < n; ++i)
    if (i != v->axis) at[to++] = u->src[first + i];
  at[n - 1] = u->src[first + v->axis];
  if (is_whole(u))
    return uop_bufferize(s->g, moved_cat(s->g, u->src[0], v->axis, n), n, at, *u->arg.info);
  if (u->op == OP_INDEX) return uop_index(s->g, b, u->src[1], n, at);
  return uop_bufferize(s->g, u->src[0], n, at, *u->arg.info);
}

/* By family: what the other layout would cost more, all others as they are. */
static int64_t *find_gains(const storage *s) {
  int64_t *gain = arena_array(s->a, int64_t, s->sites->nvalues + 1);
  for (int i = 0; i < s->sites->nvalues; ++i) {
    const stored_order *v = &s->value[i];
    gain[v->family] += v->cost[!v->last] - v->cost[v->last];
  }
  for (size_t i = 0; i < s->ties.len; ++i) {
    const storage_tie *t = &s->ties.data[i];
    const stored_order *a = &s->value[t->a], *b = &s->value[t->b];
    const int64_t more = a->family == b->family ? 0 : a->last == b->last ? t->cost : -t->cost;
    gain[a->family] += more;
    gain[b->family] += more;
  }
  return gain;
}

static int64_t price_of(const storage *s) {
  int64_t price = 0;
  for (int i = 0; i < s->sites->nvalues; ++i) price += s->value[i].cost[s->value[i].last];
  for (size_t i = 0; i < s->ties.len; ++i) {
    const storage_tie *t = &s->ties.data[i];
    if (s->value[t->a].last != s->value[t->b].last) price += t->cost;
  }
  return price;
}

/* What was chosen, for the plan to say, and for people. */
static const site_list *note(const storage *s, bool changed) {
  const site_list *sites = s->sites;
  const int64_t *gain = find_gains(s);
  site_list *out = arena_copy(&s->g->arena, sites, sizeof *sites);
  stored_value *value =
      arena_copy(&s->g->arena, sites->value, (size_t)sites->nvalues * sizeof *value);
  for (int i = 0; i < sites->nvalues; ++i) {
    const stored_order *v = &s->value[i];
    value[i].layout_why = v->why;
    if (!has_choice(v)) continue;
    value[i].layout = v->last ? LAYOUT_LAST : LAYOUT_GIVEN;
    value[i].layout_gain = (double)gain[v->family] / 10;
    value[i].channels = v->last ? channels_of(v) : 0;
    value[i].before_channels = v->last ? before_channels(v) : 0;
  }
  out->value = value;
  out->layout_price = (double)price_of(s) / 10;
  if (!changed) return out;
  site_list *again = arena_new(&s->g->arena, site_list);
  *again = sites_again(s->g, simplify(s->g, s->root), s->user, out);
  return again;
}

typedef struct job {
  storage s;
  const plan_request *asked;
  storage_choice how;
} job;

/* What nothing is said of keeps its order. */
static void keep_order(storage *s) {
  for (int i = 0; i < s->sites->nvalues; ++i)
    if (s->value[i].why == LAYOUT_IS_CHOSEN) s->value[i].why = LAYOUT_TO_FIT;
}

static void run(arena *a, void *state) {
  job *j = state;
  storage *s = &j->s;
  const bool device = j->how == STORAGE_OF_DEVICE;
  bool any = false, changed = false;
  s->a = a;
  find_values(s);
  if (!device) storage_find_axes(s);
  find_families(s);
  find_choices(s);
  for (int i = 0; i < s->sites->nvalues && device; ++i) s->value[i].why = LAYOUT_OF_DEVICE;
  if (j->asked != NULL) hear(s, j->asked);
  if (j->how == STORAGE_AS_GIVEN) keep_order(s);
  for (int i = 0; i < s->sites->nvalues; ++i) any |= has_choice(&s->value[i]);
  if (any) storage_find_costs(s);
  if (any) storage_cut(s);
  for (int i = 0; i < s->sites->nvalues; ++i)
    changed |= has_choice(&s->value[i]) && s->value[i].last;
  if (changed) s->root = uop_transform(s->g, a, s->root, reorder, s);
  s->sites = note(s, changed);
}

const site_list *storage_choose(graph *g, const site_list *sites, const user_buffer *user,
                                const plan_request *asked, storage_choice how) {
  job j = {
      .s = {.g = g, .sites = sites, .user = user, .root = sites->root}, .asked = asked, .how = how};
  with_scratch(g->diag, run, &j);
  return j.s.sites;
}
