/* The context, its errors, and the leaves of the tensor graph.
 *
 * In: sizes and memory of the user. Out: BUFFER and CONST nodes. See tensor.h for what always
 * holds. */
#include <math.h>

#include "base/text.h"
#include "tensor/tensor.h"

/* --- version ---------------------------------------------------------------------------------- */

const char *wn_version(void) { return WN_VERSION_STRING; }

/* Versions of one series have the same binary interface; the soname is named after it (CMakeLists.txt). */
static int series(int version) { return version < 10000 ? version / 100 : version / 10000 * 100; }

wn_status wn_check_version(int version, char *line, size_t size) {
  bool same = version >= 0 && series(version) == series(WN_VERSION);
  if (size > 0 && line != NULL) *line = '\0';
  if (same) return WN_OK;
  if (size > 0 && line != NULL)
    text_format(line, size,
                "the program was compiled with the header of winnow %d.%d.%d, and the library is "
                "winnow %s: compile the program again",
                version / 10000, version / 100 % 100, version % 100, WN_VERSION_STRING);
  return WN_ERR_USAGE;
}

static const struct {
  const char *name;
  size_t size;
} dtype_table[WN_DTYPE_COUNT] = {
    [WN_F64] = {"f64", 8}, [WN_F32] = {"f32", 4}, [WN_F16] = {"f16", 2},   [WN_BF16] = {"bf16", 2},
    [WN_I32] = {"i32", 4}, [WN_I64] = {"i64", 8}, [WN_BOOL] = {"bool", 1},
};

static bool dtype_known(wn_dtype dtype) { return (unsigned)dtype < WN_DTYPE_COUNT; }

size_t wn_dtype_size(wn_dtype dtype) { return dtype_known(dtype) ? dtype_table[dtype].size : 0; }

const char *wn_dtype_name(wn_dtype dtype) {
  return dtype_known(dtype) ? dtype_table[dtype].name : "void";
}

/* --- context ---------------------------------------------------------------------------------- */

wn_status wn_context_create(wn_context **ctx) {
  if (ctx == NULL) return WN_ERR_USAGE;
  *ctx = NULL;
  wn_context *c = mem_alloc(sizeof *c);
  if (c == NULL) return WN_ERR_NOMEM;
  memset(c, 0, sizeof *c);
  diag_init(&c->diag);
  wn_status st;
  DIAG_TRY(&c->diag, st) graph_init(&c->graph, &c->diag);
  DIAG_END(&c->diag, st)
  if (st != WN_OK) {
    wn_context_destroy(c);
    return st;
  }
  *ctx = c;
  return WN_OK;
}

void wn_context_destroy(wn_context *ctx) {
  if (ctx == NULL) return;
  graph_release(&ctx->graph);
  mem_free(ctx);
}

const char *wn_message(const wn_context *ctx) {
  return ctx == NULL ? "there is no context" : ctx->diag.message;
}

void wn_on_warning(wn_context *ctx, wn_warning_fn fn, void *user) {
  if (ctx == NULL) return;
  if (fn == NULL) {
    diag fresh;
    diag_init(&fresh);
    fn = fresh.warn;
  }
  ctx->diag.warn = fn;
  ctx->diag.warn_user = user;
}

/* --- what every tensor function shares -------------------------------------------------------- */

wn_tensor *tensor_finish(wn_context *ctx, wn_status status, wn_tensor *out) {
  if (status == WN_OK) return out;
  if (ctx->error == WN_OK) {
    ctx->error = status;
    memcpy(ctx->error_message, ctx->diag.message, sizeof ctx->error_message);
  }
  return NULL;
}

bool tensor_is_empty(const wn_tensor *t) { return int_list_has(t->shape, 0); }

wn_tensor *tensor_new(wn_context *ctx, const uop *node, wn_dtype dtype, const int_list *shape) {
  graph *g = &ctx->graph;
  wn_tensor *t = arena_new(&g->arena, wn_tensor);
  *t = (wn_tensor){.ctx = ctx, .node = node, .shape = shape, .dtype = dtype};
  if (tensor_is_empty(t)) t->node = uop_filled(g, uop_const(g, dtype, 0), shape);
  return t;
}

wn_tensor *tensor_filled(wn_context *ctx, const uop *number, int ndim, const int64_t *shape) {
  const int_list *list = intern_list(&ctx->graph, ndim, shape);
  return tensor_new(ctx, uop_filled(&ctx->graph, number, list), (wn_dtype)number->dtype, list);
}

const char *tensor_text(const wn_tensor *t) {
  return arena_shape(&t->ctx->graph.arena, t->shape->len, t->shape->at);
}

const int_list *tensor_check_shape(wn_context *ctx, const char *who, const char *what, int ndim,
                                   const int64_t *shape) {
  if (ndim < 0 || ndim > WN_MAX_DIMS) {
    diag_fail(&ctx->diag, WN_ERR_USAGE, "%s: %s would have %d axes; there may be 0 to %d", who,
              what, ndim, WN_MAX_DIMS);
  }
  if (ndim > 0 && shape == NULL)
    diag_fail(&ctx->diag, WN_ERR_USAGE, "%s: the shape of %s is missing", who, what);
  int64_t count = 1;
  for (int i = 0; i < ndim; ++i) {
    if (shape[i] < 0) {
      diag_fail(&ctx->diag, WN_ERR_USAGE,
                "%s: axis %d of %s has extent %lld; every extent is at least 0 (%s)", who, i, what,
                (long long)shape[i], arena_shape(&ctx->graph.arena, ndim, shape));
    }
    if (shape[i] == 0) continue; /* the others are held to the limit all the same */
    if (__builtin_mul_overflow(count, shape[i], &count) || count > TENSOR_MAX_COUNT) {
      diag_fail(&ctx->diag, WN_ERR_USAGE, "%s: %s has more elements than can be counted (%s)", who,
                what, arena_shape(&ctx->graph.arena, ndim, shape));
    }
  }
  return intern_list(&ctx->graph, ndim, shape);
}

/* --- leaves ----------------------------------------------------------------------------------- */

static void check_dtype(wn_context *ctx, const char *who, wn_dtype dtype) {
  if (!dtype_known(dtype))
    diag_fail(&ctx->diag, WN_ERR_USAGE, "%s: there is no dtype %d", who, (int)dtype);
}

static wn_tensor *leaf(wn_context *ctx, const char *who, tensor_buffer b, int ndim,
                       const int64_t *shape) {
  check_dtype(ctx, who, b.dtype);
  b.shape = tensor_check_shape(ctx, who, "the tensor", ndim, shape);
  b.count = 1;
  for (int i = 0; i < ndim; ++i) b.count *= shape[i];
  const uop *node = uop_buffer(&ctx->graph, (int64_t)ctx->buffers.len, b.dtype, ndim, shape);
  wn_tensor *t = tensor_new(ctx, node, b.dtype, b.shape);
  vec_push(&ctx->graph.arena, &ctx->buffers, b);
  return t;
}

wn_tensor *wn_input(wn_context *ctx, wn_dtype dtype, int ndim, const int64_t *shape,
                    const void *data) {
  if (ctx == NULL) return NULL;
  const tensor_buffer b = {.dtype = dtype, .data = data, .constant = false};
  TENSOR_RETURN(ctx, leaf(ctx, "wn_input", b, ndim, shape));
}

wn_tensor *wn_constant(wn_context *ctx, wn_dtype dtype, int ndim, const int64_t *shape,
                       const void *data) {
  if (ctx == NULL) return NULL;
  const tensor_buffer b = {.dtype = dtype, .data = data, .constant = true};
  TENSOR_RETURN(ctx, leaf(ctx, "wn_constant", b, ndim, shape));
}

wn_tensor *wn_fixed_input(wn_context *ctx, wn_dtype dtype, int ndim, const int64_t *shape,
                          const void *data) {
  if (ctx == NULL) return NULL;
  const tensor_buffer b = {.dtype = dtype, .data = data, .constant = true, .fixed = true};
  TENSOR_RETURN(ctx, leaf(ctx, "wn_fixed_input", b, ndim, shape));
}

static bool fits(wn_dtype dtype, double v) {
  if (dtype_is_float(dtype)) return true;
  double limit = dtype == WN_I32 ? 0x1p31 : 0x1p63;
  return dtype == WN_BOOL ? v == 0 || v == 1 : v == trunc(v) && v >= -limit && v < limit;
}

static wn_tensor *scalar(wn_context *ctx, wn_dtype dtype, double value) {
  check_dtype(ctx, "wn_scalar", dtype);
  if (!fits(dtype, value)) {
    diag_fail(&ctx->diag, WN_ERR_USAGE, "wn_scalar: %.17g cannot be held by %s", value,
              wn_dtype_name(dtype));
  }
  return tensor_new(ctx, uop_const(&ctx->graph, dtype, value), dtype,
                    intern_list(&ctx->graph, 0, NULL));
}

wn_tensor *wn_scalar(wn_context *ctx, wn_dtype dtype, double value) {
  if (ctx == NULL) return NULL;
  TENSOR_RETURN(ctx, scalar(ctx, dtype, value));
}

wn_tensor *tensor_number(wn_tensor *t, double value) { return scalar(t->ctx, t->dtype, value); }

/* --- asking ----------------------------------------------------------------------------------- */

int wn_ndim(const wn_tensor *t) { return t == NULL ? 0 : t->shape->len; }

const int64_t *wn_shape(const wn_tensor *t) { return t == NULL ? NULL : t->shape->at; }

wn_dtype wn_tensor_dtype(const wn_tensor *t) { return t == NULL ? WN_DTYPE_COUNT : t->dtype; }
