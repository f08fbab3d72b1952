/* chain: what it takes to compile a graph of many layers, and to run it.
 *
 *     chain [--no-compile] [--plan PLAN] [--runs N] LAYER...     a layer is COUNTxKIND, as in 32x3x3 4x1x1 2x5x5
 *     chain --mixed N                                           N layers of a fixed mix of 40 shapes, residuals among them
 *     --backend NAME, --threads N                               1 where it is not given
 *
 * Every layer is a convolution with bias and ReLU of --channels at --size pixels (64 at 56), weights constant,
 * nothing from the cache. A line of JSON: milliseconds to schedule and to compile, the least microseconds of a run and of a
 * run a layer, kernels, distinct kernels, and the most memory that the process had, less what it had with its data before. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "winnow/winnow.h"

enum { MOST_OUTPUTS = 1024 };

typedef struct job {
  wn_context *ctx;
  wn_tensor *t, *out[MOST_OUTPUTS];
  void *data_of[MOST_OUTPUTS];
  int nout;
  int64_t channels, size;
  int layers;
  uint64_t seed;
  size_t data; /* bytes */
} job;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static size_t peak(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (size_t)u.ru_maxrss << 10;
}

static float *noise(job *j, int64_t n, double scale) {
  float *p = malloc(sizeof *p * (size_t)n);
  if (p == NULL) exit(2);
  j->data += sizeof *p * (size_t)n;
  for (int64_t i = 0; i < n; ++i) {
    j->seed = j->seed * 6364136223846793005u + 1442695040888963407u;
    p[i] = (float)(((double)(j->seed >> 40) / (1 << 23) - 1.0) * scale);
  }
  return p;
}

/* k: side of the filter; groups of one channel where depthwise. The result has `channels` at size / stride. */
static void add_layer(job *j, int64_t channels, int64_t k, int64_t stride, int depthwise) {
  int64_t each = depthwise ? 1 : j->channels, out = depthwise ? j->channels : channels;
  wn_conv_params p =
      WN_CONV_PARAMS(.stride = {stride, stride}, .pad_lo = {k / 2, k / 2}, .pad_hi = {k / 2, k / 2},
                     .groups = depthwise ? j->channels : 1);
  const float *w = noise(j, out * each * k * k, 1.7 / (double)(each * k * k));
  wn_tensor *weights = wn_constant(j->ctx, WN_F32, 4, (int64_t[]){out, each, k, k}, w);
  wn_tensor *bias = wn_constant(j->ctx, WN_F32, 4, (int64_t[]){1, out, 1, 1}, noise(j, out, 0.1));
  j->t = wn_map(WN_RELU, wn_zip(WN_ADD, wn_conv(j->t, weights, &p), bias));
  j->channels = out;
  j->size = (j->size - 1) / stride + 1;
  j->layers++;
}

static void add_output(job *j) {
  if (j->nout == MOST_OUTPUTS) exit(2);
  j->data_of[j->nout] = noise(j, j->channels * j->size * j->size, 0);
  j->out[j->nout++] = j->t;
}

static void add_spec(job *j, const char *spec) {
  char *end;
  long count = strtol(spec, &end, 10), k = *end == 'x' ? strtol(end + 1, &end, 10) : 0;
  if (count < 1 || k < 1 || *end != 'x') {
    fprintf(stderr, "chain: %s: expected a count and a filter, such as 32x3x3\n", spec);
    exit(2);
  }
  for (long i = 0; i < count; ++i) add_layer(j, j->channels, k, 1, 0);
}

/* Stages of a network at falling sizes: each has 1x1, 3x3, 5x5 and depthwise layers of several widths, with a residual
 * around each pair, and ends with a strided layer. Forty shapes come again until there are n layers. */
static void add_mixed(job *j, int n) {
  static const int64_t widths[] = {32, 48, 64, 96, 128};
  while (j->layers < n) {
    int stage = j->layers / 8 % 5;
    int64_t width = widths[stage];
    if (stage == 0 && j->layers > 0) { /* from the start again: larger images of fewer channels */
      int64_t shape[] = {1, 32, 56, 56};
      add_output(j);
      j->t = wn_input(j->ctx, WN_F32, 4, shape, noise(j, 32 * 56 * 56, 1));
      j->channels = 32;
      j->size = 56;
    }
    add_layer(j, width, 1, 1, 0);
    for (int pair = 0; pair < 2; ++pair) {
      wn_tensor *before = j->t;
      add_layer(j, width, 3, 1, 0);
      add_layer(j, width, pair == 0 ? 5 : 1, 1, 0);
      j->t = wn_zip(WN_ADD, j->t, before);
    }
    add_layer(j, width, 3, 1, 1);
    add_layer(j, width, 1, 1, 0);
    add_layer(j, width, 3, stage < 4 ? 2 : 1, 0);
  }
}

static void warn(void *user, const char *line) {
  (void)user;
  fprintf(stderr, "chain: %s\n", line);
}

int main(int argc, char **argv) {
  static job j;
  j = (job){.channels = 64, .size = 56, .seed = 1};
  wn_options o = WN_OPTIONS(.threads = 1, .no_cache = 1);
  int runs = 20, mixed = 0;
  const char *specs[64];
  int nspecs = 0;
  for (int i = 1; i < argc; ++i) {
    const char *value = i + 1 < argc ? argv[i + 1] : "";
    if (strcmp(argv[i], "--no-compile") == 0)
      o.plan_only = 1;
    else if (strcmp(argv[i], "--plan") == 0)
      o.plan = value, ++i;
    else if (strcmp(argv[i], "--threads") == 0)
      o.threads = atoi(value), ++i;
    else if (strcmp(argv[i], "--backend") == 0)
      o.backend = value, ++i;
    else if (strcmp(argv[i], "--runs") == 0)
      runs = atoi(value), ++i;
    else if (strcmp(argv[i], "--mixed") == 0)
      mixed = atoi(value), ++i;
    else if (strcmp(argv[i], "--channels") == 0)
      j.channels = atoi(value), ++i;
    else if (strcmp(argv[i], "--size") == 0)
      j.size = atoi(value), ++i;
    else if (nspecs < 64)
      specs[nspecs++] = argv[i];
  }
  if (mixed == 0 && nspecs == 0) specs[nspecs++] = "32x3x3";
  if (mixed > 0) j.channels = 32;
  wn_context_create(&j.ctx);
  wn_on_warning(j.ctx, warn, NULL);
  int64_t shape[] = {1, j.channels, j.size, j.size};
  j.t = wn_input(j.ctx, WN_F32, 4, shape, noise(&j, j.channels * j.size * j.size, 1));
  for (int i = 0; i < nspecs; ++i) add_spec(&j, specs[i]);
  if (mixed > 0) add_mixed(&j, mixed);
  add_output(&j);
  size_t before = peak();
  wn_program *p;
  if (wn_compile(j.ctx, j.out, j.data_of, j.nout, &o, &p) != WN_OK) {
    fprintf(stderr, "chain: %s\n", wn_message(j.ctx));
    return 2;
  }
  size_t after = peak();
  double least = 1e9;
  for (int i = 0; i < runs && !o.plan_only; ++i) {
    double start = now();
    if (wn_run(p) != WN_OK) return 2;
    double taken = now() - start;
    if (taken < least) least = taken;
  }
  wn_program_info info = WN_PROGRAM_INFO();
  wn_program_get_info(p, &info);
  printf("{\"layers\":%d,\"schedule_ms\":%.1f,\"compile_ms\":%.1f,", j.layers,
         info.schedule_s * 1e3, info.compile_s * 1e3);
  if (runs > 0 && !o.plan_only)
    printf("\"min_us\":%.1f,\"layer_us\":%.1f,", least * 1e6, least * 1e6 / j.layers);
  printf("\"kernels\":%d,\"prepare_kernels\":%d,\"peak_mib\":%.1f,\"placement\":\"%.2000s\"}\n",
         info.kernels, info.prepare_kernels, (double)(after - before) / (1 << 20), info.placement);
  wn_program_destroy(p);
  wn_context_destroy(j.ctx);
  return 0;
}
