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

double roofline_us(const machine_limits *l, const report_kernel *kernels, int count) {
  double seconds = 0;
  for (int i = 0; i < count; ++i) {
    const report_kernel *k = &kernels[i];
    if (k->prepare) continue;
    seconds += fmax(machine_arithmetic_s(l, k->flops), machine_traffic_s(l, k->bytes));
  }
  return seconds * 1e6;
}
