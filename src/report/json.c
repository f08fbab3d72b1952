/* One list of columns serves JSON and CSV, so their keys and order cannot differ. Figures keep six
 * digits. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "base/text.h"
#include "report/columns.h"
#include "report/report.h"
#include "report/site_rows.h"

#define ROW(kind, field) {#field, kind, offsetof(report_row, field)}
static const column columns[] = {
    ROW(TEXT, problem),
    ROW(TEXT, backend),
    ROW(TEXT, device),
    ROW(TEXT, isa),
    ROW(COUNT, threads),
    ROW(TEXT, version),
    ROW(TEXT, math),
    ROW(TEXT, weights),
    ROW(FLAG, flush_subnormals),
    ROW(TEXT, plan),
    ROW(TEXT, placement),
    ROW(TEXT, wino),
    ROW(FLAG, tuned),
    ROW(FLAG, cached),
    ROW(COUNT, kernels),
    ROW(COUNT, buffers),
    ROW(BYTES, workspace_bytes),
    ROW(REAL, prepare_us),
    ROW(REAL, median_us),
    ROW(REAL, min_us),
    ROW(REAL, predicted_us),
    ROW(REAL, schedule_ms),
    ROW(REAL, compile_ms),
    ROW(COUNT, source_lines),
    ROW(COUNT, registers),
    ROW(COUNT, spills),
    ROW(REAL, max_abs_err),
    ROW(REAL, rel_l2_err),
    ROW(REAL, rel_sum_err),
    ROW(FLAG, promise_missed),
    ROW(REAL, gflops_effective),
    ROW(REAL, gflops_executed),
    ROW(REAL, roofline_share),
    ROW(TEXT, fallback),
    ROW(TEXT, refused),
    ROW(TEXT, same_as),
    ROW(REAL, reference_us),
    ROW(BYTES, prepared_bytes),
    ROW(ANSWER, pareto),
};
#define COLUMNS (sizeof columns / sizeof *columns)
/* Of models, in JSON alone. */
static const column model_columns[] = {
    ROW(REAL, result_ms),     ROW(BYTES, arena_bytes),    ROW(BYTES, arena_least),
    ROW(BYTES, weight_bytes), ROW(BYTES, released_bytes), ROW(BYTES, own_peak_bytes),
};
#define MODEL_COLUMNS (sizeof model_columns / sizeof *model_columns)
/* What a row has besides, for rows that are kept between runs. */
static const column kept_columns[] = {
    ROW(TEXT, note),    ROW(TEXT, identity), ROW(FLAG, wrong),
    ROW(FLAG, stopped), ROW(REAL, promise),  ROW(REAL, sum_promise),
};
#undef ROW
#define KEPT_COLUMNS        (sizeof kept_columns / sizeof *kept_columns)

#define KERNEL(kind, field) {#field, kind, offsetof(report_kernel, field)}
static const column kernel_columns[] = {
    KERNEL(TEXT, name),       KERNEL(REAL, median_us), KERNEL(COUNT, source_lines),
    KERNEL(COUNT, registers), KERNEL(COUNT, spills),   KERNEL(BYTES, bytes),
    KERNEL(BYTES, flops),     KERNEL(COUNT, site),
};
#define KERNEL_COLUMNS (sizeof kernel_columns / sizeof *kernel_columns)
static const column kept_kernel_columns[] = {
    KERNEL(TEXT, loops),  KERNEL(TEXT, stage),   KERNEL(TEXT, fallback),
    KERNEL(TEXT, source), KERNEL(FLAG, prepare),
};
#undef KERNEL
#define KEPT_KERNEL_COLUMNS (sizeof kept_kernel_columns / sizeof *kept_kernel_columns)

void columns_unknown(const column *list, size_t count, void *record) {
  for (size_t i = 0; i < count; ++i) {
    void *field = (char *)record + list[i].offset;
    if (list[i].kind == COUNT || list[i].kind == ANSWER) *(int *)field = -1;
    if (list[i].kind == REAL || list[i].kind == BYTES) *(double *)field = NAN;
    if (list[i].kind == FLAG) *(bool *)field = false;
    if (list[i].kind == TEXT) *(const char **)field = NULL;
  }
}

void report_row_init(report_row *row) {
  memset(row, 0, sizeof *row);
  columns_unknown(columns, COLUMNS, row);
  columns_unknown(model_columns, MODEL_COLUMNS, row);
  columns_unknown(kept_columns, KEPT_COLUMNS, row);
}

static bool is_unknown(const column *c, const void *field) {
  switch (c->kind) {
    case TEXT:
      return *(const char *const *)field == NULL;
    case COUNT:
    case ANSWER:
      return *(const int *)field < 0;
    case FLAG:
      return false;
    default:
      return !isfinite(*(const double *)field);
  }
}

static void real_text(char *buf, size_t size, const column *c, double v) {
  text_format(buf, size, c->kind == BYTES ? "%.0f" : "%.6g", v);
}

static cJSON *value_of(const column *c, const void *record) {
  const void *field = (const char *)record + c->offset;
  char number[32];
  if (is_unknown(c, field)) return cJSON_CreateNull();
  switch (c->kind) {
    case TEXT:
      return cJSON_CreateString(*(const char *const *)field);
    case COUNT:
      return cJSON_CreateNumber(*(const int *)field);
    case FLAG:
      return cJSON_CreateBool(*(const bool *)field);
    case ANSWER:
      return cJSON_CreateBool(*(const int *)field != 0);
    default:
      real_text(number, sizeof number, c, *(const double *)field);
      return cJSON_CreateRaw(number);
  }
}

bool columns_add(cJSON *object, const column *list, size_t count, const void *record) {
  for (size_t i = 0; i < count; ++i) {
    cJSON *value = value_of(&list[i], record);
    if (value == NULL || !cJSON_AddItemToObject(object, list[i].key, value)) {
      cJSON_Delete(value);
      return false;
    }
  }
  return true;
}

bool report_row_add(cJSON *object, const report_row *row) {
  return columns_add(object, columns, COLUMNS, row);
}

/* Kernels of the run part, as `kernels` counts them; to keep a row, all of them and all of each. */
static bool add_kernels(cJSON *object, const report_row *row, bool keep) {
  cJSON *array = cJSON_AddArrayToObject(object, "kernel");
  for (int i = 0; array != NULL && i < row->kernel_count; ++i) {
    const report_kernel *k = &row->kernel[i];
    if (k->prepare && !keep) continue;
    cJSON *kernel = cJSON_CreateObject();
    bool ok = kernel != NULL && columns_add(kernel, kernel_columns, KERNEL_COLUMNS, k);
    if (ok && keep) ok = columns_add(kernel, kept_kernel_columns, KEPT_KERNEL_COLUMNS, k);
    if (!ok || !cJSON_AddItemToArray(array, kernel)) {
      cJSON_Delete(kernel);
      return false;
    }
  }
  return array != NULL;
}

char *json_text(const cJSON *value) {
  void *before = text_enter();
  char *text = cJSON_PrintUnformatted(value);
  text_leave(before);
  return text;
}

cJSON *json_read(const char *text, size_t size) {
  void *before = text_enter();
  cJSON *value = cJSON_ParseWithLength(text, size);
  text_leave(before);
  return value;
}

/* Prints and deletes the object; false where it is not whole. */
static bool print(FILE *out, cJSON *object, bool whole) {
  char *text = whole ? json_text(object) : NULL;
  cJSON_Delete(object);
  if (text == NULL) return false;
  fprintf(out, "%s\n", text);
  fflush(out);
  cJSON_free(text);
  return true;
}

static bool add_array(cJSON *object, const column_array *a) {
  cJSON *array = cJSON_AddArrayToObject(object, a->key);
  for (size_t i = 0; array != NULL && i < a->count; ++i) {
    cJSON *item = cJSON_CreateObject();
    if (item != NULL &&
        columns_add(item, a->list, a->columns, (const char *)a->records + i * a->size) &&
        cJSON_AddItemToArray(array, item))
      continue;
    cJSON_Delete(item);
    return false;
  }
  return array != NULL;
}

bool columns_json_with(FILE *out, const column *list, size_t count, const void *record,
                       const column_array *arrays, size_t narrays) {
  cJSON *object = cJSON_CreateObject();
  bool whole = object != NULL && columns_add(object, list, count, record);
  for (size_t i = 0; i < narrays && whole; ++i) whole = add_array(object, &arrays[i]);
  return print(out, object, whole);
}

bool columns_json(FILE *out, const column *list, size_t count, const void *record) {
  return columns_json_with(out, list, count, record, NULL, 0);
}

/* All that a program has, whether it is one or two hundred. */
bool report_add_sites(cJSON *object, const report_row *row) {
  const column_array sites = {"sites",   report_site_columns,     REPORT_SITE_COLUMNS,
                              row->site, (size_t)row->site_count, sizeof *row->site};
  return add_array(object, &sites);
}

bool report_json(FILE *out, const report_row *row) {
  cJSON *object = cJSON_CreateObject();
  return print(out, object,
               object != NULL && report_row_add(object, row) &&
                   columns_add(object, model_columns, MODEL_COLUMNS, row) &&
                   add_kernels(object, row, false) && report_add_sites(object, row));
}

/* --- keeping rows ----------------------------------------------------------------------------- */

static bool read_value(const column *c, const cJSON *value, arena *a, void *field) {
  if (value == NULL) return false;
  if (cJSON_IsNull(value)) return c->kind != FLAG;
  switch (c->kind) {
    case TEXT:
      if (cJSON_IsString(value)) *(const char **)field = arena_strdup(a, value->valuestring);
      return cJSON_IsString(value);
    case FLAG:
      *(bool *)field = cJSON_IsTrue(value);
      return cJSON_IsBool(value);
    case ANSWER:
      *(int *)field = cJSON_IsTrue(value);
      return cJSON_IsBool(value);
    case COUNT:
      if (cJSON_IsNumber(value)) *(int *)field = value->valueint;
      return cJSON_IsNumber(value);
    default:
      if (cJSON_IsNumber(value)) *(double *)field = value->valuedouble;
      return cJSON_IsNumber(value);
  }
}

bool columns_read(const cJSON *object, const column *list, size_t count, arena *a, void *record) {
  for (size_t i = 0; i < count; ++i) {
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, list[i].key);
    if (!read_value(&list[i], value, a, (char *)record + list[i].offset)) return false;
  }
  return true;
}

cJSON *report_keep(const report_row *row) {
  cJSON *object = cJSON_CreateObject();
  if (object != NULL && columns_add(object, columns, COLUMNS, row) &&
      columns_add(object, model_columns, MODEL_COLUMNS, row) &&
      columns_add(object, kept_columns, KEPT_COLUMNS, row) && add_kernels(object, row, true) &&
      report_add_sites(object, row))
    return object;
  cJSON_Delete(object);
  return NULL;
}

static bool restore_sites(const cJSON *array, arena *a, report_row *row) {
  const cJSON *item;
  if (!cJSON_IsArray(array)) return false;
  report_site *sites = arena_array(a, report_site, cJSON_GetArraySize(array) + 1);
  row->site = sites;
  cJSON_ArrayForEach(item, array) {
    report_site *s = &sites[row->site_count++];
    columns_unknown(report_site_columns, REPORT_SITE_COLUMNS, s);
    if (!columns_read(item, report_site_columns, REPORT_SITE_COLUMNS, a, s)) return false;
  }
  return true;
}

bool report_restore(const cJSON *object, arena *a, report_row *row) {
  report_row_init(row);
  const cJSON *array = cJSON_GetObjectItemCaseSensitive(object, "kernel"), *item;
  if (!columns_read(object, columns, COLUMNS, a, row) ||
      !columns_read(object, model_columns, MODEL_COLUMNS, a, row) ||
      !columns_read(object, kept_columns, KEPT_COLUMNS, a, row) || !cJSON_IsArray(array))
    return false;
  report_kernel *kernels = arena_array(a, report_kernel, cJSON_GetArraySize(array) + 1);
  row->kernel = kernels;
  cJSON_ArrayForEach(item, array) {
    report_kernel *k = &kernels[row->kernel_count++];
    columns_unknown(kernel_columns, KERNEL_COLUMNS, k);
    if (!columns_read(item, kernel_columns, KERNEL_COLUMNS, a, k) ||
        !columns_read(item, kept_kernel_columns, KEPT_KERNEL_COLUMNS, a, k))
      return false;
  }
  return restore_sites(cJSON_GetObjectItemCaseSensitive(object, "sites"), a, row);
}

void columns_csv_header(FILE *out, const column *list, size_t count) {
  for (size_t i = 0; i < count; ++i) fprintf(out, "%s%s", i ? "," : "", list[i].key);
  fputc('\n', out);
}

void report_csv_header(FILE *out) { columns_csv_header(out, columns, COLUMNS); }

/* RFC 4180: quoted where needed, quotes doubled. */
static void csv_text(FILE *out, const char *s) {
  if (strpbrk(s, ",\"\r\n") == NULL) {
    fputs(s, out);
    return;
  }
  fputc('"', out);
  for (; *s; ++s) {
    if (*s == '"') fputc('"', out);
    fputc(*s, out);
  }
  fputc('"', out);
}

void columns_csv(FILE *out, const column *list, size_t count, const void *record) {
  for (size_t i = 0; i < count; ++i) {
    const void *field = (const char *)record + list[i].offset;
    char number[32];
    if (i) fputc(',', out);
    if (is_unknown(&list[i], field)) continue;
    switch (list[i].kind) {
      case TEXT:
        csv_text(out, *(const char *const *)field);
        break;
      case COUNT:
        fprintf(out, "%d", *(const int *)field);
        break;
      case FLAG:
        fputs(*(const bool *)field ? "true" : "false", out);
        break;
      case ANSWER:
        fputs(*(const int *)field ? "true" : "false", out);
        break;
      default:
        real_text(number, sizeof number, &list[i], *(const double *)field);
        fputs(number, out);
    }
  }
  fputc('\n', out);
  fflush(out);
}

void report_csv(FILE *out, const report_row *row) { columns_csv(out, columns, COLUMNS, row); }
