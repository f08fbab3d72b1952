/* The job of a problem: its arrays, from files or from the seed, its reference and its graph. */
#include <inttypes.h>
#include <math.h>
#include <unistd.h>

#include "image.h"
#include "job_parts.h"
#include "npy.h"
#include "random.h"

#define REFERENCE_BUDGET (INT64_C(1) << 25)

enum { STREAM_X = 1, STREAM_W, STREAM_BIAS, STREAM_RESIDUAL };

int job_shape(const job *j, int64_t channels, const int64_t *extents, int64_t *shape) {
  int nd = j->problem.nd, first = j->data.nhwc ? 1 : 2;
  shape[0] = j->problem.mb;
  shape[j->data.nhwc ? nd + 1 : 1] = channels;
  for (int i = 0; i < nd; ++i) shape[first + i] = extents[i];
  return nd + 2;
}

static float *allocate(job *j, int64_t count) { return job_array(j, WN_F32, count); }

static void check_memory(job *j) {
  const problem *p = &j->problem;
  double need = 4.0 * ((double)p->in_count + (double)p->weight_count + (double)p->out_count);
  double have = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
  if (have > 0 && need > have)
    diag_fail(&j->app->diag, WN_ERR_NOMEM, "the arrays of %s take %s, this machine has %s", p->text,
              report_bytes(&j->arena, need), report_bytes(&j->arena, have));
}

static void read_npy(job *j, const char *flag, const char *path, int ndim, const int64_t *shape,
                     float *dst) {
  npy_array in;
  npy_read(&in, &j->arena, path);
  bool same = in.ndim == ndim;
  for (int i = 0; same && i < ndim; ++i) same = in.shape[i] == shape[i];
  if (!same)
    diag_fail(&j->app->diag, WN_ERR_USAGE, "%s %s has shape %s, but %s needs %s", flag, path,
              npy_shape_text(&j->arena, in.ndim, in.shape), j->problem.text,
              npy_shape_text(&j->arena, ndim, shape));
  npy_to_f32(&in, dst);
}

static void read_photo(job *j, const char *path) {
  const problem *p = &j->problem;
  if (p->nd != 2 || p->mb != 1 || p->ic > 4)
    diag_fail(&j->app->diag, WN_ERR_USAGE,
              "%s is one picture of 1 to 4 channels, but %s has mb%" PRId64 ", ic%" PRId64
              " and %d spatial axes",
              path, p->text, p->mb, p->ic, p->nd);
  image photo;
  image_read(&photo, &j->arena, path, (int)p->ic);
  if (photo.height != p->in[0] || photo.width != p->in[1])
    diag_fail(&j->app->diag, WN_ERR_USAGE,
              "%s has %" PRId64 " rows of %" PRId64 ", but %s needs %" PRId64 " of %" PRId64, path,
              photo.height, photo.width, p->text, p->in[0], p->in[1]);
  j->photo_bits = photo.bits;
  int64_t plane = photo.height * photo.width;
  for (int64_t c = 0; c < p->ic; ++c)
    for (int64_t i = 0; i < plane; ++i)
      j->x[j->data.nhwc ? i * p->ic + c : c * plane + i] = photo.data[c * plane + i];
}

static int64_t count_special(const float *v, int64_t count) {
  int64_t n = 0;
  for (int64_t i = 0; v != NULL && i < count; ++i) n += !isfinite(v[i]);
  return n;
}

static void load_operands(job *j) {
  const options *o = &j->app->opt;
  const problem *p = &j->problem;
  int64_t shape[PROBLEM_AXES + 2];
  j->x = allocate(j, p->in_count);
  j->w = allocate(j, p->weight_count);
  if (o->input != NULL && image_has_name(o->input))
    read_photo(j, o->input);
  else if (o->input != NULL)
    read_npy(j, "--input", o->input, job_shape(j, p->ic, p->in, shape), shape, j->x);
  else
    random_fill(j->x, (size_t)p->in_count, o->seed, STREAM_X);
  if (o->weights != NULL) {
    shape[0] = p->oc;
    shape[1] = p->ic / p->groups;
    for (int i = 0; i < p->nd; ++i) shape[i + 2] = p->filter[i];
    read_npy(j, "--weights", o->weights, p->nd + 2, shape, j->w);
  } else {
    random_fill(j->w, (size_t)p->weight_count, o->seed, STREAM_W);
  }
}

static void load_epilogue(job *j) {
  const options *o = &j->app->opt;
  const problem *p = &j->problem;
  int64_t shape[PROBLEM_AXES + 2];
  if (o->bias != NULL) {
    j->bias = allocate(j, p->oc);
    if (!strcmp(o->bias, "random"))
      random_fill(j->bias, (size_t)p->oc, o->seed, STREAM_BIAS);
    else
      read_npy(j, "--bias", o->bias, 1, &p->oc, j->bias);
  }
  if (o->residual != NULL) {
    j->residual = allocate(j, p->out_count);
    int n = job_shape(j, p->oc, p->out, shape);
    if (!strcmp(o->residual, "random"))
      random_fill(j->residual, (size_t)p->out_count, o->seed, STREAM_RESIDUAL);
    else
      read_npy(j, "--residual", o->residual, n, shape, j->residual);
  }
}

void job_conv_open(job *j, const problem *p, bool with_reference) {
  const options *o = &j->app->opt;
  j->problem = *p;
  j->data = (conv_data){.problem = &j->problem, .nhwc = o->nhwc, .act = o->act};
  j->flops = 2 * (double)p->macs;
  check_memory(j);
  load_operands(j);
  load_epilogue(j);
  j->y = allocate(j, p->out_count);
  j->out_count = 1;
  j->out = arena_new(&j->arena, job_output);
  *j->out = (job_output){.dtype = WN_F32, .count = p->out_count, .data = j->y};
  j->out->ndim = job_shape(j, p->oc, p->out, j->out->shape);
  j->data.x = j->x;
  j->data.w = j->w;
  j->data.bias = j->bias;
  j->data.residual = j->residual;
  j->special = count_special(j->x, p->in_count) + count_special(j->w, p->weight_count) +
               count_special(j->bias, p->oc) + count_special(j->residual, p->out_count);
  j->given = o->input != NULL || o->weights != NULL;
  if (!with_reference) return;
  app_progress(j->app, "%s: float64 reference", j->text);
  reference_make(&j->reference, &j->arena, &j->data, REFERENCE_BUDGET);
}

/* Channels last to channels second, or back. */
static wn_tensor *permuted(wn_tensor *t, int nd, bool to_nchw) {
  int axes[PROBLEM_AXES + 2] = {0};
  for (int i = 0; i < nd; ++i) axes[(to_nchw ? 2 : 1) + i] = (to_nchw ? 1 : 2) + i;
  axes[to_nchw ? 1 : nd + 1] = to_nchw ? nd + 1 : 1;
  return wn_permute(t, axes);
}

/* Input that no window reaches is cut off: a convolution has no negative padding. */
static wn_tensor *without_unread(const problem *p, wn_tensor *x) {
  int64_t begin[PROBLEM_AXES + 2] = {0}, end[PROBLEM_AXES + 2] = {p->mb, p->ic};
  bool cut = false;
  for (int i = 0; i < p->nd; ++i) {
    end[i + 2] = p->in[i] + (p->pad_hi[i] < 0 ? p->pad_hi[i] : 0);
    cut = cut || p->pad_hi[i] < 0;
  }
  return cut ? wn_shrink(x, begin, end) : x;
}

static wn_tensor *activated(activation act, wn_tensor *y) {
  switch (act) {
    case ACT_RELU:
      return wn_map(WN_RELU, y);
    case ACT_SIGMOID:
      return wn_map(WN_SIGMOID, y);
    case ACT_TANH:
      return wn_map(WN_TANH, y);
    case ACT_GELU:
      return wn_map(WN_GELU, y);
    case ACT_ABS:
      return wn_map(WN_ABS, y);
    default:
      return y;
  }
}

wn_tensor *job_conv_graph(const job *j, wn_context *ctx) {
  const problem *p = &j->problem;
  int64_t shape[PROBLEM_AXES + 2];
  bool nhwc = j->data.nhwc;
  int n = job_shape(j, p->ic, p->in, shape);
  wn_tensor *x = wn_input(ctx, WN_F32, n, shape, j->x);
  if (nhwc) x = permuted(x, p->nd, true);
  shape[0] = p->oc;
  shape[1] = p->ic / p->groups;
  for (int i = 0; i < p->nd; ++i) shape[i + 2] = p->filter[i];
  wn_tensor *w = wn_constant(ctx, WN_F32, n, shape, j->w);
  wn_conv_params params = WN_CONV_PARAMS(.groups = p->groups);
  for (int i = 0; i < p->nd; ++i) {
    params.stride[i] = p->stride[i];
    params.dilation[i] = p->dilation[i];
    params.pad_lo[i] = p->pad_lo[i];
    params.pad_hi[i] = p->pad_hi[i] < 0 ? 0 : p->pad_hi[i];
  }
  wn_tensor *y = wn_conv(without_unread(p, x), w, &params);
  if (j->bias != NULL) {
    int64_t bias_shape[PROBLEM_AXES + 2] = {1, p->oc, 1, 1, 1};
    y = wn_zip(WN_ADD, y, wn_constant(ctx, WN_F32, n, bias_shape, j->bias));
  }
  if (j->residual != NULL) {
    job_shape(j, p->oc, p->out, shape);
    wn_tensor *r = wn_input(ctx, WN_F32, n, shape, j->residual);
    y = wn_zip(WN_ADD, y, nhwc ? permuted(r, p->nd, true) : r);
  }
  y = activated(j->data.act, y);
  return nhwc ? permuted(y, p->nd, false) : y;
}

/* Extents of --input: a photo has those of its file, as many channels as the weights can use. */
static int input_extents(cli *app, const int64_t *w, int64_t *in) {
  const char *path = app->opt.input;
  if (image_has_name(path)) {
    image photo;
    image_read(&photo, &app->arena, path, 0);
    bool fits = photo.channels % w[1] == 0 && w[0] % (photo.channels / w[1]) == 0;
    in[0] = 1;
    in[1] = fits ? photo.channels : w[1];
    in[2] = photo.height;
    in[3] = photo.width;
    return 4;
  }
  npy_array x;
  npy_read(&x, &app->arena, path);
  if (x.ndim < 3 || x.ndim > PROBLEM_AXES + 2)
    diag_fail(&app->diag, WN_ERR_USAGE, "--input %s has shape %s, expected (mb, ic, [[d,] h,] w)",
              path, npy_shape_text(&app->arena, x.ndim, x.shape));
  in[0] = x.shape[0];
  in[1] = app->opt.nhwc ? x.shape[x.ndim - 1] : x.shape[1];
  for (int i = 2; i < x.ndim; ++i) in[i] = x.shape[i - (app->opt.nhwc ? 1 : 0)];
  return x.ndim;
}

void job_problem_of_files(cli *app, problem *p) {
  npy_array w;
  int64_t in[PROBLEM_AXES + 2];
  npy_read(&w, &app->arena, app->opt.weights);
  bool ok = w.ndim >= 3 && w.ndim <= PROBLEM_AXES + 2 && w.count > 0;
  int n = ok ? input_extents(app, w.shape, in) : 0;
  for (int i = 0; i < n; ++i) ok = ok && in[i] > 0;
  if (!ok || n != w.ndim || in[1] % w.shape[1])
    diag_fail(&app->diag, WN_ERR_USAGE, "--weights %s of shape %s do not fit --input %s",
              app->opt.weights, npy_shape_text(&app->arena, w.ndim, w.shape), app->opt.input);
  memset(p, 0, sizeof *p);
  p->nd = n - 2;
  p->mb = in[0];
  p->ic = in[1];
  p->oc = w.shape[0];
  p->groups = in[1] / w.shape[1];
  for (int i = 0; i < p->nd; ++i) {
    p->in[i] = p->out[i] = in[i + 2];
    p->filter[i] = w.shape[i + 2];
    p->stride[i] = p->dilation[i] = 1;
    p->pad_lo[i] = (w.shape[i + 2] - 1) / 2;
  }
  problem_error e;
  if (!problem_finish(p, &e))
    diag_fail(&app->diag, WN_ERR_USAGE, "--weights %s do not fit --input %s: %s", app->opt.weights,
              app->opt.input, e.message);
  problem_print(p, p->text, sizeof p->text);
}
