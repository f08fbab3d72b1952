/* Records as JSON and CSV: one list of columns says what both print, so their keys and order cannot differ.
 *
 * In: a list of columns and a record. Out: an object or a line, and a record from an object. Always holds: what is not
 * known (a text NULL, a count or an answer of -1, a real NAN) is null, or nothing. */
#ifndef WN_REPORT_COLUMNS_H
#define WN_REPORT_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <cjson/cJSON.h>

#include "base/mem.h"

typedef enum column_kind { TEXT, COUNT, FLAG, ANSWER, REAL, BYTES } column_kind;

typedef struct column {
  const char *key;
  column_kind kind;
  size_t offset; /* of the field: const char *, int, bool, int (1 yes, 0 no), double, double */
} column;

bool columns_json(FILE *out, const column *list, size_t count, const void *record);
/* The same with arrays of further records behind the columns. */
typedef struct column_array {
  const char *key;
  const column *list;
  size_t columns;
  const void *records;
  size_t count, size; /* of a record */
} column_array;
bool columns_json_with(FILE *out, const column *list, size_t count, const void *record,
                       const column_array *arrays, size_t narrays);
/* Adds a key for each column; false: no memory. */
bool columns_add(cJSON *object, const column *list, size_t count, const void *record);
struct report_row;
/* The keys that --json prints of a row, but for its kernels; false: no memory. */
bool report_row_add(cJSON *object, const struct report_row *row);
/* Its sites, as an array under the key "sites"; false: no memory. */
bool report_add_sites(cJSON *object, const struct report_row *row);
/* The inverse of columns_add, into a record of unknowns; texts are copied. False: a key is missing or of another kind.
 * */
bool columns_read(const cJSON *object, const column *list, size_t count, arena *a, void *record);
/* Every field unknown, flags false. */
void columns_unknown(const column *list, size_t count, void *record);
void columns_csv_header(FILE *out, const column *list, size_t count);
void columns_csv(FILE *out, const column *list, size_t count, const void *record);

#endif
