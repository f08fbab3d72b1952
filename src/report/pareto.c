/* In order of time a row is in the front if it needs less memory, or less compiling by more than a margin, than each
 * row of the front before it: what comes later is slower, and has to save something. See pareto.h. */
#include "report/pareto.h"

#include <math.h>
#include <stdlib.h>

typedef struct contender {
  int row;
  double time, bytes, cost_ms;
} contender;

double report_relative_time(const report_row *row) {
  return isfinite(row->reference_us) ? row->min_us / row->reference_us : row->median_us;
}

bool report_is_usable(const report_row *r) {
  return r->refused == NULL && !r->stopped && r->fallback == NULL && !r->wrong &&
         !r->promise_missed && isfinite(r->median_us);
}

static contender contender_of(const report_row *rows, int i) {
  const report_row *r = &rows[i];
  return (contender){
      .row = i,
      .time = report_relative_time(r),
      .bytes = r->workspace_bytes + (isfinite(r->prepared_bytes) ? r->prepared_bytes : 0),
      .cost_ms = r->schedule_ms + r->compile_ms};
}

static int compare(double x, double y) { return (x > y) - (x < y); }

static int by_time(const void *a, const void *b) {
  const contender *x = a, *y = b;
  int order = compare(x->time, y->time);
  if (!order) order = compare(x->bytes, y->bytes);
  if (!order) order = compare(x->cost_ms, y->cost_ms);
  return order ? order : compare(x->row, y->row);
}

static bool saves(const contender *c, const contender *front, int count) {
  for (int i = 0; i < count; ++i)
    if (!(c->bytes < front[i].bytes || c->cost_ms < (1 - PARETO_MARGIN) * front[i].cost_ms))
      return false;
  return true;
}

static void copy_to_shared(report_row *rows, int count, const report_row *of) {
  for (int i = 0; i < count; ++i)
    if (rows[i].same_as != NULL && of->identity != NULL && rows[i].identity != NULL &&
        !strcmp(rows[i].identity, of->identity))
      rows[i].pareto = of->pareto;
}

void report_pareto(arena *a, report_row *rows, int count) {
  contender *all = arena_array(a, contender, count + 1),
            *front = arena_array(a, contender, count + 1);
  int n = 0, kept = 0;
  for (int i = 0; i < count; ++i) {
    rows[i].pareto = 0;
    if (report_is_usable(&rows[i]) && rows[i].same_as == NULL) all[n++] = contender_of(rows, i);
  }
  if (n) qsort(all, (size_t)n, sizeof *all, by_time);
  for (int i = 0; i < n; ++i) {
    if (!saves(&all[i], front, kept)) continue;
    front[kept++] = all[i];
    rows[all[i].row].pareto = 1;
    copy_to_shared(rows, count, &rows[all[i].row]);
  }
}
