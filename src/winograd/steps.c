/* A matrix as a straight line of fused multiply-adds.
 *
 * In: rows x cols, exact. Out: steps value = k * value[a] + value[b] whose results are the rows
 * applied to the inputs.
 * Rule: while two columns a, b have the same ratio in several rows, k * a + b becomes a value of
 * its own, the most frequent first (greedy common subexpressions; Potkonjak et al., "Multiple
 * constant multiplications", 1996). Rows for +p and -p have their even entries in equal and their
 * odd entries in opposite ratios, so this finds their two shared halves; the columns of A^T for +p
 * and -p give sums and differences in the same way. Then every row is a chain that starts at an
 * entry 1, or at a product, which rows share where they can.
 * Always holds: a step is one fused multiply-add, addition or product; the steps were checked
 * against the matrix. */
#include <math.h>

#include "winograd/algebra.h"

enum { MAX_VALUES = 320 };

typedef struct straight_line {
  int rows, cols, values; /* inputs and steps */
  double *entry;          /* [rows][MAX_VALUES]: what of each value is still to be added to a row */
  wino_step *step;        /* of values cols.. */
} straight_line;

static double *at(const straight_line *p, int row, int value) {
  return p->entry + row * MAX_VALUES + value;
}

/* Entries are small fractions: doubles nearer than this are equal. */
static bool near(double x, double y) { return fabs(x - y) <= 1e-12 * fabs(x); }

static int add_step(straight_line *p, double k, int a, int b) {
  WN_CHECK(p->values < MAX_VALUES, "more than %d values in one transform", MAX_VALUES);
  p->step[p->values] = (wino_step){k, a, b};
  return p->values++;
}

typedef struct pair {
  int a, b, uses, units;
  /* entry(a) = ratio * entry(b) in `uses` rows, with entry(b) = 1 in `units` of them */
  double ratio;
} pair;

static bool better(const pair *x, const pair *y) {
  return x->uses != y->uses ? x->uses > y->uses : x->units > y->units;
}

/* The best ratio between columns a and b that starts in some row. */
static void look_at(const straight_line *p, int a, int b, pair *best) {
  for (int row = 0; row < p->rows; ++row) {
    double ea = *at(p, row, a), eb = *at(p, row, b);
    if (ea == 0 || eb == 0) continue;
    pair found = {a, b, 1, eb == 1, ea / eb};
    for (int other = row + 1; other < p->rows; ++other) {
      double fa = *at(p, other, a), fb = *at(p, other, b);
      if (fa == 0 || fb == 0 || !near(fa, found.ratio * fb)) continue;
      ++found.uses;
      found.units += fb == 1;
    }
    if (found.uses > 1 && better(&found, best)) *best = found;
  }
}

/* Order in which candidates are met: of equally good ones the first wins. */
typedef enum { UPWARDS, DOWNWARDS, ORDERS } search_order;

static pair find_pair(const straight_line *p, search_order order) {
  pair best = {0};
  int live[MAX_VALUES], n = 0; /* values that two rows or more still need */
  for (int v = 0; v < p->values; ++v) {
    int rows = 0;
    for (int row = 0; row < p->rows; ++row) rows += *at(p, row, v) != 0;
    if (rows > 1) live[n++] = v;
  }
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < i; ++j) {
      int high = live[order == UPWARDS ? i : n - 1 - j],
          low = live[order == UPWARDS ? j : n - 1 - i];
      look_at(p, low, high, &best);
      look_at(p, high, low, &best);
    }
  }
  return best;
}

static void share_pairs(straight_line *p, search_order order) {
  for (pair c = find_pair(p, order); c.uses > 1; c = find_pair(p, order)) {
    int value = add_step(p, c.ratio, c.a, c.b);
    for (int row = 0; row < p->rows; ++row) {
      double *ea = at(p, row, c.a), *eb = at(p, row, c.b);
      if (*ea == 0 || *eb == 0 || !near(*ea, c.ratio * *eb)) continue;
      *at(p, row, value) = *eb;
      *ea = *eb = 0;
    }
  }
}

static bool has_unit(const straight_line *p, int row) {
  for (int v = 0; v < p->values; ++v) {
    if (*at(p, row, v) == 1) return true;
  }
  return false;
}

/* Rows without an entry 1 need one product k * value; the one that serves most rows first. */
static void share_products(straight_line *p) {
  for (;;) {
    int best_value = -1, most = 0;
    double best_k = 0;
    for (int row = 0; row < p->rows; ++row) {
      if (has_unit(p, row)) continue;
      for (int v = 0; v < p->values; ++v) {
        double k = *at(p, row, v);
        int uses = 0;
        for (int other = 0; k != 0 && other < p->rows; ++other) {
          uses += !has_unit(p, other) && near(*at(p, other, v), k);
        }
        if (uses > most) {
          most = uses;
          best_value = v;
          best_k = k;
        }
      }
    }
    if (most == 0) return;
    int product = add_step(p, best_k, best_value, -1);
    for (int row = 0; row < p->rows; ++row) {
      if (!near(*at(p, row, best_value), best_k) || has_unit(p, row)) continue;
      *at(p, row, best_value) = 0;
      *at(p, row, product) = 1;
    }
  }
}

/* Every row's remaining entries as one chain. result[row]: its value, -1 for a row of zeros. */
static void chain_rows(straight_line *p, int *result) {
  for (int row = 0; row < p->rows; ++row) {
    int sum = -1, values = p->values;
    for (int v = 0; v < values && sum < 0; ++v) {
      if (*at(p, row, v) == 1) sum = v;
    }
    int start = sum;
    for (int v = 0; v < values; ++v) {
      double k = *at(p, row, v);
      if (k != 0 && v != start) sum = add_step(p, k, v, sum);
    }
    result[row] = sum;
  }
}

static straight_line attempt(arena *a, const rational *matrix, int rows, int cols,
                             search_order order, int *result) {
  straight_line p = {.rows = rows, .cols = cols, .values = cols};
  p.entry = arena_array(a, double, rows *MAX_VALUES);
  p.step = arena_array(a, wino_step, MAX_VALUES);
  for (int row = 0; row < rows; ++row) {
    for (int col = 0; col < cols; ++col) *at(&p, row, col) = rat_double(matrix[row * cols + col]);
  }
  share_pairs(&p, order);
  share_products(&p);
  chain_rows(&p, result);
  return p;
}

/* Applies the steps to each unit vector. */
static void verify(const wino_steps *s, const rational *matrix) {
  double value[MAX_VALUES];
  for (int col = 0; col < s->cols; ++col) {
    for (int i = 0; i < s->cols; ++i) value[i] = i == col;
    for (int i = 0; i < s->count; ++i) {
      const wino_step *step = &s->step[i];
      value[s->cols + i] = step->k * value[step->a] + (step->b < 0 ? 0 : value[step->b]);
    }
    for (int row = 0; row < s->rows; ++row) {
      double want = rat_double(matrix[row * s->cols + col]);
      double have = s->result[row] < 0 ? 0 : value[s->result[row]];
      WN_CHECK(fabs(have - want) <= 1e-9 * (1 + fabs(want)), "steps of a transform give %g, not %g",
               have, want);
    }
  }
}

const wino_steps *wino_steps_build(arena *a, const rational *matrix, int rows, int cols) {
  arena scratch;
  arena_init(&scratch, a->diag);
  wino_steps *s = arena_new(a, wino_steps);
  s->rows = rows;
  s->cols = cols;
  s->result = arena_array(a, int, rows);
  s->count = MAX_VALUES;
  wn_status st;
  DIAG_TRY(a->diag, st) {
    int *result = arena_array(&scratch, int, rows);
    for (int order = 0; order < ORDERS; ++order) {
      straight_line p = attempt(&scratch, matrix, rows, cols, (search_order)order, result);
      if (p.values - cols >= s->count) continue;
      s->count = p.values - cols;
      s->step = arena_copy(a, p.step + cols, sizeof(wino_step) * (size_t)s->count);
      memcpy(s->result, result, sizeof(int) * (size_t)rows);
    }
  }
  DIAG_END(a->diag, st)
  arena_release(&scratch);
  if (st != WN_OK) diag_fail(a->diag, st, "%s", arena_strdup(a, a->diag->message));
  verify(s, matrix);
  return s;
}
