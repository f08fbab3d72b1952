/* The size of what a tensor sums: what an error by rounding is to be compared with.
 *
 * In: a tensor. Out: one of the same shape in the same context, whose elements are the sums of the sizes of all terms:
 * |w| convolved with |x|, plus |bias|, for a convolution with a bias. Maps that are no sums, products, maxima or
 * choices (exp, a quotient, ...) start anew: what they give is a term of its size.
 * Always holds: no element is smaller than the tensor's own, but for rounding. */
#ifndef WN_TUNE_MAGNITUDE_H
#define WN_TUNE_MAGNITUDE_H

#include "tensor/tensor.h"

wn_tensor *magnitude_of(const wn_tensor *t);

#endif
