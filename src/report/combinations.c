/* All combinations as text: hundreds of programs, of which a person wants the fastest, and those between which there is
 * something to choose.
 *
 * In: rows of all combinations (and of other plans, if asked for). Out: a table of programs, fastest first, refusals by
 * reason, and the Pareto front as a table of its own, where a terminal ends up. Always holds: each row is in exactly
 * one line of the first two, alone or as part of x=inline|reg,g=global,... */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "report/pareto.h"

enum { STAGES = 4, PLACES = 4 };
static const char stage_letters[] = "xgmo";
static const char *const places[PLACES] = {"inline", "reg", "local", "global"};

/* Placements of x, g, m and o as bits; false: not a combination. */
static bool read_places(const char *plan, unsigned bits[STAGES]) {
  for (int s = 0; s < STAGES; ++s) {
    if (plan[0] != stage_letters[s] || plan[1] != '=') return false;
    size_t n = strcspn(plan + 2, ",;");
    bits[s] = 0;
    for (int p = 0; p < PLACES; ++p)
      if (strlen(places[p]) == n && !memcmp(places[p], plan + 2, n)) bits[s] = 1u << p;
    if (!bits[s]) return false;
    plan += 2 + n;
    if (*plan == ',') ++plan;
  }
  return *plan == '\0';
}

static int64_t count_bits(unsigned v) { return v ? 1 + count_bits(v & (v - 1)) : 0; }

/* x=inline|reg,g=global,m=...,o=... for rows that are all combinations of some placements of each stage; else NULL. */
static const char *pattern_of(arena *a, const report_row *rows, const int *numbers, int count) {
  unsigned all[STAGES] = {0}, one[STAGES];
  int64_t product = 1;
  for (int i = 0; i < count; ++i) {
    if (!read_places(rows[numbers[i]].plan, one)) return NULL;
    for (int s = 0; s < STAGES; ++s) all[s] |= one[s];
  }
  for (int s = 0; s < STAGES; ++s) product *= count_bits(all[s]);
  if (product != count) return NULL;
  str text;
  str_init(&text, a);
  for (int s = 0; s < STAGES; ++s) {
    str_printf(&text, "%s%c=", s ? "," : "", stage_letters[s]);
    const char *between = "";
    for (int p = 0; p < PLACES; ++p) {
      if (!(all[s] >> p & 1)) continue;
      str_printf(&text, "%s%s", between, places[p]);
      between = "|";
    }
  }
  return str_text(&text);
}

static bool same_text(const char *x, const char *y) {
  return x == y || (x != NULL && y != NULL && !strcmp(x, y));
}

/* --- a line for each program ------------------------------------------------------------------ */

static const char *plan_text(arena *a, const report_row *rows, int count, int first) {
  int *numbers = arena_array(a, int, count), n = 0;
  for (int i = 0; i < count; ++i)
    if (i == first ||
        (rows[i].same_as != NULL && same_text(rows[i].identity, rows[first].identity)))
      numbers[n++] = i;
  const char *pattern = pattern_of(a, rows, numbers, n);
  if (pattern != NULL) return pattern;
  return n > 1 ? arena_printf(a, "%s and %d more", rows[first].plan, n - 1) : rows[first].plan;
}

typedef struct line {
  double time;
  int row;
} line;

/* What was not measured goes last. */
static int by_time(const void *a, const void *b) {
  const line *x = a, *y = b;
  if (isnan(x->time) != isnan(y->time)) return isnan(x->time) ? 1 : -1;
  int order = (x->time > y->time) - (x->time < y->time);
  return order ? order : (x->row > y->row) - (x->row < y->row);
}

/* Rows to show, each once, fastest first; their plans are patterns. */
static report_row *programs(arena *a, const report_row *rows, int count, int *shown) {
  line *lines = arena_array(a, line, count + 1);
  int n = 0;
  for (int i = 0; i < count; ++i)
    if (rows[i].refused == NULL && rows[i].same_as == NULL)
      lines[n++] = (line){report_relative_time(&rows[i]), i};
  if (n) qsort(lines, (size_t)n, sizeof *lines, by_time);
  report_row *out = arena_array(a, report_row, n + 1);
  for (int i = 0; i < n; ++i) {
    out[i] = rows[lines[i].row];
    out[i].plan = plan_text(a, rows, count, lines[i].row);
  }
  *shown = n;
  return out;
}

/* --- refusals --------------------------------------------------------------------------------- */

static void print_refused(FILE *out, arena *a, const report_row *rows, int count) {
  bool *told = arena_array(a, bool, count + 1);
  int *numbers = arena_array(a, int, count + 1);
  for (int i = 0; i < count; ++i) {
    if (rows[i].refused == NULL || told[i]) continue;
    int n = 0, alike = 0;
    for (int k = i; k < count; ++k) {
      if (rows[k].refused == NULL || strcmp(rows[k].refused, rows[i].refused) != 0) continue;
      told[k] = true;
      ++alike;
      if (same_text(rows[k].wino, rows[i].wino)) numbers[n++] = k;
    }
    const char *pattern = alike == n ? pattern_of(a, rows, numbers, n) : NULL;
    const char *tile = rows[i].wino != NULL ? arena_printf(a, " of F(%s)", rows[i].wino) : "";
    if (pattern != NULL)
      fprintf(out, "refused, %s%s: %s\n", pattern, tile, rows[i].refused);
    else
      fprintf(out, "refused, %d such as %s%s: %s\n", alike, rows[i].plan, tile, rows[i].refused);
  }
}

void report_combinations(FILE *out, arena *a, const report_row *rows, int count,
                         report_style style) {
  int shown, front = 0;
  report_row *all = programs(a, rows, count, &shown);
  if (shown) report_comparison(out, a, all, shown, style);
  print_refused(out, a, rows, count);
  for (int i = 0; i < shown; ++i)
    if (all[i].pareto > 0) all[front++] = all[i];
  if (!front) return;
  fputs(
      "\nPareto front: no other program is as good in time, in memory (workspace and prepared) and "
      "in compile cost\n",
      out);
  report_comparison(out, a, all, front, style);
}
