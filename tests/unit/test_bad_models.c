/* Models that are no right bytes or have no right tensors, and wrong calls of models: each is refused with one line that
 * names what is wrong, and nothing crashes or takes long. Models are written by write_onnx.h, which checks nothing.
 * Graphs and nodes that are wrong are in test_bad_graphs.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit/bad_model.h"

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
  assert_int_equal(wn_model_load_bytes(f->ctx, NULL, 0, NULL, &m), WN_ERR_USAGE);
  assert_int_equal(wn_model_load(f->ctx, "no/such/model.onnx", NULL, &m), WN_ERR_IO);
  assert_non_null(strstr(wn_message(f->ctx), "no/such/model.onnx"));
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
    wn_status st = wn_model_load_bytes(f->ctx, start, n, NULL, &m);
    if (st == WN_OK) fail_msg("%zu bytes of %zu are a model", n, whole.len);
    expect_line("cut off", st, WN_ERR_USAGE, wn_message(f->ctx), "");
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
      wn_status st = wn_model_load_bytes(f->ctx, whole.data, whole.len, &model_options, &m);
      if (st != WN_OK) assert_true(*wn_message(f->ctx) != '\0');
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
    wn_status st = wn_model_load(f->ctx, path, &model_options, &m);
    const char *line = wn_message(f->ctx);
    if (st == WN_OK) line = run_sum(m, &st);
    if (all[i].status == WN_OK && st != WN_OK) fail_msg("%s: %s", what, line);
    if (all[i].status != WN_OK) expect_line(what, st, all[i].status, line, "weights");
    wn_model_destroy(m);
    st = wn_model_load_bytes(f->ctx, bytes.data, bytes.len, &model_options, &m);
    line = st == WN_OK ? run_sum(m, &st) : wn_message(f->ctx);
    expect_line("external data of a model from memory", st, WN_ERR_USAGE, line, "weights");
    wn_model_destroy(m);
  }
  static const char *const names[] = {"model/link.bin", "model/weights.bin", "model/model.onnx",
                                      "secret.bin"};
  for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
    assert_int_equal(unlink(arena_printf(&f->a, "%s/%s", folder, names[i])), 0);
  assert_int_equal(rmdir(inside), 0);
  assert_int_equal(rmdir(folder), 0);
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
  if (wn_model_load_bytes(f->ctx, bytes->data, bytes->len, &model_options, &m) != WN_OK)
    fail_msg("%s", wn_message(f->ctx));
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
    expect_line(arena_printf(&f->a, "call %zu", i), st, WN_ERR_USAGE, wn_model_message(m),
                all[i].words);
  }
  const wn_value two[] = {good, good};
  wn_value outs[2] = {WN_VALUE(.data = y, .bytes = 20), WN_VALUE(.data = y)};
  expect_line("too little room", wn_model_run(m, two, 2, outs, 1), WN_ERR_USAGE,
              wn_model_message(m), "y 24 20");
  outs[0] = WN_VALUE(.name = "nothing", .data = y);
  expect_line("an output of another name", wn_model_run(m, two, 2, outs, 1), WN_ERR_USAGE,
              wn_model_message(m), "nothing");
  expect_line("too many outputs", wn_model_run(m, two, 2, outs, 2), WN_ERR_USAGE,
              wn_model_message(m), "");
  outs[0].size = 3;
  expect_line("a struct of no size", wn_model_run(m, two, 2, outs, 1), WN_ERR_USAGE,
              wn_model_message(m), "size");
  wn_value v = WN_VALUE();
  expect_line("input 2", wn_model_get_input(m, 2, &v), WN_ERR_USAGE, wn_model_message(m), "2");
  expect_line("output -1", wn_model_get_output(m, -1, &v), WN_ERR_USAGE, wn_model_message(m), "-1");
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
    if (wn_model_load_bytes(f->ctx, bytes.data, bytes.len, &model_options, &m) != WN_OK)
      fail_msg("%s", wn_message(f->ctx));
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
      TEST(not_a_model),   TEST(cut_off),      TEST(changed),
      TEST(too_deep),      TEST(tensor_sizes), TEST(tensor_types),
      TEST(external_data), TEST(calls),        TEST(special_weights),
  };
  return cmocka_run_group_tests_name("bad_models", tests, NULL, NULL);
}
