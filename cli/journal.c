/* Records as JSON arrays of rows, as report_keep writes them, under KEY and a number. See journal.h. */
#include "journal.h"

#define STORE_PROGRESS "progress"

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
  if (!text) return 0;
  cJSON *array = json_read(text, size);
  DIAG_TRY(a->diag, status) { count = read_rows(array, a, rows, most); }
  DIAG_END(a->diag, status)
  cJSON_Delete(array);
  if (status != WN_OK) diag_fail(a->diag, status, "no memory for rows that were measured before");
  if (count > 0) ++j->records;
  return count;
}

void journal_write(journal *j, arena *a, const report_row *rows, const int *numbers, int count) {
  if (!j->store) return;
  const char *key = record_key(j, a, j->records);
  cJSON *array = cJSON_CreateArray();
  bool ok = array != NULL;
  for (int i = 0; ok && i < count; ++i) {
    cJSON *row = report_keep(&rows[numbers[i]]);
    ok = row && cJSON_AddItemToArray(array, row);
    if (!ok) cJSON_Delete(row);
  }
  char *text = ok ? json_text(array) : NULL;
  cJSON_Delete(array);
  if (!text) diag_fail(a->diag, WN_ERR_NOMEM, "no memory to keep what was measured");
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
