/* Records as JSON arrays of rows, as report_keep writes them, under KEY and a number. See journal.h. */
#include "journal.h"

#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map.h"

#define STORE_PROGRESS "progress"

/* --- keys ------------------------------------------------------------------------------------- */

static uint64_t hash_floats(const float *v, int64_t count, uint64_t seed) {
  return v != NULL ? hash_bytes(v, (size_t)count * sizeof *v, seed) : seed;
}

const char *journal_key(const job *j, const report_row *r, const plan_spec *specs, int count) {
  const options *o = &j->app->opt;
  const problem *p = &j->problem;
  uint64_t data = hash_floats(j->x, p->in_count, 1), plans = 1;
  data = hash_floats(j->w, p->weight_count, data);
  data = hash_floats(j->bias, p->oc, data);
  data = hash_floats(j->residual, p->out_count, data);
  for (int i = 0; i < count; ++i) {
    plans = hash_bytes(specs[i].plan, strlen(specs[i].plan), plans);
    const char *wino = specs[i].wino != NULL ? specs[i].wino : "";
    plans = hash_bytes(wino, strlen(wino), plans);
  }
  str key;
  str_init(&key, &j->app->arena);
  str_printf(&key, "compare %s\ndata %016" PRIx64 " plans %016" PRIx64 " %d\n", p->text, data,
             plans, count);
  str_printf(&key, "backend %s, %s, isa %s, threads %d, math %s, weights %s\n", r->backend,
             r->device != NULL ? r->device : "", r->isa != NULL ? r->isa : "", r->threads, r->math,
             r->weights);
  str_printf(&key, "layout %d, act %d, memory %zu, lines %d, runs %d, options %d%d%d%d\n", o->nhwc,
             (int)o->act, o->max_memory, o->max_lines, o->runs, o->no_merge, o->strict, o->untuned,
             o->flush_subnormals);
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  struct stat self = {0};
  if (stat("/proc/self/exe", &self) != 0) memset(&self, 0, sizeof self);
  str_printf(&key, "host %s, program %lld %lld\n", host, (long long)self.st_size,
             (long long)self.st_mtime);
  return str_text(&key);
}

/* --- records ---------------------------------------------------------------------------------- */

void journal_open(journal *j, cli *app, const char *key) {
  *j = (journal){.app = app, .store = store_open(&app->diag, app->opt.no_cache), .key = key};
}

void journal_close(journal *j) {
  store_close(j->store);
  j->store = NULL;
}

bool journal_is_on(const journal *j) { return j->store != NULL; }

static const char *record_key(const journal *j, arena *a, int record) {
  return arena_printf(a, "%s\nrecord %d", j->key, record);
}

static int read_rows(const cJSON *array, arena *a, report_row *rows, int most) {
  if (!cJSON_IsArray(array) || cJSON_GetArraySize(array) > most) return 0;
  const cJSON *item;
  int count = 0;
  cJSON_ArrayForEach(item, array) {
    if (!report_restore(item, a, &rows[count++])) return 0;
  }
  return count;
}

int journal_read(journal *j, arena *a, report_row *rows, int most) {
  const char *key = record_key(j, a, j->records);
  size_t size;
  volatile int count = 0;
  wn_status status;
  const char *text = store_get(j->store, a, STORE_PROGRESS, key, strlen(key), &size);
  if (text == NULL) return 0;
  cJSON *array = json_read(text, size);
  DIAG_TRY(a->diag, status) { count = read_rows(array, a, rows, most); }
  DIAG_END(a->diag, status)
  cJSON_Delete(array);
  if (status != WN_OK) diag_fail(a->diag, status, "no memory for rows that were measured before");
  if (count > 0) ++j->records;
  return count;
}

void journal_write(journal *j, arena *a, const report_row *rows, const int *numbers, int count) {
  if (j->store == NULL) return;
  const char *key = record_key(j, a, j->records);
  cJSON *array = cJSON_CreateArray();
  bool ok = array != NULL;
  for (int i = 0; ok && i < count; ++i) {
    cJSON *row = report_keep(&rows[numbers[i]]);
    ok = row != NULL && cJSON_AddItemToArray(array, row);
    if (!ok) cJSON_Delete(row);
  }
  char *text = ok ? json_text(array) : NULL;
  cJSON_Delete(array);
  if (text == NULL) diag_fail(a->diag, WN_ERR_NOMEM, "no memory to keep what was measured");
  if (store_put(j->store, STORE_PROGRESS, key, strlen(key), text, strlen(text))) ++j->records;
  cJSON_free(text);
}

void journal_drop(journal *j) {
  arena a;
  wn_status status;
  arena_init(&a, &j->app->diag);
  DIAG_TRY(&j->app->diag, status) {
    for (; j->records > 0; --j->records) {
      const char *key = record_key(j, &a, j->records - 1);
      store_remove(j->store, STORE_PROGRESS, key, strlen(key));
    }
  }
  DIAG_END(&j->app->diag, status)
  arena_release(&a);
  if (status != WN_OK) diag_fail(&j->app->diag, status, "no memory to drop what was measured");
}
