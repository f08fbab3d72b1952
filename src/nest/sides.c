/* Launches side by side; see sides.h. List scheduling over what waits for what, whose priority is the order that there
 * was: so without sets nothing moves. */
#include "nest/sides.h"

#include <math.h>

#include "nest/side_price.h"
#include "nest/side_units.h"

/* So many units ahead are looked at for those that could run now. */
enum { WINDOW = 32 };
/* Less of what a set takes in turn is not worth another order. */
static const double LEAST_SHARE = 0.01;

typedef struct said_set {
  int number, waits; /* those of its units together */
  numbers of;
} said_set;

typedef struct ordering {
  graph *g;
  arena *a;
  kernel_set *set;
  const side_request *request;
  map known;
  unit_list units;
  VEC(said_set) said;
  int *in_set, *waits; /* by unit: of said, or -1; for how many that are not done */
  bool *done;
  launch_work *work; /* by kernel; */
  double *alone;     /* seconds of it by itself */
  int *left;         /* by array: units that touch it and are not done */
  size_t live, most; /* bytes of the workspace: now, and how many there may be */
  bool *alive;       /* by array */
  double *touched;   /* by unit: bytes that those before it touch */
  int *seen, counts; /* by array: the last count that it was in */
  int number;        /* the last that was given */
  nest_kernel *out;  /* the new order, */
  int *place, nout;  /* and by kernel where it is in it */
} ordering;

static const side_unit *unit_at(const ordering *o, int i) { return &o->units.at[i]; }

/* --- what a set is worth ---------------------------------------------------------------------- */

typedef struct draft {
  int n, of[MOST_SIDE]; /* the first one is where it runs */
} draft;

static int most_kernels(const ordering *o, const draft *d) {
  int most = 0;
  for (int i = 0; i < d->n; ++i) {
    const int n = unit_at(o, d->of[i])->end - unit_at(o, d->of[i])->first;
    if (n > most) most = n;
  }
  return most;
}

/* The kernels of a group, by the place that they have in their units. Returns how many. */
static int group_of(const ordering *o, const draft *d, int level, int *kernel) {
  int n = 0;
  for (int i = 0; i < d->n; ++i) {
    const side_unit *u = unit_at(o, d->of[i]);
    if (u->first + level < u->end) kernel[n++] = u->first + level;
  }
  return n;
}

/* Seconds, in turn and in groups. */
static side_set time_of(const ordering *o, const draft *d) {
  side_set s = {0};
  for (int level = most_kernels(o, d); level-- > 0;) {
    int kernel[MOST_SIDE], n = group_of(o, d, level, kernel);
    const launch_work *w[MOST_SIDE];
    for (int i = 0; i < n; ++i) {
      w[i] = &o->work[kernel[i]];
      s.in_turn += o->alone[kernel[i]];
    }
    s.together += launches_together(o->request->cost, w, n);
    s.groups += n > 1;
  }
  return s;
}

static int first_reader(const ordering *o, int unit) {
  const numbers *next = &unit_at(o, unit)->next;
  int first = o->units.n;
  for (size_t i = 0; i < next->len; ++i)
    if (next->data[i] < first) first = next->data[i];
  return first;
}

/* More has been through the caches when what a unit makes is read: what it runs ahead of, and those of the set that
 * would run behind its reader. */
static double lost_in_caches(const ordering *o, const draft *d) {
  const cost_target *t = o->request->cost;
  double lost = 0;
  for (int i = 0; i < d->n; ++i) {
    const int reader = first_reader(o, d->of[i]);
    const double makes = unit_at(o, d->of[i])->makes;
    double passes = o->touched[reader] - o->touched[d->of[0]];
    const double passed = o->touched[reader] - o->touched[d->of[i]];
    for (int k = 0; k < d->n; ++k)
      if (d->of[k] > reader) passes += unit_at(o, d->of[k])->touches;
    lost += cost_of_passing(t, makes, passes, passes) - cost_of_passing(t, makes, passed, passed);
  }
  return fmax(lost, 0) / t->threads;
}

/* Bytes that are alive while the set runs. */
static size_t live_with(ordering *o, const draft *d) {
  size_t bytes = o->live;
  ++o->counts;
  for (int i = 0; i < d->n; ++i) {
    const numbers *of = &unit_at(o, d->of[i])->memory;
    for (size_t m = 0; m < of->len; ++m) {
      const int array = of->data[m];
      if (o->alive[array] || o->seen[array] == o->counts) continue;
      o->seen[array] = o->counts;
      bytes += array_bytes(&o->set->arrays.data[array]);
    }
  }
  return bytes;
}

/* --- running order ---------------------------------------------------------------------------- */

static void count_live(ordering *o, int unit, bool before) {
  const numbers *of = &unit_at(o, unit)->memory;
  for (size_t m = 0; m < of->len; ++m) {
    const int array = of->data[m];
    const size_t bytes = array_bytes(&o->set->arrays.data[array]);
    if (before && !o->alive[array]) {
      o->alive[array] = true;
      o->live += bytes;
    } else if (!before && --o->left[array] == 0) {
      o->live -= bytes;
    }
  }
}

static void finish(ordering *o, int unit) {
  const numbers *next = &unit_at(o, unit)->next;
  o->done[unit] = true;
  count_live(o, unit, false);
  for (size_t i = 0; i < next->len; ++i) {
    const int later = next->data[i];
    --o->waits[later];
    if (o->in_set[later] >= 0) --o->said.data[o->in_set[later]].waits;
  }
}

static void put(ordering *o, int kernel, int side) {
  o->place[kernel] = o->nout;
  o->out[o->nout] = o->set->kernels.data[kernel];
  o->out[o->nout++].side = side;
}

/* Group by group; side: number of the set, 0: it is one unit by itself. */
static void run(ordering *o, const draft *d, int side) {
  arena *keep = &o->g->arena;
  for (int i = 0; i < d->n; ++i) count_live(o, d->of[i], true);
  for (int level = 0; level < most_kernels(o, d); ++level) {
    int kernel[MOST_SIDE], n = group_of(o, d, level, kernel), first = o->nout;
    for (int i = 0; i < n; ++i) put(o, kernel[i], side);
    if (n > 1) vec_push(keep, &o->set->sides, ((side_group){first, o->nout}));
  }
  for (int i = 0; i < d->n; ++i) finish(o, d->of[i]);
}

static void run_set(ordering *o, const draft *d, int number, bool said) {
  side_set s = {.groups = 1};
  if (o->request->cost != NULL) s = time_of(o, d);
  s.number = number;
  s.said = said;
  vec_push(&o->g->arena, &o->set->side_sets, s);
  run(o, d, number);
}

/* --- what the plan says ----------------------------------------------------------------------- */

/* Of the first of its sites of which it says something; 0: of none. */
static int said_of(const ordering *o, int unit) {
  int said = 0;
  for (int i = unit_at(o, unit)->first; i < unit_at(o, unit)->end && said == 0; ++i) {
    const nest_kernel *k = &o->set->kernels.data[i];
    for (int v = 0; v < k->nsites + k->nothers && said == 0; ++v)
      said = o->request->said[kernel_site(k, v)];
  }
  return said;
}

static _Noreturn void refuse(const ordering *o, int unit, const char *why) {
  const int site = o->set->kernels.data[unit_at(o, unit)->first].first_site;
  diag_fail(o->g->diag, WN_ERR_REFUSED, "%s: side=%d cannot be: %s",
            site_text(&o->g->arena, o->request->sites, site), said_of(o, unit), why);
}

static void add_said(ordering *o, int unit, int number) {
  size_t i = 0;
  while (i < o->said.len && o->said.data[i].number != number) ++i;
  if (i == o->said.len) vec_push(o->a, &o->said, ((said_set){.number = number}));
  said_set *to = &o->said.data[i];
  if (unit_at(o, unit)->fixed) refuse(o, unit, "its kernels run in rounds (chunk=, bands=)");
  if (to->of.len == MOST_SIDE) refuse(o, unit, "at most 16 sites stand side by side");
  o->in_set[unit] = (int)i;
  to->waits += o->waits[unit];
  vec_push(o->a, &to->of, unit);
  if (number > o->number) o->number = number;
}

static void run_said(ordering *o, const said_set *s) {
  draft d = {.n = (int)s->of.len};
  for (int i = 0; i < d.n; ++i) d.of[i] = s->of.data[i];
  run_set(o, &d, s->number, true);
}

/* --- what is chosen --------------------------------------------------------------------------- */

static bool is_free(const ordering *o, int unit) {
  return !o->done[unit] && !unit_at(o, unit)->fixed && o->waits[unit] == 0 && said_of(o, unit) == 0;
}

static double worth_of(const ordering *o, const draft *d) {
  const side_set s = time_of(o, d);
  const double saved = s.in_turn - s.together - lost_in_caches(o, d);
  return saved > LEAST_SHARE * s.in_turn ? saved : 0;
}

/* Of those that could run now each that makes the set worth more. */
static draft grow(ordering *o, int first) {
  draft d = {.n = 1, .of = {first}};
  double worth = 0;
  int ahead = 0;
  for (int u = first + 1; u < o->units.n && ahead < WINDOW && d.n < MOST_SIDE; ++u) {
    if (o->done[u]) continue;
    ++ahead;
    if (!is_free(o, u)) continue;
    d.of[d.n++] = u;
    const double now = live_with(o, &d) <= o->most ? worth_of(o, &d) : 0;
    if (now > worth)
      worth = now;
    else
      --d.n;
  }
  return d;
}

/* --- all of them ------------------------------------------------------------------------------ */

static bool is_ready(const ordering *o, int unit) {
  if (o->done[unit]) return false;
  return o->in_set[unit] >= 0 ? o->said.data[o->in_set[unit]].waits == 0 : o->waits[unit] == 0;
}

static void run_next(ordering *o, int unit) {
  if (o->in_set[unit] >= 0) {
    run_said(o, &o->said.data[o->in_set[unit]]);
    return;
  }
  draft d = {.n = 1, .of = {unit}};
  if (o->request->cost != NULL && is_free(o, unit)) d = grow(o, unit);
  if (d.n > 1)
    run_set(o, &d, ++o->number, false);
  else
    run(o, &d, 0);
}

static void order_units(ordering *o) {
  for (int lowest = 0; lowest < o->units.n;) {
    int unit = lowest;
    if (o->done[lowest]) {
      ++lowest;
      continue;
    }
    while (unit < o->units.n && !is_ready(o, unit)) ++unit;
    if (unit < o->units.n) {
      run_next(o, unit);
      continue;
    }
    while (o->done[lowest] || o->in_set[lowest] < 0)
      ++lowest; /* what waits for sets that wait for each other */
    refuse(o, lowest, "another site of that number needs what it makes, or it what that one makes");
  }
}

/* Groups of kernels that take turns moved as they are. */
static void move_bands(const ordering *o) {
  band_group *b = o->set->bands.data;
  for (size_t i = 0; i < o->set->bands.len; ++i) {
    band_group moved = b[i];
    moved.end += o->place[moved.first] - moved.first;
    moved.first = o->place[moved.first];
    size_t at = i;
    for (; at > 0 && b[at - 1].first > moved.first; --at) b[at] = b[at - 1];
    b[at] = moved;
  }
}

static void set_up(ordering *o) {
  const size_t n = o->set->kernels.len, arrays = o->set->arrays.len;
  o->in_set = arena_array(o->a, int, o->units.n + 1);
  o->waits = arena_array(o->a, int, o->units.n + 1);
  o->done = arena_array(o->a, bool, o->units.n + 1);
  o->touched = arena_array(o->a, double, o->units.n + 1);
  o->work = arena_array(o->a, launch_work, n + 1);
  o->alone = arena_array(o->a, double, n + 1);
  o->left = arena_copy(o->a, o->units.touching, sizeof *o->left * (arrays + 1));
  o->alive = arena_array(o->a, bool, arrays + 1);
  o->seen = arena_array(o->a, int, arrays + 1);
  o->out = arena_array(&o->g->arena, nest_kernel, n + 1);
  o->place = arena_array(o->a, int, n + 1);
  for (int i = 0; i < o->units.n; ++i) {
    o->in_set[i] = -1;
    o->waits[i] = unit_at(o, i)->waits;
    o->touched[i + 1] = o->touched[i] + unit_at(o, i)->touches;
  }
}

static void price_kernels(ordering *o) {
  const cost_target *t = o->request->cost;
  const size_t near = (size_t)t->threads * t->machine->limits->size[LEVEL_L2];
  o->most = o->units.most > near ? o->units.most : near;
  for (size_t i = 0; i < o->set->kernels.len; ++i) {
    const launch_work *w = &o->work[i];
    if (o->set->kernels.data[i].prepare) continue;
    o->work[i] = launch_work_of(o->set, &o->known, t, &o->set->kernels.data[i]);
    o->alone[i] = launches_together(t, &w, 1);
  }
}

/* Is there anything to say or to gain? */
static bool is_asked(const side_request *r) {
  bool any = r->cost != NULL;
  for (int i = 0; i < r->sites->n && !any; ++i) any = r->said[i] > 0;
  return any;
}

void sides_find(graph *g, kernel_set *set, arena *scratch, const side_request *request) {
  side_request r = *request;
  if (r.cost != NULL && (r.cost->threads <= 1 || r.cost->machine->group > 0)) r.cost = NULL;
  if (!is_asked(&r)) return;
  ordering o = {.g = g, .a = scratch, .set = set, .request = &r};
  map_init(&o.known, scratch);
  o.units = side_units_of(set, &o.known);
  set_up(&o);
  if (r.cost != NULL) price_kernels(&o);
  for (size_t i = 0; i < set->kernels.len && set->kernels.data[i].prepare; ++i) put(&o, (int)i, 0);
  for (int i = 0; i < o.units.n; ++i)
    if (said_of(&o, i) > 0) add_said(&o, i, said_of(&o, i));
  order_units(&o);
  move_bands(&o);
  set->kernels.data = o.out;
  set->kernels.cap = set->kernels.len + 1;
}
