/* `winnow devices --measure`: what the CPU and the devices can do, measured, kept in the cache on disk, and shown. */
#include <cjson/cJSON.h>

#include "device_limits.h"
#include "report/table.h"
#include "measure/measure_device.h"
#include "backend/registry.h"

/* One limit, of one thread and of all of them; `one` or `all` 0 where there is only the other. */
typedef struct limit {
  const char *key, *name, *unit;
  double one, all;
} limit;

enum { MOST_LIMITS = (int)MACHINE_RATES + (int)LEVEL_MEMORY + (int)LEVEL_COUNT + 2 };

typedef struct measured {
  const char *backend, *device;
  int threads; /* or a device's compute units */
  limit list[MOST_LIMITS];
  int count;
  bool kept;
} measured;

/* --- the figures ------------------------------------------------------------------------------ */

static int list_limits(const cpu_rates *m, limit *out) {
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

static int list_device_limits(const device_rates *m, limit *out) {
  int n = 0;
  out[n++] = (limit){"fma", "fused multiply-adds", "GFLOP/s", 0, m->flops * 1e-9};
  out[n++] = (limit){"cache_bytes", "the last cache", "KiB", 0, m->cache_bytes / 1024};
  out[n++] = (limit){"read_local", "reading local memory", "GB/s", 0, m->local * 1e-9};
  out[n++] = (limit){"read_cache", "reading the last cache", "GB/s", 0, m->cache * 1e-9};
  out[n++] = (limit){"copy_memory", "copying memory, both ways", "GB/s", 0, m->copy * 1e-9};
  out[n++] = (limit){"launch_us", "a launch behind others", "µs", 0, m->launch * 1e6};
  out[n++] = (limit){"alone_us", "a launch that is waited for", "µs", 0, m->alone * 1e6};
  return n;
}

/* --- measuring -------------------------------------------------------------------------------- */

static void measure_cpu(cli *app, store *s, measured *out) {
  cpu_rates m;
  machine cpu;
  machine_of_cpu(&cpu, &app->diag, NULL);
  machine_measure(&app->diag, &cpu, &m);
  *out = (measured){.backend = registry_default()->name,
                    .device = arena_strdup(&app->arena, cpu.model),
                    .threads = m.threads,
                    .kept = machine_store(s, &app->arena, &cpu, &m)};
  out->count = list_limits(&m, out->list);
}

static void measure_device(cli *app, store *s, runtime *rt, measured *out) {
  device_rates m;
  const machine *target = runtime_machine(rt);
  device_measure(&app->diag, rt, &m);
  *out = (measured){.device = arena_strdup(&app->arena, target->model),
                    .threads = runtime_threads(rt),
                    .kept = device_store(s, &app->arena, runtime_backend(rt), target, &m)};
  out->count = list_device_limits(&m, out->list);
}

/* Why it failed is the message of diag. */
static wn_status measure(cli *app, const char *name, measured *out) {
  store *s = store_open(&app->diag, app->opt.no_cache);
  runtime *volatile rt = NULL;
  volatile wn_status status;
  bool cpu = registry_backend(name)->in_place;
  app_progress(app, "measuring %s", cpu ? "the machine" : name);
  DIAG_TRY(&app->diag, status) {
    if (cpu) {
      measure_cpu(app, s, out);
    } else {
      rt = runtime_create(&app->diag, name, NULL, 0);
      measure_device(app, s, rt, out);
    }
  }
  DIAG_END(&app->diag, status)
  if (!cpu) out->backend = name;
  runtime_destroy(rt);
  store_close(s);
  app_progress_clear(app);
  return status;
}

/* --- showing ---------------------------------------------------------------------------------- */

static void add_figure(cJSON *o, const char *key, double value, bool *ok) {
  *ok = *ok && (value > 0 ? cJSON_AddNumberToObject(o, key, value) : cJSON_AddNullToObject(o, key));
}

static void print_json(cli *app, const measured *m) {
  cJSON *o = cJSON_CreateObject();
  bool ok = o != NULL && cJSON_AddStringToObject(o, "backend", m->backend) != NULL &&
            cJSON_AddStringToObject(o, "device", m->device) != NULL &&
            cJSON_AddNumberToObject(o, "threads", m->threads) != NULL &&
            cJSON_AddBoolToObject(o, "kept", m->kept) != NULL;
  for (int i = 0; i < m->count && ok; ++i) {
    cJSON *l = cJSON_AddObjectToObject(o, m->list[i].key);
    ok = l != NULL && cJSON_AddStringToObject(l, "unit", m->list[i].unit) != NULL;
    add_figure(l, "one_thread", m->list[i].one, &ok);
    add_figure(l, "all_threads", m->list[i].all, &ok);
  }
  char *text = ok ? json_text(o) : NULL;
  cJSON_Delete(o);
  if (text == NULL) diag_fail(&app->diag, WN_ERR_NOMEM, "no memory for the report");
  puts(text);
  cJSON_free(text);
}

static const char *limit_text(cli *app, double value) {
  if (!(value > 0)) return NULL;
  return arena_printf(&app->arena, value < 1000 ? "%.1f" : "%.0f", value);
}

/* A device has no figures of one thread. */
static void print_table(cli *app, const measured *m, bool one_thread) {
  const char *all = arena_printf(&app->arena, one_thread ? "all %d" : "%d units", m->threads);
  const table_column columns[] = {{"limit", true, BEST_NONE, 0},
                                  {"", true, BEST_NONE, 0},
                                  {all, false, BEST_NONE, 0},
                                  {"one thread", false, BEST_NONE, 0}};
  table t;
  table_init(&t, &app->arena, columns, one_thread ? 4 : 3);
  for (int i = 0; i < m->count; ++i) {
    table_row *row = table_add(&t);
    row->cells[0].text = m->list[i].name;
    row->cells[1].text = m->list[i].unit;
    row->cells[2].text = limit_text(app, m->list[i].all);
    row->cells[3].text = limit_text(app, m->list[i].one);
  }
  report_style style = app_style(app);
  printf("%s  %s\n", m->backend, m->device);
  table_print(&t, stdout, style.color, style.width);
}

static void show(cli *app, const measured *m, bool first) {
  if (app->opt.json) {
    print_json(app, m);
    return;
  }
  if (!first) puts("");
  print_table(app, m, registry_backend(m->backend)->in_place);
  if (!m->kept) app_warn(app, "the limits could not be kept: auto goes on guessing them");
}

int devices_of(cli *app, const char *name, const char **specs, int most, const char **why) {
  const device_info *list = NULL;
  *why = NULL;
  int count = runtime_devices(&app->diag, &app->arena, name, &list, why);
  for (int i = 0; i < count && i < most; ++i)
    specs[i] = arena_printf(&app->arena, "%s:%s", name, list[i].spec);
  return count < most ? count : most;
}

/* One device that fails does not keep the others from being measured. */
static void measure_devices(cli *app, const char *name) {
  const char *specs[DEVICES_MOST], *why;
  int count = devices_of(app, name, specs, DEVICES_MOST, &why);
  for (int i = 0; i < count; ++i) {
    measured m;
    if (measure(app, specs[i], &m) == WN_OK)
      show(app, &m, false);
    else
      app_warn(app,
               arena_printf(&app->arena, "%s was not measured: %s", specs[i], app->diag.message));
  }
}

void devices_measure(cli *app) {
  measured m;
  const char *only = app->opt.backend;
  if (registry_backend(only)->reference)
    diag_fail(&app->diag, WN_ERR_USAGE, "the interpreter has no limits to be measured");
  wn_status status = measure(app, only != NULL ? only : registry_default()->name, &m);
  if (status != WN_OK)
    diag_fail(&app->diag, status, "%s", arena_strdup(&app->arena, app->diag.message));
  show(app, &m, true);
  for (int i = 0; i < registry_count() && only == NULL; ++i)
    if (registry_row(i)->backend->list != NULL) measure_devices(app, registry_row(i)->name);
}
