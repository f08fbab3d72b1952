/* ONNX's files: models that the package onnx has written (tests/fuzz/onnx_seeds.py), messages written by hand, and what
 * is refused. Every seed is cut at every byte, and every allocation of reading one fails in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "onnx/hold.h"
#include "onnx/write_protobuf.h"

#define SEEDS WN_SOURCE_DIR "/tests/fuzz/seeds/fuzz_onnx/"

typedef struct fixture {
  diag d;
  arena a;
  file_holder files;
  char folder[64]; /* empty, of this test */
} fixture;

static int set_up(void **state) {
  fixture *f = *state = calloc(1, sizeof *f);
  if (f == NULL) return -1;
  diag_init(&f->d);
  arena_init(&f->a, &f->d);
  snprintf(f->folder, sizeof f->folder, "/tmp/winnow-onnx-XXXXXX");
  return mkdtemp(f->folder) != NULL ? 0 : -1;
}

static int tear_down(void **state) {
  fixture *f = *state;
  char command[128];
  snprintf(command, sizeof command, "rm -r %s", f->folder);
  hold_release(&f->files);
  arena_release(&f->a);
  int status = system(command);
  free(f);
  return status;
}

static const char *in_folder(fixture *f, const char *name) {
  return arena_printf(&f->a, "%s/%s", f->folder, name);
}

/* NULL: an error, whose line is in f->d. */
static onnx_model *read_model(fixture *f, const void *bytes, size_t size) {
  onnx_model *volatile m = NULL;
  volatile wn_status status;
  /* of their very size on the heap, so that reading past them is seen */
  unsigned char *copy = malloc(size ? size : 1);
  assert_non_null(copy);
  if (size > 0) memcpy(copy, bytes, size);
  DIAG_TRY(&f->d, status) { m = onnx_read_model(&f->a, &f->d, "net.onnx", copy, size); }
  DIAG_END(&f->d, status)
  free(copy);
  if (status != WN_OK) assert_int_equal(status, WN_ERR_USAGE);
  return status == WN_OK ? m : NULL;
}

static onnx_tensor *read_tensor(fixture *f, const str *t) {
  onnx_tensor *volatile out = NULL;
  volatile wn_status status;
  DIAG_TRY(&f->d, status) {
    out = onnx_read_tensor(&f->a, &f->d, "t.pb",
                           (const unsigned char *)str_text((str *)(uintptr_t)t), t->len);
  }
  DIAG_END(&f->d, status)
  if (status != WN_OK) assert_int_equal(status, WN_ERR_USAGE);
  return status == WN_OK ? out : NULL;
}

static void check_line(fixture *f, const char *part) {
  if (strstr(f->d.message, part) == NULL) fail_msg("'%s' does not say '%s'", f->d.message, part);
}

static void refuse(fixture *f, const str *m, const char *part) {
  if (read_model(f, m->data, m->len) != NULL) fail_msg("read, expected '%s'", part);
  check_line(f, "net.onnx");
  check_line(f, part);
}

static void refuse_tensor(fixture *f, const str *t, const char *part) {
  if (read_tensor(f, t) != NULL) fail_msg("read, expected '%s'", part);
  check_line(f, part);
}

static onnx_model *read_file(fixture *f, const char *path) {
  onnx_model *volatile m = NULL;
  volatile wn_status status;
  DIAG_TRY(&f->d, status) {
    size_t size;
    const unsigned char *bytes = hold_file(&f->files, &f->d, path, &size);
    m = onnx_read_model(&f->a, &f->d, path, bytes, size);
  }
  DIAG_END(&f->d, status)
  if (status != WN_OK) fail_msg("%s", f->d.message);
  return m;
}

/* NULL: an error of that status. */
static const void *elements(fixture *f, const char *path, const onnx_tensor *t,
                            wn_status expected) {
  const void *volatile p = NULL;
  volatile wn_status status;
  DIAG_TRY(&f->d, status) { p = onnx_tensor_elements(&f->files, &f->a, &f->d, path, t); }
  DIAG_END(&f->d, status)
  if (status != expected)
    fail_msg("status %d, %s", (int)status, status != WN_OK ? f->d.message : "no error");
  return p;
}

/* --- what the package onnx writes -------------------------------------------------------------- */

static void reads_graphs(void **state) {
  fixture *f = *state;
  const char *path = SEEDS "conv";
  const onnx_model *m = read_file(f, path);
  assert_int_equal(m->ir_version, 8);
  assert_string_equal(m->producer, "seeds");
  assert_string_equal(m->producer_version, "1");
  assert_int_equal(m->opsets, 1);
  assert_string_equal(m->opset[0].domain, "");
  assert_int_equal(m->opset[0].version, 17);
  const onnx_graph *g = &m->graph;
  assert_string_equal(g->name, "net");
  assert_int_equal(g->nodes, 2);
  const onnx_node *conv = &g->node[0];
  assert_string_equal(conv->op, "Conv");
  assert_string_equal(conv->name, "conv0");
  assert_int_equal(conv->inputs, 3);
  assert_string_equal(conv->input[1], "w");
  assert_string_equal(conv->input[2], "");
  assert_string_equal(conv->output[0], "c");
  assert_int_equal(conv->attributes, 2);
  assert_string_equal(g->node[1].domain, ""); /* ai.onnx */
  assert_string_equal(g->node[1].name, "");
  assert_int_equal(g->inputs, 1);
  assert_int_equal(g->input[0].type, ONNX_FLOAT);
  assert_int_equal(g->input[0].ndim, 4);
  assert_int_equal(g->input[0].dims[0].value, 1);
  assert_null(g->input[0].dims[0].name);
  assert_int_equal(g->input[0].dims[1].value, -1);
  assert_string_equal(g->input[0].dims[1].name, "C");
  assert_int_equal(g->input[0].dims[2].value, -1);
  assert_null(g->input[0].dims[2].name);
  assert_int_equal(g->output[0].ndim, -1);
  assert_int_equal(g->infos, 1);
  assert_int_equal(g->info[0].type, ONNX_FLOAT16);
  assert_int_equal(g->info[0].ndim, 0);
  const onnx_tensor *w = &g->initializer[0];
  assert_string_equal(w->name, "w");
  assert_int_equal(w->count, 18);
  const float *values = elements(f, path, w, WN_OK);
  assert_int_equal((uintptr_t)values % 4, 0);
  for (int i = 0; i < 18; ++i) assert_true(values[i] == (float)i / 4);
  assert_ptr_equal(values, elements(f, path, w, WN_OK));
}

static void reads_typed_data(void **state) {
  fixture *f = *state;
  const char *path = SEEDS "typed";
  const onnx_model *m = read_file(f, path);
  const onnx_graph *g = &m->graph;
  assert_int_equal(m->ir_version, 10);
  assert_int_equal(g->initializers, 18);
#define SAME(at, name, ...)                                                               \
  do {                                                                                    \
    const onnx_tensor *t = &g->initializer[at];                                           \
    assert_string_equal(onnx_type_name(&f->a, t->type), name);                            \
    assert_int_equal(t->count *(int64_t)onnx_type_size(t->type), sizeof(__VA_ARGS__));    \
    assert_memory_equal(elements(f, path, t, WN_OK), (__VA_ARGS__), sizeof(__VA_ARGS__)); \
  } while (0)
  SAME(0, "float", (float[]){0.5f, -2});
  SAME(1, "double", (double[]){0.25, -8});
  SAME(2, "uint8", (uint8_t[]){0, 255});
  SAME(3, "int8", (int8_t[]){-128, 127});
  SAME(4, "uint16", (uint16_t[]){1, 65535});
  SAME(5, "int16", (int16_t[]){-32768, 3});
  SAME(6, "int32", (int32_t[]){-5, 1 << 30});
  SAME(7, "int64", (int64_t[]){-1, INT64_C(1) << 40});
  SAME(8, "bool", (uint8_t[]){1, 0});
  SAME(9, "float16", (uint16_t[]){0x3c00, 0xc000});
  SAME(10, "bfloat16", (uint16_t[]){0x3f80, 0xc000});
  SAME(11, "uint32", (uint32_t[]){7, UINT32_MAX});
  SAME(12, "uint64", (uint64_t[]){8, UINT64_MAX});
  SAME(13, "complex64", (float[]){1, 2, 3, -4});
  SAME(14, "complex128", (double[]){5, 6, 0, 7});
  SAME(16, "float8e4m3fn", (uint8_t[]){0x38, 0xc0});
#undef SAME
  assert_int_equal(g->initializer[15].type, ONNX_STRING);
  assert_int_equal(g->initializer[15].count, 2);
  assert_int_equal(g->initializer[17].count, 3); /* of 4 bits */
  elements(f, path, &g->initializer[15], WN_ERR_USAGE);
  check_line(f, "elements of string are not supported");
  elements(f, path, &g->initializer[17], WN_ERR_USAGE);
  check_line(f, "elements of int4 are not supported");
}

static const onnx_attribute *find(const onnx_node *n, const char *name) {
  for (int i = 0; i < n->attributes; ++i)
    if (strcmp(n->attribute[i].name, name) == 0) return &n->attribute[i];
  fail_msg("no attribute %s", name);
  return NULL;
}

static void reads_attributes(void **state) {
  fixture *f = *state;
  const onnx_model *m = read_file(f, SEEDS "attributes");
  const onnx_node *n = &m->graph.node[0];
  assert_string_equal(n->domain, "test.domain");
  assert_true(find(n, "f")->f == 1.5f);
  assert_int_equal(find(n, "f")->kind, ONNX_ATTR_FLOAT);
  assert_int_equal(find(n, "i")->i, -7);
  assert_string_equal(find(n, "s")->s, "text");
  assert_int_equal(find(n, "t")->t->type, ONNX_INT32);
  assert_string_equal(find(n, "g")->g->node[0].op, "Constant");
  assert_true(*(const float *)find(&find(n, "g")->g->node[0], "value")->t->typed == 1);
  assert_int_equal(find(n, "fs")->count, 2);
  assert_true(find(n, "fs")->floats[1] == 2);
  assert_int_equal(find(n, "ins")->count, 3);
  assert_int_equal(find(n, "ins")->ints[2], INT64_C(1) << 50);
  assert_int_equal(find(n, "ss")->count, 3);
  assert_string_equal(find(n, "ss")->strings[1], "");
  assert_string_equal(find(n, "ss")->strings[2], "ß");
  assert_int_equal(find(n, "ts")->kind, ONNX_ATTR_TENSORS);
  assert_int_equal(find(n, "gs")->kind, ONNX_ATTR_GRAPHS);
  assert_int_equal(find(n, "tp")->kind, ONNX_ATTR_TYPE_PROTO);
  assert_string_equal(m->graph.input[0].kind, "sequence");
  assert_string_equal(m->graph.input[1].kind, "optional");
  assert_null(m->graph.output[0].kind);
}

static void reads_functions(void **state) {
  fixture *f = *state;
  const onnx_model *m = read_file(f, SEEDS "function");
  assert_int_equal(m->functions, 1);
  const onnx_function *leak = &m->function[0];
  assert_string_equal(leak->name, "Leak");
  assert_string_equal(leak->domain, "local");
  assert_string_equal(leak->overload, "");
  assert_string_equal(leak->input[0], "a");
  assert_string_equal(leak->output[0], "b");
  assert_int_equal(leak->attributes, 1);
  assert_string_equal(leak->attribute[0], "slope");
  assert_int_equal(leak->defaults, 1);
  assert_true(leak->with_default[0].f == 0.5f);
  assert_int_equal(leak->opset[0].version, 17);
  assert_string_equal(find(&leak->node[0], "alpha")->ref, "slope");
  assert_int_equal(m->opsets, 2);
}

/* --- external data ----------------------------------------------------------------------------- */

static void write_file(const char *path, const void *bytes, size_t n) {
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, n, file), n);
  assert_int_equal(fclose(file), 0);
}

/* float[2, 3] in a file beside the model; offset and length NULL: not said. */
static onnx_tensor *external(fixture *f, const char *location, const char *offset,
                             const char *length) {
  const char *const entry[][2] = {
      {"location", location}, {"offset", offset}, {"length", length}, {"checksum", "x"}};
  str t = pb_begin(&f->a);
  pb_ints(&t, 1, 2, (int64_t[]){2, 3});
  pb_int(&t, 2, ONNX_FLOAT);
  pb_text(&t, 8, "far");
  pb_int(&t, 14, 1);
  for (int i = 0; i < 4; ++i) {
    str e = pb_begin(&f->a);
    if (entry[i][1] == NULL) continue;
    pb_text(&e, 1, entry[i][0]);
    pb_text(&e, 2, entry[i][1]);
    pb_message(&t, 13, &e);
  }
  return read_tensor(f, &t);
}

static void finds_external_data(void **state) {
  fixture *f = *state;
  const float data[9] = {0, 0, 1, 2, 3, 4, 5, 6, 7};
  const onnx_tensor *t = &read_file(f, SEEDS "external")->graph.initializer[0];
  const char *path = in_folder(f, "net.onnx");
  assert_int_equal(read_file(f, SEEDS "external")->graph.sparse_initializers, 1);
  assert_string_equal(t->location, "far.bin");
  elements(f, path, t, WN_ERR_IO);
  check_line(f, "tensor 'far': its data is in 'far.bin', which is not there");
  write_file(path, "model", 5);
  write_file(in_folder(f, "far.bin"), data, sizeof data);
  assert_memory_equal(elements(f, path, t, WN_OK), data + 2, 24);
  assert_int_equal(mkdir(in_folder(f, "in"), 0700), 0);
  write_file(in_folder(f, "in/w"), data, sizeof data);
  assert_memory_equal(elements(f, path, external(f, "./in/w", "12", NULL), WN_OK), data + 3, 24);
  const onnx_tensor *other = external(f, "far.bin", NULL, "24");
  assert_ptr_equal((const char *)elements(f, path, other, WN_OK) + 8, *t->place); /* held once */
  const float *odd = elements(f, path, external(f, "far.bin", "5", "0"), WN_OK);
  assert_memory_equal(odd, (const char *)data + 5, 24);
  assert_int_equal((uintptr_t)odd % 4, 0);
  /* relative to the working directory */
  char before[4096];
  assert_non_null(getcwd(before, sizeof before));
  assert_int_equal(chdir(f->folder), 0);
  assert_memory_equal(elements(f, "net.onnx", external(f, "in/w", NULL, NULL), WN_OK), data, 24);
  assert_int_equal(chdir(before), 0);
}

static void refuses_external_data(void **state) {
  fixture *f = *state;
  const float data[9] = {0};
  const char *path = in_folder(f, "m/net.onnx");
  assert_int_equal(mkdir(in_folder(f, "m"), 0700), 0);
  assert_int_equal(mkdir(in_folder(f, "m2"), 0700), 0);
  write_file(path, "model", 5);
  write_file(in_folder(f, "m/w"), data, sizeof data);
  write_file(in_folder(f, "secret"), data, sizeof data);
  write_file(in_folder(f, "m2/secret"), data, sizeof data);
  assert_int_equal(symlink("../secret", in_folder(f, "m/link")), 0);
  assert_int_equal(symlink("../m2", in_folder(f, "m/sub")), 0);
  assert_int_equal(symlink("w", in_folder(f, "m/good")), 0);
  assert_int_equal(mkfifo(in_folder(f, "m/pipe"), 0600), 0);
  elements(f, path, external(f, "good", NULL, NULL), WN_OK);
  static const struct {
    const char *location, *offset, *length, *line;
    wn_status status;
  } cases[] = {
      {"link", NULL, NULL, "'link', a link out of the model's folder", WN_ERR_USAGE},
      {"sub/secret", NULL, NULL, "a link out of", WN_ERR_USAGE},
      {"../secret", NULL, NULL, "'../secret', expected a path inside the model's folder",
       WN_ERR_USAGE},
      {"sub/../../secret", NULL, NULL, "expected a path inside", WN_ERR_USAGE},
      {"..", NULL, NULL, "expected a path inside", WN_ERR_USAGE},
      {"/etc/passwd", NULL, NULL, "expected a path inside", WN_ERR_USAGE},
      {"net.onnx", NULL, NULL, "which is the model itself", WN_ERR_USAGE},
      {"pipe", NULL, NULL, "not a regular file", WN_ERR_IO},
      {"sub", NULL, NULL, "a link out of", WN_ERR_USAGE},
      {".", NULL, NULL, "", WN_ERR_USAGE},
      {"w", "16", NULL, "its data are 24 bytes from 16 on of 'w', which has 36", WN_ERR_USAGE},
      {"w", "18446744073709551615", NULL, "which has 36", WN_ERR_USAGE},
      {"w", NULL, "20", "has 20 bytes, 24 fit float[2, 3]", WN_ERR_USAGE},
  };
  size_t size;
  hold_file(&f->files, &f->d, path, &size);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
    const onnx_tensor *t = external(f, cases[i].location, cases[i].offset, cases[i].length);
    elements(f, path, t, cases[i].status);
    check_line(f, cases[i].line);
  }
  elements(f, NULL, external(f, "w", NULL, NULL), WN_ERR_USAGE);
  check_line(f, "a model from memory has no folder");
  assert_null(external(f, "w", "4x", NULL));
  check_line(f, "the offset of its external data is '4x', expected a number of bytes");
  assert_null(external(f, "w", "18446744073709551616", NULL));
  assert_null(external(f, "w", NULL, ""));
  assert_null(external(f, NULL, "4", NULL));
  check_line(f, "no location says where");
  /* a model that is itself a link has its data where it is, as in the caches of downloads */
  assert_int_equal(symlink("../m/net.onnx", in_folder(f, "m2/net.onnx")), 0);
  assert_int_equal(symlink("../m/w", in_folder(f, "m2/w")), 0);
  elements(f, in_folder(f, "m2/net.onnx"), external(f, "w", NULL, NULL), WN_OK);
}

/* --- messages by hand -------------------------------------------------------------------------- */

/* A tensor 'w' of a type; dims packed. */
static str tensor(fixture *f, int type, int ndim, const int64_t *dims) {
  str t = pb_begin(&f->a);
  pb_ints(&t, 1, ndim, dims);
  if (type != 0) pb_int(&t, 2, type);
  pb_text(&t, 8, "w");
  return t;
}

/* A model around a graph. */
static str model(fixture *f, const str *graph) {
  str m = pb_begin(&f->a), opset = pb_begin(&f->a);
  pb_int(&m, 1, 8);
  pb_int(&opset, 2, 17);
  pb_message(&m, 8, &opset);
  pb_message(&m, 7, graph);
  return m;
}

static void reads_unpacked(void **state) {
  fixture *f = *state;
  str t = pb_begin(&f->a);
  for (int i = 0; i < 3; ++i) pb_int(&t, 7, 100 - i); /* before the type and the shape */
  pb_ints(&t, 7, 2, (int64_t[]){-1, INT64_MIN});
  pb_int(&t, 7, 7);
  pb_int(&t, 1, 2);
  pb_int(&t, 1, 3);
  pb_int(&t, 2, ONNX_INT64);
  const int64_t expected[] = {100, 99, 98, -1, INT64_MIN, 7};
  const onnx_tensor *out = read_tensor(f, &t);
  assert_int_equal(out->ndim, 2);
  assert_int_equal(out->count, 6);
  assert_memory_equal(elements(f, NULL, out, WN_OK), expected, sizeof expected);

  t = tensor(f, ONNX_FLOAT, 1, (int64_t[]){4});
  pb_float(&t, 4, 1.5f);
  pb_bytes(&t, 4, (float[]){2, 3}, 8);
  pb_float(&t, 4, 4);
  assert_memory_equal(elements(f, NULL, read_tensor(f, &t), WN_OK), ((float[]){1.5f, 2, 3, 4}), 16);

  t = tensor(f, ONNX_DOUBLE, 1, (int64_t[]){2});
  pb_double(&t, 10, 1.5);
  pb_double(&t, 10, -3);
  assert_memory_equal(elements(f, NULL, read_tensor(f, &t), WN_OK), ((double[]){1.5, -3}), 16);

  t = tensor(f, ONNX_BOOL, 1, (int64_t[]){3});
  pb_ints(&t, 5, 3, (int64_t[]){0, 7, 1});
  assert_memory_equal(elements(f, NULL, read_tensor(f, &t), WN_OK), ((uint8_t[]){0, 1, 1}), 3);
}

/* Raw data at every alignment, in a file that is held and in memory that is not ours. */
static void aligns_raw_data(void **state) {
  fixture *f = *state;
  const struct {
    int type;
    size_t unit;
  } types[] = {
      {ONNX_FLOAT, 4}, {ONNX_INT64, 8}, {ONNX_FLOAT16, 2}, {ONNX_COMPLEX128, 8}, {ONNX_UINT8, 1}};
  unsigned char data[16 * 40];
  for (size_t i = 0; i < sizeof data; ++i) data[i] = (unsigned char)(i * 37 + 11);
  for (size_t k = 0; k < sizeof types / sizeof *types; ++k) {
    str graph = pb_begin(&f->a);
    size_t bytes = 40 * onnx_type_size(types[k].type);
    for (int i = 0; i < 8; ++i) {
      str t = tensor(f, types[k].type, 1, (int64_t[]){40});
      pb_bytes(&t, 9, data, bytes);
      pb_text(&t, 12, &"1234567"[i]); /* so that the next one is elsewhere */
      pb_message(&graph, 5, &t);
    }
    str m = model(f, &graph);
    const char *path = in_folder(f, arena_printf(&f->a, "%zu", k));
    write_file(path, m.data, m.len);
    const onnx_model *held = read_file(f, path);
    const onnx_model *ours =
        onnx_read_model(&f->a, &f->d, "net.onnx", (unsigned char *)m.data, m.len);
    for (int pass = 0; pass < 2; ++pass) {
      for (int i = 0; i < 8; ++i) {
        const void *a = elements(f, path, &held->graph.initializer[i], WN_OK);
        const void *b = elements(f, NULL, &ours->graph.initializer[i], WN_OK);
        assert_int_equal((uintptr_t)a % types[k].unit, 0);
        assert_int_equal((uintptr_t)b % types[k].unit, 0);
        assert_memory_equal(a, data, bytes);
        assert_memory_equal(b, data, bytes);
      }
    }
  }
}

static void cleans_bools(void **state) {
  fixture *f = *state;
  str t = tensor(f, ONNX_BOOL, 1, (int64_t[]){4});
  pb_bytes(&t, 9, "\0\1\2\377", 4);
  const onnx_tensor *out = read_tensor(f, &t);
  assert_memory_equal(elements(f, NULL, out, WN_OK), ((uint8_t[]){0, 1, 1, 1}), 4);
  t = tensor(f, ONNX_BOOL, 1, (int64_t[]){2});
  pb_bytes(&t, 9, "\1\0", 2);
  out = read_tensor(f, &t);
  assert_ptr_equal(elements(f, NULL, out, WN_OK), out->raw);
  t = tensor(f, ONNX_FLOAT, 2, (int64_t[]){3, 0}); /* no elements are elements, too */
  assert_non_null(elements(f, NULL, read_tensor(f, &t), WN_OK));
}

static void refuses_tensors(void **state) {
  fixture *f = *state;
  const int64_t two[] = {2}, big[] = {INT64_C(1) << 62, 4, 0};
  str t = tensor(f, ONNX_FLOAT, 1, two);
  pb_bytes(&t, 9, "1234567", 7);
  refuse_tensor(f, &t,
                "t.pb: at byte 0: tensor 'w': raw_data has 7 bytes, which does not fit float[2]");
  pb_float(&t, 4, 0);
  refuse_tensor(f, &t, "tensor 'w' has both raw_data and float_data");
  t = tensor(f, ONNX_FLOAT, 1, two);
  refuse_tensor(f, &t, "float_data has 0, which does not fit float[2]");
  pb_ints(&t, 7, 2, (int64_t[]){1, 2});
  refuse_tensor(f, &t, "tensor 'w' is of float, whose elements are not in int64_data");
  t = tensor(f, ONNX_COMPLEX64, 1, two);
  pb_bytes(&t, 4, (float[]){1, 2, 3}, 12);
  refuse_tensor(f, &t, "float_data has 3, which does not fit complex64[2]");
  t = tensor(f, ONNX_FLOAT, 1, two);
  pb_bytes(&t, 4, "1234567", 7);
  refuse_tensor(f, &t, "TensorProto.float_data has 7 bytes of numbers of 4 bytes");
  t = tensor(f, ONNX_INT8, 1, two);
  pb_ints(&t, 5, 2, (int64_t[]){0, 128});
  refuse_tensor(f, &t, "int32_data has 128, its tensor's type ends at 127");
  t = tensor(f, ONNX_UINT32, 1, two);
  pb_ints(&t, 11, 2, (int64_t[]){0, -1});
  refuse_tensor(f, &t, "uint64_data has -1, its tensor's type ends at 0");
  t = tensor(f, ONNX_INT32, 1, two);
  pb_bytes(&t, 5, "\1\200", 2);
  refuse_tensor(f, &t, "int32_data has 1, which does not fit int32[2]");
  t = tensor(f, ONNX_INT32, 1, (int64_t[]){1});
  pb_bytes(&t, 5, "\1\200", 2);
  refuse_tensor(f, &t, "a varint goes past the end of its message");
  t = tensor(f, ONNX_STRING, 1, two);
  pb_text(&t, 6, "one");
  refuse_tensor(f, &t, "string_data has 1, which does not fit string[2]");
  pb_text(&t, 9, "raw");
  refuse_tensor(f, &t, "both raw_data and string_data");
  t = tensor(f, ONNX_STRING, 1, two);
  pb_text(&t, 9, "raw");
  refuse_tensor(f, &t, "is of string, whose elements are not in raw_data");
  t = tensor(f, ONNX_INT4, 1, (int64_t[]){3});
  pb_bytes(&t, 9, "123", 3);
  refuse_tensor(f, &t, "raw_data has 3 bytes, which does not fit int4[3]");
  t = tensor(f, ONNX_FLOAT, 1, (int64_t[]){-3});
  refuse_tensor(f, &t, "tensor 'w' has a negative extent, -3");
  t = tensor(f, ONNX_FLOAT, 3, big);
  refuse_tensor(f, &t, "more elements than 64 bits count");
  t = tensor(f, ONNX_DOUBLE, 1, big);
  pb_text(&t, 9, "x");
  refuse_tensor(f, &t, "does not fit double[4611686018427387904]");
  t = tensor(f, 0, 1, two);
  refuse_tensor(f, &t, "tensor 'w' has no data_type");
  t = tensor(f, ONNX_FLOAT, 1, two);
  pb_text(&t, 3, "");
  refuse_tensor(f, &t, "is a segment");
  t = tensor(f, 0, 1, two);
  pb_int(&t, 2, INT64_C(1) << 40);
  refuse_tensor(f, &t, "TensorProto.data_type is 1099511627776, which does not fit 32 bits");
  t = tensor(f, 99, 1, two); /* of a later version; its data cannot be checked */
  pb_text(&t, 9, "x");
  assert_string_equal(onnx_type_name(&f->a, read_tensor(f, &t)->type), "type 99");
  elements(f, NULL, read_tensor(f, &t), WN_ERR_USAGE);
  check_line(f, "elements of type 99 are not supported");
}

/* Attributes of models from before they said what they are. */
static void derives_kinds(void **state) {
  fixture *f = *state;
  str graph = pb_begin(&f->a), node = pb_begin(&f->a);
  for (int i = 0; i < 7; ++i) {
    str a = pb_begin(&f->a), t = tensor(f, ONNX_FLOAT, 1, (int64_t[]){0}), g = pb_begin(&f->a);
    pb_text(&a, 1, "a");
    if (i == 0) pb_float(&a, 2, 0);
    if (i == 1) pb_int(&a, 3, 0);
    if (i == 2) pb_text(&a, 4, "");
    if (i == 3) pb_message(&a, 5, &t);
    if (i == 4) pb_message(&a, 6, &g);
    if (i == 5) pb_float(&a, 7, 1);
    if (i == 6) pb_int(&a, 8, 1);
    pb_message(&node, 5, &a);
  }
  pb_message(&graph, 1, &node);
  str m = model(f, &graph);
  const onnx_model *out = read_model(f, m.data, m.len);
  for (int i = 0; i < 7; ++i) assert_int_equal(out->graph.node[0].attribute[i].kind, i + 1);
  assert_int_equal(out->graph.node[0].attribute[5].count, 1);
}

/* --- what is no model -------------------------------------------------------------------------- */

static void refuses_wire(void **state) {
  fixture *f = *state;
  const struct {
    const char *bytes;
    size_t n;
    const char *line;
  } cases[] = {
      {"\x08\x08\x03\x01", 4,
       "at byte 2: ModelProto with a field number of 0, which protobuf does not have"},
      {"\x08\x08\x3b", 3, "at byte 2: ModelProto.graph is of wire type 3, which ONNX does not use"},
      {"\x08\x08\x9e\x06", 4, "at byte 2: field 99 of ModelProto is of wire type 6"},
      {"\x08\x08\x3a\x05zz", 6,
       "ModelProto.graph says that it has 5 bytes, 2 are left in its message; it is truncated"},
      {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11,
       "at byte 1: a varint of more than 64 bits"},
      {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, "a varint of more than 64 bits"},
      {"\x08\x80", 2, "at byte 1: a varint goes past the end of its message; it is truncated"},
      {"\x08\x08\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 12,
       "says that it has 9223372036854775807 bytes"},
      {"\x0d\x01\x02", 3, "4 bytes of a number, 2 are left"},
      {"\x0d\x01\x02\x03\x04", 5, "ModelProto.ir_version is 4 bytes, expected an integer"},
      {"\x08\x08\x10\x05", 4,
       "ModelProto.producer_name is an integer, expected a text or a message"},
      {"\x08\x08\x12\x03"
       "a\0b",
       7, "at byte 5: ModelProto.producer_name has a NUL inside"},
      {"\x08\x08\x12\x02"
       "a\xff",
       6, "at byte 5: ModelProto.producer_name is not UTF-8"},
      {"\x08\x08\x12\x02"
       "a\xc3",
       6, "is not UTF-8"},
      {"\x08\x08\x3a\x03\x0a\x05z", 7,
       "at byte 4: GraphProto.node says that it has 5 bytes, 1 are left"},
      {"\x08\x08\x3a\x00\x3a\x00", 6, "ModelProto.graph is there 2 times"},
      {"\x08\x08", 2, "the model has no graph"},
      {"\x3a\x00", 2, "no ir_version"},
      {"\x08\x02\x3a\x00", 4, "IR version 2 is not supported (3 to 10)"},
      {"\x08\x0b\x3a\x00", 4, "IR version 11 is not supported (3 to 10)"},
      {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x3a\x00", 13,
       "IR version -1 is not supported"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
    str m = pb_begin(&f->a);
    str_addn(&m, cases[i].bytes, cases[i].n);
    refuse(f, &m, cases[i].line);
  }
  assert_non_null(read_model(f, "\x08\x08\x3a\x00", 4));
  assert_non_null(read_model(f, "\x08\x08\x3a\x00\x9a\x06\x01z", 8)); /* field 99 */
}

static void says_what_it_is(void **state) {
  fixture *f = *state;
  const struct {
    const char *bytes, *line;
  } cases[] = {
      {"", "net.onnx is not an ONNX model: it is empty"},
      {"\x89PNG\r\n\x1a\n....", "a PNG image"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
       "a pointer of Git LFS; git lfs pull"},
      {"\n <!DOCTYPE html><html>", "an HTML page"},
      {"<HTML>", "an HTML page"},
      {"PK\x03\x04....", "a ZIP archive"},
      {"\x1f\x8b....", "compressed with gzip"},
      {"{\"a\": 1}", "JSON"},
      {"7767517\n1 2\nInput data", "it is text"},
      {"\x1c\1\1\1TFL3", "a TensorFlow Lite model"},
      {"\x1c\1\1\1ORTM", "ONNX Runtime's own format"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
    str m = pb_begin(&f->a);
    str_add(&m, cases[i].bytes);
    refuse(f, &m, cases[i].line);
  }
}

/* A graph in an attribute of a node of a graph, and so on; model, graph, node and attribute count. */
static str nested(fixture *f, int depth) {
  str inner = pb_begin(&f->a);
  for (int at = depth; at > 2; --at) {
    /* from the innermost, which is a graph, a node or an attribute by its place */
    str outer = pb_begin(&f->a);
    static const int fields[] = {6, 1, 5}; /* of a graph in an attribute, a node, an attribute */
    pb_message(&outer, fields[(at - 2) % 3], &inner);
    inner = outer;
  }
  return model(f, &inner);
}

static void stops_at_depth(void **state) {
  fixture *f = *state;
  str m = nested(f, ONNX_MAX_DEPTH);
  if (read_model(f, m.data, m.len) == NULL) fail_msg("%s", f->d.message);
  m = nested(f, ONNX_MAX_DEPTH + 1);
  refuse(f, &m, "is nested more than 64 messages deep");
  m = nested(f, 20000);
  refuse(f, &m, "is nested more than 64 messages deep");
}

static unsigned char *load(const char *name, size_t *size) {
  static unsigned char bytes[4096];
  char path[1024];
  snprintf(path, sizeof path, "%s%s", SEEDS, name);
  FILE *file = fopen(path, "rb");
  assert_non_null(file);
  *size = fread(bytes, 1, sizeof bytes, file);
  fclose(file);
  return bytes;
}

static const char *const seeds[] = {"conv", "typed", "attributes", "function", "external"};
enum { SEED_COUNT = sizeof seeds / sizeof *seeds };

/* Only at the ends of fields of the model itself is there nothing to be seen of a cut. */
static void cut_anywhere(void **state) {
  fixture *f = *state;
  for (int i = 0; i < SEED_COUNT; ++i) {
    size_t size, whole = 0;
    const unsigned char *bytes = load(seeds[i], &size);
    for (size_t n = 0; n < size; ++n) {
      if (read_model(f, bytes, n) != NULL)
        ++whole;
      else
        assert_true(f->d.message[0] != '\0');
    }
    assert_true(whole <= 3);
    assert_non_null(read_model(f, bytes, size));
  }
}

static void change_anything(void **state) {
  fixture *f = *state;
  for (int i = 0; i < SEED_COUNT; ++i) {
    size_t size;
    unsigned char *bytes = load(seeds[i], &size);
    for (size_t n = 0; n < size; ++n) {
      static const unsigned char values[] = {0, 1, 127, 128, 255};
      unsigned char before = bytes[n];
      for (size_t v = 0; v < sizeof values; ++v) {
        bytes[n] = values[v];
        read_model(f, bytes, size); /* a model or a line */
      }
      bytes[n] = before;
    }
    arena_release(&f->a);
  }
}

static void many_nodes(void **state) {
  fixture *f = *state;
  enum { NODES = 100000 };
  str graph = pb_begin(&f->a), node = pb_begin(&f->a);
  pb_text(&node, 1, "x");
  pb_text(&node, 4, "Relu");
  for (int i = 0; i < NODES; ++i) pb_message(&graph, 1, &node);
  str m = model(f, &graph);
  const onnx_model *out = read_model(f, m.data, m.len);
  assert_int_equal(out->graph.nodes, NODES);
  assert_string_equal(out->graph.node[NODES - 1].op, "Relu");
}

/* --- files ------------------------------------------------------------------------------------- */

static void holds_files(void **state) {
  fixture *f = *state;
  const char *path = in_folder(f, "a"), *link = in_folder(f, "b");
  size_t size = 1;
  write_file(path, "0123456789", 10);
  assert_int_equal(symlink("a", link), 0);
  const unsigned char *bytes = hold_file(&f->files, &f->d, path, &size);
  assert_int_equal(size, 10);
  assert_ptr_equal(hold_file(&f->files, &f->d, link, &size), bytes);
  assert_int_equal(truncate(path, 3), 0);
  assert_memory_equal(bytes, "0123456789", 10); /* whatever becomes of the file */
  assert_ptr_not_equal(hold_file(&f->files, &f->d, path, &size), bytes);
  assert_int_equal(size, 3);
  write_file(path, "", 0);
  hold_file(&f->files, &f->d, path, &size);
  assert_int_equal(size, 0);
  static const char *const paths[] = {"missing", "."};
  static const char *const lines[] = {"missing: No such file", "not a regular file or a pipe"};
  for (int i = 0; i < 2; ++i) {
    wn_status status;
    DIAG_TRY(&f->d, status) { hold_file(&f->files, &f->d, in_folder(f, paths[i]), &size); }
    DIAG_END(&f->d, status)
    assert_int_equal(status, WN_ERR_IO);
    check_line(f, lines[i]);
  }
}

static void holds_pipes(void **state) {
  fixture *f = *state;
  enum { BYTES = 3 << 20 };
  const char *path = in_folder(f, "pipe");
  assert_int_equal(mkfifo(path, 0600), 0);
  pid_t writer = fork();
  if (writer == 0) {
    FILE *to = fopen(path, "wb");
    for (int i = 0; to != NULL && i < BYTES; ++i) fputc(i % 251, to);
    _exit(to == NULL || fclose(to) != 0);
  }
  size_t size = 0;
  const unsigned char *bytes = hold_file(&f->files, &f->d, path, &size);
  assert_int_equal(size, BYTES);
  for (int i = 0; i < BYTES; ++i) assert_int_equal(bytes[i], i % 251);
  assert_ptr_equal(hold_file(&f->files, &f->d, path, &size),
                   bytes); /* does not wait for another writer */
}

/* --- memory ------------------------------------------------------------------------------------ */

static wn_status live(diag *d, arena *a, file_holder *files, const char *path, volatile int *seen) {
  wn_status status;
  DIAG_TRY(d, status) {
    size_t size;
    const unsigned char *bytes = hold_file(files, d, path, &size);
    const onnx_model *m = onnx_read_model(a, d, path, bytes, size);
    for (int i = 0; i < m->graph.initializers; ++i) {
      const onnx_tensor *t = &m->graph.initializer[i];
      if (onnx_type_size(t->type) != 0) *seen += onnx_tensor_elements(files, a, d, path, t) != NULL;
    }
  }
  DIAG_END(d, status)
  return status;
}

static void every_allocation_fails(void **state) {
  fixture *f = *state;
  const float data[8] = {0};
  write_file(in_folder(f, "far.bin"), data, sizeof data);
  for (int i = 0; i < SEED_COUNT; ++i) {
    size_t size;
    const unsigned char *bytes = load(seeds[i], &size);
    const char *path = in_folder(f, seeds[i]);
    write_file(path, bytes, size);
    bool finished = false;
    long failures = 0;
    for (long n = 1; !finished; ++n) {
      diag d;
      arena a;
      file_holder files = {.first = NULL};
      volatile int seen = 0;
      diag_init(&d);
      arena_init(&a, &d);
      mem_fail_at(n);
      wn_status status = live(&d, &a, &files, path, &seen);
      finished = mem_count() < n;
      mem_fail_at(0);
      if (status == WN_OK && !finished) fail_msg("%s: allocation %ld failed unseen", seeds[i], n);
      if (status != WN_OK) {
        if (status != WN_ERR_NOMEM) fail_msg("%s, n %ld: %s", seeds[i], n, d.message);
        assert_true(d.message[0] != '\0');
        ++failures;
      }
      arena_release(&a);
      hold_release(&files);
    }
    assert_true(failures >= 3); /* the file's entry, its bytes, the arena */
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(reads_graphs),        TEST(reads_typed_data),
      TEST(reads_attributes),    TEST(reads_functions),
      TEST(finds_external_data), TEST(refuses_external_data),
      TEST(reads_unpacked),      TEST(aligns_raw_data),
      TEST(cleans_bools),        TEST(refuses_tensors),
      TEST(derives_kinds),       TEST(refuses_wire),
      TEST(says_what_it_is),     TEST(stops_at_depth),
      TEST(cut_anywhere),        TEST(change_anything),
      TEST(many_nodes),          TEST(holds_files),
      TEST(holds_pipes),         TEST(every_allocation_fails),
  };
  return cmocka_run_group_tests_name("ONNX files", tests, NULL, NULL);
}
