/* Interning is by a hash with a chain behind it: two texts of one hash stay two texts. Kernels and
 * limits are few, so they are found by looking at all of them. */
#include "report/collect.h"
#include "report/site_rows.h"

#include <math.h>

#include "base/text.h"

typedef struct text_node {
  const char *text;
  struct text_node *next;
} text_node;

void report_set_init(report_set *set, arena *a) {
  memset(set, 0, sizeof *set);
  set->arena = a;
  map_init(&set->texts, a);
}

static const char *valid_utf8(arena *a, const char *text) {
  const char *s = text;
  size_t n;
  while (*s && (n = text_sequence(s)) != 0) s += n;
  if (!*s) return text;
  str out;
  str_init(&out, a);
  for (s = text; *s; s += n ? n : 1) {
    n = text_sequence(s);
    if (n)
      str_addn(&out, s, n);
    else
      str_add(&out, "\xef\xbf\xbd");
  }
  return str_text(&out);
}

const char *report_set_text(report_set *set, const char *text) {
  if (text == NULL) return NULL;
  text = valid_utf8(set->arena, text);
  uint64_t hash = hash_bytes(text, strlen(text), 0);
  if (hash == MAP_NONE) hash = 0;
  text_node *first = map_get_ptr(&set->texts, hash);
  for (const text_node *n = first; n != NULL; n = n->next)
    if (!strcmp(n->text, text)) return n->text;
  text_node *node = arena_new(set->arena, text_node);
  node->text = arena_strdup(set->arena, text);
  node->next = first;
  map_put_ptr(&set->texts, hash, node);
  return node->text;
}

/* Texts are interned, so pointers say whether they are equal. */
static bool same_kernel(const report_kernel *a, const report_kernel *b) {
  return a->name == b->name && a->loops == b->loops && a->stage == b->stage &&
         a->fallback == b->fallback && a->source == b->source && a->bytes == b->bytes &&
         a->flops == b->flops && a->source_lines == b->source_lines &&
         a->registers == b->registers && a->spills == b->spills && a->prepare == b->prepare;
}

static int add_kernel(report_set *set, const report_kernel *from) {
  report_kernel k = *from;
  k.name = report_set_text(set, from->name);
  k.loops = report_set_text(set, from->loops);
  k.stage = report_set_text(set, from->stage);
  k.fallback = report_set_text(set, from->fallback);
  k.source = report_set_text(set, from->source);
  k.median_us = NAN;
  k.site = -1; /* equal layers have equal kernels: each launch has its own */
  for (size_t i = 0; i < set->kernels.len; ++i)
    if (same_kernel(&set->kernels.data[i], &k)) return (int)i;
  vec_push(set->arena, &set->kernels, k);
  return (int)set->kernels.len - 1;
}

static bool same_limits(const report_limits *a, const report_limits *b) {
  bool same = a->flops == b->flops && a->levels == b->levels;
  for (int i = 0; same && i < a->levels; ++i)
    same = a->level[i].name == b->level[i].name && a->level[i].bytes == b->level[i].bytes &&
           a->level[i].rate == b->level[i].rate;
  return same;
}

static int add_limits(report_set *set, const report_limits *from) {
  if (from == NULL) return -1;
  report_limits l = *from;
  for (int i = 0; i < l.levels; ++i) l.level[i].name = report_set_text(set, from->level[i].name);
  for (size_t i = 0; i < set->limits.len; ++i)
    if (same_limits(&set->limits.data[i], &l)) return (int)i;
  vec_push(set->arena, &set->limits, l);
  return (int)set->limits.len - 1;
}

static report_site *add_sites(report_set *set, const report_row *row) {
  report_site *sites = arena_array(set->arena, report_site, row->site_count + 1);
  for (int i = 0; i < row->site_count; ++i) {
    report_site *s = &sites[i];
    *s = row->site[i];
    for (size_t k = 0; k < REPORT_SITE_COLUMNS; ++k) {
      if (report_site_columns[k].kind != TEXT) continue;
      const char **text = (const char **)((char *)s + report_site_columns[k].offset);
      *text = report_set_text(set, *text);
    }
  }
  return sites;
}

void report_set_add(report_set *set, const report_row *row) {
  report_entry e = {.row = *row, .launches = row->kernel_count};
  report_row *r = &e.row;
  const char **texts[] = {&r->problem,  &r->backend, &r->device,  &r->isa,       &r->version,
                          &r->math,     &r->weights, &r->plan,    &r->placement, &r->wino,
                          &r->fallback, &r->refused, &r->same_as, &r->note};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i)
    *texts[i] = report_set_text(set, *texts[i]);
  r->kernel = NULL;
  r->limits = NULL;
  e.limits = add_limits(set, row->limits);
  e.launch = arena_array(set->arena, report_launch, row->kernel_count + 1);
  for (int i = 0; i < row->kernel_count; ++i)
    e.launch[i] = (report_launch){add_kernel(set, &row->kernel[i]), row->kernel[i].site,
                                  row->kernel[i].median_us};
  r->site = add_sites(set, row);
  vec_push(set->arena, &set->entries, e);
}
