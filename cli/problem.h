/* Convolution problems in oneDNN benchdnn's notation: mb1ic16ih32oc16kh3ph1n"name".
 *
 * In: one string. Out: every size, filled in by benchdnn's defaults, or the place of the mistake
 * and what was expected there. The keys, with their defaults:
 *   mb batch (2), g groups (1), ic oc channels in all groups together
 *   i o k s d p, followed by d, h or w for the axis: sizes of input, output and filter, stride (1),
 *   dilation (0 is dense), padding at the low end
 * A missing size of a later axis is that of the axis before; a missing p is derived from o where
 * that is given, else 0; a missing o from p. '_' is ignored.
 *
 * Always holds after success: every size is positive and padding at least 0; the element counts of
 * input, weights and output and the multiplications fit 62 bits; some output reads the input. */
#ifndef WINNOW_CLI_PROBLEM_H
#define WINNOW_CLI_PROBLEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROBLEM_AXES 3

typedef struct problem {
  char text[256]; /* as given, without blanks around it */
  char name[96];  /* "" when there is none */
  int nd;         /* 1 to 3 spatial axes; the arrays hold nd values, d before h before w */
  int64_t mb, groups, ic, oc;
  int64_t in[PROBLEM_AXES], out[PROBLEM_AXES], filter[PROBLEM_AXES];
  int64_t stride[PROBLEM_AXES], dilation[PROBLEM_AXES]; /* dilation 1 is dense here */
  int64_t pad_lo[PROBLEM_AXES], pad_hi[PROBLEM_AXES]; /* pad_hi < 0: that much input is not read */
  int64_t in_count, weight_count, out_count;          /* elements */
  int64_t macs; /* multiplications of the direct convolution */
} problem;

typedef struct problem_error {
  size_t at;         /* offset into the string given */
  char message[160]; /* what was expected */
} problem_error;

bool problem_parse(const char *text, problem *p, problem_error *e);
/* The shortest spelling of the same sizes; a buf of 512 bytes is always enough. */
void problem_print(const problem *p, char *buf, size_t size);
/* Recompute counts from the sizes and check them; false and a reason if they cannot be. at is 0. */
bool problem_finish(problem *p, problem_error *e);

#endif
