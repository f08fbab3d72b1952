/* A model's job: opened with inputs from files, its outputs written, and closed; once as it should be, and once for each
 * allocation, which fails with all after it: the answer is WN_ERR_NOMEM with a line, or WN_OK, and no name holds half a
 * file. Leaks are AddressSanitizer's to find. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "file.h"
#include "net_outputs.h"
#include "npz.h"
#include "onnx/write_onnx.h"

static const float numbers[2 * 3 * 4 * 4];

typedef struct fixture {
  diag d;
  arena a;
  char folder[32];
  const char *model, *input, *output, *archive, *labels;
} fixture;

/* "a" [batch, 3, h, w] and "b" of the same: "sum", and "relu" inside. */
static void write_model(fixture *f) {
  graph_writer g;
  graph_begin(&g, &f->a);
  graph_input(&g, "a", ONNX_FLOAT, 4, (int64_t[]){-2, 3, -1, -1});
  graph_input(&g, "b", ONNX_FLOAT, 4, (int64_t[]){-2, 3, -1, -1});
  graph_node(&g, "Relu", "a", "relu", NULL);
  graph_node(&g, "Add", "relu b", "sum", NULL);
  graph_output(&g, "sum", ONNX_FLOAT, -1, NULL);
  str m = model_bytes(&g, 17);
  file_writer w;
  file_create(&w, &f->a, f->model);
  file_put(&w, &f->d, m.data, m.len);
  file_commit(&w, &f->d);
}

static const char *in_folder(fixture *f, const char *name) {
  return arena_printf(&f->a, "%s/%s", f->folder, name);
}

static int set_up(void **state) {
  static fixture f;
  diag_init(&f.d);
  arena_init(&f.a, &f.d);
  snprintf(f.folder, sizeof f.folder, "/tmp/winnow-net-XXXXXX");
  if (!mkdtemp(f.folder)) return -1;
  f.model = in_folder(&f, "net.onnx");
  f.input = in_folder(&f, "in.npz");
  f.output = in_folder(&f, "out.npy");
  f.archive = in_folder(&f, "all.npz");
  f.labels = in_folder(&f, "labels.txt");
  write_model(&f);
  npz_member in[2] = {{"a", {.dtype = NPY_F32, .ndim = 4, .shape = {1, 3, 4, 4}, .count = 48}},
                      {"in1", {.dtype = NPY_F32, .ndim = 4, .shape = {1, 3, 4, 4}, .count = 48}}};
  in[0].array.data = in[1].array.data = (void *)(uintptr_t)numbers;
  const npz z = {2, in};
  npz_write(&f.a, f.input, &z);
  FILE *file = fopen(f.labels, "w");
  if (file == NULL) return -1;
  fputs("one\ntwo\nthree\nfour\n", file);
  fclose(file);
  *state = &f;
  return 0;
}

static int tear_down(void **state) {
  fixture *f = *state;
  const char *const files[] = {f->model, f->input, f->output, f->archive, f->labels};
  for (size_t i = 0; i < sizeof files / sizeof *files; ++i) unlink(files[i]);
  assert_int_equal(rmdir(f->folder), 0); /* nothing else is left */
  arena_release(&f->a);
  return 0;
}

static void use(fixture *f, cli *app, job *j) {
  options *o = &app->opt;
  vec_push(&app->arena, &o->inputs, f->input);
  vec_push(&app->arena, &o->outputs, f->output);
  vec_push(&app->arena, &o->outputs, f->archive);
  vec_push(&app->arena, &o->dumps, "relu");
  o->labels = f->labels;
  const subject s = {"net.onnx", NULL, f->model};
  job_open(j, app, &s, false);
  outputs_check(j);
  for (int i = 0; i < j->out_count; ++i) memset(j->out[i].data, 0, (size_t)j->out[i].count * 4);
  int count;
  outputs_labels(j, &count);
  outputs_summarise(j);
  outputs_write(j);
  assert_int_equal(j->out_count, 2);
  assert_int_equal(count, 12 * 4); /* rows of four, all of which are of the best five */
}

static long allocations; /* of the last, once mem_fail_at was called */

static wn_status open_and_close(fixture *f) {
  static cli app;
  static job j;
  wn_status status;
  memset(&app, 0, sizeof app);
  memset(&j, 0, sizeof j);
  diag_init(&app.diag);
  arena_init(&app.arena, &app.diag);
  DIAG_TRY(&app.diag, status) { use(f, &app, &j); }
  DIAG_END(&app.diag, status)
  allocations = mem_count();
  mem_fail_at(0);
  if (j.app != NULL) job_close(&j);
  arena_release(&app.arena);
  if (status != WN_OK) assert_true(app.diag.message[0] != '\0');
  return status;
}

static void opens_and_closes(void **state) {
  fixture *f = *state;
  assert_int_equal(open_and_close(f), WN_OK);
  npz z;
  npz_read(&z, &f->a, f->archive);
  assert_int_equal(z.count, 2);
  assert_non_null(npz_find(&z, "sum"));
  assert_non_null(npz_find(&z, "relu"));
  assert_true(npz_find(&z, "relu")->count == 48);
}

static void survives_every_failure(void **state) {
  fixture *f = *state;
  int failed = 0;
  long all;
  mem_fail_at(LONG_MAX);
  assert_int_equal(open_and_close(f), WN_OK);
  all = allocations;
  for (long n = 1; n <= all; ++n) {
    unlink(f->output);
    unlink(f->archive);
    mem_fail_at(n);
    wn_status status = open_and_close(f);
    if (status != WN_OK && status != WN_ERR_NOMEM)
      fail_msg("allocation %ld of %ld: status %d", n, all, (int)status);
    failed += status != WN_OK;
    npz z;
    if (access(f->archive, F_OK) == 0) npz_read(&z, &f->a, f->archive);
  }
  assert_true(all >= 10 && failed > all / 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(opens_and_closes, set_up, tear_down),
      cmocka_unit_test_setup_teardown(survives_every_failure, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
