/* The tables that a person reads. The two columns of ratios are what the comparison is about: how
 * many times faster than the direct convolution and than the classic four-buffer Winograd a plan is
 * (above 1 is faster). */
#include <math.h>
#include <stdlib.h>

#include "base/text.h"
#include "report/pareto.h"
#include "report/table.h"

static const struct {
  const char *kind, *escape;
} kind_colors[] = {
    {"grid", "\033[34m"}, {"group", "\033[94m"},  {"lane", "\033[36m"},
    {"loop", "\033[37m"}, {"unroll", "\033[33m"}, {"vector", "\033[32m"},
};

static const char *kind_escape(const char *kind, size_t n) {
  for (size_t i = 0; i < sizeof kind_colors / sizeof *kind_colors; ++i)
    if (strlen(kind_colors[i].kind) == n && !memcmp(kind_colors[i].kind, kind, n))
      return kind_colors[i].escape;
  return NULL;
}

/* The next axis in "grid k0 16, reduce loop c 64": its kind, the size behind its name, and what
 * follows. */
static const char *next_axis(const char *axes, const char **escape, long *size) {
  axes += strspn(axes, " ,");
  if (!strncmp(axes, "reduce ", 7)) axes += 7;
  size_t n = strcspn(axes, " ,");
  if (!n) return NULL;
  *escape = kind_escape(axes, n);
  const char *end = axes + strcspn(axes, ",");
  const char *digits = end;
  while (digits > axes && !text_is_space(digits[-1])) --digits;
  *size = strtol(digits, NULL, 10);
  return end;
}

/* A kernel's name has the axes of its outermost nests: "inner: ...; stage: axes | inner: ...;
 * stage: axes". */
static const char *outer_axes(arena *a, const char *loops) {
  str s;
  str_init(&s, a);
  while (*loops) {
    const char *end = strchr(loops, '|');
    if (end == NULL) end = loops + strlen(loops);
    const char *from = end;
    while (from > loops && from[-1] != ';' && from[-1] != ':') --from;
    str_addn(&s, from, (size_t)(end - from));
    str_add(&s, ",");
    loops = *end ? end + 1 : end;
  }
  return str_text(&s);
}

const char *report_color_kernel(arena *a, const char *name, const char *loops) {
  str s;
  str_init(&s, a);
  const char *digits = name + strcspn(name, "_");
  if (loops == NULL || !*digits) return name;
  const char *axes = outer_axes(a, loops);
  str_addn(&s, name, (size_t)(digits - name));
  while (*digits) {
    char *end;
    const char *escape;
    long size, here = strtol(digits + 1, &end, 10);
    axes = next_axis(axes, &escape, &size);
    if (axes == NULL || escape == NULL || end == digits + 1 || size != here ||
        (*end && *end != '_'))
      return name;
    str_printf(&s, "_%s%ld\033[39m", escape, here);
    digits = end;
  }
  return str_text(&s);
}

const char *report_bytes(arena *a, double bytes) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  if (!isfinite(bytes)) return "";
  int u = 0;
  for (; bytes >= 1024 && u < 4; ++u) bytes /= 1024;
  return arena_printf(a, u && bytes < 10 ? "%.1f %s" : "%.0f %s", bytes, units[u]);
}

static const char *figure(arena *a, const char *format, double v) {
  char buf[48];
  if (!isfinite(v)) return "";
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#endif
  text_format(buf, sizeof buf, format, v);
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
  return arena_strdup(a, buf);
}

/* Times as fast: 1.62, 0.15, 0.0012. */
static const char *ratio_text(arena *a, double v) {
  return figure(a, v < 0.0995 ? "%.2g" : "%.2f", v);
}

const char *report_figure(arena *a, double v) {
  return figure(a, v < 9.995 ? "%.2f" : v < 99.95 ? "%.1f" : "%.0f", v);
}

const char *report_share(arena *a, double share) {
  return figure(a, share < 0.0995 ? "%.1f%%" : "%.0f%%", 100 * share);
}

static const char *count_text(arena *a, int v) { return v < 0 ? "" : arena_printf(a, "%d", v); }

static void set(table_row *row, int *c, const char *text, double value) {
  row->cells[*c].text = text;
  row->cells[*c].value = value;
  ++*c;
}

static double known(int v) { return v < 0 ? (double)NAN : (double)v; }

static table_tone tone_of(const report_row *row) {
  if (row->refused != NULL) return TONE_FAINT;
  return row->fallback != NULL || row->wrong || row->promise_missed ? TONE_BAD : TONE_PLAIN;
}

/* Everything that makes a row special, in words below it. */
static const char *note_of(arena *a, const report_row *row) {
  if (row->refused != NULL) return arena_printf(a, "refused: %s", row->refused);
  str s;
  str_init(&s, a);
  if (row->wrong) str_add(&s, "WRONG RESULT; ");
  if (row->stopped)
    str_printf(&s, "stopped by --strict: %s; ", row->fallback);
  else if (row->fallback != NULL)
    str_printf(&s, "ran in the interpreter: %s; ", row->fallback);
  if (row->promise_missed)
    str_printf(&s, "misses the error promise of %s; ", row->math != NULL ? row->math : "fp32");
  if (row->same_as != NULL) str_printf(&s, "the same program as %s; ", row->same_as);
  if (row->note != NULL) str_printf(&s, "%s; ", row->note);
  if (!s.len) return NULL;
  s.data[s.len - 2] = 0;
  return s.data;
}

static double time_of(const report_row *rows, int count, const char *plan) {
  for (int i = 0; i < count; ++i)
    if (rows[i].plan != NULL && !strcmp(rows[i].plan, plan)) return report_relative_time(&rows[i]);
  return NAN;
}

/* How many times as fast as `old`; where that has no row, what took turns with this one is `old`. */
static double against_old(const report_row *row, double old) {
  return (isfinite(row->reference_us) && !isfinite(old) ? 1 : old) / report_relative_time(row);
}

static void set_result(table_row *out, int *c, arena *a, const report_row *row) {
  set(out, c, figure(a, "%.1e", row->max_abs_err), row->max_abs_err);
  set(out, c, figure(a, "%.1e", row->rel_l2_err), row->rel_l2_err);
  set(out, c, figure(a, "%.1e", row->rel_sum_err), row->rel_sum_err);
  set(out, c, report_figure(a, row->gflops_effective), row->gflops_effective);
  set(out, c, report_figure(a, row->gflops_executed), NAN);
}

void report_comparison(FILE *out, arena *a, const report_row *rows, int count, report_style style) {
  static const table_column columns[] = {
      {"plan", true, BEST_NONE, 0},       {"F(m)", true, BEST_NONE, 8},
      {"kernels", false, BEST_LOW, 3},    {"buffers", false, BEST_LOW, 3},
      {"workspace", false, BEST_LOW, 5},  {"median µs", false, BEST_LOW, 0},
      {"min µs", false, BEST_LOW, 7},     {"×direct", false, BEST_HIGH, 0},
      {"×old", false, BEST_HIGH, 2},      {"prep µs", false, BEST_LOW, 11},
      {"sched ms", false, BEST_LOW, 4},   {"comp ms", false, BEST_LOW, 4},
      {"lines", false, BEST_LOW, 6},      {"regs", false, BEST_LOW, 13},
      {"spills", false, BEST_LOW, 13},    {"max err", false, BEST_LOW, 9},
      {"rel L2", false, BEST_LOW, 1},     {"of sums", false, BEST_LOW, 8},
      {"GFLOP/s", false, BEST_HIGH, 3},   {"executed", false, BEST_NONE, 10},
      {"roofline", false, BEST_HIGH, 12}, {"prepared", false, BEST_LOW, 9},
      {"front", true, BEST_NONE, 1},
  };
  double direct = time_of(rows, count, "direct"), old = time_of(rows, count, "old");
  table t;
  table_init(&t, a, columns, (int)(sizeof columns / sizeof *columns));
  for (int i = 0; i < count; ++i) {
    const report_row *row = &rows[i];
    table_row *line = table_add(&t);
    int c = 0;
    line->tone = tone_of(row);
    line->note = note_of(a, row);
    set(line, &c, row->plan, NAN);
    set(line, &c, row->wino, NAN);
    set(line, &c, count_text(a, row->kernels), known(row->kernels));
    set(line, &c, count_text(a, row->buffers), known(row->buffers));
    set(line, &c, report_bytes(a, row->workspace_bytes), row->workspace_bytes);
    set(line, &c, report_figure(a, row->median_us), row->median_us);
    set(line, &c, report_figure(a, row->min_us), row->min_us);
    double time = report_relative_time(row), as_old = against_old(row, old);
    set(line, &c, ratio_text(a, direct / time), direct / time);
    set(line, &c, ratio_text(a, as_old), as_old);
    set(line, &c, report_figure(a, row->prepare_us), NAN);
    set(line, &c, report_figure(a, row->schedule_ms), row->schedule_ms);
    set(line, &c, row->cached ? "cached" : report_figure(a, row->compile_ms),
        row->cached ? NAN : row->compile_ms);
    set(line, &c, count_text(a, row->source_lines), known(row->source_lines));
    set(line, &c, count_text(a, row->registers), known(row->registers));
    set(line, &c, count_text(a, row->spills), known(row->spills));
    set_result(line, &c, a, row);
    set(line, &c, figure(a, "%.0f%%", 100 * row->roofline_share), row->roofline_share);
    bool prepares = row->prepared_bytes > 0;
    set(line, &c, prepares ? report_bytes(a, row->prepared_bytes) : "", row->prepared_bytes);
    set(line, &c, row->pareto > 0 ? "●" : "", NAN);
  }
  table_print(&t, out, style.color, style.width);
}

static const char *kernel_name(arena *a, const report_kernel *k, bool color) {
  return color ? report_color_kernel(a, k->name, k->loops) : k->name;
}

void report_kernels(FILE *out, arena *a, const report_row *rows, int count, report_style style) {
  static const table_column columns[] = {
      {"plan", true, BEST_NONE, 0},     {"kernel", true, BEST_NONE, 0},
      {"computes", true, BEST_NONE, 3}, {"µs", false, BEST_NONE, 0},
      {"share", false, BEST_NONE, 6},   {"GFLOP/s", false, BEST_NONE, 1},
      {"GB/s", false, BEST_NONE, 2},    {"lines", false, BEST_NONE, 4},
      {"regs", false, BEST_NONE, 7},    {"spills", false, BEST_NONE, 7},
  };
  table t;
  table_init(&t, a, columns, (int)(sizeof columns / sizeof *columns));
  for (int i = 0; i < count; ++i) {
    const char *plan = rows[i].plan;
    double all_us = 0;
    for (int j = 0; j < rows[i].kernel_count; ++j)
      if (!rows[i].kernel[j].prepare) all_us += rows[i].kernel[j].median_us;
    for (int j = 0; j < rows[i].kernel_count && rows[i].same_as == NULL; ++j) {
      const report_kernel *k = &rows[i].kernel[j];
      table_row *line = table_add(&t);
      int c = 0;
      line->tone = k->fallback != NULL ? TONE_BAD : k->prepare ? TONE_FAINT : TONE_PLAIN;
      set(line, &c, plan, NAN);
      set(line, &c, kernel_name(a, k, style.color), NAN);
      set(line, &c,
          k->prepare ? arena_printf(a, "%s (once)", k->stage != NULL ? k->stage : "") : k->stage,
          NAN);
      set(line, &c, report_figure(a, k->median_us), NAN);
      set(line, &c, figure(a, "%.0f%%", 100 * k->median_us / all_us), NAN);
      set(line, &c, report_figure(a, k->flops / k->median_us * 1e-3), NAN);
      set(line, &c, report_figure(a, k->bytes / k->median_us * 1e-3), NAN);
      set(line, &c, count_text(a, k->source_lines), NAN);
      set(line, &c, count_text(a, k->registers), NAN);
      set(line, &c, count_text(a, k->spills), NAN);
      plan = NULL;
    }
  }
  if (!t.rows.len) return;
  table_print(&t, out, style.color, style.width);
  if (!style.color) return;
  fputs("axes:", out);
  for (size_t i = 0; i < sizeof kind_colors / sizeof *kind_colors; ++i)
    fprintf(out, " %s%s\033[0m", kind_colors[i].escape, kind_colors[i].kind);
  fputc('\n', out);
}

void report_bench(FILE *out, arena *a, const report_row *rows, int count, report_style style) {
  static const table_column columns[] = {
      {"problem", true, BEST_NONE, 0},   {"plan", true, BEST_NONE, 0},
      {"F(m)", true, BEST_NONE, 4},      {"median µs", false, BEST_NONE, 0},
      {"min µs", false, BEST_NONE, 2},   {"workspace", false, BEST_NONE, 5},
      {"max err", false, BEST_NONE, 6},  {"rel L2", false, BEST_NONE, 3},
      {"of sums", false, BEST_NONE, 7},  {"GFLOP/s", false, BEST_NONE, 1},
      {"executed", false, BEST_NONE, 7},
  };
  table t;
  table_init(&t, a, columns, (int)(sizeof columns / sizeof *columns));
  for (int i = 0; i < count; ++i) {
    const report_row *row = &rows[i];
    table_row *line = table_add(&t);
    int c = 0;
    line->tone = tone_of(row);
    line->note = note_of(a, row);
    set(line, &c, row->problem, NAN);
    set(line, &c, row->plan, NAN);
    set(line, &c, row->wino, NAN);
    set(line, &c, report_figure(a, row->median_us), NAN);
    set(line, &c, report_figure(a, row->min_us), NAN);
    set(line, &c, report_bytes(a, row->workspace_bytes), NAN);
    set_result(line, &c, a, row);
  }
  table_print(&t, out, style.color, style.width);
}
