/* Plans as text; see plan.h. */
#include "plan/plan.h"

#include <ctype.h>

#include "base/text.h"
#include "plan/values.h"

typedef struct reader {
  graph *g;
  const char *text, *at;
  const site_list *sites;
  plan_request out;
} reader;

static _Noreturn void expected(const reader *r, const char *what) {
  schedule_expected(r->g->diag, r->text, r->at, what);
}

static void skip_blanks(reader *r) {
  while (*r->at == ' ' || *r->at == '\n' || *r->at == '\t') ++r->at;
}

/* "conv5" before a brace. Returns where the brace is, NULL: something else stands there. */
static const char *site_at(const char *at, size_t *letters) {
  *letters = 0;
  while (at[*letters] >= 'a' && at[*letters] <= 'z') ++*letters;
  const char *digits = at + *letters, *end = digits;
  while (isdigit((unsigned char)*end)) ++end;
  return *letters > 0 && end > digits && *end == '{' ? end : NULL;
}

static _Noreturn void no_such_site(const reader *r, const char *end) {
  enum { SHOWN = 16, LONG = 500 }; /* of sites, of bytes: names can be long, and the line is one */
  str all;
  str_init(&all, &r->g->arena);
  int shown = 0;
  for (; shown < r->sites->n && shown < SHOWN && all.len < LONG; ++shown)
    str_printf(&all, " %s", site_text(&r->g->arena, r->sites, shown));
  if (r->sites->n > shown) str_printf(&all, " and %d more", r->sites->n - shown);
  diag_fail(r->g->diag, WN_ERR_USAGE, "plan: there is no site %.*s; the graph has%s",
            (int)(end - r->at < 40 ? end - r->at : 40), r->at, str_text(&all));
}

static int read_site(reader *r) {
  size_t letters;
  const char *brace = site_at(r->at, &letters);
  if (brace == NULL) expected(r, "a site and its plan, such as conv3{direct}");
  int64_t number = 0;
  for (const char *c = r->at + letters; c < brace && number < INT32_MAX; ++c)
    number = number * 10 + (*c - '0');
  if (number >= r->sites->n) no_such_site(r, brace);
  const char *kind = site_kind_name[r->sites->at[number].kind];
  if (strlen(kind) != letters || strncmp(kind, r->at, letters) != 0) no_such_site(r, brace);
  if (r->out.source[number] == PLAN_GIVEN) expected(r, "each site once");
  r->at = brace + 1;
  return (int)number;
}

static bool accept_word(reader *r, const char *word) {
  size_t n = strlen(word);
  if (strncmp(r->at, word, n) != 0 || text_is_word(r->at[n])) return false;
  r->at += n;
  return true;
}

/* What a schedule without braces says of a site. */
static schedule spread(const schedule *all, site_kind kind) {
  schedule s = *all;
  if (kind == SITE_CONV) return s;
  s = (schedule){.direct = true, .layout = all->layout, .bands = all->bands, .side = all->side};
  if (kind != SITE_PRODUCT || !all->direct) return s;
  memcpy(s.t, all->t, sizeof s.t);
  memcpy(s.k, all->k, sizeof s.k);
  s.v = all->v;
  s.chains = all->chains;
  return s;
}

static bool accept(reader *r, const char *text) {
  size_t n = strlen(text);
  if (strncmp(r->at, text, n) != 0) return false;
  r->at += n;
  return true;
}

static bool is_loop_option(const char *at) {
  return strncmp(at, ";sums=", 6) == 0 || strncmp(at, ";lanes=", 7) == 0 ||
         strncmp(at, ";regs=", 6) == 0 || strncmp(at, ";layout=", 8) == 0 ||
         strncmp(at, ";bands=", 7) == 0 || strncmp(at, ";side=", 6) == 0;
}

/* i2, none, or where `terms` sum. */
static value_loop read_loop(reader *r, bool terms) {
  if (accept_word(r, "none")) return VALUE_LOOP_NONE;
  if (terms && accept_word(r, "sum")) return VALUE_LOOP_TERMS;
  if (*r->at != 'i' || !isdigit((unsigned char)r->at[1]))
    expected(r, terms ? "a loop such as i2, sum or none" : "a loop such as i1, or none");
  int number = r->at[1] - '0';
  r->at += 2;
  if (isdigit((unsigned char)*r->at)) number = number * 10 + (*r->at++ - '0');
  return (value_loop)(number + 1);
}

/* i2.8: so many lanes. */
static int read_lanes(reader *r) {
  int n = 0;
  if (!accept(r, ".")) return 0;
  const char *start = r->at;
  while (isdigit((unsigned char)*r->at) && n <= MOST_LANES) n = 10 * n + (*r->at++ - '0');
  bool power = n >= 1 && n <= MOST_LANES && (n & (n - 1)) == 0;
  if (power && *start != '0') return n;
  r->at = start;
  expected(r, "a number of lanes: 1, 2, 4, 8 or 16");
}

static int read_bands(reader *r) {
  int n = 0;
  const char *start = r->at;
  while (isdigit((unsigned char)*r->at) && n <= MOST_BANDS) n = 10 * n + (*r->at++ - '0');
  if (n >= 1 && n <= MOST_BANDS) return n;
  r->at = start;
  expected(r, "a number of rounds from 1 to 4096");
}

/* Sizes are read as those of a direct convolution are. */
static void read_sizes(reader *r, site_kind kind, schedule *out) {
  bool is_schedule;
  str text;
  if (kind == SITE_MAP) expected(r, "lanes=, regs= or the end: a map has no sizes");
  const char *end = strchr(r->at, '}');
  if (end == NULL) expected(r, "}");
  for (const char *at = r->at; at < end; ++at)
    if (is_loop_option(at)) end = at;
  str_init(&text, &r->g->arena);
  str_add(&text, "direct");
  str_addn(&text, r->at, (size_t)(end - r->at));
  str_add(&text, "}");
  schedule_parse_in_braces(r->g->diag, str_text(&text), str_text(&text), out, &is_schedule);
  schedule all = spread(out, SITE_PRODUCT);
  if (!schedule_equal(out, &all))
    expected(r, "nothing but t=, k=, v= and chains=: it is no convolution");
  r->at = end;
}

/* "sum2" of with=sum2: an earlier site, and one that is no convolution unless those may be. */
static int read_earlier(reader *r, int number, bool convs) {
  size_t letters = 0;
  int64_t other = 0;
  while (r->at[letters] >= 'a' && r->at[letters] <= 'z') ++letters;
  const char *end = r->at + letters;
  for (; isdigit((unsigned char)*end) && other < INT32_MAX; ++end)
    other = other * 10 + (*end - '0');
  bool named = letters > 0 && end > r->at + letters && other < number;
  const char *kind = named ? site_kind_name[r->sites->at[other].kind] : "";
  bool fits = named && (convs || r->sites->at[other].kind != SITE_CONV) &&
              strlen(kind) == letters && strncmp(kind, r->at, letters) == 0;
  if (!fits)
    expected(r, convs ? "an earlier site, such as conv0"
                      : "an earlier site that is no convolution, such as sum0");
  r->at = end;
  return (int)other + 1;
}

static void read_sums(reader *r, site_kind kind, int number, schedule *out) {
  if (kind != SITE_SUM)
    expected(r, "lanes=, regs= or the end: sums= is for a sum of another value");
  r->at += strlen(";sums=");
  out->sums = read_earlier(r, number, true);
}

/* What is no convolution has nothing to rewrite: global, with sizes for a product, inline, or with another. */
static void read_other(reader *r, int number, schedule *out) {
  const graph_site *s = &r->sites->at[number];
  const stored_value *v = &r->sites->value[s->value];
  *out = (schedule){.direct = true};
  if (accept_word(r, "inline")) {
    if (v->result >= 0) expected(r, "global: it is a result, which needs its array");
    if (v->whole > 0) expected(r, "global: it is stored as a part of a concatenation");
    out->inlined = true;
  } else if (strncmp(r->at, "with=", 5) == 0) {
    r->at += 5;
    out->with = read_earlier(r, number, false);
  } else if (accept_word(r, "global")) {
    if (*r->at == ';' && !is_loop_option(r->at)) read_sizes(r, s->kind, out);
    if (strncmp(r->at, ";sums=", 6) == 0) read_sums(r, s->kind, number, out);
    if (accept(r, ";lanes=")) out->lanes = read_loop(r, true);
    if (out->lanes > 0 || out->lanes == VALUE_LOOP_TERMS) out->nlanes = read_lanes(r);
    if (accept(r, ";regs=")) out->regs = read_loop(r, false);
    if (accept(r, ";layout=")) out->layout = schedule_read_layout(r->g->diag, r->text, &r->at);
    if (accept(r, ";bands=")) out->bands = read_bands(r);
    if (accept(r, ";side=")) out->side = schedule_read_side(r->g->diag, r->text, &r->at);
  } else {
    expected(r, "global, inline or with=, since it is no convolution");
  }
}

static void read_item(reader *r) {
  int number = read_site(r);
  const char *start = r->at;
  schedule *to = &r->out.plan.site[number];
  bool is_schedule = true;
  if (r->sites->at[number].kind == SITE_CONV)
    r->at = schedule_parse_in_braces(r->g->diag, r->text, r->at, to, &is_schedule);
  else
    read_other(r, number, to);
  if (*r->at != '}') expected(r, "}");
  r->out.spelled[number] = memchr(start, '=', (size_t)(r->at - start)) != NULL;
  ++r->at;
  r->out.source[number] = is_schedule ? PLAN_GIVEN : PLAN_CHOOSE;
}

/* A schedule without braces ends where text does, or at a blank outside of parentheses. */
static const char *end_of_schedule(const char *at) {
  int depth = 0;
  for (; *at != '\0' && (depth > 0 || *at != ' '); ++at) depth += (*at == '(') - (*at == ')');
  return at;
}

static void read_for_all(reader *r) {
  const char *end = end_of_schedule(r->at);
  bool spelled = memchr(r->at, '=', (size_t)(end - r->at)) != NULL;
  schedule s;
  bool is_schedule;
  if (*end == '\0') {
    is_schedule = schedule_parse(r->g->diag, r->at, &s);
  } else {
    str text;
    str_init(&text, &r->g->arena);
    str_addn(&text, r->at, (size_t)(end - r->at));
    is_schedule = schedule_parse(r->g->diag, str_text(&text), &s);
  }
  r->at = end;
  r->out.rewrites = is_schedule && !s.direct;
  for (int i = 0; i < r->sites->n && is_schedule; ++i) {
    r->out.source[i] = PLAN_FOR_ALL;
    r->out.spelled[i] = spelled;
    r->out.plan.site[i] = spread(&s, r->sites->at[i].kind);
  }
}

plan_request plan_parse(graph *g, const char *text, const site_list *sites) {
  reader r = {.g = g, .text = text, .at = text, .sites = sites};
  r.out.plan.n = sites->n;
  r.out.plan.site = arena_array(&g->arena, schedule, sites->n + 1);
  r.out.source = arena_array(&g->arena, plan_source, sites->n + 1);
  r.out.spelled = arena_array(&g->arena, bool, sites->n + 1);
  for (int i = 0; i < sites->n; ++i) r.out.plan.site[i].direct = true;
  size_t letters;
  skip_blanks(&r);
  if (site_at(r.at, &letters) == NULL) read_for_all(&r);
  for (skip_blanks(&r); *r.at != '\0'; skip_blanks(&r)) read_item(&r);
  return r.out;
}

/* --- printing --------------------------------------------------------------------------------- */

static void print_loop(str *out, const char *what, value_loop l) {
  if (l == VALUE_LOOP_CHOSEN) return;
  str_add(out, what);
  if (l > 0)
    str_printf(out, "i%d", (int)l - 1);
  else
    str_add(out, l == VALUE_LOOP_TERMS ? "sum" : "none");
}

static void print_other(str *out, const char *what, const site_list *sites, int site) {
  str_printf(out, "%s%s%d", what, site_kind_name[sites->at[site].kind], site);
}

void plan_print_site(str *out, const schedule *s, const site_list *sites, int site) {
  if (sites->at[site].kind == SITE_CONV) {
    schedule_print(out, s);
    return;
  }
  if (s->with > 0) {
    print_other(out, "with=", sites, s->with - 1);
    return;
  }
  str text;
  schedule sizes = *s;
  sizes.layout = LAYOUT_CHOSEN; /* these are said last */
  sizes.bands = sizes.side = 0;
  str_init(&text, out->arena);
  schedule_print(&text, &sizes);
  str_add(out, s->inlined ? "inline" : "global");
  str_add(out, str_text(&text) + strlen("direct"));
  if (s->sums > 0) print_other(out, ";sums=", sites, s->sums - 1);
  print_loop(out, ";lanes=", s->lanes);
  if (s->nlanes > 0) str_printf(out, ".%d", s->nlanes);
  print_loop(out, ";regs=", s->regs);
  schedule_print_layout(out, s->layout);
  if (s->bands > 0) str_printf(out, ";bands=%d", s->bands);
  schedule_print_side(out, s->side);
}

/* Nothing to say of what is no convolution: it has its array and its kernel, in sizes that the machine chooses. */
static bool is_plain(const schedule *s) {
  return !s->inlined && s->with == 0 && s->lanes == 0 && s->regs == 0 && s->t[0] == 0 &&
         s->k[0] == 0 && s->chains == 0 && s->layout == LAYOUT_CHOSEN && s->bands == 0 &&
         s->side == 0 && s->sums == 0;
}

static bool all_plain(const graph_plan *p, const site_list *sites) {
  bool plain = true;
  for (int i = 0; i < p->n && plain; ++i)
    plain = sites->at[i].kind != SITE_CONV && is_plain(&p->site[i]);
  return plain;
}

/* The schedule that says all of the plan without braces; NULL: there is none. */
static const schedule *for_all(const graph_plan *p, const site_list *sites) {
  int first = 0;
  while (first < p->n && sites->at[first].kind > SITE_PRODUCT) ++first;
  for (int i = first; i < p->n; ++i) { /* a convolution says more than a product */
    if (sites->at[i].kind == SITE_CONV && sites->at[first].kind != SITE_CONV) first = i;
  }
  for (int i = 0; i < p->n && first < p->n; ++i) {
    schedule s = spread(&p->site[first], sites->at[i].kind);
    if (!schedule_equal(&s, &p->site[i])) return NULL;
  }
  return first < p->n ? &p->site[first] : NULL;
}

void plan_print(str *out, const graph_plan *p, const site_list *sites) {
  const schedule *all = for_all(p, sites);
  bool any = false;
  if (all != NULL || all_plain(p, sites)) {
    if (all != NULL)
      schedule_print(out, all);
    else
      str_add(out, "direct");
    return;
  }
  for (int i = 0; i < p->n; ++i) {
    site_kind kind = sites->at[i].kind;
    /* what is left out is chosen again, and might be joined */
    if (kind != SITE_CONV && is_plain(&p->site[i]) && !sites->at[i].joins) continue;
    str_printf(out, "%s%s%d{", any ? " " : "", site_kind_name[kind], i);
    plan_print_site(out, &p->site[i], sites, i);
    str_add(out, "}");
    any = true;
  }
}

bool plan_equal(const graph_plan *a, const graph_plan *b) {
  bool same = a->n == b->n;
  for (int i = 0; i < a->n && same; ++i) same = schedule_equal(&a->site[i], &b->site[i]);
  return same;
}
