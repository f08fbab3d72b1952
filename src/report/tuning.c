/* Rows of `winnow tune`; see tuning.h. Always holds: the pick stands last, where its length does no harm. */
#include "report/tuning.h"

#include <math.h>
#include <stddef.h>

#include "report/columns.h"
#include "report/table.h"

#define ROW(kind, field) {#field, kind, offsetof(tuning_row, field)}
static const column columns[] = {
    ROW(TEXT, problem),    ROW(TEXT, backend),     ROW(TEXT, isa),        ROW(COUNT, threads),
    ROW(TEXT, version),    ROW(TEXT, math),        ROW(TEXT, weights),    ROW(TEXT, pick),
    ROW(TEXT, untuned),    ROW(REAL, untuned_us),  ROW(REAL, tuned_us),   ROW(REAL, speedup),
    ROW(REAL, rel_l2_err), ROW(REAL, rel_sum_err), ROW(COUNT, measured),  ROW(REAL, seconds),
    ROW(FLAG, stored),     ROW(FLAG, stopped),     ROW(TEXT, not_stored),
};
#undef ROW
#define COLUMNS (sizeof columns / sizeof *columns)

bool tuning_json(FILE *out, const tuning_row *row) {
  return columns_json(out, columns, COLUMNS, row);
}

void tuning_csv_header(FILE *out) { columns_csv_header(out, columns, COLUMNS); }

void tuning_csv(FILE *out, const tuning_row *row) { columns_csv(out, columns, COLUMNS, row); }

static void set(table_row *row, int at, const char *text) {
  row->cells[at].text = text;
  row->cells[at].value = (double)NAN;
}

/* Of a network a pick has a part for each of its sites, by the hundred. */
static const char *pick_text(arena *a, const char *pick) {
  enum { MOST_SITES = 8 };
  int sites = 0;
  for (const char *c = pick; c != NULL && *c != '\0'; ++c) sites += *c == '{';
  return sites > MOST_SITES ? arena_printf(a, "of %d sites: --json has it", sites) : pick;
}

void tuning_table(FILE *out, arena *a, const tuning_row *rows, int count, report_style style) {
  static const table_column heads[] = {
      {"problem", true, BEST_NONE, 0},   {"untuned µs", false, BEST_NONE, 0},
      {"tuned µs", false, BEST_NONE, 0}, {"ratio", false, BEST_NONE, 0},
      {"rel L2", false, BEST_NONE, 2},   {"measured", false, BEST_NONE, 1},
      {"seconds", false, BEST_NONE, 1},  {"pick", true, BEST_NONE, 0},
  };
  table t;
  table_init(&t, a, heads, (int)(sizeof heads / sizeof *heads));
  for (int i = 0; i < count; ++i) {
    const tuning_row *row = &rows[i];
    table_row *line = table_add(&t);
    set(line, 0, row->problem);
    set(line, 1, report_figure(a, row->untuned_us));
    set(line, 2, report_figure(a, row->tuned_us));
    set(line, 3, isfinite(row->speedup) ? arena_printf(a, "%.2f", row->speedup) : "");
    set(line, 4, isfinite(row->rel_l2_err) ? arena_printf(a, "%.1e", row->rel_l2_err) : "");
    set(line, 5, arena_printf(a, "%d", row->measured));
    set(line, 6, arena_printf(a, "%.1f", row->seconds));
    set(line, 7, pick_text(a, row->pick));
    if (!row->stored) line->tone = TONE_FAINT;
    if (row->not_stored != NULL) line->note = arena_printf(a, "not stored: %s", row->not_stored);
  }
  table_print(&t, out, style.color, style.width);
}
