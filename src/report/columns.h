/* Records as JSON and CSV: one list of columns says what both print, so their keys and order cannot differ.
 *
 * In: a list of columns and a record. Out: an object or a line. Always holds: what is not known (a text NULL, a count of -1,
 * a real NAN) is null, or nothing. */
#ifndef WN_REPORT_COLUMNS_H
#define WN_REPORT_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef enum column_kind { TEXT, COUNT, FLAG, REAL, BYTES } column_kind;

typedef struct column {
  const char *key;
  column_kind kind;
  size_t offset; /* of the field: const char *, int, bool, double, double */
} column;

bool columns_json(FILE *out, const column *list, size_t count, const void *record);
void columns_csv_header(FILE *out, const column *list, size_t count);
void columns_csv(FILE *out, const column *list, size_t count, const void *record);

#endif
