/* Models drawn at random from a seed: operators of every kind, on small tensors, in spellings of several opsets.
 *
 * In: a state of random numbers. Out: bytes of a model and its input; each value that nothing reads is an output. Always
 * holds: values stay near 1, and no operator jumps (no rounding, no comparison), so that float32 and float64 are near each
 * other. */
#ifndef WN_TESTS_ONNX_DRAW_MODEL_H
#define WN_TESTS_ONNX_DRAW_MODEL_H

#include "diff/conv_case.h"
#include "onnx/write_onnx.h"

enum { DRAW_VALUES = 40, DRAW_DIMS = 5, DRAW_MOST = 4000 /* elements of a value */ };

typedef struct drawn_value {
  char name[16];
  int nd;
  int64_t shape[DRAW_DIMS];
  bool read;
} drawn_value;

typedef struct drawn_model {
  arena *a;
  uint64_t *random;
  graph_writer g;
  int opset, count, constants;
  drawn_value value[DRAW_VALUES]; /* 0: the input */
  str bytes;
  str text; /* operators, for messages */
} drawn_model;

static inline int64_t drawn_elements(const drawn_value *v) {
  int64_t n = 1;
  for (int i = 0; i < v->nd; ++i) n *= v->shape[i];
  return n;
}

static inline const char *draw_floats(drawn_model *m, float scale, float shift, int nd,
                                      const int64_t *shape) {
  const char *name = arena_printf(m->a, "w%d", m->constants++);
  int64_t n = 1;
  for (int i = 0; i < nd; ++i) n *= shape[i];
  float *data = arena_array(m->a, float, n + 1);
  for (int64_t i = 0; i < n; ++i) data[i] = scale * random_value(m->random) + shift;
  graph_constant(&m->g, name, ONNX_FLOAT, nd, shape, data);
  return name;
}

static inline const char *draw_ints(drawn_model *m, int n, const int64_t *ints) {
  const char *name = arena_printf(m->a, "i%d", m->constants++);
  graph_ints(&m->g, name, n, ints);
  return name;
}

/* A node whose first input is x and whose output is the next value, of this shape. */
static inline void put_node(drawn_model *m, drawn_value *x, const char *op, const char *more,
                            const str *all, int nd, const int64_t *shape) {
  drawn_value y = {.nd = nd};
  snprintf(y.name, sizeof y.name, "v%d", m->count);
  for (int i = 0; i < nd; ++i) y.shape[i] = shape[i];
  x->read = true;
  graph_node(&m->g, op, arena_printf(m->a, "%s%s%s", x->name, *more == '\0' ? "" : " ", more),
             y.name, all);
  str_printf(&m->text, " %s%s", op, arena_shape(m->a, nd, shape));
  m->value[m->count++] = y;
}

static inline void put_same(drawn_model *m, drawn_value *x, const char *op, const char *more,
                            const str *all) {
  put_node(m, x, op, more, all, x->nd, x->shape);
}

/* --- operators; each says whether it suits x ---------------------------------------------------- */

static inline bool draw_unary(drawn_model *m, drawn_value *x) {
  static const char *const ops[] = {"Relu",     "Sigmoid",     "Tanh",     "Neg",
                                    "Abs",      "LeakyRelu",   "Elu",      "Erf",
                                    "Identity", "HardSigmoid", "Softplus", "Sin"};
  str all = attributes(m->a);
  const int64_t k = below(m->random, 12);
  if (k == 5 || k == 6) attribute_float(&all, "alpha", 0.3f);
  put_same(m, x, ops[k], "", &all);
  return true;
}

/* With a constant that broadcasts, or with another value of this shape. */
static inline bool draw_binary(drawn_model *m, drawn_value *x) {
  static const char *const ops[] = {"Add", "Sub", "Mul", "Max", "Min", "Div", "PRelu"};
  const int64_t k = below(m->random, 7);
  int64_t shape[DRAW_DIMS];
  const int first = (int)below(m->random, x->nd + 1);
  for (int i = first; i < x->nd; ++i) shape[i - first] = chance(m->random, 50) ? x->shape[i] : 1;
  if (k < 5 && chance(m->random, 40))
    for (int i = 0; i < m->count; ++i) {
      drawn_value *y = &m->value[(i + m->constants) % m->count];
      if (y->nd != x->nd || memcmp(y->shape, x->shape, sizeof y->shape) != 0) continue;
      y->read = true;
      put_same(m, x, ops[k], y->name, NULL);
      return true;
    }
  /* divisors keep away from 0 */
  put_same(m, x, ops[k], draw_floats(m, k == 5 ? 0.2f : 1, k == 5 ? 1.5f : 0, x->nd - first, shape),
           NULL);
  return true;
}

static inline bool draw_clip(drawn_model *m, drawn_value *x) {
  str all = attributes(m->a);
  if (m->opset < 11) {
    attribute_float(&all, "min", -0.5f);
    attribute_float(&all, "max", 0.75f);
    put_same(m, x, "Clip", "", &all);
  } else {
    const char *low = draw_floats(m, 0.1f, -0.5f, 0, NULL),
               *high = draw_floats(m, 0.1f, 0.75f, 0, NULL);
    put_same(m, x, "Clip", arena_printf(m->a, "%s %s", chance(m->random, 30) ? "-" : low, high),
             NULL);
  }
  return true;
}

typedef struct drawn_window {
  int64_t kernel[3], stride[3], pads[6], dilation[3], out[3];
} drawn_window;

/* Of the axes from 2 on; false: it does not fit. */
static inline bool draw_window(drawn_model *m, const drawn_value *x, drawn_window *w, bool pool) {
  const int rank = x->nd - 2;
  if (rank < 1 || rank > 3) return false;
  for (int i = 0; i < rank; ++i) {
    w->kernel[i] = between(m->random, 1, 4);
    w->stride[i] = chance(m->random, 60) ? 1 : between(m->random, 1, 3);
    w->dilation[i] = chance(m->random, 80) || pool ? 1 : 2;
    w->pads[i] = below(m->random, w->kernel[i]);
    w->pads[rank + i] = below(m->random, w->kernel[i]);
    const int64_t room =
        x->shape[2 + i] + w->pads[i] + w->pads[rank + i] - (w->kernel[i] - 1) * w->dilation[i] - 1;
    if (room < 0) return false;
    w->out[i] = room / w->stride[i] + 1;
  }
  return true;
}

static inline void window_attributes(str *all, int rank, const drawn_window *w) {
  attribute_ints(all, "kernel_shape", rank, w->kernel);
  attribute_ints(all, "strides", rank, w->stride);
  attribute_ints(all, "pads", 2 * rank, w->pads);
}

static inline bool draw_conv(drawn_model *m, drawn_value *x) {
  drawn_window w;
  if (!draw_window(m, x, &w, false)) return false;
  const int rank = x->nd - 2;
  const int64_t c = x->shape[1], groups = chance(m->random, 70) ? 1 : c,
                k = groups * between(m->random, 1, 5);
  int64_t filter[5] = {k, c / groups}, shape[5] = {x->shape[0], k};
  int64_t taps = c / groups;
  for (int i = 0; i < rank; ++i)
    filter[2 + i] = w.kernel[i], shape[2 + i] = w.out[i], taps *= w.kernel[i];
  const char *weights = draw_floats(m, 1.5f / sqrtf((float)taps), 0, x->nd, filter);
  str all = attributes(m->a);
  window_attributes(&all, rank, &w);
  attribute_ints(&all, "dilations", rank, w.dilation);
  attribute_int(&all, "group", groups);
  const bool bias = chance(m->random, 60);
  put_node(m, x, "Conv",
           bias ? arena_printf(m->a, "%s %s", weights, draw_floats(m, 0.5f, 0, 1, &k)) : weights,
           &all, x->nd, shape);
  return true;
}

static inline bool draw_pool(drawn_model *m, drawn_value *x) {
  drawn_window w;
  if (!draw_window(m, x, &w, true)) return false;
  const bool most = chance(m->random, 50);
  int64_t shape[5] = {x->shape[0], x->shape[1]};
  for (int i = 0; i < x->nd - 2; ++i) shape[2 + i] = w.out[i];
  str all = attributes(m->a);
  window_attributes(&all, x->nd - 2, &w);
  if (!most) attribute_int(&all, "count_include_pad", chance(m->random, 50));
  put_node(m, x, most ? "MaxPool" : "AveragePool", "", &all, x->nd, shape);
  return true;
}

static inline bool draw_norm(drawn_model *m, drawn_value *x) {
  if (x->nd < 3) return false;
  const int64_t *c = &x->shape[1];
  if (chance(m->random, 30)) {
    int64_t shape[DRAW_DIMS] = {x->shape[0], x->shape[1], 1, 1, 1};
    put_node(m, x, chance(m->random, 50) ? "GlobalAveragePool" : "GlobalMaxPool", "", NULL, x->nd,
             shape);
    return true;
  }
  const char *scale = draw_floats(m, 0.5f, 1, 1, c), *bias = draw_floats(m, 0.5f, 0, 1, c);
  const char *mean = draw_floats(m, 0.3f, 0, 1, c), *var = draw_floats(m, 0.3f, 1, 1, c);
  put_same(m, x, "BatchNormalization", arena_printf(m->a, "%s %s %s %s", scale, bias, mean, var),
           NULL);
  return true;
}

static inline bool draw_softmax(drawn_model *m, drawn_value *x) {
  if (x->nd < 1) return false;
  str all = attributes(m->a);
  attribute_int(&all, "axis", m->opset < 13 ? x->nd - 1 : between(m->random, -x->nd, x->nd - 1));
  put_same(m, x, chance(m->random, 70) ? "Softmax" : "LogSoftmax", "", &all);
  return true;
}

static inline bool draw_transpose(drawn_model *m, drawn_value *x) {
  int64_t perm[DRAW_DIMS], shape[DRAW_DIMS];
  for (int i = 0; i < x->nd; ++i) perm[i] = i;
  for (int i = x->nd - 1; i > 0; --i) {
    const int64_t j = below(m->random, i + 1), t = perm[i];
    perm[i] = perm[j], perm[j] = t;
  }
  for (int i = 0; i < x->nd; ++i) shape[i] = x->shape[perm[i]];
  str all = attributes(m->a);
  attribute_ints(&all, "perm", x->nd, perm);
  put_node(m, x, "Transpose", "", &all, x->nd, shape);
  return true;
}

/* Two axes become one, one becomes two, or there is one more. */
static inline bool draw_reshape(drawn_model *m, drawn_value *x) {
  int64_t shape[DRAW_DIMS], said[DRAW_DIMS];
  int nd = 0;
  const int at = (int)below(m->random, x->nd);
  const bool join = at + 1 < x->nd && chance(m->random, 50);
  const int64_t part = x->shape[at] % 2 == 0 ? 2 : 1;
  if (!join && x->nd == DRAW_DIMS) return false;
  for (int i = 0; i < x->nd; ++i) {
    if (i != at)
      shape[nd++] = x->shape[i];
    else if (!join)
      shape[nd++] = part, shape[nd++] = x->shape[at] / part;
    else
      shape[nd++] = x->shape[at] * x->shape[++i];
  }
  memcpy(said, shape, sizeof said);
  if (chance(m->random, 50)) said[below(m->random, nd)] = -1;
  put_node(m, x, "Reshape", draw_ints(m, nd, said), NULL, nd, shape);
  return true;
}

static inline bool draw_slice(drawn_model *m, drawn_value *x) {
  const int64_t along = below(m->random, x->nd), n = x->shape[along];
  const int64_t begin = below(m->random, n), end = between(m->random, begin + 1, n),
                step = between(m->random, 1, 2);
  const bool back = chance(m->random, 25); /* from end - 1 down to begin */
  int64_t shape[DRAW_DIMS];
  memcpy(shape, x->shape, sizeof shape);
  shape[along] = (end - begin + step - 1) / step;
  const char *from = draw_ints(
      m, 1, (int64_t[]){back ? end - 1 : begin - (begin > 0 && chance(m->random, 30) ? n : 0)});
  const char *to = draw_ints(m, 1, (int64_t[]){!back ? end : begin == 0 ? INT64_MIN : begin - 1});
  put_node(m, x, "Slice",
           arena_printf(m->a, "%s %s %s %s", from, to, draw_ints(m, 1, &along),
                        draw_ints(m, 1, (int64_t[]){back ? -step : step})),
           NULL, x->nd, shape);
  return true;
}

static inline bool draw_pad(drawn_model *m, drawn_value *x) {
  int64_t pads[2 * DRAW_DIMS], shape[DRAW_DIMS];
  static const char *const modes[] = {"constant", "edge", "reflect"};
  const char *mode = modes[below(m->random, 3)];
  for (int i = 0; i < x->nd; ++i) {
    const int64_t most = strcmp(mode, "reflect") == 0 && x->shape[i] < 3 ? x->shape[i] - 1 : 2;
    pads[i] = below(m->random, most + 1), pads[x->nd + i] = below(m->random, most + 1);
    shape[i] = x->shape[i] + pads[i] + pads[x->nd + i];
  }
  str all = attributes(m->a);
  attribute_text(&all, "mode", mode);
  put_node(m, x, "Pad", draw_ints(m, 2 * x->nd, pads), &all, x->nd, shape);
  return true;
}

static inline bool draw_reduce(drawn_model *m, drawn_value *x) {
  static const char *const ops[] = {"ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2",
                                    "ReduceSum"};
  const int64_t k = below(m->random, 5), along = below(m->random, x->nd),
                keep = below(m->random, 2);
  int64_t shape[DRAW_DIMS];
  int nd = 0;
  for (int i = 0; i < x->nd; ++i)
    if (i != along || keep) shape[nd++] = i == along ? 1 : x->shape[i];
  str all = attributes(m->a);
  attribute_int(&all, "keepdims", keep);
  const bool input = m->opset >= 18 || (k == 4 && m->opset >= 13);
  if (!input) attribute_ints(&all, "axes", 1, &along);
  put_node(m, x, ops[k], input ? draw_ints(m, 1, &along) : "", &all, nd, shape);
  return true;
}

static inline bool draw_concat(drawn_model *m, drawn_value *x) {
  const int64_t along = below(m->random, x->nd);
  int64_t shape[DRAW_DIMS], other[DRAW_DIMS];
  memcpy(shape, x->shape, sizeof shape);
  memcpy(other, x->shape, sizeof other);
  other[along] = between(m->random, 1, 4);
  shape[along] = 2 * x->shape[along] + other[along];
  str all = attributes(m->a);
  attribute_int(&all, "axis", along);
  put_node(m, x, "Concat", arena_printf(m->a, "%s %s", draw_floats(m, 1, 0, x->nd, other), x->name),
           &all, x->nd, shape);
  return true;
}

static inline bool draw_product(drawn_model *m, drawn_value *x) {
  if (x->nd < 2) return false;
  const int64_t k = x->shape[x->nd - 1], n = between(m->random, 1, 9);
  int64_t shape[DRAW_DIMS];
  memcpy(shape, x->shape, sizeof shape);
  shape[x->nd - 1] = n;
  const float scale = 1.5f / sqrtf((float)k);
  if (x->nd == 2 && chance(m->random, 50)) {
    str all = attributes(m->a);
    attribute_int(&all, "transB", 1);
    const char *w = draw_floats(m, scale, 0, 2, (int64_t[]){n, k});
    put_node(m, x, "Gemm", arena_printf(m->a, "%s %s", w, draw_floats(m, 0.5f, 0, 1, &n)), &all, 2,
             shape);
  } else {
    put_node(m, x, "MatMul", draw_floats(m, scale, 0, 2, (int64_t[]){k, n}), NULL, x->nd, shape);
  }
  return true;
}

static inline bool draw_resize(drawn_model *m, drawn_value *x) {
  if (x->nd != 4 || m->opset < 11) return false;
  static const char *const where[] = {"asymmetric", "half_pixel", "align_corners",
                                      "pytorch_half_pixel"};
  float scales[4] = {1, 1, (float)between(m->random, 1, 3), (float)between(m->random, 1, 3)};
  int64_t shape[4];
  for (int i = 0; i < 4; ++i) shape[i] = x->shape[i] * (int64_t)scales[i];
  const bool linear = chance(m->random, 50);
  str all = attributes(m->a);
  attribute_text(&all, "mode", linear ? "linear" : "nearest");
  /* nearest by align_corners rounds what lies between two pixels, by rounding errors */
  attribute_text(&all, "coordinate_transformation_mode",
                 where[linear ? below(m->random, 4) : below(m->random, 2)]);
  if (!linear) attribute_text(&all, "nearest_mode", "floor");
  const char *name = arena_printf(m->a, "w%d", m->constants++);
  graph_constant(&m->g, name, ONNX_FLOAT, 1, (int64_t[]){4}, scales);
  put_node(m, x, "Resize", arena_printf(m->a, "- %s", name), &all, 4, shape);
  return true;
}

static inline bool draw_squeeze(drawn_model *m, drawn_value *x) {
  int64_t shape[DRAW_DIMS], along = below(m->random, x->nd + 1);
  str all = attributes(m->a);
  if (x->nd == DRAW_DIMS) return false;
  for (int i = 0; i <= x->nd; ++i)
    shape[i] = i < along ? x->shape[i] : i == along ? 1 : x->shape[i - 1];
  if (m->opset < 13) attribute_ints(&all, "axes", 1, &along);
  put_node(m, x, "Unsqueeze", m->opset < 13 ? "" : draw_ints(m, 1, &along), &all, x->nd + 1, shape);
  return true;
}

/* --- models ----------------------------------------------------------------------------------- */

static inline void draw_step(drawn_model *m) {
  static bool (*const steps[])(drawn_model *, drawn_value *) = {
      draw_unary,  draw_unary,  draw_binary,  draw_binary,  draw_clip,
      draw_conv,   draw_conv,   draw_conv,    draw_pool,    draw_softmax,
      draw_norm,   draw_slice,  draw_pad,     draw_reduce,  draw_product,
      draw_concat, draw_resize, draw_squeeze, draw_reshape, draw_transpose};
  drawn_value *x = &m->value[chance(m->random, 75) ? m->count - 1 : below(m->random, m->count)];
  if (drawn_elements(x) > DRAW_MOST || x->nd == 0) {
    x = &m->value[0];
  }
  steps[below(m->random, (int64_t)(sizeof steps / sizeof *steps))](m, x);
}

static inline void draw_model(drawn_model *m, arena *a, uint64_t *random) {
  static const int opsets[] = {11, 12, 13, 17, 18, 21};
  *m = (drawn_model){.a = a, .random = random, .opset = opsets[below(random, 6)], .count = 1};
  graph_begin(&m->g, a);
  str_init(&m->text, a);
  drawn_value *x = &m->value[0];
  *x = (drawn_value){.name = "x", .nd = (int)between(random, 2, 4), .read = true};
  for (int i = 0; i < x->nd; ++i) x->shape[i] = between(random, 1, i == 0 ? 2 : 9);
  graph_input(&m->g, "x", ONNX_FLOAT, x->nd, x->shape);
  const int64_t steps = between(random, 2, 14);
  for (int64_t i = 0; i < steps && m->count < DRAW_VALUES; ++i) draw_step(m);
  if (m->count == 1) draw_unary(m, x);
  for (int i = 1; i < m->count; ++i)
    if (!m->value[i].read)
      graph_output(&m->g, m->value[i].name, ONNX_FLOAT, m->value[i].nd, m->value[i].shape);
  m->bytes = model_bytes(&m->g, m->opset);
}

#endif
