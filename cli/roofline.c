/* The roofline of a run; see roofline.h. A limit that was guessed would make a share of it mean nothing: without
 * measured ones there is none. */
#include "roofline.h"

#include <math.h>

#include "measure/measure_device.h"

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

static void add_level(report_limits *out, const char *name, double bytes, double rate) {
  if (!(rate > 0)) return;
  out->level[out->levels].name = name;
  out->level[out->levels].bytes = bytes;
  out->level[out->levels++].rate = rate;
}

/* A device has local memory and one cache before its memory, whatever levels stand for them in the model. */
const report_limits *roofline_ceilings(arena *a, const machine_limits *l) {
  static const char *const names[] = {"L1", "L2", "L3", "memory"};
  report_limits *out = arena_new(a, report_limits);
  out->flops = l->flops_all;
  if (l->local > 0) {
    add_level(out, "local", (double)l->size[LEVEL_L1], l->local);
    add_level(out, "cache", (double)l->size[LEVEL_L3], l->read_all[LEVEL_L3]);
    add_level(out, names[LEVEL_MEMORY], INFINITY, l->read_all[LEVEL_MEMORY]);
    return out;
  }
  for (int i = 0; i < LEVEL_COUNT; ++i)
    add_level(out, names[i], i < LEVEL_MEMORY ? (double)l->size[i] : (double)INFINITY,
              l->read_all[i]);
  return out;
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
