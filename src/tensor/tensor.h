/* The lazy tensors behind winnow.h, as the pipeline sees them.
 *
 * In: calls of the public API. Out: tensor-level nodes of the IR (rows of ops.def with TENSOR), nothing computed.
 * Always holds: operands of an elementwise node have equal shapes (broadcasting has become RESHAPE and EXPAND); the
 * product of the extents that are not 0 is at most TENSOR_MAX_COUNT; a tensor without elements is a number expanded
 * to its shape, whatever was computed, so no node has one as its source: nothing behind this folder meets an extent
 * of 0 but as an output; BUFFER slots count from 0 in order of creation. A failed call returns NULL and leaves the
 * graph as usable as it was. */
#ifndef WN_TENSOR_TENSOR_H
#define WN_TENSOR_TENSOR_H

#include "base/fpenv.h"
#include "ir/uop.h"

/* Elements of a tensor, so that its bytes and any sum of two offsets fit an int64. */
#define TENSOR_MAX_COUNT (INT64_MAX / 16)

/* What a BUFFER's slot stands for: memory of the user, borrowed. */
typedef struct tensor_buffer {
  wn_dtype dtype;
  const int_list *shape;
  int64_t count;    /* elements */
  const void *data; /* NULL is allowed until a program is compiled to run */
  bool constant;    /* may be prepared once */
  /* its values are those that it has when a program is compiled; it is constant as well */
  bool fixed;
} tensor_buffer;

struct wn_context {
  diag diag;
  graph graph;                /* graph.diag == &diag; graph.arena lives as long as the context */
  VEC(tensor_buffer) buffers; /* by slot, in graph.arena */
  unsigned windows;           /* bit n: there are windows over n axes at once */
  /* of the first tensor call that failed, WN_OK if none did: why a tensor is NULL */
  wn_status error;
  char error_message[sizeof((diag *)0)->message];
};

struct wn_tensor { /* in the context's graph.arena, immutable */
  wn_context *ctx;
  const uop *node;
  const int_list *shape;
  wn_dtype dtype;
};

/* --- used inside src/tensor: these unwind through the context's diag on error ----------------- */

/* node does not matter where the shape has no elements. */
wn_tensor *tensor_new(wn_context *ctx, const uop *node, wn_dtype dtype, const int_list *shape);
/* The number everywhere. */
wn_tensor *tensor_filled(wn_context *ctx, const uop *number, int ndim, const int64_t *shape);
/* Some extent is 0. */
bool tensor_is_empty(const wn_tensor *t);
/* Checks extents and count and interns; `who` is the public function, `what` the thing ("the
 * result", "x"). */
const int_list *tensor_check_shape(wn_context *ctx, const char *who, const char *what, int ndim,
                                   const int64_t *shape);
/* Records the error of a failed public call (the first one sticks) and returns out, or NULL if
 * status is an error. */
wn_tensor *tensor_finish(wn_context *ctx, wn_status status, wn_tensor *out);

/* The body of a public function: evaluates expr (a wn_tensor *) with errors of ctx caught, in the
 * default floating-point environment, and returns. */
#define TENSOR_RETURN(context, expr)          \
  do {                                        \
    wn_context *const ctx_ = (context);       \
    wn_tensor *volatile out_ = NULL;          \
    volatile wn_status st_;                   \
    fp_control callers_ = fp_read();          \
    fp_write(fp_default(false));              \
    DIAG_TRY(&ctx_->diag, st_) out_ = (expr); \
    DIAG_END(&ctx_->diag, st_)                \
    fp_write(callers_);                       \
    return tensor_finish(ctx_, st_, out_);    \
  } while (0)

/* The operations themselves; `who` names the public function in messages. */
wn_tensor *tensor_reshape(const char *who, wn_tensor *t, int ndim,
                          const int64_t *shape); /* no -1 here */
wn_tensor *tensor_permute(const char *who, wn_tensor *t, const int *axes);
wn_tensor *tensor_expand(const char *who, wn_tensor *t, int ndim, const int64_t *shape);
wn_tensor *tensor_pad(const char *who, wn_tensor *t, const int64_t *lo, const int64_t *hi);
wn_tensor *tensor_shrink(const char *who, wn_tensor *t, const int64_t *begin, const int64_t *end);
wn_tensor *tensor_stride(const char *who, wn_tensor *t, const int64_t *steps);
wn_tensor *tensor_zip(const char *who, uop_op op, wn_tensor *a, wn_tensor *b);
wn_tensor *tensor_where(const char *who, wn_tensor *cond, wn_tensor *a, wn_tensor *b);
wn_tensor *tensor_reduce(const char *who, uop_op op, wn_tensor *t, const int *axes, int count,
                         int keep);
wn_tensor *tensor_window(const char *who, wn_tensor *t, int nspatial, const int64_t *window,
                         const int64_t *stride, const int64_t *dilation);
/* A number of t's dtype that broadcasts with t. */
wn_tensor *tensor_number(wn_tensor *t, double value);
/* t's shape as text, and its dtype's name. */
const char *tensor_text(const wn_tensor *t);

#endif
