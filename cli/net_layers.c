/* Errors of many values at once; see net_errors.h. Every one of them is an output of its program, with each plan. */
#include <math.h>

#include "lower/inside.h"
#include "net_errors.h"
#include "report/site_rows.h"
#include "report/table.h"
#include "timing.h"

static const char *error_text(arena *a, double v) {
  return isfinite(v) ? arena_printf(a, "%.1e", v) : "";
}

static const char *special_text(arena *a, int64_t special) {
  return special == 0 ? NULL
                      : arena_printf(a, "%lld numbers are NaN or infinite where float64 has others",
                                     (long long)special);
}

void net_print_outputs(job *j) {
  enum { FIRST = 2, MOST = TABLE_MAX_COLUMNS - FIRST };
  if (j->out_count < 2) return;
  table_column columns[TABLE_MAX_COLUMNS] = {{"output", true, BEST_NONE, 0},
                                             {"shape", true, BEST_NONE, 1}};
  const entry *shown[MOST];
  int count = 0;
  for (int i = 0; i < j->entry_count && count < MOST; ++i) {
    if (j->entries[i].errors == NULL) continue;
    columns[FIRST + count] = (table_column){j->entries[i].row.plan, false, BEST_LOW, 0};
    shown[count++] = &j->entries[i];
  }
  if (count == 0) return;
  table t;
  table_init(&t, &j->arena, columns, FIRST + count);
  for (int o = 0; o < j->out_count; ++o) {
    table_row *row = table_add(&t);
    row->cells[0].text = j->out[o].name;
    row->cells[1].text = arena_shape(&j->arena, j->out[o].ndim, j->out[o].shape);
    for (int i = 0; i < count; ++i) {
      row->cells[FIRST + i].value = shown[i]->errors[o].relative_l2;
      row->cells[FIRST + i].text = error_text(&j->arena, shown[i]->errors[o].relative_l2);
      if (row->note == NULL) row->note = special_text(&j->arena, shown[i]->errors[o].special);
    }
  }
  report_style style = app_style(j->app);
  puts("\nrel L2 by output");
  table_print(&t, stdout, style.color, style.width);
}

/* --- by layer --------------------------------------------------------------------------------- */

typedef struct layer_row {
  const char *problem, *plan, *value, *shape, *dtype;
  double rel_l2_err, max_abs_err, root_mean_square, special;
} layer_row;

#define LAYER(kind, key, field) {key, kind, offsetof(layer_row, field)}
static const column layer_columns[] = {
    LAYER(TEXT, "problem", problem),
    LAYER(TEXT, "plan", plan),
    LAYER(TEXT, "value", value),
    LAYER(TEXT, "dtype", dtype),
    LAYER(TEXT, "shape", shape),
    LAYER(REAL, "rel_l2_err", rel_l2_err),
    LAYER(REAL, "max_abs_err", max_abs_err),
    LAYER(REAL, "root_mean_square", root_mean_square),
    LAYER(BYTES, "special", special),
};
#undef LAYER
enum { LAYER_COLUMNS = sizeof layer_columns / sizeof *layer_columns };

typedef struct layers {
  job *j;
  int count; /* of values */
  const char **name;
  const double **exact;
  int64_t *elements;
  const char **shape;
  layer_row *rows; /* [plan][value] */
} layers;

static named_value *find_values(job *j, wn_context *ctx, int *count) {
  wn_tensor **outs = net_build(j->net, ctx);
  named_value *values;
  wn_status status = tensor_named(ctx, j->out_count, outs, &values, count);
  if (status != WN_OK) diag_fail(&j->app->diag, status, "%s", wn_message(ctx));
  return values;
}

static wn_tensor **tensors_of(job *j, const named_value *values, int count) {
  wn_tensor **out = arena_array(&j->arena, wn_tensor *, count + 1);
  for (int i = 0; i < count; ++i) out[i] = values[i].tensor;
  return out;
}

static void compute_exact(layers *l) {
  job *j = l->j;
  arena *a = &j->arena;
  wn_context *ctx = job_context(j);
  const named_value *values = find_values(j, ctx, &l->count);
  wn_tensor **tensors = tensors_of(j, values, l->count);
  l->name = arena_array(a, const char *, l->count + 1);
  l->shape = arena_array(a, const char *, l->count + 1);
  l->exact = arena_array(a, const double *, l->count + 1);
  l->elements = arena_array(a, int64_t, l->count + 1);
  for (int i = 0; i < l->count; ++i) {
    l->name[i] = values[i].name;
    l->shape[i] = arena_shape(a, wn_ndim(tensors[i]), wn_shape(tensors[i]));
    l->elements[i] = 1;
    for (int k = 0; k < wn_ndim(tensors[i]); ++k) l->elements[i] *= wn_shape(tensors[i])[k];
  }
  net_compute_exact(j, ctx, l->count, tensors, l->exact, NULL);
}

static double root_mean_square(const double *v, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += isfinite(v[i]) ? v[i] * v[i] : 0;
  return count > 0 ? sqrt(sum / (double)count) : 0;
}

/* The same graph is built in the same order, so value i is the same. */
static void run_plan(layers *l, const plan_spec *spec, layer_row *rows) {
  job *j = l->j;
  int count;
  wn_context *ctx = job_context(j);
  const named_value *values = find_values(j, ctx, &count);
  wn_tensor **tensors = tensors_of(j, values, count);
  void **data = arena_array(&j->arena, void *, count + 1);
  for (int i = 0; i < count; ++i)
    data[i] = job_array(j, wn_tensor_dtype(tensors[i]), l->elements[i]);
  app_progress(j->app, "%s: %s with %d values", j->text, spec->plan, count);
  wn_options o;
  wn_program *program;
  job_options(j, spec, &o);
  wn_status status = wn_compile(ctx, tensors, data, count, &o, &program);
  if (status != WN_OK) diag_fail(&j->app->diag, status, "%s: %s", spec->plan, wn_message(ctx));
  status = wn_run(program);
  for (int i = 0; i < count && status == WN_OK; ++i) {
    value_error e = net_distance(wn_tensor_dtype(tensors[i]), l->elements[i], data[i], l->exact[i]);
    rows[i] = (layer_row){.problem = j->text,
                          .plan = spec->plan,
                          .value = l->name[i],
                          .shape = l->shape[i],
                          .dtype = wn_dtype_name(wn_tensor_dtype(tensors[i])),
                          .rel_l2_err = e.relative_l2,
                          .max_abs_err = e.max_abs,
                          .root_mean_square = root_mean_square(l->exact[i], l->elements[i]),
                          .special = (double)e.special};
  }
  const char *why = status == WN_OK ? "" : arena_strdup(&j->arena, wn_program_message(program));
  wn_program_destroy(program);
  if (status != WN_OK) diag_fail(&j->app->diag, status, "%s: %s", spec->plan, why);
}

static void print_table(const layers *l, const plan_spec *specs, int plans) {
  enum { FIRST = 3 };
  job *j = l->j;
  table_column columns[TABLE_MAX_COLUMNS] = {{"value", true, BEST_NONE, 0},
                                             {"shape", true, BEST_NONE, 1},
                                             {"mean size", false, BEST_NONE, 2}};
  if (plans > TABLE_MAX_COLUMNS - FIRST) plans = TABLE_MAX_COLUMNS - FIRST;
  for (int p = 0; p < plans; ++p)
    columns[FIRST + p] = (table_column){specs[p].plan, false, BEST_NONE, 0};
  table t;
  table_init(&t, &j->arena, columns, FIRST + plans);
  for (int i = 0; i < l->count; ++i) {
    table_row *row = table_add(&t);
    row->cells[0].text = report_short_name(&j->arena, l->name[i], REPORT_NAME_WIDTH);
    row->cells[1].text = l->shape[i];
    row->cells[2].text = error_text(&j->arena, l->rows[i].root_mean_square);
    for (int p = 0; p < plans; ++p) {
      const layer_row *r = &l->rows[p * l->count + i];
      row->cells[FIRST + p].text = error_text(&j->arena, r->rel_l2_err);
      if (row->note == NULL) row->note = special_text(&j->arena, (int64_t)r->special);
    }
  }
  report_style style = app_style(j->app);
  printf("%s: rel L2 of %d values against float64, in the order of computing\n", j->text, l->count);
  table_print(&t, stdout, style.color, style.width);
}

void net_print_layers(job *j, const plan_spec *specs, int count) {
  layers l = {.j = j};
  compute_exact(&l);
  if (l.count == 0 || l.exact[0] == NULL)
    diag_fail(&j->app->diag, WN_ERR_USAGE, "%s: there is nothing to compare by layer", j->text);
  l.rows = arena_array(&j->arena, layer_row, l.count * count);
  for (int p = 0; p < count; ++p) run_plan(&l, &specs[p], l.rows + p * l.count);
  app_progress_clear(j->app);
  const bool json = j->app->opt.json, csv = j->app->opt.csv;
  if (csv) columns_csv_header(stdout, layer_columns, LAYER_COLUMNS);
  for (int i = 0; i < l.count * count; ++i) {
    if (json && !columns_json(stdout, layer_columns, LAYER_COLUMNS, &l.rows[i]))
      diag_fail(&j->app->diag, WN_ERR_NOMEM, "no memory for the report");
    if (csv) columns_csv(stdout, layer_columns, LAYER_COLUMNS, &l.rows[i]);
  }
  if (!json && !csv) print_table(&l, specs, count);
}
