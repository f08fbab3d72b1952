/* Constant weights whose sums cancel, as those of hand-made derivative filters do (Laplacian, Sobel, derivative of
 * Gaussian).
 *
 * On smooth data such a filter's results are far smaller than what it sums, so any rounding of what is summed is large
 * beside them, and that of a Winograd transform is larger than direct's. No transform can be right relative to them:
 * `auto` leaves such a convolution as it is.
 * In: a match and the values of constants. Out: why it should stay direct, or NULL. Always holds: weights that are not
 * constant, not known or not finite, and those that are all zero, hold nothing back. */
#ifndef WN_WINOGRAD_CANCEL_H
#define WN_WINOGRAD_CANCEL_H

#include "winograd/recognise.h"
#include "winograd/weights.h"

/* The reason is in the graph's arena: "its filters sum to 0, ...". */
const char *wino_cancels(graph *g, const wino_match *m, const wino_weights *weights);

#endif
