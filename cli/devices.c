/* `winnow devices`: a backend is here if it compiles and runs the smallest convolution. --measure: the limits of the
 * machine, measured and kept. */
#include <cjson/cJSON.h>

#include "app.h"
#include "report/table.h"
#include "runtime/machine.h"

typedef struct device {
  const char *backend, *compiler, *device, *isa, *problem;
  int threads;
} device;

/* What turns kernels into code. `cpu` without LLVM is cpu:cc. */
static const char *compiler_of(const char *backend) {
  if (!strcmp(backend, "cpu")) return "LLVM, in process";
  return !strcmp(backend, "cpu:cc") ? "the system's C compiler" : "none: the reference, in float64";
}

static device probe(cli *app, const char *backend) {
  device found = {.backend = backend};
  float x[16] = {0}, w[9] = {0}, y[16];
  void *out = y;
  wn_context *ctx;
  wn_program *program = NULL;
  wn_program_info info;
  if (wn_context_create(&ctx) != WN_OK)
    diag_fail(&app->diag, WN_ERR_NOMEM, "no memory for a context");
  wn_tensor *image = wn_input(ctx, WN_F32, 4, (int64_t[]){1, 1, 4, 4}, x);
  wn_tensor *filter = wn_constant(ctx, WN_F32, 4, (int64_t[]){1, 1, 3, 3}, w);
  wn_tensor *result = wn_conv(image, filter, &(wn_conv_params){.pad_lo = {1, 1}, .pad_hi = {1, 1}});
  wn_options o = {.plan = "direct", .backend = backend, .strict = 1};
  wn_status status = wn_compile(ctx, &result, &out, 1, &o, &program);
  if (status == WN_OK) status = wn_run(program);
  if (status == WN_OK) status = wn_program_get_info(program, &info);
  if (status == WN_OK) {
    found.device = arena_strdup(&app->arena, info.device ? info.device : "");
    found.isa = arena_strdup(&app->arena, info.isa ? info.isa : "");
    found.compiler = compiler_of(info.backend);
    found.threads = info.threads;
  } else {
    found.problem = arena_strdup(&app->arena, wn_message(ctx));
  }
  if (program) wn_program_destroy(program);
  wn_context_destroy(ctx);
  if (status == WN_ERR_USAGE) diag_fail(&app->diag, status, "%s", found.problem);
  return found;
}

static void print_json(cli *app, const device *d) {
  cJSON *o = cJSON_CreateObject();
  bool ok = o && cJSON_AddStringToObject(o, "backend", d->backend) &&
            cJSON_AddBoolToObject(o, "available", !d->problem);
  if (d->problem)
    ok = ok && cJSON_AddNullToObject(o, "device") && cJSON_AddNullToObject(o, "isa") &&
         cJSON_AddNullToObject(o, "threads") && cJSON_AddStringToObject(o, "reason", d->problem);
  else
    ok = ok && cJSON_AddStringToObject(o, "device", d->device) &&
         cJSON_AddStringToObject(o, "isa", d->isa) &&
         cJSON_AddNumberToObject(o, "threads", d->threads) && cJSON_AddNullToObject(o, "reason");
  char *text = ok ? cJSON_PrintUnformatted(o) : NULL;
  cJSON_Delete(o);
  if (!text) diag_fail(&app->diag, WN_ERR_NOMEM, "no memory for the report");
  puts(text);
  cJSON_free(text);
}

/* --- --measure ------------------------------------------------------------------------------- */

/* One limit, of one thread and of all of them; `all` 0 where there is only one. */
typedef struct limit {
  const char *key, *name, *unit;
  double one, all;
} limit;

enum { MOST_LIMITS = (int)MACHINE_RATES + (int)LEVEL_MEMORY + (int)LEVEL_COUNT + 2 };

static int list_limits(const machine *m, limit *out) {
  static const char *const rates[] = {"mul_add_128", "fma_128", "fma_256", "fma_512"};
  static const char *const sizes[] = {"l1_bytes", "l2_bytes", "l3_bytes"};
  static const char *const size_names[] = {"L1 of a core", "L2 of a core", "L3"};
  static const char *const reads[] = {"read_l1", "read_l2", "read_l3", "read_memory"};
  static const char *const read_names[] = {"reading L1", "reading L2", "reading L3",
                                           "reading memory"};
  int n = 0;
  for (int i = 0; i < MACHINE_RATES; ++i) {
    if (m->flops[i] > 0)
      out[n++] = (limit){rates[i], machine_rate_name[i], "GFLOP/s", m->flops[i] * 1e-9,
                         m->flops_all[i] * 1e-9};
  }
  for (int i = 0; i < LEVEL_MEMORY; ++i)
    out[n++] = (limit){sizes[i], size_names[i], "KiB", m->size[i] / 1024, 0};
  for (int i = 0; i < LEVEL_COUNT; ++i)
    out[n++] = (limit){reads[i], read_names[i], "GB/s", m->read[i] * 1e-9,
                       i < LEVEL_L3 ? 0 : m->read_all[i] * 1e-9};
  out[n++] =
      (limit){"write_memory", "writing memory", "GB/s", m->write * 1e-9, m->write_all * 1e-9};
  out[n++] = (limit){"wake_us", "an empty launch", "µs", 0, m->wake * 1e6};
  return n;
}

static void print_limits_json(cli *app, const machine *m, const limit *list, int count, bool kept) {
  cJSON *o = cJSON_CreateObject();
  bool ok = o && cJSON_AddNumberToObject(o, "threads", m->threads) &&
            cJSON_AddBoolToObject(o, "kept", kept);
  for (int i = 0; i < count && ok; ++i) {
    cJSON *l = cJSON_AddObjectToObject(o, list[i].key);
    ok = l && cJSON_AddStringToObject(l, "unit", list[i].unit) &&
         (list[i].one > 0 ? cJSON_AddNumberToObject(l, "one_thread", list[i].one)
                          : cJSON_AddNullToObject(l, "one_thread")) &&
         (list[i].all > 0 ? cJSON_AddNumberToObject(l, "all_threads", list[i].all)
                          : cJSON_AddNullToObject(l, "all_threads"));
  }
  char *text = ok ? cJSON_PrintUnformatted(o) : NULL;
  cJSON_Delete(o);
  if (!text) diag_fail(&app->diag, WN_ERR_NOMEM, "no memory for the report");
  puts(text);
  cJSON_free(text);
}

static const char *limit_text(cli *app, double value) {
  if (!(value > 0)) return NULL;
  return arena_printf(&app->arena, value < 1000 ? "%.1f" : "%.0f", value);
}

static void print_limits(cli *app, const machine *m, const limit *list, int count) {
  const table_column columns[] = {
      {"limit", true, BEST_NONE, 0},
      {"one thread", false, BEST_NONE, 0},
      {arena_printf(&app->arena, "all %d", m->threads), false, BEST_NONE, 0},
      {"", true, BEST_NONE, 0},
  };
  table t;
  table_init(&t, &app->arena, columns, (int)(sizeof columns / sizeof *columns));
  for (int i = 0; i < count; ++i) {
    table_row *row = table_add(&t);
    row->cells[0].text = list[i].name;
    row->cells[1].text = limit_text(app, list[i].one);
    row->cells[2].text = limit_text(app, list[i].all);
    row->cells[3].text = list[i].unit;
  }
  report_style style = app_style(app);
  table_print(&t, stdout, style.color, style.width);
}

static bool keep_limits(cli *app, const cpu_target *cpu, const machine *m) {
  store *s = store_open(&app->diag, app->opt.no_cache);
  volatile bool kept = false;
  wn_status status;
  DIAG_TRY(&app->diag, status) { kept = machine_store(s, &app->arena, cpu, m); }
  DIAG_END(&app->diag, status)
  store_close(s);
  if (status != WN_OK) diag_fail(&app->diag, status, "no memory to keep the limits");
  return kept;
}

static void measure_machine(cli *app) {
  machine m;
  cpu_target cpu;
  limit list[MOST_LIMITS];
  app_progress(app, "measuring the machine");
  cpu_target_init(&cpu, &app->diag, NULL);
  machine_measure(&app->diag, &cpu, &m);
  app_progress_clear(app);
  int count = list_limits(&m, list);
  bool kept = keep_limits(app, &cpu, &m);
  if (app->opt.json) {
    print_limits_json(app, &m, list, count, kept);
    return;
  }
  print_limits(app, &m, list, count);
  if (!kept) app_warn(app, "the limits could not be kept: auto goes on guessing them");
}

void command_devices(cli *app) {
  if (app->opt.measure) {
    measure_machine(app);
    return;
  }
  static const char *const backends[] = {"cpu", "cpu:cc", "interp"};
  static const table_column columns[] = {
      {"backend", true, BEST_NONE, 0}, {"compiler", true, BEST_NONE, 1},
      {"isa", true, BEST_NONE, 0},     {"threads", false, BEST_NONE, 0},
      {"device", true, BEST_NONE, 0},
  };
  table t;
  table_init(&t, &app->arena, columns, (int)(sizeof columns / sizeof *columns));
  for (size_t i = 0; i < sizeof backends / sizeof *backends; ++i) {
    device d = probe(app, backends[i]);
    if (app->opt.json) {
      print_json(app, &d);
      continue;
    }
    table_row *row = table_add(&t);
    row->cells[0].text = d.backend;
    row->cells[1].text = d.compiler;
    row->cells[2].text = d.isa;
    row->cells[3].text = d.problem ? NULL : arena_printf(&app->arena, "%d", d.threads);
    row->cells[4].text = d.device;
    row->tone = d.problem ? TONE_FAINT : TONE_PLAIN;
    if (d.problem) row->note = arena_printf(&app->arena, "not here: %s", d.problem);
  }
  report_style style = app_style(app);
  if (!app->opt.json) table_print(&t, stdout, style.color, style.width);
}
