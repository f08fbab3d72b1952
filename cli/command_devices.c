/* `winnow devices`: a backend is here if it compiles and runs the smallest convolution. */
#include <cjson/cJSON.h>

#include "device_limits.h"
#include "report/table.h"
#include "backend/registry.h"

typedef struct device {
  const char *backend, *compiler, *device, *isa, *problem;
  int threads;
} device;

static device probe(cli *app, const char *name) {
  device found = {.backend = name};
  float x[16] = {0}, w[9] = {0}, y[16];
  void *out = y;
  wn_context *ctx;
  wn_program *program = NULL;
  wn_program_info info = WN_PROGRAM_INFO();
  if (wn_context_create(&ctx) != WN_OK)
    diag_fail(&app->diag, WN_ERR_NOMEM, "no memory for a context");
  wn_tensor *picture = wn_input(ctx, WN_F32, 4, (int64_t[]){1, 1, 4, 4}, x);
  wn_tensor *filter = wn_constant(ctx, WN_F32, 4, (int64_t[]){1, 1, 3, 3}, w);
  wn_tensor *result = wn_conv(picture, filter, &WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1}));
  wn_options o = WN_OPTIONS(.plan = "direct", .backend = name, .strict = 1);
  wn_status status = wn_compile(ctx, &result, &out, 1, &o, &program);
  if (status == WN_OK) status = wn_run(program);
  if (status == WN_OK) status = wn_program_get_info(program, &info);
  if (status == WN_OK) {
    found.device = arena_strdup(&app->arena, info.device != NULL ? info.device : "");
    found.isa = arena_strdup(&app->arena, info.isa != NULL ? info.isa : "");
    found.compiler = registry_backend(info.backend)->compiler;
    found.threads = info.threads;
  } else {
    const char *why = program != NULL ? wn_program_message(program) : "";
    found.problem = arena_strdup(&app->arena, *why ? why : wn_message(ctx));
  }
  if (program != NULL) wn_program_destroy(program);
  wn_context_destroy(ctx);
  if (status == WN_ERR_USAGE) diag_fail(&app->diag, status, "%s", found.problem);
  return found;
}

static void print_json(cli *app, const device *d) {
  cJSON *o = cJSON_CreateObject();
  bool ok = o != NULL && cJSON_AddStringToObject(o, "backend", d->backend) != NULL &&
            cJSON_AddBoolToObject(o, "available", d->problem == NULL);
  if (d->problem != NULL)
    ok = ok && cJSON_AddNullToObject(o, "device") != NULL &&
         cJSON_AddNullToObject(o, "isa") != NULL && cJSON_AddNullToObject(o, "threads") != NULL &&
         cJSON_AddStringToObject(o, "reason", d->problem) != NULL;
  else
    ok = ok && cJSON_AddStringToObject(o, "device", d->device) != NULL &&
         cJSON_AddStringToObject(o, "isa", d->isa) != NULL &&
         cJSON_AddNumberToObject(o, "threads", d->threads) != NULL &&
         cJSON_AddNullToObject(o, "reason") != NULL;
  char *text = ok ? json_text(o) : NULL;
  cJSON_Delete(o);
  if (text == NULL) diag_fail(&app->diag, WN_ERR_NOMEM, "no memory for the report");
  puts(text);
  cJSON_free(text);
}

static void show(cli *app, table *t, const device *d) {
  if (app->opt.json) {
    print_json(app, d);
    return;
  }
  table_row *row = table_add(t);
  row->cells[0].text = d->backend;
  row->cells[1].text = d->compiler;
  row->cells[2].text = d->isa;
  row->cells[3].text = d->problem != NULL ? NULL : arena_printf(&app->arena, "%d", d->threads);
  row->cells[4].text = d->device;
  row->tone = d->problem != NULL ? TONE_FAINT : TONE_PLAIN;
  if (d->problem != NULL) row->note = arena_printf(&app->arena, "not here: %s", d->problem);
}

static void show_backend(cli *app, table *t, const char *name) {
  device d = probe(app, name);
  show(app, t, &d);
}

static void show_devices(cli *app, table *t, const char *name) {
  const char *specs[DEVICES_MOST], *why;
  int count = devices_of(app, name, specs, DEVICES_MOST, &why);
  for (int i = 0; i < count; ++i) show_backend(app, t, specs[i]);
  device none = {.backend = name, .problem = why};
  if (count == 0) show(app, t, &none);
}

void command_devices(cli *app) {
  if (app->opt.measure) {
    devices_measure(app);
    return;
  }
  static const table_column columns[] = {
      {"backend", true, BEST_NONE, 0}, {"compiler", true, BEST_NONE, 1},
      {"isa", true, BEST_NONE, 0},     {"threads", false, BEST_NONE, 0},
      {"device", true, BEST_NONE, 0},
  };
  table t;
  table_init(&t, &app->arena, columns, (int)(sizeof columns / sizeof *columns));
  const char *only = app->opt.backend;
  for (int i = 0; i < registry_count() && only == NULL; ++i) {
    const backend_row *row = registry_row(i);
    if (row->backend->list != NULL)
      show_devices(app, &t, row->name);
    else
      show_backend(app, &t, row->name);
  }
  if (only != NULL) show_backend(app, &t, only);
  report_style style = app_style(app);
  if (!app->opt.json) table_print(&t, stdout, style.color, style.width);
}
