/* What tests of wrong models have in common: a context, and models that are refused with a line.
 *
 * In: bytes of a model, a status, words. Out: the test fails where the answer is not one line with those words. Include
 * it behind cmocka.h. */
#ifndef WN_TESTS_BAD_MODEL_H
#define WN_TESTS_BAD_MODEL_H

#include <stdio.h>
#include <stdlib.h>

#include "onnx/write_onnx.h"
#include "unit/context_fixture.h"

/* Does the line have each word of "node0 pads 3"? */
static inline bool has_words(const char *line, const char *words) {
  char word[64];
  for (int used; sscanf(words, "%63s%n", word, &used) == 1; words += used)
    if (strstr(line, word) == NULL) return false;
  return true;
}

static inline void expect_line(const char *what, wn_status got, wn_status want, const char *line,
                               const char *words) {
  bool is_line = *line != '\0' && strchr(line, '\n') == NULL;
  if (got == want && is_line && has_words(line, words)) return;
  fail_msg("%s: status %d and not %d, the line \"%s\" and not one line with: %s", what, (int)got,
           (int)want, line, words);
}

/* The default input, and a fixed shape for the tests below: x is f32[1][4][6][6]. */
static float image[1 * 4 * 6 * 6];
static const int64_t image_shape[] = {1, 4, 6, 6};
static const float numbers[4096]; /* zeros, for weights */

static inline wn_value image_value(void) {
  return WN_VALUE(.dtype = WN_F32, .ndim = 4, .shape = {1, 4, 6, 6}, .data = image);
}

/* Loading fails, or compiling for an image does: with this status and a line of these words. */
static inline void refuses(fixture *f, const char *what, const str *bytes, const char *words) {
  const wn_options options = WN_OPTIONS(.backend = "interp", .threads = 1);
  const wn_model_options model_options = WN_MODEL_OPTIONS(.compile = &options);
  wn_model *m;
  wn_value in = image_value(), out[8];
  wn_status st = wn_model_load_bytes(f->ctx, bytes->data, bytes->len, &model_options, &m);
  if (st != WN_OK) {
    assert_null(m);
    expect_line(what, st, WN_ERR_USAGE, wn_message(f->ctx), words);
    return;
  }
  for (int i = 0; i < 8; ++i) out[i] = WN_VALUE();
  st = wn_model_outputs(m, &in, 1, out);
  expect_line(what, st, WN_ERR_USAGE, wn_model_message(m), words);
  wn_model_destroy(m);
}

static inline void begin(fixture *f, graph_writer *g) {
  graph_begin(g, &f->a);
  graph_input(g, "x", ONNX_FLOAT, 4, image_shape);
}

static inline void add_tensor(graph_writer *g, const str *tensor) {
  pb_message(&g->body, 5, tensor);
}

static inline void finish(fixture *f, graph_writer *g, const char *what, const char *words) {
  graph_output(g, "y", ONNX_FLOAT, -1, NULL);
  str model = model_bytes(g, 17);
  refuses(f, what, &model, words);
}

#endif
