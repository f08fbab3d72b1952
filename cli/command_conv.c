/* `winnow conv`: one problem, one plan, and the result. */
#include <inttypes.h>
#include <math.h>

#include "base/text.h"
#include "debug.h"
#include "file.h"
#include "image.h"
#include "timing.h"
#include "npy.h"
#include "output.h"
#include "request.h"
#include "command_tune.h"

/* The result as [c][h][w], whatever the layout. */
static void write_picture(job *j, const char *path) {
  const problem *p = &j->problem;
  int64_t plane = p->out[0] * p->out[1];
  image picture = {p->oc, p->out[0], p->out[1], j->y, j->photo_bits, 0};
  if (j->data.nhwc) {
    picture.data = arena_array(&j->arena, float, p->out_count);
    for (int64_t c = 0; c < p->oc; ++c)
      for (int64_t i = 0; i < plane; ++i) picture.data[c * plane + i] = j->y[i * p->oc + c];
  }
  image_write_png(&j->arena, path, &picture);
}

static void write_output(job *j, const char *path) {
  if (image_can_write(path)) {
    write_picture(j, path);
    return;
  }
  int64_t shape[PROBLEM_AXES + 2];
  int n = job_shape(j, j->problem.oc, j->problem.out, shape);
  npy_write_f32(&j->arena, path, n, shape, j->y);
}

/* Before anything is computed: can the result be what --output names? */
static void check_output(cli *app, const problem *p) {
  const char *path = app->opt.output;
  if (path == NULL) return;
  diag *d = &app->diag;
  if (image_can_write(path)) {
    if (p->nd != 2 || p->mb != 1 || p->oc > 4 || p->out[0] > 65535 || p->out[1] > 65535)
      diag_fail(d, WN_ERR_USAGE,
                "--output %s is one picture of 1 to 4 channels, but %s gives mb%" PRId64
                ", oc%" PRId64 " and %d spatial axes; write a .npy",
                path, p->text, p->mb, p->oc, p->nd);
    return;
  }
  size_t n = strlen(path);
  if (n < 5 || strcmp(path + n - 4, ".npy"))
    diag_fail(d, WN_ERR_USAGE, "--output %s: expected a name that ends in .npy or .png", path);
}

static void print_range(job *j) {
  float low = INFINITY, high = -INFINITY;
  int64_t special = 0;
  for (int64_t i = 0; i < j->problem.out_count; ++i) {
    float v = j->y[i];
    if (!isfinite(v)) {
      ++special;
      continue;
    }
    low = fminf(low, v);
    high = fmaxf(high, v);
  }
  printf("result");
  if (low <= high) text_print(stdout, " from %.6g to %.6g", (double)low, (double)high);
  if (special || j->special)
    printf(", %" PRId64 " NaN or infinite values (%" PRId64 " in the data)", special, j->special);
  if (j->app->opt.output != NULL) printf(", written to %s", j->app->opt.output);
  putchar('\n');
}

static void conv_one(job *j, void *user) {
  cli *app = j->app;
  plan_spec spec = app_plan(app);
  (void)user;
  tune_first(j, &spec);
  measure_plans(j, &spec, 1);
  const report_row *row = &j->entries[0].row;
  if (row->refused != NULL)
    diag_fail(&app->diag, WN_ERR_REFUSED, "%s: %s", row->plan, row->refused);
  if (row->stopped)
    diag_fail(&app->diag, WN_ERR_STRICT, "%s: stopped by --strict: %s", row->plan, row->fallback);
  debug_print(j);
  if (app->opt.output != NULL) write_output(j, app->opt.output);
  output_add(app, row);
  output_write(app);
  if (app->opt.json || app->opt.csv) {
    app_write_row(app, row);
    if (app->opt.on_request) request_serve(j);
    return;
  }
  report_style style = app_style(app);
  report_bench(stdout, &j->arena, row, 1, style);
  putchar('\n');
  report_kernels(stdout, &j->arena, row, 1, style);
  report_sites(stdout, &j->arena, row, 1, style);
  print_range(j);
  if (app->opt.on_request) request_serve(j);
}

void command_conv(cli *app) {
  problem *p = arena_new(&app->arena, problem);
  options_check_kind(&app->opt, &app->diag, false);
  if (app->opt.problems.len)
    app_parse_problem(app, "", app->opt.problems.data[0], p);
  else
    job_problem_of_files(app, p);
  check_output(app, p);
  if (app->opt.output != NULL) file_try(&app->arena, app->opt.output);
  output_open(app);
  const subject s = {p->text, p, NULL};
  job_with(app, &s, true, conv_one, NULL);
}
