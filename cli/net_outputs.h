/* What a network gave, for people and files.
 *
 * In: the outputs of a job of a model. Out: a table, the best labels, and files: .npy of one, .npz of all, .png of one
 * that is a picture. Always holds: what cannot be written is said before anything is computed. */
#ifndef WINNOW_CLI_NET_OUTPUTS_H
#define WINNOW_CLI_NET_OUTPUTS_H

#include "job.h"

/* Asks for the values of --dump, as further outputs; before the network's inputs are read. */
void outputs_ask(network *n);

typedef struct output_summary {
  const char *name, *dtype, *shape;
  double min, max, mean;          /* of finite numbers */
  int64_t special;                /* NaN and infinite ones */
  double special_count;           /* the same, as reports have counts */
  double rel_l2_err, max_abs_err; /* NAN without --exact */
} output_summary;
output_summary *outputs_summarise(job *j);
void outputs_print(job *j, const output_summary *all);

/* The best of --labels: a line of the file and its number in an output. */
enum { LABELS_BEST = 5 };
typedef struct best_label {
  const char *label;
  double score;
  int number, batch; /* of the line, from 0; of the picture, from 0 */
} best_label;
/* LABELS_BEST at most for each picture, best first, and how many there are; NULL without --labels. */
best_label *outputs_labels(job *j, int *count);
void outputs_print_labels(job *j, const best_label *labels, int count);

/* What float64 gives, into the file of --exact, and the errors; nothing without it. */
void outputs_compare(job *j, output_summary *all);

/* Names of --output and --dump, checked against the outputs; the files; what was written as words, "" for nothing. */
void outputs_check(job *j);
const char *outputs_write(job *j);

#endif
