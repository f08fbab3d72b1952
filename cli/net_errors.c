/* See net_errors.h. */
#include "net_errors.h"

#include <inttypes.h>
#include <math.h>

#include "backend/element.h"
#include "lower/inside.h"

/* A network rounds a thousand times; what is this far off, relative to the result, was not computed. */
static const double FAR = 1e-2;

/* --- float64 ---------------------------------------------------------------------------------- */

static double flops_of(wn_program *program) {
  wn_program_info info = WN_PROGRAM_INFO();
  double sum = 0;
  if (wn_program_get_info(program, &info) != WN_OK) return NAN;
  for (int i = 0; i < info.kernels; ++i) {
    wn_kernel_info k = WN_KERNEL_INFO();
    if (wn_program_get_kernel(program, info.prepare_kernels + i, &k) != WN_OK) return NAN;
    sum += k.flops;
  }
  return sum;
}

static int64_t elements_of(const wn_tensor *t) {
  int64_t count = 1;
  for (int i = 0; i < wn_ndim(t); ++i) count *= wn_shape(t)[i];
  return count;
}

static const double *as_doubles(job *j, wn_dtype dtype, int64_t count, const void *data) {
  if (dtype == WN_F64) return data;
  double *out = job_array(j, WN_F64, count);
  for (int64_t i = 0; i < count; ++i) out[i] = element_read(dtype, data, i);
  return out;
}

static wn_status run_exact(job *j, wn_context *ctx, int count, wn_tensor *const *wide,
                           void *const *data, double *flops) {
  const options *o = &j->app->opt;
  const wn_options how =
      WN_OPTIONS(.plan = "direct", .threads = o->threads, .no_cache = o->no_cache);
  wn_program *program;
  wn_status status = wn_compile(ctx, wide, data, count, &how, &program);
  if (status == WN_OK) status = wn_run(program);
  if (status == WN_OK && flops != NULL) *flops = flops_of(program);
  if (program != NULL) wn_program_destroy(program);
  return status;
}

void net_compute_exact(job *j, wn_context *ctx, int count, wn_tensor *const *tensors,
                       const double **exact, double *flops) {
  wn_tensor **wide = arena_array(&j->arena, wn_tensor *, count + 1);
  void **data = arena_array(&j->arena, void *, count + 1);
  if (flops != NULL) *flops = NAN;
  app_progress(j->app, "%s: the same in float64", j->text);
  wn_status status = tensor_widened(ctx, count, tensors, wide);
  for (int i = 0; i < count && status == WN_OK; ++i)
    data[i] = job_array(j, wn_tensor_dtype(wide[i]), elements_of(wide[i]));
  if (status == WN_OK) status = run_exact(j, ctx, count, wide, data, flops);
  if (status != WN_OK)
    diag_warn(&j->app->diag, "%s: no errors, since it cannot be computed in float64: %s", j->text,
              wn_message(ctx));
  for (int i = 0; i < count; ++i)
    exact[i] = status != WN_OK
                   ? NULL
                   : as_doubles(j, wn_tensor_dtype(wide[i]), elements_of(wide[i]), data[i]);
}

/* --- distances -------------------------------------------------------------------------------- */

value_error net_distance(wn_dtype dtype, int64_t count, const void *got, const double *exact) {
  double missed = 0, total = 0;
  value_error e = {0, 0, 0};
  for (int64_t i = 0; i < count; ++i) {
    double have = element_read(dtype, got, i), want = exact[i], gap = fabs(have - want);
    if (!isfinite(have) || !isfinite(want)) {
      e.special += !((isnan(have) && isnan(want)) || have == want);
      continue;
    }
    if (gap > e.max_abs) e.max_abs = gap;
    missed += gap * gap;
    total += want * want;
  }
  e.relative_l2 = total > 0 ? sqrt(missed / total) : sqrt(missed);
  return e;
}

void net_judge(job *j, entry *e) {
  report_row *row = &e->row;
  if (j->out_count == 0 || j->out[0].exact == NULL) return;
  e->errors = arena_array(&j->arena, value_error, j->out_count);
  row->rel_l2_err = row->max_abs_err = 0;
  int64_t special = 0;
  for (int i = 0; i < j->out_count; ++i) {
    const job_output *o = &j->out[i];
    e->errors[i] = net_distance(o->dtype, o->count, o->data, o->exact);
    row->rel_l2_err = fmax(row->rel_l2_err, e->errors[i].relative_l2);
    row->max_abs_err = fmax(row->max_abs_err, e->errors[i].max_abs);
    special += e->errors[i].special;
  }
  row->wrong = row->rel_l2_err > FAR || special > 0;
  if (special > 0)
    row->note = arena_printf(&j->arena,
                             "%" PRId64
                             " numbers are NaN or infinite where they are not in float64, "
                             "or the other way round",
                             special);
  if (row->wrong) j->app->status = 1;
}
