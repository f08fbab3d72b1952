/* A table of text for a person: aligned columns, the best value of each marked, columns dropped to
 * fit a width. */
#ifndef WN_REPORT_TABLE_H
#define WN_REPORT_TABLE_H

#include <stdio.h>

#include "base/mem.h"

#define TABLE_MAX_COLUMNS 24

typedef enum table_best { BEST_NONE, BEST_LOW, BEST_HIGH } table_best;
typedef enum table_tone { TONE_PLAIN, TONE_BAD, TONE_FAINT } table_tone;

typedef struct table_column {
  const char *title;
  bool left;
  table_best best;
  int expendable; /* 0: always there; where width is short the highest go first */
} table_column;

typedef struct table_cell {
  const char *text; /* may hold colours; NULL is blank */
  double value;     /* for the best; NAN takes no part */
} table_cell;

typedef struct table_row {
  table_cell cells[TABLE_MAX_COLUMNS];
  table_tone tone;
  const char *note; /* printed below, indented; NULL: none */
} table_row;

typedef struct table {
  arena *arena;
  const table_column *columns; /* borrowed */
  int column_count;
  VEC(table_row *) rows;
} table;

void table_init(table *t, arena *a, const table_column *columns, int count);
table_row *table_add(table *t);
void table_print(const table *t, FILE *out, bool color, int width);
/* Columns that text takes on a terminal: UTF-8 counted once, colours not at all. */
int table_text_width(const char *text);

#endif
