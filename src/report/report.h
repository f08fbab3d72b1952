/* What a program measured and how it is shown.
 *
 * In: one row per (problem, plan, weights), filled by the caller; everything in it is borrowed.
 * Out: an aligned table for a person, or JSON (one object a line) or CSV for a program, with the
 * same keys in the same order. Always holds: a real that is not known is NAN, a count that is not
 * known is -1, a text that is not known is NULL; they print as null in JSON, nothing in CSV and '-'
 * or blank in the table. */
#ifndef WN_REPORT_REPORT_H
#define WN_REPORT_REPORT_H

#include <stdio.h>

#include <cjson/cJSON.h>

#include "base/mem.h"

typedef struct report_kernel {
  const char *name, *loops, *stage, *fallback;
  const char *source; /* NULL: not known */
  double median_us, bytes, flops;
  int source_lines, registers, spills;
  int site; /* number of the site that it belongs to; -1: not known */
  bool prepare;
} report_kernel;

/* See wn_site_info. */
typedef struct report_site {
  const char *label, *kind, *name, *shape, *plan; /* name may be NULL; shape as "[1, 64, 56, 56]" */
  const char *alike;             /* label of the first site that is the same computation, or NULL */
  int kernels, prepare_kernels;  /* of a run, and of preparing */
  int result;                    /* number of the output that it is, -1: none */
  double median_us, share;       /* of its kernels, and of all kernels' time */
  double predicted_us, least_us; /* least_us: at the measured limits of the machine */
  double bytes;                  /* of the arrays that it writes */
  const char *layout, *layout_why; /* "given", "last" or NULL: there is one only; why */
  double layout_us;                /* that the other would take more, NAN: there is none */
  const char *in_place_of;         /* label of the site over whose value it is stored, or NULL */
  const char *plan_why,
      *other; /* why it has its plan; the best of another kind, NULL: there is none */
  double direct_us, other_us; /* predicted of direct and of that; NAN: not known */
  bool tuned;
} report_site;

/* What the machine can do, measured: the ceilings of a roofline. */
enum { REPORT_LEVELS = 6 };
typedef struct report_limits {
  double flops; /* a second, of all threads together */
  int levels;
  struct {
    const char *name;     /* "L1", "memory", ... */
    double bytes, rate;   /* size, INFINITY for the last; bytes read a second */
  } level[REPORT_LEVELS]; /* nearest first */
} report_limits;

typedef struct report_row {
  const char *problem, *backend, *device, *isa, *version, *math, *weights, *plan, *placement, *wino;
  const char *fallback, *refused; /* NULL, or the reason */
  /* the plan (of --all: the schedule) whose program this one shares, or NULL */
  const char *same_as;
  const char *identity; /* of the program, or NULL */
  const char *note;     /* a line for a person below the row, or NULL; only in tables */
  int threads, kernels, buffers, source_lines, registers, spills;
  bool tuned, cached, promise_missed, wrong, flush_subnormals;
  bool stopped; /* --strict met the fallback and nothing was run */
  double workspace_bytes, prepare_us, median_us, min_us, predicted_us, schedule_ms, compile_ms;
  double prepared_bytes; /* of weights, in the layout that a run reads */
  /* of a model: from opening its file to its first result, its inputs left out; what is between its kernels, and the
   * most of that which is alive at once; weights in its file, and bytes of it that are not in memory any more */
  double result_ms, arena_bytes, arena_least, weight_bytes, released_bytes;
  double own_peak_bytes; /* resident at most, without the library's own pages */
  /* least time of a plan that took turns with this one, where rows were not all timed together */
  double reference_us;
  int pareto; /* 1: no other row of the problem is better (pareto.h), 0: one is, -1: not asked */
  double max_abs_err, rel_l2_err, rel_sum_err, gflops_effective, gflops_executed, roofline_share;
  double promise,
      sum_promise; /* the largest rel_l2_err of noise and rel_sum_err that `math` allows */
  const report_limits *limits; /* NULL: not measured */
  const report_kernel *kernel; /* in order of running, prepare part first */
  int kernel_count;
  const report_site *site; /* by number */
  int site_count;
} report_row;

void report_row_init(report_row *row); /* everything unknown */

/* JSON without blanks, to be freed by cJSON_free, and back, to be freed by cJSON_Delete; NULL: no memory, or no JSON.
 * As cJSON_PrintUnformatted and cJSON_ParseWithLength, which follow the locale. */
char *json_text(const cJSON *value);
cJSON *json_read(const char *text, size_t size);

/* JSON needs cJSON's allocator set by the caller if it is not to be malloc. false: no memory. */
bool report_json(FILE *out, const report_row *row);
/* A row with all that it has, to be printed; and back from what is parsed. NULL: no memory, false: no such row.
 * cJSON_Delete frees it. */
cJSON *report_keep(const report_row *row);
bool report_restore(const cJSON *object, arena *a, report_row *row);
void report_csv_header(FILE *out);
void report_csv(FILE *out, const report_row *row);

typedef struct report_style {
  bool color; /* escape sequences and not marks */
  int width;  /* of the terminal; less important columns go first. 0: all of them */
} report_style;

/* Rows of one problem and weights mode, ratios to `direct` and `old` where these are among them. */
void report_comparison(FILE *out, arena *a, const report_row *rows, int count, report_style style);
/* All combinations: each program once, fastest first, then what is refused, then the rows of the Pareto front. */
void report_combinations(FILE *out, arena *a, const report_row *rows, int count,
                         report_style style);
/* Kernels of each row, coloured by kind of axis. */
void report_kernels(FILE *out, arena *a, const report_row *rows, int count, report_style style);
/* Sites of each row that has more than one, below an empty line. */
void report_sites(FILE *out, arena *a, const report_row *rows, int count, report_style style);
/* Times of the sites of rows of one graph side by side, the best of each marked: whatever their plans, sites with one
 * number are the same. */
void report_site_times(FILE *out, arena *a, const report_row *rows, int count, report_style style);
/* One row a problem. */
void report_bench(FILE *out, arena *a, const report_row *rows, int count, report_style style);

/* r_4_8_2 with each axis in the colour of its kind in `loops`; unchanged where they do not
 * correspond. */
const char *report_color_kernel(arena *a, const char *name, const char *loops);
/* Figures as tables have them; "" for what is not known. */
const char *report_bytes(arena *a, double bytes); /* "1.5 MiB" */
/* Times and the like, three significant digits where there are fewer before the point: 0.57, 9.41, 41.2, 1234. */
const char *report_figure(arena *a, double v);
const char *report_share(arena *a, double share); /* "4.2%", "37%" */

#endif
