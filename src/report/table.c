/* Two passes: widths and best values, then lines. Without colour the best value of a column carries
 * a '*', for which every competing column keeps a place. */
#include "report/table.h"

#include <math.h>

#define GAP 2

void table_init(table *t, arena *a, const table_column *columns, int count) {
  WN_CHECK(count <= TABLE_MAX_COLUMNS, "a table of %d columns", count);
  memset(t, 0, sizeof *t);
  t->arena = a;
  t->columns = columns;
  t->column_count = count;
}

table_row *table_add(table *t) {
  table_row *row = arena_new(t->arena, table_row);
  for (int c = 0; c < t->column_count; ++c) row->cells[c].value = NAN;
  vec_push(t->arena, &t->rows, row);
  return row;
}

int table_text_width(const char *text) {
  int width = 0;
  for (const char *s = text; *s; ++s) {
    if (*s == '\033') {
      while (*s && *s != 'm') ++s;
      if (!*s) break;
    } else if (((unsigned char)*s & 0xc0u) != 0x80u) {
      ++width;
    }
  }
  return width;
}

typedef struct layout {
  int width[TABLE_MAX_COLUMNS]; /* 0: dropped */
  double best[TABLE_MAX_COLUMNS];
  bool color;
} layout;

/* The best value, or NAN where all that compete are equal. */
static double find_best(const table *t, int c) {
  double low = INFINITY, high = -INFINITY;
  for (size_t r = 0; r < t->rows.len; ++r) {
    double v = t->rows.data[r]->cells[c].value;
    if (isnan(v)) continue;
    low = fmin(low, v);
    high = fmax(high, v);
  }
  if (!(low < high)) return NAN;
  return t->columns[c].best == BEST_LOW ? low : high;
}

static int total_width(const table *t, const layout *l) {
  int total = 0;
  for (int c = 0; c < t->column_count; ++c)
    if (l->width[c]) total += l->width[c] + GAP;
  return total - GAP;
}

static void measure(const table *t, layout *l, int width) {
  for (int c = 0; c < t->column_count; ++c) {
    int mark = t->columns[c].best != BEST_NONE && !l->color, used = 0;
    l->best[c] = t->columns[c].best == BEST_NONE ? NAN : find_best(t, c);
    l->width[c] = table_text_width(t->columns[c].title) + mark;
    for (size_t r = 0; r < t->rows.len; ++r) {
      const char *text = t->rows.data[r]->cells[c].text;
      if (text == NULL || !*text) continue;
      int w = table_text_width(text) + mark;
      if (w > l->width[c]) l->width[c] = w;
      ++used;
    }
    if (!used && t->columns[c].expendable) l->width[c] = 0;
  }
  while (width > 0 && total_width(t, l) > width) {
    int drop = -1;
    for (int c = 0; c < t->column_count; ++c)
      if (l->width[c] && t->columns[c].expendable &&
          (drop < 0 || t->columns[c].expendable > t->columns[drop].expendable))
        drop = c;
    if (drop < 0) break;
    l->width[drop] = 0;
  }
}

/* One line: `text` of each column, padded; the last column is not padded on its right. */
typedef struct line {
  str s;
  int owed; /* blanks not yet written */
} line;

static void line_put(line *l, const char *text, int width, bool left) {
  int pad = width - table_text_width(text);
  if (pad < 0) pad = 0;
  if (!left) l->owed += pad;
  if (*text) {
    str_printf(&l->s, "%*s%s", l->owed, "", text);
    l->owed = 0;
  }
  if (left) l->owed += pad;
  l->owed += GAP;
}

static const char *tone_start(table_tone tone) {
  return tone == TONE_BAD ? "\033[31m" : tone == TONE_FAINT ? "\033[2m" : "";
}

static const char *cell_text(const table *t, const layout *l, const table_row *row, int c) {
  const char *text = row->cells[c].text != NULL ? row->cells[c].text : "";
  if (t->columns[c].best == BEST_NONE || !*text) return text;
  bool best = row->cells[c].value == l->best[c];
  if (!l->color) return arena_printf(t->arena, "%s%s", text, best ? "*" : " ");
  return best ? arena_printf(t->arena, "\033[1;32m%s\033[0m%s", text, tone_start(row->tone)) : text;
}

static void print_row(const table *t, const layout *l, const table_row *row, FILE *out) {
  line text = {.owed = 0};
  str_init(&text.s, t->arena);
  for (int c = 0; c < t->column_count; ++c)
    if (l->width[c]) line_put(&text, cell_text(t, l, row, c), l->width[c], t->columns[c].left);
  const char *start = l->color ? tone_start(row->tone) : "";
  fprintf(out, "%s%s%s\n", start, str_text(&text.s), *start ? "\033[0m" : "");
  if (row->note != NULL) fprintf(out, "%s    %s%s\n", start, row->note, *start ? "\033[0m" : "");
}

void table_print(const table *t, FILE *out, bool color, int width) {
  layout l = {.color = color};
  measure(t, &l, width);
  line head = {.owed = 0};
  str_init(&head.s, t->arena);
  for (int c = 0; c < t->column_count; ++c) {
    if (!l.width[c]) continue;
    bool mark = t->columns[c].best != BEST_NONE && !color;
    const char *title =
        mark ? arena_printf(t->arena, "%s ", t->columns[c].title) : t->columns[c].title;
    line_put(&head, title, l.width[c], t->columns[c].left);
  }
  fprintf(out, "%s%s%s\n", color ? "\033[1;4m" : "", str_text(&head.s), color ? "\033[0m" : "");
  for (size_t r = 0; r < t->rows.len; ++r) print_row(t, &l, t->rows.data[r], out);
}
