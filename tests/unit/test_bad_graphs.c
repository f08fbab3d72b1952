/* Models whose graphs or nodes are wrong: each is refused with one line that names what is wrong, when it is loaded or
 * when its shapes are known, and nothing crashes or takes long. Models are written by write_onnx.h, which checks
 * nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/bad_model.h"

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
  if (wn_model_load_bytes(f->ctx, model.data, model.len, NULL, &m) != WN_OK)
    fail_msg("%s", wn_message(f->ctx));
  assert_int_equal(wn_model_get_info(m, &info), WN_OK);
  assert_int_equal(info.nodes, NODES);
  wn_value in = image_value();
  wn_tensor *out;
  if (wn_model_build(m, f->ctx, &in, 1, &out) != WN_OK) fail_msg("%s", wn_message(f->ctx));
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
    wn_status st = wn_model_load_bytes(f->ctx, bytes.data, bytes.len, &model_options, &m);
    const char *line = wn_message(f->ctx);
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

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(cycles),       TEST(missing_values), TEST(names_twice), TEST(operators), TEST(opsets),
      TEST(later_opsets), TEST(functions),      TEST(many_nodes),  TEST(vast),      TEST(nodes),
  };
  return cmocka_run_group_tests_name("bad_graphs", tests, NULL, NULL);
}
