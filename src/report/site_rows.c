/* See site_rows.h. Programs of one site have its figures in their row, so tables are of those that have more. */
#include "report/site_rows.h"

#include <math.h>

#include "report/table.h"

#define SITE(kind, key, field) {key, kind, offsetof(report_site, field)}
const column report_site_columns[REPORT_SITE_COLUMNS] = {
    SITE(TEXT, "label", label),
    SITE(TEXT, "kind", kind),
    SITE(TEXT, "name", name),
    SITE(TEXT, "shape", shape),
    SITE(TEXT, "schedule", plan),
    SITE(COUNT, "kernels", kernels),
    SITE(COUNT, "prepare_kernels", prepare_kernels),
    SITE(REAL, "median_us", median_us),
    SITE(REAL, "share", share),
    SITE(REAL, "predicted_us", predicted_us),
    SITE(REAL, "least_us", least_us),
    SITE(BYTES, "bytes", bytes),
    SITE(FLAG, "tuned", tuned),
    SITE(TEXT, "alike", alike),
    SITE(COUNT, "result", result),
    SITE(TEXT, "layout", layout),
    SITE(TEXT, "layout_why", layout_why),
    SITE(REAL, "layout_us", layout_us),
    SITE(TEXT, "in_place_of", in_place_of),
    SITE(TEXT, "plan_why", plan_why),
    SITE(REAL, "direct_us", direct_us),
    SITE(TEXT, "other", other),
    SITE(REAL, "other_us", other_us),
};
#undef SITE

static double known_us(double seconds) { return seconds > 0 ? seconds * 1e6 : (double)NAN; }

static report_site read_site(arena *a, wn_program *p, const wn_program_info *of, int number) {
  wn_site_info s = WN_SITE_INFO(), first = WN_SITE_INFO();
  report_site out = {.median_us = NAN, .share = NAN, .least_us = NAN};
  wn_program_get_site(p, number, &s);
  wn_program_get_site(p, s.alike, &first);
  out.label = arena_strdup(a, s.label);
  out.kind = arena_strdup(a, s.kind);
  out.name = s.name != NULL ? arena_strdup(a, s.name) : NULL;
  out.shape = arena_shape(a, s.ndim, s.shape);
  out.plan = arena_strdup(a, s.plan);
  for (int i = 0; i < s.kernels; ++i) out.prepare_kernels += s.kernel[i] < of->prepare_kernels;
  out.kernels = s.kernels - out.prepare_kernels;
  out.predicted_us = known_us(s.predicted_s);
  out.bytes = (double)s.bytes;
  out.tuned = s.tuned != 0;
  out.alike = s.alike == number ? NULL : arena_strdup(a, first.label);
  out.result = s.result;
  out.layout = s.layout;
  out.layout_why = s.layout_why;
  out.layout_us = s.layout != NULL ? s.layout_s * 1e6 : (double)NAN;
  out.in_place_of = s.in_place_of != NULL ? arena_strdup(a, s.in_place_of) : NULL;
  out.plan_why = arena_strdup(a, s.plan_why);
  out.direct_us = known_us(s.direct_s);
  out.other = s.other != NULL ? arena_strdup(a, s.other) : NULL;
  out.other_us = known_us(s.other_s);
  return out;
}

report_site *report_read_sites(arena *a, wn_program *program, int *count) {
  wn_program_info info = WN_PROGRAM_INFO();
  wn_program_get_info(program, &info);
  report_site *sites = arena_array(a, report_site, info.sites + 1);
  for (int i = 0; i < info.sites; ++i) sites[i] = read_site(a, program, &info, i);
  *count = info.sites;
  return sites;
}

void report_time_sites(report_site *sites, int count, const report_kernel *kernels, int nkernels) {
  double all = 0;
  for (int i = 0; i < count; ++i) sites[i].median_us = sites[i].kernels > 0 ? 0 : (double)NAN;
  for (int k = 0; k < nkernels; ++k) {
    if (kernels[k].prepare || kernels[k].site < 0 || kernels[k].site >= count) continue;
    sites[kernels[k].site].median_us += kernels[k].median_us;
    all += kernels[k].median_us;
  }
  for (int i = 0; i < count; ++i) sites[i].share = all > 0 ? sites[i].median_us / all : (double)NAN;
}

const char *report_short_name(arena *a, const char *name, int width) {
  int more = table_text_width(name) - width;
  if (more <= 0) return name;
  for (++more; more > 0; --more) /* and one for the sign that there was more */
    for (++name; ((unsigned char)*name & 0xc0u) == 0x80u;) ++name;
  return arena_printf(a, "…%s", name);
}

const char *report_site_text(arena *a, const report_site *site, int width) {
  if (site->name == NULL) return site->label;
  return arena_printf(a, "%s \"%s\"", site->label, report_short_name(a, site->name, width));
}

/* --- the table -------------------------------------------------------------------------------- */

static void add_site(table *t, const char *plan, const report_site *s) {
  arena *a = t->arena;
  double roofline = s->least_us / s->median_us;
  const char *texts[] = {plan,
                         s->label,
                         s->name != NULL ? report_short_name(a, s->name, REPORT_NAME_WIDTH) : NULL,
                         s->shape,
                         report_figure(a, s->median_us),
                         report_share(a, s->share),
                         report_figure(a, s->predicted_us),
                         report_share(a, roofline),
                         report_bytes(a, s->bytes),
                         arena_printf(a, "%d", s->kernels),
                         s->alike,
                         s->plan};
  table_row *line = table_add(t);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i) line->cells[i].text = texts[i];
  if (s->kernels + s->prepare_kernels == 0) line->tone = TONE_FAINT;
}

void report_sites(FILE *out, arena *a, const report_row *rows, int count, report_style style) {
  static const table_column columns[] = {
      {"plan", true, BEST_NONE, 0},       {"site", true, BEST_NONE, 0},
      {"name", true, BEST_NONE, 1},       {"shape", true, BEST_NONE, 5},
      {"µs", false, BEST_NONE, 0},        {"share", false, BEST_NONE, 3},
      {"predicted", false, BEST_NONE, 4}, {"roofline", false, BEST_NONE, 6},
      {"bytes", false, BEST_NONE, 8},     {"kernels", false, BEST_NONE, 9},
      {"alike", true, BEST_NONE, 7},      {"schedule", true, BEST_NONE, 2},
  };
  table t;
  table_init(&t, a, columns, (int)(sizeof columns / sizeof *columns));
  for (int i = 0; i < count; ++i) {
    if (rows[i].site_count < 2 || rows[i].same_as != NULL) continue;
    for (int k = 0; k < rows[i].site_count; ++k)
      add_site(&t, k == 0 ? rows[i].plan : NULL, &rows[i].site[k]);
  }
  if (!t.rows.len) return;
  fputc('\n', out);
  table_print(&t, out, style.color, style.width);
}

/* The row with the most sites says what they are; one that is another's program has its times. */
void report_site_times(FILE *out, arena *a, const report_row *rows, int count, report_style style) {
  enum { FIRST = 3, MOST = TABLE_MAX_COLUMNS - FIRST };
  table_column columns[TABLE_MAX_COLUMNS] = {
      {"site", true, BEST_NONE, 0}, {"name", true, BEST_NONE, 1}, {"shape", true, BEST_NONE, 2}};
  const report_row *shown[MOST], *widest = NULL;
  int plans = 0;
  for (int i = 0; i < count && plans < MOST; ++i) {
    if (rows[i].site_count < 2 || rows[i].same_as != NULL) continue;
    if (widest == NULL || rows[i].site_count > widest->site_count) widest = &rows[i];
    columns[FIRST + plans] = (table_column){rows[i].plan, false, BEST_NONE, plans < 2 ? 0 : plans};
    shown[plans++] = &rows[i];
  }
  if (widest == NULL) return;
  table t;
  table_init(&t, a, columns, FIRST + plans);
  for (int k = 0; k < widest->site_count; ++k) {
    const report_site *s = &widest->site[k];
    table_row *line = table_add(&t);
    line->cells[0].text = s->label;
    line->cells[1].text = s->name != NULL ? report_short_name(a, s->name, REPORT_NAME_WIDTH) : NULL;
    line->cells[2].text = s->shape;
    double least = INFINITY;
    for (int i = 0; i < plans; ++i)
      if (k < shown[i]->site_count) least = fmin(least, shown[i]->site[k].median_us);
    for (int i = 0; i < plans; ++i) {
      if (k >= shown[i]->site_count || !isfinite(shown[i]->site[k].median_us)) continue;
      double us = shown[i]->site[k].median_us;
      line->cells[FIRST + i].text =
          arena_printf(a, "%s%s", report_figure(a, us), us > 0 && us == least ? "*" : " ");
    }
  }
  fputs("\nµs by site\n", out);
  table_print(&t, out, style.color, style.width);
}
