/* NonMaxSuppression, on the host.
 *
 * In: boxes [batch, boxes, 4], scores [batch, classes, boxes]. Out: [selected, 3]: batch, class and box, by batch, by
 * class, the highest score first; of equal scores the lower box is first. Always holds: no two selected boxes of a
 * class overlap by more than the threshold (intersection over union, in float64); a score that is NaN selects
 * nothing. */
#include <math.h>

#include "onnx/host.h"
#include "onnx/operators.h"
#include "tensor/tensor.h"

typedef struct suppression {
  int64_t most; /* boxes of a class */
  bool centres; /* boxes are centre and size, not two corners */
} suppression;

/* Corners in order. */
typedef struct box {
  double lo[2], hi[2], area;
} box;

static box box_of(const suppression *s, const float *p) {
  box b;
  for (int i = 0; i < 2; ++i) {
    const double u = (double)p[i], v = (double)p[i + 2];
    const double first = s->centres ? u - v / 2 : u, second = s->centres ? u + v / 2 : v;
    b.lo[i] = fmin(first, second);
    b.hi[i] = fmax(first, second);
  }
  b.area = (b.hi[0] - b.lo[0]) * (b.hi[1] - b.lo[1]);
  return b;
}

static bool overlap(const box *a, const box *b, double threshold) {
  double common = 1;
  for (int i = 0; i < 2; ++i)
    common *= fmax(fmin(a->hi[i], b->hi[i]) - fmax(a->lo[i], b->lo[i]), 0);
  return common > 0 && common / (a->area + b->area - common) > threshold;
}

/* What there is room for while a class is looked at. */
typedef struct scratch {
  uint64_t *keys;
  float *scores;         /* of candidates */
  int64_t *order, *kept; /* numbers of boxes; kept: first those of candidates */
  box *boxes;            /* those kept */
} scratch;

/* The boxes of one class that stay, in k->kept; returns how many. */
static int64_t select_boxes(const suppression *s, const float *boxes, const float *scores,
                            int64_t n, double iou, double lowest, scratch *k) {
  int64_t candidates = 0, kept = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (isnan(scores[i]) || !((double)scores[i] > lowest || lowest == -INFINITY)) continue;
    k->scores[candidates] = scores[i];
    k->kept[candidates++] = i;
  }
  host_keys(WN_F32, k->scores, 1, candidates, k->keys);
  host_largest(k->keys, candidates, candidates, k->order);
  for (int64_t i = 0; i < candidates; ++i) k->order[i] = k->kept[k->order[i]];
  for (int64_t i = 0; i < candidates && kept < s->most; ++i) {
    const box b = box_of(s, boxes + 4 * k->order[i]);
    bool stays = true;
    for (int64_t j = 0; stays && j < kept; ++j) stays = !overlap(&b, &k->boxes[j], iou);
    if (!stays) continue;
    k->boxes[kept] = b;
    k->kept[kept++] = k->order[i];
  }
  return kept;
}

static double number_of(const host_array *in, double otherwise) {
  return in->data == NULL ? otherwise : (double)*(const float *)in->data;
}

static void run_suppression(const void *how, arena *a, const host_array *in, host_array *out) {
  const suppression *s = how;
  const int64_t batches = in[0].shape[0], n = in[0].shape[1], classes = in[1].shape[1];
  const double iou = number_of(&in[3], 0), lowest = number_of(&in[4], -INFINITY);
  scratch k = {arena_array(a, uint64_t, n + 1), arena_array(a, float, n + 1),
               arena_array(a, int64_t, n + 1), arena_array(a, int64_t, n + 1),
               arena_array(a, box, n + 1)};
  VEC(int64_t) found = {0};
  for (int64_t b = 0; b < batches; ++b)
    for (int64_t c = 0; c < classes; ++c) {
      const float *scores = (const float *)in[1].data + (b * classes + c) * n;
      const int64_t kept =
          select_boxes(s, (const float *)in[0].data + b * n * 4, scores, n, iou, lowest, &k);
      for (int64_t i = 0; i < kept; ++i) {
        vec_push(a, &found, b);
        vec_push(a, &found, c);
        vec_push(a, &found, k.kept[i]);
      }
    }
  out->data = found.data != NULL ? found.data : arena_array(a, int64_t, 1);
  out->shape[0] = (int64_t)found.len / 3;
}

static void check_input(op_call *c, int i, int ndim) {
  const onnx_value *v = op_value(c, i);
  if (v->dtype != WN_F32)
    op_fail(c, "input %d is of %s; floats were expected", i, wn_dtype_name(v->dtype));
  if (ndim == 3 ? v->ndim != 3 : value_count(v) != 1)
    op_fail(c, "input %d has %d axes; %s was expected", i, v->ndim, ndim == 3 ? "3" : "one number");
}

void op_non_max_suppression(op_call *c) {
  suppression *s = arena_new(c->a, suppression);
  for (int i = 0; i < 2; ++i) check_input(c, i, 3);
  for (int i = 3; i < 5; ++i)
    if (op_has(c, i)) check_input(c, i, 0);
  const int64_t *boxes = host_shape(c, 0), *scores = host_shape(c, 1);
  if (boxes[2] != 4 || boxes[0] != scores[0] || boxes[1] != scores[2])
    op_fail(c,
            "boxes are [%lld, %lld, %lld] and scores [%lld, %lld, %lld]; [batch, boxes, 4] and "
            "[batch, classes, boxes] were expected",
            (long long)boxes[0], (long long)boxes[1], (long long)boxes[2], (long long)scores[0],
            (long long)scores[1], (long long)scores[2]);
  int count = 0;
  const int64_t *most = op_has(c, 2) ? op_ints(c, 2, &count) : NULL;
  if (op_has(c, 2) && count != 1) op_fail(c, "the most boxes are one number, not %d", count);
  s->most = most == NULL || most[0] < 0 ? 0 : most[0] < boxes[1] ? most[0] : boxes[1];
  s->centres = op_int(c, "center_point_box", 0) != 0;
  const host_result r = {
      .type = ONNX_INT64, .ndim = 2, .shape = {-1, 3}, .most = scores[0] * scores[1] * s->most * 3};
  host_add(c, run_suppression, s, 1, &r);
}
