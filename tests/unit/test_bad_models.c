/* Models that are wrong, and wrong calls of models: each is refused with one line that names what is wrong, and nothing
 * crashes or takes long. Models are written by write_onnx.h, which checks nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "onnx/write_onnx.h"

/* --- set-up ----------------------------------------------------------------------------------- */

typedef struct fixture {
  diag d;
  arena a;
  wn_context *context;
  char text[1200]; /* the last line */
} fixture;

static int setup(void **state) {
  fixture *f = calloc(1, sizeof *f);
  if (f == NULL) return -1;
  diag_init(&f->d);
  arena_init(&f->a, &f->d);
  *state = f;
  return wn_context_create(&f->context) == WN_OK ? 0 : -1;
}

static int teardown(void **state) {
  fixture *f = *state;
  wn_context_destroy(f->context);
  arena_release(&f->a);
  free(f);
  return 0;
}

/* Does the line have each word of "node0 pads 3"? */
static bool has_words(const char *line, const char *words) {
  char word[64];
  for (int used; sscanf(words, "%63s%n", word, &used) == 1; words += used)
    if (strstr(line, word) == NULL) return false;
  return true;
}

static void expect_line(fixture *f, const char *what, wn_status got, wn_status want,
                        const char *line, const char *words) {
  snprintf(f->text, sizeof f->text, "%s", line);
  bool is_line = *line != '\0' && strchr(line, '\n') == NULL;
  if (got == want && is_line && has_words(line, words)) return;
  fail_msg("%s: status %d and not %d, the line \"%s\" and not one line with: %s", what, (int)got,
           (int)want, line, words);
}

/* The default input, and a fixed shape for the tests below: x is f32[1][4][6][6]. */
static float image[1 * 4 * 6 * 6];
static const int64_t image_shape[] = {1, 4, 6, 6};
static const float numbers[4096]; /* zeros, for weights */

static wn_value image_value(void) {
  return WN_VALUE(.dtype = WN_F32, .ndim = 4, .shape = {1, 4, 6, 6}, .data = image);
}

/* Loading fails, or compiling for an image does: with this status and a line of these words. */
static void refuses(fixture *f, const char *what, const str *bytes, const char *words) {
  const wn_options options = WN_OPTIONS(.backend = "interp", .threads = 1);
  const wn_model_options model_options = WN_MODEL_OPTIONS(.compile = &options);
  wn_model *m;
  wn_value in = image_value(), out[8];
  wn_status st = wn_model_load_bytes(f->context, bytes->data, bytes->len, &model_options, &m);
  if (st != WN_OK) {
    assert_null(m);
    expect_line(f, what, st, WN_ERR_USAGE, wn_message(f->context), words);
    return;
  }
  for (int i = 0; i < 8; ++i) out[i] = WN_VALUE();
  st = wn_model_outputs(m, &in, 1, out);
  expect_line(f, what, st, WN_ERR_USAGE, wn_model_message(m), words);
  wn_model_destroy(m);
}

static void begin(fixture *f, graph_writer *g) {
  graph_begin(g, &f->a);
  graph_input(g, "x", ONNX_FLOAT, 4, image_shape);
}

static void finish(fixture *f, graph_writer *g, const char *what, const char *words) {
  graph_output(g, "y", ONNX_FLOAT, -1, NULL);
  str model = model_bytes(g, 17);
  refuses(f, what, &model, words);
}

/* --- bytes ------------------------------------------------------------------------------------ */

/* A right model of some of everything: conv, shape arithmetic, a subgraph is not in it. */
static str right_model(fixture *f) {
  graph_writer g;
  begin(f, &g);
  graph_constant(&g, "w", ONNX_FLOAT, 4, (int64_t[]){4, 4, 3, 3}, numbers);
  graph_ints(&g, "shape", 2, (int64_t[]){1, -1});
  str pads = attributes(&f->a);
  attribute_ints(&pads, "pads", 4, (int64_t[]){1, 1, 1, 1});
  graph_node(&g, "Conv", "x w", "c", &pads);
  graph_node(&g, "Relu", "c", "r", NULL);
  graph_node(&g, "Reshape", "r shape", "y", NULL);
  graph_output(&g, "y", ONNX_FLOAT, 2, (int64_t[]){1, 144});
  return model_bytes(&g, 17);
}

static void not_a_model(void **state) {
  fixture *f = *state;
  static const char *const texts[] = {"", "x", "this is no model at all\n", "\x89PNG\r\n\x1a\n",
                                      "{\"a\": 1}"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i) {
    str bytes = pb_begin(&f->a);
    str_add(&bytes, texts[i]);
    refuses(f, texts[i], &bytes, "");
  }
  wn_model *m;
  assert_int_equal(wn_model_load_bytes(f->context, NULL, 0, NULL, &m), WN_ERR_USAGE);
  assert_int_equal(wn_model_load(f->context, "no/such/model.onnx", NULL, &m), WN_ERR_IO);
  assert_non_null(strstr(wn_message(f->context), "no/such/model.onnx"));
}

/* Cut off after any byte; a copy of the right size each, so that AddressSanitizer sees a byte too far. */
static void cut_off(void **state) {
  fixture *f = *state;
  str whole = right_model(f);
  for (size_t n = 0; n < whole.len; ++n) {
    char *part = malloc(n + 1);
    assert_non_null(part);
    char *start = part + 1; /* so that it ends with the block */
    memcpy(start, whole.data, n);
    wn_model *m;
    wn_status st = wn_model_load_bytes(f->context, start, n, NULL, &m);
    if (st == WN_OK) fail_msg("%zu bytes of %zu are a model", n, whole.len);
    expect_line(f, "cut off", st, WN_ERR_USAGE, wn_message(f->context), "");
    free(part);
  }
}

/* Any byte another one: whatever it is then, it is a model or a line says why not. */
static void changed(void **state) {
  fixture *f = *state;
  static const unsigned char masks[] = {0x01, 0x80, 0xff, 0x7f, 0x08};
  const wn_options options = WN_OPTIONS(.backend = "interp", .threads = 1, .plan_only = 1);
  const wn_model_options model_options = WN_MODEL_OPTIONS(.compile = &options);
  str whole = right_model(f);
  for (size_t i = 0; i < whole.len; ++i) {
    for (size_t k = 0; k < sizeof masks; ++k) {
      wn_model *m;
      whole.data[i] = (char)((unsigned char)whole.data[i] ^ masks[k]);
      wn_status st = wn_model_load_bytes(f->context, whole.data, whole.len, &model_options, &m);
      if (st != WN_OK) assert_true(*wn_message(f->context) != '\0');
      wn_model_destroy(m);
      whole.data[i] = (char)((unsigned char)whole.data[i] ^ masks[k]);
    }
  }
}

/* Messages in messages: 200 graphs, each in an attribute of the other's node. */
static void too_deep(void **state) {
  fixture *f = *state;
  str inner = pb_begin(&f->a);
  for (int i = 0; i < 200; ++i) {
    graph_writer g;
    graph_begin(&g, &f->a);
    str all = attributes(&f->a);
    attribute_graph(&all, "then_branch", &inner);
    graph_node(&g, "If", "x", "y", &all);
    inner = g.body;
  }
  graph_writer g;
  begin(f, &g);
  str all = attributes(&f->a);
  attribute_graph(&all, "then_branch", &inner);
  graph_node(&g, "If", "x", "y", &all);
  finish(f, &g, "too deep", "deep");
}

/* --- tensors ---------------------------------------------------------------------------------- */

static void add_tensor(graph_writer *g, const str *tensor) { pb_message(&g->body, 5, tensor); }

static void tensor_sizes(void **state) {
  fixture *f = *state;
  static const struct {
    int64_t dims[2];
    size_t bytes;
  } all[] = {{{2, 2}, 15},
             {{2, 2}, 17},
             {{2, 2}, 0},
             {{-1, 2}, 8},
             {{INT64_C(1) << 62, 1}, 16},
             {{INT64_C(1) << 62, 4}, 0},
             {{INT64_C(1) << 32, INT64_C(1) << 32}, 0}};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) {
    graph_writer g;
    begin(f, &g);
    str t = tensor_bytes(&f->a, "weights", ONNX_FLOAT, 2, all[i].dims, numbers, all[i].bytes);
    add_tensor(&g, &t);
    graph_node(&g, "Add", "x weights", "y", NULL);
    finish(f, &g, arena_printf(&f->a, "tensor %zu", i), "weights");
  }
}

static void tensor_types(void **state) {
  fixture *f = *state;
  static const int types[] = {ONNX_STRING, ONNX_COMPLEX64, 17, 22, 99, -1, 0};
  for (size_t i = 0; i < sizeof types / sizeof *types; ++i) {
    graph_writer g;
    begin(f, &g);
    str t = pb_begin(&f->a);
    pb_int(&t, 1, 1);
    pb_int(&t, 2, types[i]);
    pb_text(&t, 6, "a string"); /* string_data */
    pb_text(&t, 8, "weights");
    add_tensor(&g, &t);
    graph_node(&g, "Add", "x weights", "y", NULL);
    finish(f, &g, arena_printf(&f->a, "type %d", types[i]), "weights");
  }
}

static void add_external(graph_writer *g, const char *location, const char *offset,
                         const char *length) {
  const char *const pairs[][2] = {{"location", location}, {"offset", offset}, {"length", length}};
  str t = pb_begin(g->a);
  pb_int(&t, 1, 4);
  pb_int(&t, 2, ONNX_FLOAT);
  pb_text(&t, 8, "weights");
  for (int i = 0; i < 3; ++i) {
    if (pairs[i][1] == NULL) continue;
    str entry = pb_begin(g->a);
    pb_text(&entry, 1, pairs[i][0]);
    pb_text(&entry, 2, pairs[i][1]);
    pb_message(&t, 13, &entry);
  }
  pb_int(&t, 14, 1); /* data_location EXTERNAL */
  add_tensor(g, &t);
}

static str external_model(fixture *f, const char *location, const char *offset,
                          const char *length) {
  graph_writer g;
  graph_begin(&g, &f->a);
  graph_input(&g, "x", ONNX_FLOAT, 1, (int64_t[]){4});
  add_external(&g, location, offset, length);
  graph_node(&g, "Add", "x weights", "y", NULL);
  graph_output(&g, "y", ONNX_FLOAT, 1, (int64_t[]){4});
  return model_bytes(&g, 17);
}

static const char *write_file(fixture *f, const char *folder, const char *name, const void *bytes,
                              size_t n) {
  const char *path = arena_printf(&f->a, "%s/%s", folder, name);
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, n, file), n);
  assert_int_equal(fclose(file), 0);
  return path;
}

/* Data may be looked for when it is used. 0 + weights are 1, 2, 3, 4 where all is well. */
static const char *run_sum(wn_model *m, wn_status *st) {
  float x[4] = {0}, y[4] = {0};
  wn_value in = WN_VALUE(.dtype = WN_F32, .ndim = 1, .shape = {4}, .data = x);
  wn_value out = WN_VALUE(.data = y, .bytes = sizeof y);
  *st = wn_model_run(m, &in, 1, &out, 1);
  for (int i = 0; *st == WN_OK && i < 4; ++i) assert_true(y[i] == (float)(i + 1));
  return wn_model_message(m);
}

/* Data beside the model: in its folder alone, as long as it says. */
static void external_data(void **state) {
  fixture *f = *state;
  char folder[] = "/tmp/winnow-external-XXXXXX";
  assert_non_null(mkdtemp(folder));
  const char *inside = arena_printf(&f->a, "%s/model", folder);
  assert_int_equal(mkdir(inside, 0700), 0);
  static const float four[4] = {1, 2, 3, 4};
  write_file(f, inside, "weights.bin", four, sizeof four);
  write_file(f, folder, "secret.bin", four, sizeof four);
  assert_int_equal(symlink("../secret.bin", arena_printf(&f->a, "%s/link.bin", inside)), 0);
  const struct {
    const char *location, *offset, *length;
    wn_status status; /* WN_OK: it is right */
  } all[] = {{"weights.bin", NULL, NULL, WN_OK},
             {"weights.bin", "0", "16", WN_OK},
             {"./weights.bin", "0", NULL, WN_OK},
             {"missing.bin", NULL, NULL, WN_ERR_IO},
             {"../secret.bin", NULL, NULL, WN_ERR_USAGE},
             {"link.bin", NULL, NULL, WN_ERR_USAGE},
             {arena_printf(&f->a, "%s/secret.bin", folder), NULL, NULL, WN_ERR_USAGE},
             {"../model/../secret.bin", NULL, NULL, WN_ERR_USAGE},
             {"", NULL, NULL, WN_ERR_USAGE},
             {"weights.bin", "4", NULL, WN_ERR_USAGE},
             {"weights.bin", "18446744073709551612", NULL, WN_ERR_USAGE},
             {"weights.bin", "-16", NULL, WN_ERR_USAGE},
             {"weights.bin", "zero", NULL, WN_ERR_USAGE},
             {"weights.bin", "0", "12", WN_ERR_USAGE}};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) {
    str bytes = external_model(f, all[i].location, all[i].offset, all[i].length);
    const char *path = write_file(f, inside, "model.onnx", bytes.data, bytes.len);
    const char *what = arena_printf(&f->a, "external data %zu, \"%s\"", i, all[i].location);
    const wn_options options = WN_OPTIONS(.backend = "interp", .threads = 1);
    const wn_model_options model_options = WN_MODEL_OPTIONS(.compile = &options);
    wn_model *m;
    wn_status st = wn_model_load(f->context, path, &model_options, &m);
    const char *line = wn_message(f->context);
    if (st == WN_OK) line = run_sum(m, &st);
    if (all[i].status == WN_OK && st != WN_OK) fail_msg("%s: %s", what, line);
    if (all[i].status != WN_OK) expect_line(f, what, st, all[i].status, line, "weights");
    wn_model_destroy(m);
    st = wn_model_load_bytes(f->context, bytes.data, bytes.len, &model_options, &m);
    line = st == WN_OK ? run_sum(m, &st) : wn_message(f->context);
    expect_line(f, "external data of a model from memory", st, WN_ERR_USAGE, line, "weights");
    wn_model_destroy(m);
  }
  static const char *const names[] = {"model/link.bin", "model/weights.bin", "model/model.onnx",
                                      "secret.bin"};
  for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
    assert_int_equal(unlink(arena_printf(&f->a, "%s/%s", folder, names[i])), 0);
  assert_int_equal(rmdir(inside), 0);
  assert_int_equal(rmdir(folder), 0);
}

/* --- graphs ----------------------------------------------------------------------------------- */

static void cycles(void **state) {
  fixture *f = *state;
  graph_writer g;
  begin(f, &g);
  graph_node(&g, "Add", "x back", "there", NULL);
  graph_node(&g, "Relu", "there", "back", NULL);
  graph_node(&g, "Relu", "back", "y", NULL);
  finish(f, &g, "two nodes in a circle", "back");
  begin(f, &g);
  graph_node(&g, "Add", "x self", "self", NULL);
  graph_node(&g, "Relu", "self", "y", NULL);
  finish(f, &g, "a node that reads itself", "self");
}

static void missing_values(void **state) {
  fixture *f = *state;
  graph_writer g;
  begin(f, &g);
  graph_node(&g, "Add", "x nowhere", "y", NULL);
  finish(f, &g, "an input that nothing computes", "nowhere");
  begin(f, &g);
  graph_node(&g, "Relu", "x", "z", NULL);
  finish(f, &g, "an output that nothing computes", "y");
  begin(f, &g);
  graph_node(&g, "Add", "x", "y", NULL);
  finish(f, &g, "too few inputs", "node0 Add");
  begin(f, &g);
  graph_node(&g, "Add", "x -", "y", NULL);
  finish(f, &g, "an input left out that is needed", "node0 Add");
  begin(f, &g);
  graph_node(&g, "Relu", "x", "z", NULL);
  str model = model_bytes(&g, 17);
  refuses(f, "no outputs", &model, "output");
}

static void names_twice(void **state) {
  fixture *f = *state;
  graph_writer g;
  begin(f, &g);
  graph_node(&g, "Relu", "x", "y", NULL);
  graph_node(&g, "Neg", "x", "y", NULL);
  finish(f, &g, "two nodes with an output of one name", "y");
  begin(f, &g);
  graph_node(&g, "Neg", "x", "x", NULL);
  graph_node(&g, "Relu", "x", "y", NULL);
  finish(f, &g, "an output called as an input", "x");
  begin(f, &g);
  graph_input(&g, "x", ONNX_FLOAT, 4, image_shape);
  graph_node(&g, "Relu", "x", "y", NULL);
  finish(f, &g, "two inputs of one name", "x");
  begin(f, &g);
  for (int i = 0; i < 2; ++i) graph_constant(&g, "w", ONNX_FLOAT, 1, (int64_t[]){6}, numbers);
  graph_node(&g, "Add", "x w", "y", NULL);
  finish(f, &g, "two initializers of one name", "w");
}

static void operators(void **state) {
  fixture *f = *state;
  graph_writer g;
  begin(f, &g);
  graph_node(&g, "Frobnicate", "x", "a", NULL);
  graph_node(&g, "Relu", "a", "b", NULL);
  graph_node(&g, "Defenestrate", "b", "y", NULL);
  finish(f, &g, "all operators that are missing", "Frobnicate Defenestrate 17");
  begin(f, &g);
  graph_node_of(&g, "com.example", "Relu", "x", "y", NULL);
  graph_import(&g, "com.example", 1);
  finish(f, &g, "another domain", "Relu com.example");
  begin(f, &g);
  graph_node(&g, "SequenceConstruct", "x", "y", NULL);
  finish(f, &g, "a sequence", "SequenceConstruct");
  begin(f, &g);
  graph_node(&g, "DynamicQuantizeLinear", "x", "y z s", NULL);
  finish(f, &g, "a quantised operator", "DynamicQuantizeLinear");
  begin(f, &g);
  graph_node(&g, "relu", "x", "y", NULL);
  finish(f, &g, "letters of another case", "relu");
}

static void opsets(void **state) {
  fixture *f = *state;
  static const struct {
    int64_t opset;
    const char *words;
  } all[] = {{0, "opset"}, {-1, "opset"}, {5, "5"},
             {1, "1"},     {99, "99"},    {INT64_MAX, "9223372036854775807"}};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) {
    graph_writer g;
    begin(f, &g);
    graph_node(&g, "Reshape", "x x", "y", NULL);
    graph_output(&g, "y", ONNX_FLOAT, -1, NULL);
    if (all[i].opset < 0) graph_import(&g, "", all[i].opset);
    str model = model_bytes(&g, all[i].opset);
    refuses(f, arena_printf(&f->a, "opset %lld", (long long)all[i].opset), &model, all[i].words);
  }
}

/* Later than any whose operators are known: it says which, and which are. */
static void later_opsets(void **state) {
  fixture *f = *state;
  graph_writer g;
  begin(f, &g);
  graph_node(&g, "Relu", "x", "y", NULL);
  graph_output(&g, "y", ONNX_FLOAT, -1, NULL);
  str model = model_bytes(&g, 25);
  refuses(f, "opset 25", &model, "25 24");
}

/* A function that calls itself, and two that call each other. */
static void add_function(str *model, arena *a, const char *name, const char *calls) {
  str function = pb_begin(a), node = pb_begin(a);
  pb_text(&function, 1, name);
  pb_text(&function, 4, "in");
  pb_text(&function, 5, "out");
  pb_text(&node, 1, "in");
  pb_text(&node, 2, "out");
  pb_text(&node, 4, calls);
  pb_text(&node, 7, "local");
  pb_message(&function, 7, &node);
  pb_text(&function, 10, "local");
  pb_message(model, 25, &function);
}

static void functions(void **state) {
  fixture *f = *state;
  for (int circle = 1; circle <= 2; ++circle) {
    graph_writer g;
    begin(f, &g);
    graph_import(&g, "local", 1);
    graph_node_of(&g, "local", "f0", "x", "y", NULL);
    graph_output(&g, "y", ONNX_FLOAT, -1, NULL);
    str model = model_bytes(&g, 17);
    add_function(&model, &f->a, "f0", circle == 1 ? "f0" : "f1");
    if (circle == 2) add_function(&model, &f->a, "f1", "f0");
    refuses(f, "functions that call each other", &model, "f0");
  }
  graph_writer g; /* 2^60 calls */
  begin(f, &g);
  graph_import(&g, "local", 1);
  graph_node_of(&g, "local", "g0", "x", "y", NULL);
  graph_output(&g, "y", ONNX_FLOAT, -1, NULL);
  str model = model_bytes(&g, 17);
  for (int i = 0; i < 60; ++i) {
    str function = pb_begin(&f->a);
    pb_text(&function, 1, arena_printf(&f->a, "g%d", i));
    pb_text(&function, 4, "in");
    pb_text(&function, 5, "out");
    for (int k = 0; k < 2; ++k) {
      str node = pb_begin(&f->a);
      pb_text(&node, 1, k == 0 ? "in" : "mid");
      pb_text(&node, 2, k == 0 ? "mid" : "out");
      pb_text(&node, 4, i == 59 ? "Relu" : arena_printf(&f->a, "g%d", i + 1));
      if (i < 59) pb_text(&node, 7, "local");
      pb_message(&function, 7, &node);
    }
    pb_text(&function, 10, "local");
    pb_message(&model, 25, &function);
  }
  refuses(f, "2^60 calls", &model, "");
}

/* 100,000 nodes are read and built without a stack as deep. */
static void many_nodes(void **state) {
  fixture *f = *state;
  enum { NODES = 100000 };
  graph_writer g;
  begin(f, &g);
  graph_constant(&g, "w", ONNX_FLOAT, 1, (int64_t[]){6}, numbers);
  char *names = arena_alloc(&f->a, 64);
  for (int i = 0; i < NODES; ++i) {
    snprintf(names, 64, i == 0 ? "x w" : "v%d w", i - 1);
    char output[32];
    snprintf(output, sizeof output, i == NODES - 1 ? "y" : "v%d", i);
    graph_node(&g, i % 2 ? "Mul" : "Add", names, output, NULL);
  }
  graph_output(&g, "y", ONNX_FLOAT, 4, image_shape);
  str model = model_bytes(&g, 17);
  wn_model *m;
  wn_model_info info = WN_MODEL_INFO();
  if (wn_model_load_bytes(f->context, model.data, model.len, NULL, &m) != WN_OK)
    fail_msg("%s", wn_message(f->context));
  assert_int_equal(wn_model_get_info(m, &info), WN_OK);
  assert_int_equal(info.nodes, NODES);
  wn_value in = image_value();
  wn_tensor *out;
  if (wn_model_build(m, f->context, &in, 1, &out) != WN_OK) fail_msg("%s", wn_message(f->context));
  wn_model_destroy(m);
}

/* Nobody's memory has room for it. */
static void vast(void **state) {
  fixture *f = *state;
  graph_writer g;
  begin(f, &g);
  graph_ints(&g, "shape", 2, (int64_t[]){INT64_C(1) << 62, 4});
  graph_node(&g, "ConstantOfShape", "shape", "z", NULL);
  graph_node(&g, "Relu", "z", "y", NULL);
  finish(f, &g, "a constant of 2^64 elements", "node0");
  begin(f, &g);
  graph_ints(&g, "shape", 1, (int64_t[]){INT64_C(1) << 62});
  graph_node(&g, "Expand", "x shape", "y", NULL);
  finish(f, &g, "expanded to 2^62", "node0");
  graph_begin(&g, &f->a);
  graph_input(&g, "x", ONNX_FLOAT, 4, (int64_t[]){INT64_C(1) << 62, 4, 6, 6});
  graph_node(&g, "Relu", "x", "y", NULL);
  finish(f, &g, "an input of 2^62 images", "x");
}

/* --- nodes ------------------------------------------------------------------------------------ */

typedef struct node_case {
  const char *op, *inputs, *outputs;
  const char *attribute; /* NULL: none */
  int count;             /* of ints; -1: a text, -2: an int, -3: a float */
  int64_t ints[8];
  const char *words; /* of the line, besides the operator and "node0" */
} node_case;

/* x f32[1][4][6][6], w f32[5][4][3][3], v f32[7], i i64[4], one f32[], text: a string. */
static const node_case node_cases[] = {
    {"Conv", "x w", "y", "strides", 2, {0, 1}, "stride"},
    {"Conv", "x w", "y", "strides", 2, {-1, 1}, "stride"},
    {"Conv", "x w", "y", "strides", 3, {1, 1, 1}, "strides"},
    {"Conv", "x w", "y", "dilations", 2, {0, 1}, "dilation"},
    {"Conv", "x w", "y", "dilations", 2, {INT64_C(1) << 62, 1}, ""},
    {"Conv", "x w", "y", "pads", 3, {1, 1, 1}, "pads"},
    {"Conv", "x w", "y", "pads", 4, {-9, 0, 0, 0}, "padding"},
    {"Conv", "x w", "y", "pads", 4, {INT64_C(1) << 62, 0, INT64_C(1) << 62, 0}, ""},
    {"Conv", "x w", "y", "pads", -1, {0}, "pads"},
    {"Conv", "x w", "y", "group", -2, {3}, ""},
    {"Conv", "x w", "y", "group", -2, {0}, "group"},
    {"Conv", "x w", "y", "group", -2, {-4}, "group"},
    {"Conv", "x w", "y", "kernel_shape", 2, {5, 3}, "kernel_shape"},
    {"Conv", "x w", "y", "auto_pad", -2, {1}, "auto_pad"},
    {"Conv", "x v", "y", NULL, 0, {0}, ""},
    {"Conv", "x w v", "y", NULL, 0, {0}, ""},
    {"Conv", "x x", "y", "group", -2, {4}, ""},
    {"MaxPool", "x", "y", NULL, 0, {0}, "kernel_shape"},
    {"MaxPool", "x", "y", "kernel_shape", 2, {0, 2}, "window"},
    {"MaxPool", "x", "y", "kernel_shape", 2, {9, 9}, ""},
    {"AveragePool", "x", "y", "kernel_shape", 1, {2}, "kernel_shape"},
    {"Concat", "x x", "y", "axis", -2, {4}, "axis"},
    {"Concat", "x v", "y", "axis", -2, {0}, ""},
    {"Concat", "x w", "y", "axis", -2, {1}, ""},
    {"Transpose", "x", "y", "perm", 4, {0, 1, 2, 2}, "perm"},
    {"Transpose", "x", "y", "perm", 3, {0, 1, 2}, "perm"},
    {"Transpose", "x", "y", "perm", 4, {0, 1, 2, 4}, "axis"},
    {"Softmax", "x", "y", "axis", -2, {7}, "axis"},
    {"Softmax", "x", "y", "axis", -1, {0}, "axis"},
    {"LeakyRelu", "x", "y", "alpha", -2, {1}, "alpha"},
    {"Gemm", "x w", "y", NULL, 0, {0}, ""},
    {"MatMul", "x v", "y", NULL, 0, {0}, ""},
    {"Add", "x v", "y", NULL, 0, {0}, ""},
    {"Add", "x i", "y", NULL, 0, {0}, ""},
    {"Where", "x x x", "y", NULL, 0, {0}, ""},
    {"Reshape", "x i", "y", NULL, 0, {0}, ""},
    {"Reshape", "x v", "y", NULL, 0, {0}, ""},
    {"Gather", "x i", "y", "axis", -2, {-9}, "axis"},
    {"Gather", "x v", "y", NULL, 0, {0}, ""},
    {"Squeeze", "x i", "y", NULL, 0, {0}, ""},
    {"Unsqueeze", "x i", "y", NULL, 0, {0}, ""},
    {"Flatten", "x", "y", "axis", -2, {5}, "axis"},
    {"Split", "x i", "y", NULL, 0, {0}, ""},
    {"Split", "x", "y z a b c", "axis", -2, {9}, "axis"},
    {"Relu", "x", "y", "alpha", -3, {1}, ""},
    {"Slice", "x i", "y", NULL, 0, {0}, ""},
    {"Pad", "x i", "y", NULL, 0, {0}, ""},
    {"Pad", "x i", "y", "mode", -1, {0}, ""},
    {"Resize", "x - - i", "y", "mode", -1, {0}, ""},
    {"Resize", "x", "y", NULL, 0, {0}, ""},
    {"DepthToSpace", "x", "y", "blocksize", -2, {3}, ""},
    {"DepthToSpace", "x", "y", "blocksize", -2, {0}, "blocks"},
    {"BatchNormalization", "x v v v v", "y", NULL, 0, {0}, ""},
    {"Cast", "x", "y", NULL, 0, {0}, "to"},
    {"Cast", "x", "y", "to", -2, {8}, ""},
    {"Constant", "", "y", NULL, 0, {0}, ""},
    {"ConstantOfShape", "x", "y", NULL, 0, {0}, ""},
    {"Expand", "x i", "y", NULL, 0, {0}, ""},
    {"Tile", "x v", "y", NULL, 0, {0}, ""},
    {"Range", "one one zero", "y", NULL, 0, {0}, ""},
    {"Clip", "x v", "y", NULL, 0, {0}, ""},
    {"Clip", "x i", "y", NULL, 0, {0}, ""},
    {"ReduceMean", "x", "y", "axes", 1, {4}, "axes"},
    {"Add", "x text", "y", NULL, 0, {0}, ""},
    {"If", "x", "y", NULL, 0, {0}, ""},
};

static str node_attribute(arena *a, const node_case *c) {
  str all = attributes(a);
  if (c->attribute == NULL) return all;
  if (c->count == -1)
    attribute_text(&all, c->attribute, "one");
  else if (c->count == -2)
    attribute_int(&all, c->attribute, c->ints[0]);
  else if (c->count == -3)
    attribute_float(&all, c->attribute, (float)c->ints[0]);
  else
    attribute_ints(&all, c->attribute, c->count, c->ints);
  return all;
}

static void nodes(void **state) {
  fixture *f = *state;
  int wrong = 0;
  for (size_t k = 0; k < sizeof node_cases / sizeof *node_cases; ++k) {
    const node_case *c = &node_cases[k];
    const wn_options options = WN_OPTIONS(.backend = "interp", .threads = 1);
    const wn_model_options model_options = WN_MODEL_OPTIONS(.compile = &options);
    graph_writer g;
    begin(f, &g);
    graph_constant(&g, "w", ONNX_FLOAT, 4, (int64_t[]){5, 4, 3, 3}, numbers);
    graph_constant(&g, "v", ONNX_FLOAT, 1, (int64_t[]){7}, numbers);
    graph_constant(&g, "one", ONNX_FLOAT, 0, NULL, numbers);
    graph_constant(&g, "zero", ONNX_FLOAT, 0, NULL, numbers);
    graph_ints(&g, "i", 4, (int64_t[]){3, -5, 17, -100});
    if (strstr(c->inputs, "text") != NULL) {
      str t = pb_begin(&f->a);
      pb_int(&t, 1, 6);
      pb_int(&t, 2, ONNX_STRING);
      for (int i = 0; i < 6; ++i) pb_text(&t, 6, "word");
      pb_text(&t, 8, "text");
      add_tensor(&g, &t);
    }
    str all = node_attribute(&f->a, c);
    graph_node(&g, c->op, c->inputs, c->outputs, &all);
    graph_output(&g, "y", ONNX_FLOAT, -1, NULL);
    str bytes = model_bytes(&g, 17);
    wn_model *m;
    wn_value in = image_value(), out = WN_VALUE();
    wn_status st = wn_model_load_bytes(f->context, bytes.data, bytes.len, &model_options, &m);
    const char *line = wn_message(f->context);
    if (st == WN_OK) {
      st = wn_model_outputs(m, &in, 1, &out);
      line = wn_model_message(m);
    }
    const char *words = arena_printf(&f->a, "%s node0 %s", c->op, c->words);
    if (strstr(c->inputs, "text") != NULL) words = "text";
    if (st != WN_ERR_USAGE || !has_words(line, words) || strchr(line, '\n') != NULL) {
      ++wrong;
      print_message("# %s(%s) %s, case %zu: status %d, \"%s\" and not one line with: %s\n", c->op,
                    c->inputs, c->attribute == NULL ? "" : c->attribute, k, (int)st,
                    st == WN_OK ? "" : line, words);
    }
    wn_model_destroy(m);
  }
  assert_int_equal(wrong, 0);
}

/* --- calls ------------------------------------------------------------------------------------ */

static wn_model *sum_model(fixture *f) { /* y = x + z, both f32[2][3] */
  graph_writer g;
  graph_begin(&g, &f->a);
  graph_input(&g, "x", ONNX_FLOAT, 2, (int64_t[]){2, 3});
  graph_input(&g, "z", ONNX_FLOAT, 2, (int64_t[]){-2, 3});
  graph_node(&g, "Add", "x z", "y", NULL);
  graph_output(&g, "y", ONNX_FLOAT, 2, (int64_t[]){2, 3});
  static const wn_options options = {.size = sizeof options, .backend = "interp", .threads = 1};
  const wn_model_options model_options = WN_MODEL_OPTIONS(.compile = &options);
  str *bytes = arena_new(&f->a, str);
  *bytes = model_bytes(&g, 17);
  wn_model *m;
  if (wn_model_load_bytes(f->context, bytes->data, bytes->len, &model_options, &m) != WN_OK)
    fail_msg("%s", wn_message(f->context));
  return m;
}

static void calls(void **state) {
  fixture *f = *state;
  wn_model *m = sum_model(f);
  static float six[6] = {1, 2, 3, 4, 5, 6}, y[6];
  static int64_t longs[6];
#define SIX(...) WN_VALUE(.dtype = WN_F32, .ndim = 2, .shape = {2, 3}, .data = six, __VA_ARGS__)
  const wn_value good = SIX(.name = NULL), by_x = SIX(.name = "x"), by_z = SIX(.name = "z");
  const struct {
    wn_value in[3];
    int count;
    const char *words;
  } all[] = {
      {{SIX(.name = "w"), by_z}, 2, "w x z"}, /* no such input: these are there */
      {{by_x, by_x}, 2, "x"},
      {{good}, 1, "z"},
      {{by_z}, 1, "x"},
      {{good, good, good}, 3, "input 2"},
      {{good, WN_VALUE(.dtype = WN_I64, .ndim = 2, .shape = {2, 3}, .data = longs)},
       2,
       "z i64 f32"},
      {{WN_VALUE(.dtype = (wn_dtype)77, .ndim = 2, .shape = {2, 3}, .data = six), good}, 2, "x"},
      {{good, WN_VALUE(.dtype = WN_F32, .ndim = 1, .shape = {6}, .data = six)}, 2, "z"},
      {{WN_VALUE(.dtype = WN_F32, .ndim = 2, .shape = {3, 2}, .data = six), good}, 2, "x"},
      {{good, WN_VALUE(.dtype = WN_F32, .ndim = 2, .shape = {-1, 3}, .data = six)}, 2, "z"},
      {{good, WN_VALUE(.dtype = WN_F32, .ndim = 13, .shape = {2, 3}, .data = six)}, 2, "z"},
      {{good, WN_VALUE(.dtype = WN_F32, .ndim = -1, .shape = {2, 3}, .data = six)}, 2, "z"},
      {{good, WN_VALUE(.dtype = WN_F32, .ndim = 2, .shape = {2, 3}, .data = NULL)}, 2, "z"},
      {{good, WN_VALUE(.dtype = WN_F32, .ndim = 2, .shape = {5, 3}, .data = six)}, 2, ""},
  };
  wn_value out = WN_VALUE(.data = y, .bytes = sizeof y);
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) {
    wn_status st = wn_model_run(m, all[i].in, all[i].count, &out, 1);
    expect_line(f, arena_printf(&f->a, "call %zu", i), st, WN_ERR_USAGE, wn_model_message(m),
                all[i].words);
  }
  const wn_value two[] = {good, good};
  wn_value outs[2] = {WN_VALUE(.data = y, .bytes = 20), WN_VALUE(.data = y)};
  expect_line(f, "too little room", wn_model_run(m, two, 2, outs, 1), WN_ERR_USAGE,
              wn_model_message(m), "y 24 20");
  outs[0] = WN_VALUE(.name = "nothing", .data = y);
  expect_line(f, "an output of another name", wn_model_run(m, two, 2, outs, 1), WN_ERR_USAGE,
              wn_model_message(m), "nothing");
  expect_line(f, "too many outputs", wn_model_run(m, two, 2, outs, 2), WN_ERR_USAGE,
              wn_model_message(m), "");
  outs[0].size = 3;
  expect_line(f, "a struct of no size", wn_model_run(m, two, 2, outs, 1), WN_ERR_USAGE,
              wn_model_message(m), "size");
  wn_value v = WN_VALUE();
  expect_line(f, "input 2", wn_model_get_input(m, 2, &v), WN_ERR_USAGE, wn_model_message(m), "2");
  expect_line(f, "output -1", wn_model_get_output(m, -1, &v), WN_ERR_USAGE, wn_model_message(m),
              "-1");
  assert_int_equal(wn_model_run(NULL, two, 2, outs, 1), WN_ERR_USAGE);
  assert_non_null(wn_model_message(NULL));
  /* After all that the model works, and forgets nothing. */
  if (wn_model_run(m, two, 2, &out, 1) != WN_OK) fail_msg("%s", wn_model_message(m));
  for (int i = 0; i < 6; ++i) assert_true(y[i] == 2 * six[i]);
  assert_int_equal(out.dtype, WN_F32);
  assert_int_equal(out.ndim, 2);
  wn_model_destroy(m);
}

/* NaN and infinity among weights are numbers as others. */
static void special_weights(void **state) {
  fixture *f = *state;
  const float weights[6] = {NAN, 1, INFINITY, -INFINITY, -0.0f, 1e-40f};
  graph_writer g;
  graph_begin(&g, &f->a);
  graph_input(&g, "x", ONNX_FLOAT, 1, (int64_t[]){6});
  graph_constant(&g, "w", ONNX_FLOAT, 1, (int64_t[]){6}, weights);
  graph_node(&g, "Mul", "x w", "y", NULL);
  graph_output(&g, "y", ONNX_FLOAT, 1, (int64_t[]){6});
  str bytes = model_bytes(&g, 17);
  static const char *const backends[] = {"interp", "cpu"};
  for (int i = 0; i < 2; ++i) {
    const wn_options options = WN_OPTIONS(.backend = backends[i], .threads = 1);
    const wn_model_options model_options = WN_MODEL_OPTIONS(.compile = &options);
    wn_model *m;
    if (wn_model_load_bytes(f->context, bytes.data, bytes.len, &model_options, &m) != WN_OK)
      fail_msg("%s", wn_message(f->context));
    float x[6] = {1, 1, 2, 0, 1, 1}, y[6] = {0};
    wn_value in = WN_VALUE(.dtype = WN_F32, .ndim = 1, .shape = {6}, .data = x);
    wn_value out = WN_VALUE(.data = y, .bytes = sizeof y);
    if (wn_model_run(m, &in, 1, &out, 1) != WN_OK) fail_msg("%s", wn_model_message(m));
    assert_true(isnan(y[0]) && y[1] == 1 && y[2] == INFINITY && isnan(y[3]) && y[4] == 0 &&
                y[5] == 1e-40f);
    wn_model_destroy(m);
  }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(not_a_model),    TEST(cut_off),      TEST(changed),         TEST(too_deep),
      TEST(tensor_sizes),   TEST(tensor_types), TEST(external_data),   TEST(cycles),
      TEST(missing_values), TEST(names_twice),  TEST(operators),       TEST(opsets),
      TEST(later_opsets),   TEST(functions),    TEST(many_nodes),      TEST(vast),
      TEST(nodes),          TEST(calls),        TEST(special_weights),
  };
  return cmocka_run_group_tests_name("bad_models", tests, NULL, NULL);
}
