/* Small models for tests of the command line: make_models FOLDER.
 *
 * In: a folder. Out, in it: files ending in .onnx whose results can be worked out by hand, and .pb of a tensor.
 *   larger.onnx    "image" [batch, 3, height, width]: each pixel twice in both directions, "larger"
 *   classes.onnx   "image" [1, 3, 4, 4]: "scores" [1, 4] are the sums of red, green, blue and all, the values inside are
 *                  "channels" and "sums"
 *   pair.onnx      "a" [2, n] and "b" [2, n]: "sum" and "product"
 *   pixels.onnx    "image" uint8 [1, height, width, 3]: the same as floats, "numbers"
 *   layers.onnx    "x" [1, 8, 12, 12]: three 3x3 convolutions with Relu, "y"
 *   best.onnx      "x" [2, 3]: "largest" are the two largest of each row; "where", as floats, the places of what is not 1
 *   ints.onnx      "ids" int64 [3]: "twice"
 *   pixel.onnx     "x" [batch, 8, 1, 1] through 3x3 and 5x5 convolutions whose filters have ones in the middle of channel c
 *                  to c and sevens where only padding is, poolings whose windows are larger, and a global one: "y" is x
 *   window.onnx    "x" [1, 8, 1, 1]: a pooling that has no position in it
 *   filter.onnx    the same of a convolution
 *   plain.onnx     "x" [1, 8, 20, 20] through layers that are no Winograd convolutions, "y": strided, 1x1, depthwise, 1x1
 *                  strided, 2x2 by 2
 *   large.onnx     "x" [1, 3, 8192, 8192] through 64 channels, "y"
 *   a.pb           the tensor [[1, 2, 3], [4, 5, 6]] */
#include <stdio.h>
#include <stdlib.h>

#include "file.h"
#include "onnx/write_onnx.h"
#include "random.h"

static void save(graph_writer *g, const char *folder, const char *name) {
  str m = model_bytes(g, 17);
  file_writer w;
  file_create(&w, g->a, arena_printf(g->a, "%s/%s.onnx", folder, name));
  file_put(&w, g->a->diag, m.data, m.len);
  file_commit(&w, g->a->diag);
}

static void larger(arena *a, const char *folder) {
  graph_writer g;
  float w[12 * 3] = {
      0}; /* output channel (by, bx, c) is input channel c: DepthToSpace of mode DCR */
  for (int k = 0; k < 12; ++k) w[k * 3 + k % 3] = 1;
  graph_begin(&g, a);
  graph_input(&g, "image", ONNX_FLOAT, 4, (int64_t[]){-2, 3, -1, -1});
  graph_constant(&g, "w", ONNX_FLOAT, 4, (int64_t[]){12, 3, 1, 1}, w);
  graph_node(&g, "Conv", "image w", "copies", NULL);
  str size = attributes(a);
  attribute_int(&size, "blocksize", 2);
  graph_node(&g, "DepthToSpace", "copies", "larger", &size);
  graph_output(&g, "larger", ONNX_FLOAT, -1, NULL);
  save(&g, folder, "larger");
}

static void classes(arena *a, const char *folder) {
  graph_writer g;
  static const float w[3 * 4] = {1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 1, 1};
  graph_begin(&g, a);
  graph_input(&g, "image", ONNX_FLOAT, 4, (int64_t[]){1, 3, 4, 4});
  graph_constant(&g, "w", ONNX_FLOAT, 2, (int64_t[]){3, 4}, w);
  graph_ints(&g, "axes", 2, (int64_t[]){2, 3});
  str keep = attributes(a);
  attribute_int(&keep, "keepdims", 0);
  graph_node(&g, "Relu", "image", "channels", NULL);
  graph_node(&g, "ReduceSum", "channels axes", "sums", &keep);
  graph_node(&g, "MatMul", "sums w", "scores", NULL);
  graph_output(&g, "scores", ONNX_FLOAT, 2, (int64_t[]){1, 4});
  save(&g, folder, "classes");
}

static void pair(arena *a, const char *folder) {
  graph_writer g;
  graph_begin(&g, a);
  graph_input(&g, "a", ONNX_FLOAT, 2, (int64_t[]){2, -2});
  graph_input(&g, "b", ONNX_FLOAT, 2, (int64_t[]){2, -2});
  graph_node(&g, "Add", "a b", "sum", NULL);
  graph_node(&g, "Mul", "a b", "product", NULL);
  graph_output(&g, "sum", ONNX_FLOAT, 2, (int64_t[]){2, -2});
  graph_output(&g, "product", ONNX_FLOAT, 2, (int64_t[]){2, -2});
  save(&g, folder, "pair");
}

static void pixels(arena *a, const char *folder) {
  graph_writer g;
  graph_begin(&g, a);
  graph_input(&g, "image", ONNX_UINT8, 4, (int64_t[]){1, -1, -1, 3});
  str to = attributes(a);
  attribute_int(&to, "to", ONNX_FLOAT);
  graph_node(&g, "Cast", "image", "numbers", &to);
  graph_output(&g, "numbers", ONNX_FLOAT, -1, NULL);
  save(&g, folder, "pixels");
}

static void layers(arena *a, const char *folder) {
  graph_writer g;
  float w[8 * 8 * 9];
  graph_begin(&g, a);
  graph_input(&g, "x", ONNX_FLOAT, 4, (int64_t[]){1, 8, 12, 12});
  str pads = attributes(a);
  attribute_ints(&pads, "pads", 4, (int64_t[]){1, 1, 1, 1});
  for (int i = 0; i < 3; ++i) {
    random_fill(w, sizeof w / sizeof *w, 7, (uint64_t)i);
    const char *in = i == 0 ? "x" : arena_printf(a, "relu%d", i - 1);
    graph_constant(&g, arena_printf(a, "w%d", i), ONNX_FLOAT, 4, (int64_t[]){8, 8, 3, 3}, w);
    graph_node(&g, "Conv", arena_printf(a, "%s w%d", in, i), arena_printf(a, "conv%d", i), &pads);
    graph_node(&g, "Relu", arena_printf(a, "conv%d", i),
               i == 2 ? "y" : arena_printf(a, "relu%d", i), NULL);
  }
  graph_output(&g, "y", ONNX_FLOAT, -1, NULL);
  save(&g, folder, "layers");
}

/* A convolution of random weights, or of ones and sevens (see pixel.onnx), with as many pads as keep the size. */
static void layer(graph_writer *g, int number, const char *in, const char *out, int64_t k,
                  int64_t c, int64_t size, int64_t stride, int64_t groups, bool middle) {
  const int64_t shape[] = {k, c / groups, size, size}, n = k * (c / groups) * size * size;
  const int64_t pad = size % 2 ? size / 2 : 0;
  float *w = arena_array(g->a, float, n);
  random_fill(w, (size_t)n, 11, (uint64_t)number);
  for (int64_t i = 0; i < n && middle; ++i) {
    const bool centre = i % (size * size) == size * size / 2;
    w[i] = !centre ? 7 : i / (size * size) % c == i / (size * size * c) ? 1 : 0;
  }
  const char *name = arena_printf(g->a, "w%d", number);
  graph_constant(g, name, ONNX_FLOAT, 4, shape, w);
  str how = attributes(g->a);
  attribute_ints(&how, "pads", 4, (int64_t[]){pad, pad, pad, pad});
  attribute_ints(&how, "strides", 2, (int64_t[]){stride, stride});
  attribute_int(&how, "group", groups);
  graph_node(g, "Conv", arena_printf(g->a, "%s %s", in, name), out, &how);
}

static str pooling(arena *a, int64_t size, int64_t stride, int64_t pad, bool ceil) {
  str how = attributes(a);
  attribute_ints(&how, "kernel_shape", 2, (int64_t[]){size, size});
  attribute_ints(&how, "strides", 2, (int64_t[]){stride, stride});
  attribute_ints(&how, "pads", 4, (int64_t[]){pad, pad, pad, pad});
  attribute_int(&how, "ceil_mode", ceil);
  return how;
}

static void pixel(arena *a, const char *folder) {
  graph_writer g;
  graph_begin(&g, a);
  graph_input(&g, "x", ONNX_FLOAT, 4, (int64_t[]){-2, 8, 1, 1});
  layer(&g, 0, "x", "a", 8, 8, 3, 1, 1, true);
  layer(&g, 1, "a", "b", 8, 8, 5, 1, 1, true);
  layer(&g, 2, "b", "c", 8, 8, 3, 2, 1, true);
  str largest = pooling(a, 3, 2, 1, false), mean = pooling(a, 2, 2, 0, true);
  graph_node(&g, "MaxPool", "c", "d", &largest);
  graph_node(&g, "AveragePool", "d", "e", &mean);
  graph_node(&g, "GlobalAveragePool", "e", "y", NULL);
  graph_output(&g, "y", ONNX_FLOAT, -1, NULL);
  save(&g, folder, "pixel");
}

static void too_large(arena *a, const char *folder) {
  graph_writer g;
  const int64_t shape[] = {1, 8, 1, 1};
  const float w[4 * 8 * 9] = {1};
  graph_begin(&g, a);
  graph_input(&g, "x", ONNX_FLOAT, 4, shape);
  str how = pooling(a, 2, 2, 0, false);
  graph_node(&g, "MaxPool", "x", "pool", &how);
  graph_output(&g, "pool", ONNX_FLOAT, -1, NULL);
  save(&g, folder, "window");
  graph_begin(&g, a);
  graph_input(&g, "x", ONNX_FLOAT, 4, shape);
  graph_constant(&g, "w", ONNX_FLOAT, 4, (int64_t[]){4, 8, 3, 3}, w);
  graph_node(&g, "Conv", "x w", "conv", NULL);
  graph_output(&g, "conv", ONNX_FLOAT, -1, NULL);
  save(&g, folder, "filter");
}

static void plain(arena *a, const char *folder) {
  graph_writer g;
  graph_begin(&g, a);
  graph_input(&g, "x", ONNX_FLOAT, 4, (int64_t[]){1, 8, 20, 20});
  layer(&g, 0, "x", "a", 16, 8, 3, 2, 1, false);
  layer(&g, 1, "a", "b", 32, 16, 1, 1, 1, false);
  layer(&g, 2, "b", "c", 32, 32, 3, 1, 32, false);
  layer(&g, 3, "c", "d", 16, 32, 1, 2, 1, false);
  layer(&g, 4, "d", "y", 8, 16, 2, 2, 2, false);
  graph_output(&g, "y", ONNX_FLOAT, -1, NULL);
  save(&g, folder, "plain");
}

static void large(arena *a, const char *folder) {
  graph_writer g;
  graph_begin(&g, a);
  graph_input(&g, "x", ONNX_FLOAT, 4, (int64_t[]){1, 3, 8192, 8192});
  layer(&g, 0, "x", "a", 64, 3, 3, 1, 1, false);
  layer(&g, 1, "a", "b", 64, 64, 3, 1, 1, false);
  layer(&g, 2, "b", "y", 3, 64, 3, 1, 1, false);
  graph_output(&g, "y", ONNX_FLOAT, -1, NULL);
  save(&g, folder, "large");
}

static void ints(arena *a, const char *folder) {
  graph_writer g;
  graph_begin(&g, a);
  graph_input(&g, "ids", ONNX_INT64, 1, (int64_t[]){3});
  graph_node(&g, "Add", "ids ids", "twice", NULL);
  graph_output(&g, "twice", ONNX_INT64, 1, (int64_t[]){3});
  save(&g, folder, "ints");
}

static void best(arena *a, const char *folder) {
  graph_writer g;
  const float one = 1;
  graph_begin(&g, a);
  graph_input(&g, "x", ONNX_FLOAT, 2, (int64_t[]){2, 3});
  graph_constant(&g, "one", ONNX_FLOAT, 0, NULL, &one);
  graph_ints(&g, "k", 1, (int64_t[]){2});
  str to = attributes(a);
  attribute_int(&to, "to", ONNX_FLOAT);
  graph_node(&g, "Sub", "x one", "less", NULL);
  graph_node(&g, "TopK", "x k", "largest", NULL);
  graph_node(&g, "NonZero", "less", "places", NULL);
  graph_node(&g, "Cast", "places", "where", &to);
  graph_output(&g, "largest", ONNX_FLOAT, -1, NULL);
  graph_output(&g, "where", ONNX_FLOAT, -1, NULL);
  save(&g, folder, "best");
}

static void tensor(arena *a, const char *folder) {
  static const float numbers[] = {1, 2, 3, 4, 5, 6};
  str t = tensor_bytes(a, "a", ONNX_FLOAT, 2, (int64_t[]){2, 3}, numbers, sizeof numbers);
  file_writer w;
  file_create(&w, a, arena_printf(a, "%s/a.pb", folder));
  file_put(&w, a->diag, t.data, t.len);
  file_commit(&w, a->diag);
}

int main(int argc, char **argv) {
  static void (*const make[])(arena *, const char *) = {
      larger, classes, pair, pixels, layers, ints, best, tensor, pixel, too_large, plain, large};
  diag d;
  arena a;
  wn_status status;
  if (argc != 2) {
    fputs("usage: make_models FOLDER\n", stderr);
    return 2;
  }
  diag_init(&d);
  arena_init(&a, &d);
  DIAG_TRY(&d, status) {
    for (size_t i = 0; i < sizeof make / sizeof *make; ++i) make[i](&a, argv[1]);
  }
  DIAG_END(&d, status)
  if (status != WN_OK) fprintf(stderr, "make_models: %s\n", d.message);
  arena_release(&a);
  return status != WN_OK;
}
