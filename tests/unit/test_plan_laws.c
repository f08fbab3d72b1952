/* Laws of plans as text. Of values: what is printed parses back to itself, equal plans print equally and others do not,
 * and any text is a plan or a mistake. Of programs: the placement that a compile reports, given back, makes the same
 * program and is reported again. Random plans over random graphs; WINNOW_SEED=<seed> draws the same ones. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "mixed_plan.h"
#include "plan/plan.h"
#include "sanitized.h"
#include "unit/random_schedule.h"

#define LEN(a) (sizeof(a) / sizeof *(a))
enum { MOST_SITES = 8 };

/* --- values ----------------------------------------------------------------------------------- */

typedef struct fixture {
  diag d;
  graph g;
} fixture;

static void init(fixture *f) {
  diag_init(&f->d);
  graph_init(&f->g, &f->d);
}

static void release(fixture *f) { graph_release(&f->g); }

/* One value a site; some are results. */
static site_list draw_sites(fixture *f, uint64_t *s) {
  site_list l = {.n = 1 + pick(s, MOST_SITES)};
  graph_site *at = arena_array(&f->g.arena, graph_site, l.n);
  stored_value *value = arena_array(&f->g.arena, stored_value, l.n);
  for (int i = 0; i < l.n; ++i) {
    at[i] =
        (graph_site){.kind = (site_kind)pick(s, SITE_KINDS), .value = i, .joins = pick(s, 2) == 0};
    value[i] =
        (stored_value){.first = i, .nsites = 1, .result = i == l.n - 1 || pick(s, 4) == 0 ? i : -1};
  }
  l.nvalues = l.n;
  l.at = at;
  l.value = value;
  return l;
}

static schedule draw_for(const site_list *l, int i, uint64_t *s) {
  if (l->at[i].kind == SITE_CONV) return random_schedule(s);
  schedule r = {.direct = true};
  r.inlined = l->value[i].result < 0 && pick(s, 3) == 0;
  int other = pick(s, i + 1); /* one that comes before it, or it itself: none */
  if (!r.inlined && other < i && l->at[other].kind != SITE_CONV) r.with = other + 1;
  if (r.with > 0) return r;
  static const value_loop lanes[] = {
      VALUE_LOOP_CHOSEN, VALUE_LOOP_NONE, VALUE_LOOP_TERMS, 1, 3, 12};
  if (!r.inlined && pick(s, 2)) r.lanes = lanes[pick(s, 6)];
  if ((r.lanes > 0 || r.lanes == VALUE_LOOP_TERMS) && pick(s, 2)) r.nlanes = 1 << pick(s, 5);
  if (!r.inlined && pick(s, 2))
    r.regs = pick(s, 2) ? (value_loop)(1 + pick(s, 11)) : VALUE_LOOP_NONE;
  if (!r.inlined) r.layout = (value_layout)pick(s, 3);
  if (!r.inlined && pick(s, 3) == 0) r.side = pick(s, 5) - 1;
  if (l->at[i].kind == SITE_MAP || r.inlined) return r;
  if (l->at[i].kind == SITE_SUM && i > 0 && pick(s, 2)) r.sums = 1 + pick(s, i);
  random_split(s, r.t);
  random_split(s, r.k);
  if (pick(s, 2)) r.chains = 1 + pick(s, 8);
  return r;
}

/* Often the same for all, as most plans are. */
static graph_plan draw_plan(fixture *f, const site_list *l, uint64_t *s) {
  graph_plan p = {l->n, arena_array(&f->g.arena, schedule, l->n)};
  bool same = pick(s, 2);
  schedule all = random_schedule(s);
  for (int i = 0; i < l->n; ++i) {
    p.site[i] = draw_for(l, i, s);
    if (same && l->at[i].kind == SITE_CONV) p.site[i] = all;
    if (same && l->at[i].kind != SITE_CONV && pick(s, 8)) p.site[i] = (schedule){.direct = true};
  }
  return p;
}

static const char *print(fixture *f, const graph_plan *p, const site_list *l) {
  str out;
  str_init(&out, &f->g.arena);
  plan_print(&out, p, l);
  return str_text(&out);
}

static wn_status parse(fixture *f, const char *text, const site_list *l, graph_plan *out) {
  volatile wn_status st;
  plan_request asked = {0};
  f->d.message[0] = '\0';
  DIAG_TRY(&f->d, st) asked = plan_parse(&f->g, text, l);
  DIAG_END(&f->d, st)
  *out = asked.plan;
  return st;
}

static void printed_plans_parse_back(void **state) {
  (void)state;
  uint64_t s = test_seed();
  for (int i = 0; i < 2000; ++i) {
    fixture f;
    init(&f);
    site_list l = draw_sites(&f, &s);
    graph_plan a = draw_plan(&f, &l, &s), b = draw_plan(&f, &l, &s), again;
    const char *text = print(&f, &a, &l);
    if (parse(&f, text, &l, &again) != WN_OK) fail_msg("%s: %s", text, f.d.message);
    if (!plan_equal(&a, &again)) fail_msg("%s comes back as %s", text, print(&f, &again, &l));
    assert_string_equal(print(&f, &again, &l), text);
    assert_int_equal(plan_equal(&a, &b), strcmp(text, print(&f, &b, &l)) == 0);
    release(&f);
  }
}

/* One character changed or left out: a plan that prints and parses back, or a mistake with a line about it. */
static void any_text_is_a_plan_or_a_mistake(void **state) {
  (void)state;
  static const char characters[] =
      "{}convproductsummapinlineglobaldirectautowithlayoutlastgiven=,;:.@()tkx0123456789 \t\n";
  uint64_t s = test_seed();
  int taken = 0, refused = 0;
  for (int i = 0; i < 5000; ++i) {
    fixture f;
    init(&f);
    site_list l = draw_sites(&f, &s);
    graph_plan a = draw_plan(&f, &l, &s), b, again;
    char *text = arena_strdup(&f.g.arena, print(&f, &a, &l));
    for (int changes = 1 + pick(&s, 2); changes-- > 0 && text[0] != '\0';) {
      size_t n = strlen(text), at = (size_t)pick(&s, (int)n);
      if (pick(&s, 3) > 0)
        text[at] = characters[pick(&s, (int)sizeof characters - 1)];
      else
        memmove(text + at, text + at + 1, n - at);
    }
    wn_status st = parse(&f, text, &l, &b);
    if (st == WN_OK) {
      const char *printed = print(&f, &b, &l);
      if (parse(&f, printed, &l, &again) != WN_OK)
        fail_msg("%s as %s: %s", text, printed, f.d.message);
      if (!plan_equal(&b, &again))
        fail_msg("%s: %s comes back as %s", text, printed, print(&f, &again, &l));
      taken++;
    } else {
      if (st != WN_ERR_USAGE || f.d.message[0] == '\0')
        fail_msg("\"%s\": status %d", text, (int)st);
      refused++;
    }
    release(&f);
  }
  assert_true(taken > 100 && refused > 1000);
}

/* --- programs --------------------------------------------------------------------------------- */

typedef struct subject {
  wn_context *ctx;
  wn_tensor *out[4];
  int nout;
  const char *backend, *isa;
  char placement[8192], identity[64];
  size_t limit, workspace; /* of memory, 0: none; what the program takes */
  wn_status status;
  char message[512];
} subject;

static wn_tensor *draw_layer(wn_context *ctx, wn_tensor *x, uint64_t *s) {
  static const int64_t sizes[] = {3, 3, 3, 5, 1, 7};
  const int64_t *shape = wn_shape(x);
  if (pick(s, 8) == 0 && shape[2] > 3 && shape[3] > 3) {
    wn_tensor *w = wn_window(x, 2, (int64_t[]){2, 2}, (int64_t[]){2, 2}, NULL);
    return wn_reduce(pick(s, 2) ? WN_MAXIMUM : WN_SUM, w, (int[]){4, 5}, 2, 0);
  }
  int64_t r = sizes[pick(s, 6)], k = 1 + pick(s, 24), groups = 1;
  if (pick(s, 8) == 0) groups = k = shape[1];
  wn_conv_params p =
      WN_CONV_PARAMS(.pad_lo = {r / 2, r / 2}, .pad_hi = {r / 2, r / 2}, .groups = groups);
  if (pick(s, 6) == 0) p.stride[0] = p.stride[1] = 2;
  wn_tensor *w = wn_constant(ctx, WN_F32, 4, (int64_t[]){k, shape[1] / groups, r, r}, NULL);
  return wn_map(pick(s, 3) ? WN_RELU : WN_TANH, wn_conv(x, w, &p));
}

/* 1 to 8 sites, about. */
static void draw_graph(subject *q, uint64_t *s) {
  assert_int_equal(wn_context_create(&q->ctx), WN_OK);
  int64_t shape[] = {1 + pick(s, 2), 1 + pick(s, 16), 4 + pick(s, 28), 4 + pick(s, 28)};
  wn_tensor *x = wn_input(q->ctx, WN_F32, 4, shape, NULL), *before = NULL;
  q->nout = 0;
  for (int layers = 1 + pick(s, 6); layers > 0; --layers) {
    wn_tensor *y = draw_layer(q->ctx, x, s);
    bool alike = before != NULL && memcmp(wn_shape(before), wn_shape(y), 4 * sizeof *shape) == 0;
    if (alike && pick(s, 2)) y = wn_zip(WN_ADD, y, before);
    if (pick(s, 6) == 0 && q->nout < 2) q->out[q->nout++] = y;
    before = x = y;
  }
  if (pick(s, 3) == 0) {
    int64_t n = wn_shape(x)[0], k = wn_shape(x)[1];
    wn_tensor *y = x; /* of which nothing else may be left */
    x = wn_reshape(wn_reduce(WN_SUM, x, (int[]){2, 3}, 2, 0), 2, (int64_t[]){n, k});
    if (pick(s, 3) == 0) q->out[q->nout++] = wn_map(WN_ABS, y);
    x = wn_matmul(x, wn_constant(q->ctx, WN_F32, 2, (int64_t[]){k, 10}, NULL));
  }
  q->out[q->nout++] = wn_map(WN_NEG, x);
}

static void compile(subject *q, const char *plan) {
  void *data[4] = {NULL};
  wn_program *p;
  wn_program_info info = WN_PROGRAM_INFO();
  const wn_options o = WN_OPTIONS(.plan = plan, .backend = q->backend, .isa = q->isa,
                                  .max_memory = q->limit, .no_cache = 1, .plan_only = 1);
  q->status = wn_compile(q->ctx, q->out, data, q->nout, &o, &p);
  snprintf(q->message, sizeof q->message, "%s", q->status == WN_OK ? "" : wn_message(q->ctx));
  if (q->status != WN_OK) return;
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  assert_true(strlen(info.placement) < sizeof q->placement);
  snprintf(q->placement, sizeof q->placement, "%s", info.placement);
  snprintf(q->identity, sizeof q->identity, "%s", info.identity);
  q->workspace = info.workspace_bytes;
  wn_program_destroy(p);
}

/* False: the plan is refused, which a plan by name may be. */
static bool placement_is_the_program(subject *q, const char *plan, uint64_t seed) {
  compile(q, plan);
  if (q->status == WN_ERR_REFUSED) return false;
  if (q->status != WN_OK) fail_msg("WINNOW_SEED=%" PRIu64 ": %s: %s", seed, plan, q->message);
  char placement[sizeof q->placement], identity[sizeof q->identity];
  memcpy(placement, q->placement, sizeof placement);
  memcpy(identity, q->identity, sizeof identity);
  compile(q, placement);
  bool same = q->status == WN_OK && strcmp(q->placement, placement) == 0 &&
              strcmp(q->identity, identity) == 0;
  if (!same)
    fail_msg("WINNOW_SEED=%" PRIu64 ", %s, %s: plan %s\n reports %s\n which gives %s", seed,
             q->backend, q->isa != NULL ? q->isa : "-", plan, placement,
             q->status != WN_OK                     ? q->message
             : strcmp(q->placement, placement) != 0 ? q->placement
                                                    : "another program");
  return true;
}

/* Random plans for each site until there is one that can be had. */
static bool settle(subject *q, mixed_plan *m, uint64_t *s) {
  compile(q, MIXED_NO_SITE);
  if (!mixed_sites(m, q->message)) fail_msg("%s", q->message);
  mixed_draw(m, s);
  for (int tries = 0; tries < 4 * MIXED_SITES; ++tries) {
    compile(q, m->text);
    if (q->status == WN_OK) return true;
    if (!mixed_give_way(m, q->status, q->message)) return false;
  }
  return false;
}

static const struct {
  const char *backend, *isa;
} machines[] = {{"cpu", NULL},           {"interp", "sse2"}, {"interp", "avx2"},
                {"interp", "avx512"},    {"interp", "neon"}, {"interp", "simt"},
                {"interp", "simdgroup"}, {"opencl", "simt"}, {"opencl", "simd"}};

static bool is_there(const char *backend, const char *isa) {
  uint64_t s = 1;
  subject q = {.backend = backend, .isa = isa};
  draw_graph(&q, &s);
  compile(&q, "direct");
  wn_context_destroy(q.ctx);
  if (q.status == WN_OK) return true;
  print_message("# without %s %s: %s\n", backend, isa != NULL ? isa : "", q.message);
  return false;
}

/* Smaller blocks, or another plan, are found by trying: what was tried is no part of the program. */
static int limited_programs(subject *q, uint64_t seed) {
  static const char *const plans[] = {"auto", "fused", "split"};
  int same = 0;
  for (size_t k = 0; k < LEN(plans); ++k) {
    compile(q, plans[k]);
    for (int part = 1; q->status == WN_OK && part < 3; ++part) {
      q->limit = q->workspace - q->workspace / 8;
      same += placement_is_the_program(q, plans[k], seed);
    }
    q->limit = 0;
  }
  return same;
}

static void placements_are_programs(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  const char *const *names = wn_plan_names();
  int graphs = getenv("WINNOW_LONG") != NULL ? 100
               : in_part()                   ? 1
                                             : 3,
      same = 0, limited = 0, refused = 0, nnames = 0;
  while (names[nnames] != NULL) nnames++;
  for (size_t i = 0; i < LEN(machines); ++i) {
    if (!is_there(machines[i].backend, machines[i].isa)) continue;
    for (int n = 0; n < graphs; ++n) {
      uint64_t of = seed + i * (uint64_t)graphs + (uint64_t)n, s = of;
      subject q = {.backend = machines[i].backend, .isa = machines[i].isa};
      mixed_plan m;
      draw_graph(&q, &s);
      bool mixed = settle(&q, &m, &s);
      if (!mixed) fail_msg("WINNOW_SEED=%" PRIu64 ", %s: %s: %s", of, q.backend, m.text, q.message);
      const char *const plans[] = {"auto", names[pick(&s, nnames)], m.text};
      for (size_t k = 0; k < LEN(plans); ++k) {
        if (placement_is_the_program(&q, plans[k], of))
          same++;
        else
          refused++;
      }
      limited += limited_programs(&q, of);
      wn_context_destroy(q.ctx);
    }
  }
  print_message(
      "# %d placements are their programs, %d under a limit of memory, %d plans were refused\n",
      same, limited, refused);
  assert_true(same > 4 * refused);
}

/* Loops and sizes of sums and maps are said, not chosen again: on another machine they are what they were. */
static void placements_travel(void **state) {
  (void)state;
  static const char *const to[] = {"avx2", "avx512", "neon", "sse2"};
  uint64_t seed = test_seed();
  int items = 0;
  for (int n = 0; n < 12; ++n) {
    uint64_t s = seed + (uint64_t)n;
    subject q = {.backend = "interp", .isa = "avx512"};
    draw_graph(&q, &s);
    compile(&q, "auto");
    assert_int_equal(q.status, WN_OK);
    char placement[sizeof q.placement], item[256];
    memcpy(placement, q.placement, sizeof placement);
    q.isa = to[n % (int)LEN(to)];
    compile(&q, placement);
    for (const char *at = placement; q.status == WN_OK && *at != '\0'; at += *at == ' ') {
      size_t len = strcspn(at, " ");
      snprintf(item, sizeof item, "%.*s", (int)len, at);
      at += len;
      if (strncmp(item, "sum", 3) != 0 && strncmp(item, "map", 3) != 0) continue;
      if (strstr(q.placement, item) == NULL)
        fail_msg("WINNOW_SEED=%" PRIu64 ", %s: %s is not in %s", seed, q.isa, item, q.placement);
      items++;
    }
    if (q.status != WN_OK && q.status != WN_ERR_REFUSED) fail_msg("%s: %s", placement, q.message);
    wn_context_destroy(q.ctx);
  }
  assert_true(items > 3);
}

int main(void) {
  unsetenv("WINO");
  unsetenv("WINNOW_ISA");
  setenv("WINNOW_THREADS", "1", 1); /* others would spin */
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(printed_plans_parse_back),
      cmocka_unit_test(any_text_is_a_plan_or_a_mistake),
      cmocka_unit_test(placements_are_programs),
      cmocka_unit_test(placements_travel),
  };
  return cmocka_run_group_tests_name("plan laws", tests, NULL, NULL);
}
