/* See rows.h. */
#include "report/rows.h"

#include <math.h>

#include "base/map.h"
#include "report/site_rows.h"

static const char *keep(arena *a, const char *s) { return s != NULL ? arena_strdup(a, s) : NULL; }

void report_read_program(arena *a, report_row *row, const wn_program_info *info) {
  if (row->plan == NULL) row->plan = keep(a, info->plan);
  row->placement = keep(a, info->placement);
  row->wino = keep(a, info->wino);
  row->backend = keep(a, info->backend);
  row->isa = keep(a, info->isa);
  row->device = keep(a, info->device);
  row->fallback = keep(a, info->fallback);
  row->threads = info->threads;
  row->kernels = info->kernels;
  row->buffers = info->buffers;
  row->source_lines = info->source_lines;
  row->promise_missed = info->promise_missed != 0;
  row->cached = info->cached != 0;
  row->tuned = info->tuned != 0;
  row->identity = keep(a, info->identity);
  row->workspace_bytes = (double)info->workspace_bytes;
  if (info->predicted_s > 0) row->predicted_us = info->predicted_s * 1e6;
  row->prepared_bytes = (double)info->prepared_bytes;
  row->schedule_ms = info->schedule_s * 1e3;
  row->compile_ms = info->compile_s * 1e3;
}

static wn_status read_kernel(arena *a, wn_program *program, int i, report_kernel *out) {
  wn_kernel_info k = WN_KERNEL_INFO();
  wn_status st = wn_program_get_kernel(program, i, &k);
  if (st != WN_OK) return st;
  *out = (report_kernel){.name = keep(a, k.name),
                         .loops = keep(a, k.loops),
                         .stage = keep(a, k.stage),
                         .fallback = keep(a, k.fallback),
                         .source = k.source,
                         .median_us = NAN,
                         .bytes = k.bytes,
                         .flops = k.flops,
                         .source_lines = k.source_lines,
                         .registers = k.registers,
                         .spills = k.spills,
                         .site = k.site,
                         .prepare = k.prepare != 0};
  return WN_OK;
}

wn_status report_read_kernels(arena *a, report_row *row, wn_program *program,
                              report_kernel **kernels, report_site **sites) {
  wn_program_info info = WN_PROGRAM_INFO();
  wn_status st = wn_program_get_info(program, &info);
  if (st != WN_OK) return st;
  row->kernel_count = info.kernels + info.prepare_kernels;
  row->kernel = *kernels = arena_array(a, report_kernel, row->kernel_count + 1);
  row->gflops_executed = 0;
  for (int i = 0; i < row->kernel_count; ++i) {
    report_kernel *k = &(*kernels)[i];
    st = read_kernel(a, program, i, k);
    if (st != WN_OK) return st;
    if (k->registers > row->registers) row->registers = k->registers;
    if (k->spills > row->spills) row->spills = k->spills;
    if (!k->prepare) row->gflops_executed += k->flops;
  }
  row->site = *sites = report_read_sites(a, program, &row->site_count);
  return WN_OK;
}

/* --- rows of one program ---------------------------------------------------------------------- */

static uint64_t hash_of(const char *identity) {
  uint64_t hash = hash_bytes(identity, strlen(identity), 0);
  return hash == MAP_NONE ? 0 : hash;
}

int report_find_programs(arena *a, const report_row *rows, int count, int *of, int *first) {
  map seen;
  int programs = 0;
  map_init(&seen, a);
  for (int i = 0; i < count; ++i) {
    const char *identity = rows[i].identity;
    uint64_t known;
    of[i] = -1;
    if (identity == NULL) continue;
    bool same =
        map_get(&seen, hash_of(identity), &known) && strcmp(rows[known].identity, identity) == 0;
    of[i] = same ? (int)known : i;
    if (same) continue;
    map_put(&seen, hash_of(identity), (uint64_t)i);
    first[programs++] = i;
  }
  return programs;
}

void report_take_figures(report_row *row, const report_row *measured) {
  const report_row mine = *row;
  *row = *measured;
  row->plan = mine.plan;
  row->placement = mine.placement;
  row->same_as = mine.same_as;
  row->schedule_ms = mine.schedule_ms;
}
