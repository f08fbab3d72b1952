/* One case of ONNX's backend tests: a model, its inputs, and what should come out.
 *
 * In: a folder with model.onnx and test_data_set_N/input_N.pb and output_N.pb, or with a data.json that names a model of
 * the folder `light` beside its own, whose input is 0/n, 1/n, ... (as onnx.backend.test's runner has it). Out: what
 * became of it, and a line. */
#ifndef WN_TESTS_ONNX_SUITE_CASE_H
#define WN_TESTS_ONNX_SUITE_CASE_H

#include <stdbool.h>

typedef enum outcome {
  CASE_NOT_RUN,
  CASE_OK,
  CASE_WRONG,   /* a result is not what is expected */
  CASE_REFUSED, /* winnow says that it cannot */
  CASE_BROKEN,  /* the test's data cannot be read */
  CASE_CRASH,
  CASE_LATE,
  OUTCOMES
} outcome;

typedef struct case_result {
  outcome outcome;
  double seconds;
  char text[640];      /* "" where it is ok */
  char operators[640]; /* of its model, each once, a space before each */
} case_result;

typedef struct case_options {
  const char *backend; /* NULL: winnow's default */
  bool all_plans;      /* each named plan; those that do not exist for the graph are left out */
  bool no_cache;
  int most_threads; /* each number from 1 to this, whose results are the same bits */
  double l2;        /* bound of relative L2; 0: the tolerances of ONNX's tests */
} case_options;

/* Whatever happens to the process is the caller's matter; *r is written as far as it got. */
void case_run(const char *folder, const case_options *options, case_result *r);

#endif
