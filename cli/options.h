/* The command line and the environment, as values.
 *
 * In: argv and the environment. Out: a command, its flags and its operands; anything unknown,
 * misplaced or malformed fails with WN_ERR_USAGE and one line that names it. Always holds: strings
 * are borrowed from argv; what a flag sets wins over the environment. */
#ifndef WINNOW_CLI_OPTIONS_H
#define WINNOW_CLI_OPTIONS_H

#include <stdio.h>

#include "base/mem.h"
#include "photo.h"
#include "reference.h"

typedef enum command {
  CMD_RUN,
  CMD_COMPARE,
  CMD_CONV,
  CMD_BENCH,
  CMD_EXPLAIN,
  CMD_TUNE,
  CMD_DEVICES,
  CMD_CACHE,
  CMD_COUNT,
  CMD_NONE
} command;

typedef VEC(const char *) strings;

typedef struct options {
  command command;
  strings problems, plans; /* plans: of compare; problems: models too */
  strings inputs;          /* of a model: [NAME=]FILE; of a problem one FILE, which is `input` */
  strings outputs, dumps;  /* of run: [NAME=]FILE, VALUE[=FILE] */
  strings shapes, dims;    /* of a model: NAME=1x3x224x224, NAME=1 */
  photo_options photo;     /* of pictures among the inputs of a model */
  const char *labels;      /* of run */
  const char *exact;       /* of run: .npz of what float64 gives */
  const char *save_inputs; /* of run: .npz of what the network got */
  const char *plan;        /* of the other commands */
  const char *batch;
  const char *wino;     /* "4", "4x4", "all"; NULL: no --wino */
  const char *env_wino; /* the tile that $WINO names, NULL: none */
  const char *backend, *isa;
  const char *input, *weights, *bias, *residual, *output;
  const char *peers;           /* of bench: libraries to take turns with, "all"; NULL: none */
  const char *peers_dir;       /* where they are installed */
  const char *csv_file, *plot; /* of bench --peers */
  const char *html, *trace;    /* files, NULL: none */
  wn_math math;
  activation act;
  size_t max_memory;
  uint64_t seed;
  int threads, max_lines, runs, rounds, debug;
  int repeat;     /* of run, 0: no times are taken */
  double seconds; /* of tune, 0: its default */
  double secs;    /* of bench --peers, 0: its default */
  int candidates; /* the same */
  int beam;       /* conv and bench tune first, with as many candidates; 0: they do not */
  bool nhwc, variable_weights, all, no_merge, no_cache, untuned, strict, json, csv, clear, measure;
  bool flush_subnormals;
  bool on_request; /* of conv and run */
  bool by_layer;   /* of compare */
  bool full;       /* of explain */
  bool no_run;     /* of explain; `measure` is also its choices' */
  bool wino_env;   /* $WINO is set: without --plan and --wino the library follows it */
  bool help, version;
  bool no_color;
} options;

/* argv[0] is skipped. Without any argument the command is CMD_NONE. */
void options_parse(options *o, arena *a, int argc, char *const *argv);

/* Is this operand a model, and not a problem? By its ending, .onnx. */
bool options_is_model(const char *operand);
/* Fails where a flag was given that says nothing of models, or, of problems. */
void options_check_kind(const options *o, diag *d, bool models);

const char *command_name(command c);
const char *math_name(wn_math math); /* as --math takes it */
void help_main(FILE *out);
void help_command(FILE *out, command c);

#endif
