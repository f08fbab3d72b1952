/* Operators that are products of matrices: MatMul, Gemm, Einsum.
 *
 * In: two operands or more. Out: sums of products over the axes that they share. */
#include "base/text.h"
#include "onnx/operators.h"
#include "tensor/tensor.h"

/* Vectors are rows on the left and columns on the right, and are taken away again behind. */
void op_matmul(op_call *c) {
  wn_tensor *a = op_in(c, 0), *b = op_in(c, 1);
  const bool row = wn_ndim(a) == 1, column = wn_ndim(b) == 1;
  int64_t shape[WN_MAX_DIMS];
  if (wn_ndim(a) < 1 || wn_ndim(b) < 1) op_fail(c, "an operand has no axes");
  if (row) a = op_reshape(c, a, 2, (int64_t[]){1, wn_shape(a)[0]});
  if (column) b = op_reshape(c, b, 2, (int64_t[]){wn_shape(b)[0], 1});
  wn_tensor *y = op_ok(c, wn_matmul(a, b));
  int n = 0;
  for (int i = 0; i < wn_ndim(y); ++i) {
    if ((row && i == wn_ndim(y) - 2) || (column && i == wn_ndim(y) - 1)) continue;
    shape[n++] = wn_shape(y)[i];
  }
  op_result(c, 0, op_reshape(c, y, n, shape));
}

static wn_tensor *scaled(op_call *c, wn_tensor *t, double factor) {
  return factor == 1 ? t : op_zip_number(c, WN_MUL, t, factor);
}

void op_gemm(op_call *c) {
  static const int swapped[] = {1, 0};
  wn_tensor *a = op_in(c, 0), *b = op_in(c, 1);
  if (wn_ndim(a) != 2 || wn_ndim(b) != 2)
    op_fail(c, "operands have %d and %d axes; 2 were expected", wn_ndim(a), wn_ndim(b));
  if (op_int(c, "transA", 0) != 0) a = op_permute(c, a, swapped);
  if (op_int(c, "transB", 0) != 0) b = op_permute(c, b, swapped);
  wn_tensor *y = scaled(c, op_ok(c, wn_matmul(a, b)), op_float(c, "alpha", 1));
  const double beta = op_float(c, "beta", 1);
  if (op_has(c, 2) && beta != 0) y = op_zip(c, WN_ADD, y, scaled(c, op_in(c, 2), beta));
  op_result(c, 0, y);
}

/* --- Einsum ----------------------------------------------------------------------------------- */

#define LABELS 64 /* letters, and axes of "..." behind them */
#define DOTS   52

typedef struct einsum {
  int64_t extent[LABELS]; /* 0: not there */
  int dots;               /* axes that "..." stands for, the most of any operand */
} einsum;

static int label_of(op_call *c, char letter) {
  if (letter >= 'a' && letter <= 'z') return letter - 'a';
  if (letter >= 'A' && letter <= 'Z') return 26 + letter - 'A';
  op_fail(c, "\"%c\" in an equation is no letter", letter);
}

/* Labels of a term: letters, and for "..." the last of `dots`. Returns how many. */
static int labels_of(op_call *c, const char *term, size_t len, int dots, int *label) {
  int n = 0;
  for (size_t i = 0; i < len; ++i) {
    if (term[i] == ' ') continue;
    if (n + dots >= WN_MAX_DIMS + 1) op_fail(c, "a term has more than %d axes", WN_MAX_DIMS);
    if (term[i] == '.') {
      if (i + 2 >= len || term[i + 1] != '.' || term[i + 2] != '.')
        op_fail(c, "\".\" is not part of \"...\"");
      for (int d = 0; d < dots; ++d) label[n++] = LABELS - dots + d;
      i += 2;
    } else {
      label[n++] = label_of(c, term[i]);
    }
  }
  return n;
}

static int letters_in(const char *term, size_t len) {
  int n = 0;
  for (size_t i = 0; i < len; ++i) n += term[i] != ' ' && term[i] != '.';
  return n;
}

/* The diagonal of two axes that have one label: the second goes. */
static wn_tensor *diagonal(op_call *c, wn_tensor *t, int first, int second) {
  const int64_t n = wn_shape(t)[first];
  const int ndim = wn_ndim(t);
  wn_tensor *on = op_zip(c, WN_EQUAL, op_arange(c, WN_I64, n, ndim, first),
                         op_arange(c, WN_I64, n, ndim, second));
  return op_reduce(c, WN_SUM, op_where(c, on, t, op_scalar(c, t, 0)), 1, &second, 0);
}

/* An operand with an axis for each label that any operand has, in the order of labels; extents of 1 where it has none. */
static wn_tensor *aligned(op_call *c, wn_tensor *t, int n, int *label, const int *all, int count) {
  int axes[WN_MAX_DIMS], used = 0;
  int64_t shape[WN_MAX_DIMS];
  for (int i = 0; i < n; ++i)
    for (int k = i + 1; k < n; ++k)
      if (label[i] == label[k]) {
        t = diagonal(c, t, i, k);
        memmove(label + k, label + k + 1, sizeof *label * (size_t)(n - k - 1));
        --n, --k;
      }
  for (int i = 0; i < count; ++i) {
    shape[i] = 1;
    for (int k = 0; k < n; ++k)
      if (label[k] == all[i]) {
        axes[used++] = k;
        shape[i] = wn_shape(t)[k];
      }
  }
  return op_reshape(c, op_permute(c, t, axes), count, shape);
}

static int dots_of(op_call *c, const char *equation, size_t end) {
  int dots = 0, operand = 0;
  for (size_t at = 0, next; at <= end; at = next + 1, ++operand) {
    for (next = at; next < end && equation[next] != ','; ++next) {}
    if (operand >= c->node->inputs)
      op_fail(c, "\"%s\" has more terms than there are inputs", equation);
    const int rank = wn_ndim(op_in(c, operand)), letters = letters_in(equation + at, next - at);
    const bool any = memchr(equation + at, '.', next - at) != NULL;
    if (letters > rank || (!any && letters != rank))
      op_fail(c, "term %d of \"%s\" does not fit an input of %d axes", operand, equation, rank);
    if (any && rank - letters > dots) dots = rank - letters;
  }
  if (operand != c->node->inputs)
    op_fail(c, "\"%s\" has %d terms for %d inputs", equation, operand, c->node->inputs);
  return dots;
}

void op_einsum(op_call *c) {
  const char *equation = op_text(c, "equation", "");
  const char *arrow = strstr(equation, "->");
  const size_t end = arrow != NULL ? (size_t)(arrow - equation) : strlen(equation);
  const int dots = dots_of(c, equation, end);
  int label[WN_MAX_DIMS + 2], all[LABELS], count = 0, out[WN_MAX_DIMS + 2], nout = 0,
                                           uses[LABELS] = {0};
  for (size_t at = 0, next; at <= end; at = next + 1) {
    for (next = at; next < end && equation[next] != ','; ++next) {}
    const int n = labels_of(c, equation + at, next - at, dots, label);
    for (int i = 0; i < n; ++i) ++uses[label[i]];
  }
  if (arrow != NULL) {
    nout = labels_of(c, arrow + 2, strlen(arrow + 2), dots, out);
  } else {
    for (int i = LABELS - dots; i < LABELS; ++i) out[nout++] = i;
    for (int i = 0; i < DOTS; ++i) { /* in the order of the alphabet, capitals first */
      const int letter = i < 26 ? 26 + i : i - 26;
      if (uses[letter] == 1) out[nout++] = letter;
    }
  }
  for (int i = 0; i < nout; ++i) all[count++] = out[i];
  for (int l = 0; l < LABELS; ++l) {
    bool there = uses[l] == 0;
    for (int i = 0; i < nout; ++i) there = there || out[i] == l;
    if (!there) all[count++] = l;
  }
  if (count > WN_MAX_DIMS)
    op_fail(c, "\"%s\" has %d axes; there may be %d", equation, count, WN_MAX_DIMS);
  wn_tensor *product = NULL;
  int operand = 0, summed[WN_MAX_DIMS];
  for (size_t at = 0, next; at <= end; at = next + 1, ++operand) {
    for (next = at; next < end && equation[next] != ','; ++next) {}
    wn_tensor *t = op_in(c, operand);
    const int own = wn_ndim(t) - letters_in(equation + at, next - at);
    const int n = labels_of(c, equation + at, next - at, own, label);
    t = aligned(c, t, n, label, all, count);
    product = product == NULL ? t : op_zip(c, WN_MUL, product, t);
  }
  for (int i = nout; i < count; ++i) summed[i - nout] = i;
  op_result(c, 0, op_reduce(c, WN_SUM, product, count - nout, summed, 0));
}
