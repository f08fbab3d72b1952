/* The roofline of a run; see roofline.h. A limit that was guessed would make a share of it mean nothing: without measured
 * ones there is none. */
#include "roofline.h"

#include <math.h>

bool roofline_limits(cli *app, const char *isa, int threads, machine_limits *out) {
  cpu_target cpu;
  machine m;
  volatile bool found = false;
  cpu_target_init(&cpu, &app->diag, isa);
  store *s = store_open(&app->diag, app->opt.no_cache);
  wn_status status;
  DIAG_TRY(&app->diag, status) { found = machine_load(s, &app->arena, &cpu, &m); }
  DIAG_END(&app->diag, status)
  store_close(s);
  if (status != WN_OK) diag_fail(&app->diag, status, "no memory for the limits of the machine");
  if (found) *out = machine_limits_for(&m, &cpu, threads);
  return found;
}

static double bandwidth(const machine_limits *l, double bytes) {
  for (int level = 0; level < LEVEL_MEMORY; ++level) {
    if (bytes <= (double)l->size[level]) return l->read_all[level];
  }
  return l->read_all[LEVEL_MEMORY];
}

double roofline_us(const machine_limits *l, const report_kernel *kernels, int count) {
  double seconds = 0;
  for (int i = 0; i < count; ++i) {
    const report_kernel *k = &kernels[i];
    if (k->prepare) continue;
    seconds += fmax(k->flops / l->flops_all, k->bytes / bandwidth(l, k->bytes));
  }
  return seconds * 1e6;
}
