/* See debug.h. */
#include "debug.h"

#include "base/text.h"

static void write_stderr(void *user, const char *text) {
  (void)user;
  fputs(text, stderr);
}

static void debug_kernels(job *j, const entry *e, bool color) {
  for (int i = 0; i < e->row.kernel_count; ++i) {
    const report_kernel *k = &e->row.kernel[i];
    const char *name = color ? report_color_kernel(&j->arena, k->name, k->loops) : k->name;
    if (k->prepare)
      fprintf(stderr, "  %-28s once, %s%s\n", name, k->stage != NULL ? k->stage : "",
              k->fallback != NULL ? ", interpreted" : "");
    else
      text_print(stderr, "  %-28s %9.2f µs %8.2f GFLOP/s %8.2f GB/s%s\n", name, k->median_us,
                 k->flops / k->median_us * 1e-3, k->bytes / k->median_us * 1e-3,
                 k->fallback != NULL ? "  interpreted" : "");
  }
}

static void debug_source(const entry *e) {
  for (int i = 0; i < e->row.kernel_count; ++i) {
    wn_kernel_info k = WN_KERNEL_INFO();
    if (e->program != NULL && wn_program_get_kernel(e->program, i, &k) == WN_OK && k.source != NULL)
      fprintf(stderr, "%s\n", k.source);
  }
}

static void debug_ir(job *j, const entry *e) {
  if (j->net != NULL && net_on_host(j->net)) return; /* there is no graph */
  wn_context *ctx = job_context(j);
  wn_options o;
  job_options(j, &e->spec, &o);
  job_graph g = job_build(j, ctx);
  if (wn_explain(ctx, g.out, g.data, g.count, &o, write_stderr, NULL) != WN_OK)
    fprintf(stderr, "%s\n", wn_message(ctx));
}

void debug_print(job *j) {
  int level = j->app->opt.debug;
  bool color = j->app->err_tty && !j->app->opt.no_color;
  for (int i = 0; level && i < j->entry_count; ++i) {
    const entry *e = &j->entries[i];
    const report_row *row = &e->row;
    if (row->refused != NULL || row->stopped) {
      fprintf(stderr, "%s: %s: %s\n", row->plan, row->stopped ? "stopped by --strict" : "refused",
              row->stopped ? row->fallback : row->refused);
      continue;
    }
    text_print(
        stderr, "%s: %d kernels, %d buffers, %.2f µs, scheduled in %.2f ms, compiled in %.2f ms\n",
        row->plan, row->kernels, row->buffers, row->median_us, row->schedule_ms, row->compile_ms);
    if (level >= 3) fprintf(stderr, "  %s\n", row->placement);
    if (level >= 2) debug_kernels(j, e, color);
    if (level >= 4) debug_source(e);
    if (level >= 5) debug_ir(j, e);
  }
}
