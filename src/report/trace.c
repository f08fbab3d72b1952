/* An event is built, printed and deleted before the next one, so that a trace of any length takes the
 * memory of one event. */
#include "report/trace.h"

#include <math.h>

#include <cjson/cJSON.h>

#include "report/columns.h"
#include "report/site_rows.h"

enum { TRACK_ONCE = 1, TRACK_RUN };

typedef struct tracer {
  FILE *out;
  bool any, ok;
} tracer;

static const column kernel_args[] = {
    {"computes", TEXT, offsetof(report_kernel, stage)},
    {"loops", TEXT, offsetof(report_kernel, loops)},
    {"flops", BYTES, offsetof(report_kernel, flops)},
    {"bytes", BYTES, offsetof(report_kernel, bytes)},
    {"source_lines", COUNT, offsetof(report_kernel, source_lines)},
    {"registers", COUNT, offsetof(report_kernel, registers)},
    {"spills", COUNT, offsetof(report_kernel, spills)},
    {"fallback", TEXT, offsetof(report_kernel, fallback)},
};

static bool add_text(cJSON *o, const char *key, const char *text) {
  return text == NULL || cJSON_AddStringToObject(o, key, text) != NULL;
}

static bool add_number(cJSON *o, const char *key, double v) {
  return !isfinite(v) || cJSON_AddNumberToObject(o, key, v) != NULL;
}

static cJSON *event(tracer *t, const char *phase, const char *name, int pid, int tid) {
  cJSON *e = t->ok ? cJSON_CreateObject() : NULL;
  t->ok = e != NULL && add_text(e, "ph", phase) && add_text(e, "name", name) &&
          add_number(e, "pid", pid) && add_number(e, "tid", tid);
  return e;
}

/* Prints and deletes the event. */
static void emit(tracer *t, cJSON *e) {
  char *text = t->ok ? json_text(e) : NULL;
  cJSON_Delete(e);
  t->ok = text != NULL;
  if (text == NULL) return;
  fprintf(t->out, "%s\n%s", t->any ? "," : "", text);
  t->any = true;
  cJSON_free(text);
}

static cJSON *args_of(tracer *t, cJSON *e) {
  cJSON *args = t->ok ? cJSON_AddObjectToObject(e, "args") : NULL;
  t->ok = args != NULL;
  return args;
}

/* What is called process_name and the like: args with one value. */
static void label(tracer *t, const char *what, int pid, int tid, const char *text) {
  cJSON *e = event(t, "M", what, pid, tid), *args = args_of(t, e);
  t->ok = t->ok && add_text(args, "name", text);
  emit(t, e);
}

static void place(tracer *t, int pid, int position) {
  cJSON *e = event(t, "M", "process_sort_index", pid, 0), *args = args_of(t, e);
  t->ok = t->ok && add_number(args, "sort_index", position);
  emit(t, e);
}

/* A complete event that begins at `from`; returns where it ends. The caller adds args and emits. */
static cJSON *slice(tracer *t, const char *name, const char *category, int pid, int tid,
                    double *from, double us) {
  cJSON *e = event(t, "X", name, pid, tid);
  t->ok = t->ok && add_text(e, "cat", category) && add_number(e, "ts", *from) &&
          add_number(e, "dur", us);
  *from += us;
  return e;
}

static void trace_once(tracer *t, const report_set *set, const report_entry *entry, int pid) {
  const report_row *row = &entry->row;
  double at = 0;
  if (isfinite(row->schedule_ms)) {
    cJSON *e = slice(t, "schedule", "once", pid, TRACK_ONCE, &at, row->schedule_ms * 1e3);
    cJSON *args = args_of(t, e);
    t->ok =
        t->ok && add_text(args, "placement", row->placement) && add_text(args, "wino", row->wino);
    emit(t, e);
  }
  if (isfinite(row->compile_ms)) {
    cJSON *e = slice(t, "compile", "once", pid, TRACK_ONCE, &at, row->compile_ms * 1e3);
    cJSON *args = args_of(t, e);
    t->ok =
        t->ok && cJSON_AddBoolToObject(args, "cached", row->cached) != NULL &&
        add_number(args, "source_lines", row->source_lines < 0 ? (double)NAN : row->source_lines);
    emit(t, e);
  }
  if (isfinite(row->prepare_us)) {
    cJSON *e = slice(t, "prepare", "once", pid, TRACK_ONCE, &at, row->prepare_us);
    cJSON *args = args_of(t, e);
    cJSON *list = t->ok ? cJSON_AddArrayToObject(args, "kernels") : NULL;
    t->ok = list != NULL;
    for (int i = 0; t->ok && i < entry->launches; ++i) {
      const report_kernel *k = &set->kernels.data[entry->launch[i].kernel];
      cJSON *name = k->prepare ? cJSON_CreateString(k->name != NULL ? k->name : "") : NULL;
      t->ok = !k->prepare || (name != NULL && cJSON_AddItemToArray(list, name));
      if (!t->ok) cJSON_Delete(name);
    }
    emit(t, e);
  }
}

static void trace_run(tracer *t, const report_set *set, const report_entry *entry, int pid) {
  double at = 0;
  for (int i = 0; t->ok && i < entry->launches; ++i) {
    const report_kernel *k = &set->kernels.data[entry->launch[i].kernel];
    double us = entry->launch[i].median_us;
    if (k->prepare || !isfinite(us)) continue;
    cJSON *e = slice(t, k->name != NULL ? k->name : "kernel", "kernel", pid, TRACK_RUN, &at, us);
    cJSON *args = args_of(t, e);
    int site = entry->launch[i].site;
    bool known = site >= 0 && site < entry->row.site_count;
    t->ok =
        t->ok &&
        add_text(args, "site",
                 known ? report_site_text(set->arena, &entry->row.site[site], WN_MAX_NAME) : NULL);
    t->ok = t->ok && columns_add(args, kernel_args, sizeof kernel_args / sizeof *kernel_args, k) &&
            add_number(args, "gflops", k->flops / us * 1e-3) &&
            add_number(args, "gbytes_per_second", k->bytes / us * 1e-3);
    emit(t, e);
  }
}

/* Why nothing, or not what was asked for, ran: a mark at the beginning. */
static void trace_reason(tracer *t, const char *what, const char *reason, int pid) {
  if (reason == NULL) return;
  cJSON *e = event(t, "i", what, pid, TRACK_RUN);
  t->ok = t->ok && add_text(e, "s", "p") && add_number(e, "ts", 0);
  cJSON *args = args_of(t, e);
  t->ok = t->ok && add_text(args, "reason", reason);
  emit(t, e);
}

static void trace_entry(tracer *t, const report_set *set, int index) {
  const report_entry *entry = &set->entries.data[index];
  const report_row *row = &entry->row;
  int pid = index + 1;
  const char *name = arena_printf(set->arena, "%s  %s", row->plan != NULL ? row->plan : "",
                                  row->problem != NULL ? row->problem : "");
  label(t, "process_name", pid, 0, name);
  place(t, pid, index);
  label(t, "thread_name", pid, TRACK_ONCE, "once");
  label(t, "thread_name", pid, TRACK_RUN, "run");
  trace_once(t, set, entry, pid);
  trace_run(t, set, entry, pid);
  trace_reason(t, "refused", row->refused, pid);
  trace_reason(t, row->stopped ? "stopped by --strict" : "fell back", row->fallback, pid);
}

bool report_trace(FILE *out, const report_set *set) {
  tracer t = {.out = out, .ok = true};
  cJSON *about = cJSON_CreateObject();
  t.ok = about != NULL && add_text(about, "command", set->line) &&
         add_text(about, "date", set->date) && add_text(about, "version", set->version) &&
         add_text(about, "compiler", set->compiler) && add_text(about, "system", set->system) &&
         (!set->entries.len || add_text(about, "device", set->entries.data[0].row.device));
  char *text = t.ok ? json_text(about) : NULL;
  cJSON_Delete(about);
  if (text == NULL) return false;
  fprintf(out, "{\"displayTimeUnit\":\"ns\",\"otherData\":%s,\"traceEvents\":[", text);
  cJSON_free(text);
  for (size_t i = 0; t.ok && i < set->entries.len; ++i) trace_entry(&t, set, (int)i);
  fprintf(out, "\n]}\n");
  return t.ok;
}
