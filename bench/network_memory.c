/* network_memory: what a model takes of memory, stage by stage.
 *
 *     network_memory MODEL.onnx [THREADS] [--keep] [--no-cache]         --keep: raw weights stay
 *
 * Loads the model, compiles it for the shapes of its file, runs it twice on zeros. A line a stage: resident memory,
 * that of it which is no file's, and the most so far, each less what the process had before it loaded the model (the
 * library itself, as far as it was touched); then what the library says of its parts. In MB. Linux only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "winnow/winnow.h"

enum { MOST = 16 };

typedef struct memory {
  double resident, own, peak; /* MB */
} memory;

static memory read_memory(void) {
  char line[256];
  memory m = {0};
  FILE *f = fopen("/proc/self/status", "r");
  if (f == NULL) return m;
  while (fgets(line, sizeof line, f) != NULL) {
    double *to = strncmp(line, "VmRSS:", 6) == 0     ? &m.resident
                 : strncmp(line, "RssAnon:", 8) == 0 ? &m.own
                 : strncmp(line, "VmHWM:", 6) == 0   ? &m.peak
                                                     : NULL;
    if (to != NULL) *to = (double)strtol(strchr(line, ':') + 1, NULL, 10) * 1024e-6;
  }
  fclose(f);
  return m;
}

static void show(const char *stage, const memory *before) {
  memory m = read_memory();
  printf("%-9s resident %7.1f  of its own %7.1f  at most %7.1f\n", stage,
         m.resident - before->resident, m.own - before->own, m.peak - before->resident);
}

static void check(wn_status status, const char *line) {
  if (status == WN_OK) return;
  fprintf(stderr, "network_memory: %s\n", line);
  exit(2);
}

static void *zeros(const wn_value *v) {
  size_t bytes = wn_dtype_size(v->dtype);
  for (int i = 0; i < v->ndim; ++i) bytes *= (size_t)(v->shape[i] < 0 ? 1 : v->shape[i]);
  void *p = calloc(1, bytes + 1);
  if (p == NULL) exit(2);
  return p;
}

/* Inputs of zeros; extents that are open are 1. */
static int make_inputs(wn_model *m, int count, wn_value *in) {
  for (int i = 0; i < count; ++i) {
    in[i] = WN_VALUE();
    check(wn_model_get_input(m, i, &in[i]), wn_model_message(m));
    for (int k = 0; k < in[i].ndim; ++k)
      if (in[i].shape[k] < 0) in[i].shape[k] = 1;
    in[i].data = zeros(&in[i]);
  }
  return count;
}

int main(int argc, char **argv) {
  wn_options compile = WN_OPTIONS(.threads = 1);
  wn_model_options how = WN_MODEL_OPTIONS(.compile = &compile, .release_weights = 1);
  wn_model_info info = WN_MODEL_INFO();
  wn_program_info program = WN_PROGRAM_INFO();
  wn_value in[MOST], out[MOST];
  wn_context *ctx;
  wn_model *m;
  wn_program *p;
  if (argc < 2) return fprintf(stderr, "network_memory MODEL [THREADS] [--keep] [--no-cache]\n"), 2;
  for (int i = 2; i < argc; ++i) {
    if (strcmp(argv[i], "--keep") == 0)
      how.release_weights = 0;
    else if (strcmp(argv[i], "--no-cache") == 0)
      compile.no_cache = 1;
    else
      compile.threads = atoi(argv[i]);
  }
  check(wn_context_create(&ctx), "no memory for a context");
  memory before = read_memory();
  check(wn_model_load(ctx, argv[1], &how, &m), wn_message(ctx));
  check(wn_model_get_info(m, &info), wn_model_message(m));
  check(info.inputs > MOST || info.outputs > MOST ? WN_ERR_USAGE : WN_OK,
        "too many inputs or outputs");
  show("loaded", &before);
  int count = make_inputs(m, info.inputs, in);
  for (int i = 0; i < info.outputs; ++i) out[i] = WN_VALUE();
  check(wn_model_program(m, in, count, &p), wn_model_message(m));
  check(wn_program_get_info(p, &program), wn_program_message(p));
  wn_model_release(m, p);
  show("compiled", &before);
  for (int run = 1; run <= 2; ++run) {
    check(wn_model_run(m, in, count, out, info.outputs), wn_model_message(m));
    show(run == 1 ? "run once" : "run twice", &before);
  }
  check(wn_model_get_info(m, &info), wn_model_message(m));
  printf(
      "weights %.1f, of which released %.1f; prepared %.1f; workspace %.1f, of which arena %.2f "
      "(at least %.2f)\n",
      1e-6 * (double)info.weight_bytes, 1e-6 * (double)info.released_bytes,
      1e-6 * (double)program.prepared_bytes, 1e-6 * (double)program.workspace_bytes,
      1e-6 * (double)program.arena_bytes, 1e-6 * (double)program.arena_least);
  for (int i = 0; i < count; ++i) free(in[i].data);
  wn_model_destroy(m);
  wn_context_destroy(ctx);
  return 0;
}
