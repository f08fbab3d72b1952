/* Schedules as text. In: a plan's name or a schedule's spelling. Out: the value, and back; see schedule.h for the
 * grammar. Always holds: parse(print(s)) == s. */
#include <ctype.h>
#include <stdio.h>

#include "base/text.h"
#include "plan/schedule.h"
#include "plan/values.h"

const char *const axis_kind_name[AXIS_KINDS] = {"grid", "group",  "lane",
                                                "loop", "unroll", "vector"};
static const char kind_letters[] =
    "g?\?luv"; /* by axis_kind; work items are shared out after that */
enum { MAX_TILE = 8, MAX_SPLIT = 1 << 20 };

/* --- named plans ------------------------------------------------------------------------------ */

typedef struct named_plan {
  const char *name, *text;
} named_plan;

static const named_plan named_plans[] = {
    {"direct", "direct"},
    {"old", "x=global,g=global,m=global,o=global"},
    {"old-2k", "x=global,g=global,m=global@k0,o=global;launch=joint"},
    {"new", "x=inline,g=inline,m=global,o=global"},
    {"inline-m", "x=global,g=global,m=inline,o=global"},
    {"one", "x=inline,g=inline,m=reg,o=global"},
    {"x-only", "x=inline,g=global,m=global,o=global"},
    {"g-only", "x=global,g=inline,m=global,o=global"},
    {"fused", "x=local,g=global,m=local,o=global"},
    {"split", "x=global,g=global,m=global,o=global;chunk=256"},
};
enum { NAMED_PLANS = sizeof named_plans / sizeof *named_plans };

const char *const schedule_plan_names[] = {"direct", "old",    "old-2k", "new",   "inline-m", "one",
                                           "x-only", "g-only", "fused",  "split", "auto",     NULL};

static const char *const layout_name[] = {NULL, "given", "last"};

value_layout schedule_read_layout(diag *d, const char *text, const char **at) {
  for (value_layout l = LAYOUT_GIVEN; l <= LAYOUT_LAST; ++l) {
    const size_t n = strlen(layout_name[l]);
    if (strncmp(*at, layout_name[l], n) != 0 || text_is_word((*at)[n])) continue;
    *at += n;
    return l;
  }
  schedule_expected(d, text, *at, "given or last");
}

void schedule_print_layout(str *out, value_layout layout) {
  if (layout != LAYOUT_CHOSEN) str_printf(out, ";layout=%s", layout_name[layout]);
}

void schedule_print_side(str *out, int side) {
  if (side != 0) str_printf(out, ";side=%d", side == SIDE_ALONE ? 0 : side);
}

/* --- parsing ---------------------------------------------------------------------------------- */

typedef struct reader {
  diag *d;
  const char *text, *at; /* all of it, and how far it was read */
  char end;              /* behind the schedule: '}' in braces */
} reader;

void schedule_expected(diag *d, const char *text, const char *at, const char *what) {
  enum { SHOWN = 60 };
  diag_fail(d, WN_ERR_USAGE, "plan \"%.*s%s\": expected %s at column %td (\"%.12s\")", (int)SHOWN,
            text, strlen(text) > SHOWN ? "..." : "", what, at - text + 1, at);
}

static _Noreturn void expected(reader *r, const char *what) {
  schedule_expected(r->d, r->text, r->at, what);
}

static bool accept(reader *r, const char *word) {
  size_t n = strlen(word);
  if (strncmp(r->at, word, n) != 0) return false;
  r->at += n;
  return true;
}

static bool accept_word(reader *r, const char *word) {
  size_t n = strlen(word);
  if (strncmp(r->at, word, n) != 0 || text_is_word(r->at[n])) return false;
  r->at += n;
  return true;
}

static int64_t number(reader *r, int64_t lo, int64_t hi, const char *what) {
  if (!isdigit((unsigned char)*r->at)) expected(r, what);
  const char *start = r->at;
  int64_t v = 0;
  while (isdigit((unsigned char)*r->at)) {
    v = v * 10 + (*r->at++ - '0');
    if (v > hi) {
      r->at = start;
      expected(r, what);
    }
  }
  if (v < lo) {
    r->at = start;
    expected(r, what);
  }
  return v;
}

static loop_name read_loop_name(reader *r) {
  if (*r->at == '\0' || strchr("tkcgfpnzyx", *r->at) == NULL)
    expected(r, "a loop (t, k, c, g, f, p, n, z, y or x)");
  loop_name l = {*r->at++, -1};
  if (isdigit((unsigned char)*r->at)) l.part = (int8_t)number(r, 0, 3, "a part from 0 to 3");
  return l;
}

static void read_loops(reader *r, stage_plan *s) {
  while (!accept(r, ")")) {
    while (accept(r, " ")) continue;
    if (s->nloops == SCHEDULE_LOOPS) expected(r, "at most 12 loops");
    loop_spec *l = &s->loop[s->nloops++];
    l->name = read_loop_name(r);
    l->kind = AXIS_LOOP;
    if (accept(r, ":")) {
      const char *k = *r->at ? strchr(kind_letters, *r->at) : NULL;
      if (k == NULL || *k == '?') expected(r, "a kind (g grid, l loop, u unroll, v vector)");
      l->kind = (axis_kind)(k - kind_letters);
      ++r->at;
    }
    while (accept(r, " ")) continue;
  }
}

static void read_stage(reader *r, schedule *s, bool *seen) {
  int id = 0;
  while (id < STAGE_COUNT && *r->at != stage_letter[id]) ++id;
  if (id == STAGE_COUNT || r->at[1] != '=') expected(r, "x=, g=, m= or o=");
  if (seen[id]) expected(r, "each stage once");
  seen[id] = true;
  r->at += 2;
  stage_plan *p = &s->stage[id];
  for (uop_space space = SPACE_INLINE; space < SPACE_COUNT; ++space) {
    if (accept_word(r, space_name[space])) p->space = space;
  }
  if (p->space == SPACE_ANY) expected(r, "inline, reg, local or global");
  if (accept(r, "@")) p->at = read_loop_name(r);
  if (accept(r, "(")) read_loops(r, p);
}

int schedule_read_side(diag *d, const char *text, const char **at) {
  reader r = {d, text, *at, '\0'};
  const int n = (int)number(&r, 0, MOST_SIDES, "a number from 1 to 4096 of a set of sites, or 0");
  *at = r.at;
  return n > 0 ? n : SIDE_ALONE;
}

static void read_split(reader *r, int64_t *split) {
  if (split[0] != 0) expected(r, "each of t, k and c once");
  int n = 0;
  do {
    if (n == SCHEDULE_PARTS)
      expected(r, "at most 2 sizes, of a block and of a register tile in it");
    split[n] = number(r, 1, MAX_SPLIT, "a size from 1 to 1048576");
    ++n;
  } while (accept(r, "."));
}

static void read_wino(reader *r, schedule *s) {
  if (s->nm != 0) expected(r, "wino once");
  do {
    if (s->nm == WN_MAX_SPATIAL) expected(r, "at most 4 tile sizes");
    s->m[s->nm++] = (int)number(r, 0, MAX_TILE, "a tile size from 0 to 8");
  } while (accept(r, "x"));
}

static void read_option(reader *r, schedule *s) {
  if (accept(r, "t="))
    read_split(r, s->t);
  else if (accept(r, "k="))
    read_split(r, s->k);
  else if (accept(r, "c="))
    read_split(r, s->c);
  else if (accept(r, "wino="))
    read_wino(r, s);
  else if (accept(r, "chunk="))
    s->chunk = number(r, 1, MAX_SPLIT, "a number of tiles from 1 to 1048576");
  else if (accept(r, "launch=joint"))
    s->joint = true;
  else if (accept(r, "layout="))
    s->layout = schedule_read_layout(r->d, r->text, &r->at);
  else if (accept(r, "bands="))
    s->bands = (int)number(r, 1, MOST_BANDS, "a number of rounds from 1 to 4096");
  else if (accept(r, "side="))
    s->side = schedule_read_side(r->d, r->text, &r->at);
  else if (s->direct && accept(r, "chains="))
    s->chains = (int)number(r, 1, SUMS_AT_ONCE, "a number of chains from 1 to 8");
  else if (!s->direct && accept(r, "share="))
    s->share = read_loop_name(r);
  else if (accept(r, "v=")) {
    if (*r->at != 't' && *r->at != 'k') expected(r, "t or k");
    s->v = *r->at++;
  } else
    expected(r,
             s->direct
                 ? "t=, k=, c=, v=, chains=, wino=, chunk=, layout=, bands=, side= or launch=joint"
                 : "t=, k=, c=, v=, wino=, chunk=, share=, layout=, bands=, side= or launch=joint");
}

static void read_schedule(reader *r, schedule *s) {
  bool seen[STAGE_COUNT] = {false};
  if (accept_word(r, "direct")) {
    s->direct = true;
  } else {
    do read_stage(r, s, seen);
    while (accept(r, ","));
    for (int i = 0; i < STAGE_COUNT; ++i) {
      if (!seen[i]) expected(r, "all of x=, g=, m= and o=");
    }
  }
  while (accept(r, ";")) {
    do read_option(r, s);
    while (accept(r, ","));
  }
  if (*r->at != r->end) expected(r, r->end == '\0' ? "; , or the end" : "; , or }");
}

/* Is this word all that stands there? */
static bool is_whole_word(const reader *r, const char *word) {
  size_t n = strlen(word);
  return strncmp(r->at, word, n) == 0 && r->at[n] == r->end;
}

/* A name or a schedule, up to the end. */
static bool read_plan(reader *r, schedule *out) {
  memset(out, 0, sizeof *out);
  if (is_whole_word(r, "auto")) {
    r->at += strlen("auto");
    return false;
  }
  for (int i = 0; i < NAMED_PLANS; ++i) {
    if (!is_whole_word(r, named_plans[i].name)) continue;
    reader named = {r->d, named_plans[i].text, named_plans[i].text, '\0'};
    read_schedule(&named, out);
    r->at += strlen(named_plans[i].name);
    return true;
  }
  size_t n = 0;
  while (r->at[n] != '\0' && r->at[n] != r->end) ++n;
  if (memchr(r->at, '=', n) == NULL && strncmp(r->at, "direct", 6) != 0) {
    diag_fail(r->d, WN_ERR_USAGE,
              "unknown plan \"%.*s\": expected direct, old, old-2k, new, inline-m, one, x-only, "
              "g-only, fused, split, auto "
              "or a schedule such as x=global,g=global,m=global,o=global;t=16,k=4",
              n < 200 ? (int)n : 200, r->at);
  }
  read_schedule(r, out);
  return true;
}

const char *schedule_parse_in_braces(diag *d, const char *text, const char *at, schedule *out,
                                     bool *is_schedule) {
  reader r = {d, text, at, '}'};
  *is_schedule = read_plan(&r, out);
  return r.at;
}

bool schedule_parse(diag *d, const char *text, schedule *out) {
  reader r = {d, text, text, '\0'};
  return read_plan(&r, out);
}

/* --- printing --------------------------------------------------------------------------------- */

static void print_loop_name(str *out, loop_name l) {
  str_printf(out, "%c", l.letter);
  if (l.part >= 0) str_printf(out, "%d", l.part);
}

static void print_stage(str *out, stage_id id, const stage_plan *p) {
  str_printf(out, "%c=%s", stage_letter[id], space_name[p->space]);
  if (p->at.letter) {
    str_add(out, "@");
    print_loop_name(out, p->at);
  }
  if (p->nloops == 0) return;
  for (int i = 0; i < p->nloops; ++i) {
    str_add(out, i ? " " : "(");
    print_loop_name(out, p->loop[i].name);
    if (p->loop[i].kind != AXIS_LOOP) str_printf(out, ":%c", kind_letters[p->loop[i].kind]);
  }
  str_add(out, ")");
}

static void print_split(str *out, char name, const int64_t *split, const char **sep) {
  if (split[0] == 0) return;
  str_printf(out, "%s%c=", *sep, name);
  *sep = ",";
  for (int i = 0; i < SCHEDULE_PARTS && split[i] != 0; ++i) {
    str_printf(out, "%s%lld", i ? "." : "", (long long)split[i]);
  }
}

void schedule_print(str *out, const schedule *s) {
  if (s->direct) str_add(out, "direct");
  for (stage_id id = STAGE_X; !s->direct && id < STAGE_COUNT; ++id) {
    if (id) str_add(out, ",");
    print_stage(out, id, &s->stage[id]);
  }
  const char *sep = ";";
  print_split(out, 't', s->t, &sep);
  print_split(out, 'k', s->k, &sep);
  print_split(out, 'c', s->c, &sep);
  if (s->v) str_printf(out, ";v=%c", s->v);
  if (s->chains) str_printf(out, ";chains=%d", s->chains);
  for (int i = 0; i < s->nm; ++i) str_printf(out, "%s%d", i ? "x" : ";wino=", s->m[i]);
  if (s->chunk) str_printf(out, ";chunk=%lld", (long long)s->chunk);
  if (s->share.letter) {
    str_add(out, ";share=");
    print_loop_name(out, s->share);
  }
  if (s->joint) str_add(out, ";launch=joint");
  schedule_print_layout(out, s->layout);
  if (s->bands > 0) str_printf(out, ";bands=%d", s->bands);
  schedule_print_side(out, s->side);
}

/* --- comparing -------------------------------------------------------------------------------- */

/* Fields are hashed one by one: padding bytes and unused entries take no part. */
uint64_t schedule_hash(const schedule *s) {
  uint64_t h = s->direct | (uint64_t)s->joint << 1 | (uint64_t)s->nm << 2 | (uint64_t)s->chunk << 8;
  for (int i = 0; i < STAGE_COUNT; ++i) {
    const stage_plan *p = &s->stage[i];
    int64_t head[] = {p->space, p->at.letter, p->at.letter ? p->at.part : 0, p->nloops};
    h = hash_bytes(head, sizeof head, h);
    for (int l = 0; l < p->nloops; ++l) {
      int64_t loop[] = {p->loop[l].name.letter, p->loop[l].name.part, p->loop[l].kind};
      h = hash_bytes(loop, sizeof loop, h);
    }
  }
  h = hash_bytes(s->t, sizeof s->t, h);
  h = hash_bytes(s->k, sizeof s->k, h);
  h = hash_bytes(s->c, sizeof s->c, h);
  h = hash_bytes(&s->v, sizeof s->v, h) + s->inlined + 2 * (uint64_t)s->with;
  int64_t loops[] = {s->lanes,  s->regs,         s->nlanes,
                     s->chains, s->share.letter, s->share.letter ? s->share.part : 0,
                     s->layout, s->bands,        s->side,
                     s->sums};
  h = hash_bytes(loops, sizeof loops, h);
  return hash_bytes(s->m, (size_t)s->nm * sizeof s->m[0], h);
}

static bool same_loop(loop_name a, loop_name b) {
  return a.letter == b.letter && (a.letter == 0 || a.part == b.part);
}

static bool same_stage(const stage_plan *a, const stage_plan *b) {
  if (a->space != b->space || a->nloops != b->nloops || !same_loop(a->at, b->at)) return false;
  for (int i = 0; i < a->nloops; ++i) {
    if (!same_loop(a->loop[i].name, b->loop[i].name) || a->loop[i].kind != b->loop[i].kind)
      return false;
  }
  return true;
}

bool schedule_equal(const schedule *a, const schedule *b) {
  for (int i = 0; i < STAGE_COUNT; ++i) {
    if (!same_stage(&a->stage[i], &b->stage[i])) return false;
  }
  return same_loop(a->share, b->share) && a->direct == b->direct && a->inlined == b->inlined &&
         a->with == b->with && a->lanes == b->lanes && a->regs == b->regs &&
         a->chains == b->chains && a->nlanes == b->nlanes && a->layout == b->layout &&
         a->bands == b->bands && a->side == b->side && a->sums == b->sums && a->joint == b->joint &&
         a->v == b->v && a->chunk == b->chunk && a->nm == b->nm &&
         memcmp(a->t, b->t, sizeof a->t) == 0 && memcmp(a->k, b->k, sizeof a->k) == 0 &&
         memcmp(a->c, b->c, sizeof a->c) == 0 &&
         memcmp(a->m, b->m, (size_t)a->nm * sizeof a->m[0]) == 0;
}

bool schedule_same_bits(const schedule *a, const schedule *b) {
  int n = a->nm > b->nm ? a->nm : b->nm;
  if (a->direct != b->direct || memcmp(a->c, b->c, sizeof a->c) != 0) return false;
  if (a->direct) return a->chains == b->chains;
  for (int i = STAGE_X; i < STAGE_O; ++i) {
    if (schedule_is_inlined(a, (stage_id)i) != schedule_is_inlined(b, (stage_id)i)) return false;
  }
  for (int i = 0; i < n && a->nm > 0 && b->nm > 0; ++i) { /* one m is that of all windows */
    if (a->m[i < a->nm ? i : a->nm - 1] != b->m[i < b->nm ? i : b->nm - 1]) return false;
  }
  return (a->nm > 0) == (b->nm > 0);
}

bool loop_named(loop_name want, const char *name) {
  char text[16];
  int n = 0;
  text[n++] = want.letter;
  if (want.part >= 0) text[n++] = (char)('0' + want.part);
  text[n] = '\0';
  return strcmp(text, name) == 0;
}

bool schedule_is_inside(const schedule *s, stage_id id) {
  uop_space space = s->stage[id].space;
  return space == SPACE_LOCAL || (space == SPACE_GLOBAL && s->stage[id].at.letter != 0);
}

bool schedule_is_inlined(const schedule *s, stage_id id) {
  return s->stage[id].space == SPACE_INLINE || s->stage[id].space == SPACE_REG;
}

bool schedule_has_kernel(const schedule *s, stage_id id) {
  return !schedule_is_inside(s, id) && !schedule_is_inlined(s, id);
}

bool schedule_same_places(const schedule *a, const schedule *b) {
  bool same = a->direct == b->direct && (a->chunk > 0) == (b->chunk > 0);
  for (int i = 0; i < STAGE_COUNT && !a->direct; ++i)
    same &= a->stage[i].space == b->stage[i].space;
  return same;
}

bool schedule_has_arrays(const schedule *s) {
  return !schedule_is_inlined(s, STAGE_X) && !schedule_is_inlined(s, STAGE_G) &&
         !schedule_is_inlined(s, STAGE_M);
}
