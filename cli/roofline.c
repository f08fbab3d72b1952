/* The roofline of a run; see roofline.h. A limit that was guessed would make a share of it mean nothing: without measured
 * ones there is none. */
#include "roofline.h"

#include <math.h>

#include "runtime/machine_device.h"

bool roofline_limits(cli *app, machine_limits *out) {
  runtime *volatile rt = NULL;
  store *volatile s = NULL;
  const options *o = &app->opt;
  volatile wn_status status;
  DIAG_TRY(&app->diag, status) {
    rt = runtime_create(&app->diag, o->backend, o->isa, o->threads);
    s = store_open(&app->diag, o->no_cache);
    *out = machine_limits_of(s, &app->arena, rt);
  }
  DIAG_END(&app->diag, status)
  store_close(s);
  runtime_destroy(rt);
  if (status != WN_OK)
    diag_fail(&app->diag, status, "%s", arena_strdup(&app->arena, app->diag.message));
  return out->measured;
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
