/* Rows for tests of what is made of them: ordinary ones, a refused one, one that fell back, and texts
 * that would run as markup if they were not escaped. */
#ifndef WINNOW_TESTS_REPORT_ROWS_H
#define WINNOW_TESTS_REPORT_ROWS_H

#include <math.h>

#include "report/collect.h"

/* Sets window.hacked if any of it is markup. */
#define HOSTILE        "</script><img src=x onerror=\"window.hacked=1\"><!--<script>window.hacked=2;//"
#define HOSTILE_DEVICE "Device " HOSTILE " & 'co' \x01\x1f\xff\xc0\xaf end"
#define SHARED_SOURCE \
  "void r_4_8(void *const *args) {\n  store_f32x8(a0 + v1, v2); /* </script> <b>x</b> */\n}\n"

static const report_limits sample_limits = {
    .flops = 2e11, .levels = 2, .level = {{"L1", 32768, 4e11}, {"memory", INFINITY, 3e10}}};

static const report_kernel sample_kernels[] = {
    {.name = "E_4",
     .stage = "g",
     .loops = "g: grid c 4",
     .source = "void E_4(void) {}\n",
     .median_us = NAN,
     .bytes = 64,
     .flops = 8,
     .source_lines = 1,
     .registers = -1,
     .spills = -1,
     .prepare = true},
    {.name = "r_4_8",
     .stage = "x+m+result0",
     .loops = "x: loop c 2; m: reduce loop c 16, vector t1 8; result0: grid t0 4, vector k1 8",
     .source = SHARED_SOURCE,
     .median_us = 12.5,
     .bytes = 4096,
     .flops = 65536,
     .source_lines = 3,
     .registers = 9,
     .spills = 2},
};

static const report_kernel hostile_kernels[] = {
    {.name = HOSTILE,
     .stage = HOSTILE,
     .loops = HOSTILE,
     .source = SHARED_SOURCE HOSTILE,
     .fallback = "error: " HOSTILE "\n\xe2\x82",
     .median_us = 900,
     .bytes = 4096,
     .flops = 65536,
     .source_lines = 4,
     .site = 1,
     .registers = -1,
     .spills = -1},
};

/* Two, of which the second has a name that would be markup. */
static const report_site sample_sites[] = {
    {.label = "conv0",
     .kind = "conv",
     .shape = "[1, 4, 8, 8]",
     .plan = "direct",
     .kernels = 1,
     .prepare_kernels = 1,
     .result = -1,
     .median_us = 12.5,
     .share = 1,
     .predicted_us = 11,
     .least_us = 6.25,
     .bytes = 1024,
     .layout = "last",
     .layout_why = "chosen",
     .layout_us = 3.5,
     .in_place_of = "sum2",
     .plan_why = "predicted",
     .direct_us = 11,
     .other = "x=global,g=global,m=global,o=global;wino=4x4",
     .other_us = 14},
    {.label = "conv1",
     .kind = "conv",
     .name = HOSTILE,
     .shape = "[1, 4, 8, 8]",
     .plan = "inline",
     .alike = "conv0",
     .median_us = NAN,
     .share = NAN,
     .predicted_us = NAN,
     .least_us = NAN,
     .layout_why = "output",
     .layout_us = NAN,
     .plan_why = HOSTILE,
     .direct_us = NAN,
     .other_us = NAN,
     .tuned = true},
};

static inline report_row sample_row(const char *plan, double us, double workspace) {
  report_row row;
  report_row_init(&row);
  row.problem = "mb1ic4ih8oc4kh3ph1";
  row.backend = "cpu";
  row.device = HOSTILE_DEVICE;
  row.isa = "avx2";
  row.version = "1.0";
  row.math = "fp32";
  row.weights = "constant";
  row.plan = row.placement = plan;
  row.wino = "4x4";
  row.threads = 1;
  row.kernels = 1;
  row.buffers = 2;
  row.median_us = us;
  row.min_us = us * 0.9;
  row.prepare_us = 3;
  row.schedule_ms = 1.5;
  row.compile_ms = 20;
  row.workspace_bytes = workspace;
  row.rel_l2_err = 4.9e-7;
  row.promise = 1.2e-6;
  row.limits = &sample_limits;
  row.kernel = sample_kernels;
  row.kernel_count = 2;
  row.site = sample_sites;
  row.site_count = 2;
  return row;
}

/* Four rows: two that share their kernels, one that fell back, one that is refused. */
static inline void sample_set(report_set *set, arena *a) {
  report_set_init(set, a);
  set->command = "compare";
  set->line = "winnow compare '" HOSTILE "'";
  set->date = "2026-01-02T03:04:05Z";
  set->version = "1.0";
  set->compiler = "LLVM 19.1.7";
  set->system = "Linux";
  report_row row = sample_row("fused", 12.5, 1024);
  report_set_add(set, &row);
  row = sample_row("auto", 13, 0);
  row.same_as = "fused";
  report_set_add(set, &row);
  row = sample_row("slow " HOSTILE, 900, 2048);
  row.fallback = "error: " HOSTILE;
  row.kernel = hostile_kernels;
  row.kernel_count = 1;
  report_set_add(set, &row);
  row = sample_row("never", NAN, NAN);
  row.refused = "no such plan: " HOSTILE;
  row.min_us = row.prepare_us = row.schedule_ms = row.compile_ms = row.rel_l2_err =
      row.rel_sum_err = NAN;
  row.kernel = NULL;
  row.kernel_count = row.site_count = 0;
  row.limits = NULL;
  report_set_add(set, &row);
}

/* A network: a row of so many sites, every third unnamed and every fourth like the first, a kernel each. */
static inline void network_set(report_set *set, arena *a, int count) {
  report_site *sites = arena_array(a, report_site, count);
  report_kernel *kernels = arena_array(a, report_kernel, count);
  report_set_init(set, a);
  set->command = "compare";
  for (int i = 0; i < count; ++i) {
    sites[i] = sample_sites[0];
    sites[i].label = arena_printf(a, "conv%d", i);
    if (i % 3)
      sites[i].name = arena_printf(a, "network/with/quite/a/long/prefix/layer%d.%d.conv1 " HOSTILE,
                                   i / 8, i % 8);
    if (i && i % 4 == 0) sites[i].alike = sites[0].label;
    sites[i].plan = "x=local@t0,g=global,m=local@k0,o=inline;t=28.14,k=32.4,c=64;wino=4x4";
    sites[i].median_us = (i * 37) % 101 + 1;
    sites[i].share = sites[i].median_us / 1e4;
    kernels[i] = sample_kernels[1];
    kernels[i].site = i;
    kernels[i].median_us = sites[i].median_us;
  }
  report_row row = sample_row("auto", 1e4, 1e6);
  row.problem = "network";
  row.site = sites;
  row.kernel = kernels;
  row.site_count = row.kernel_count = count;
  report_set_add(set, &row);
}

#endif
