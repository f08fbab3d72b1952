/* Products that get an array of their own.
 *
 * In: range IR. Out: the same where no stored value has two sums of products that are no convolutions for Winograd, or
 * one beside a convolution: all but one are stored values themselves. A kernel has one register tile, which is that of
 * one product: with two (a bottleneck of a ResNet and the strided 1x1 convolution beside it) neither had one, and they
 * took ten times as long as two kernels and an array between them. Convolutions that are rewritten stay together: each
 * has kernels of its own, and one output transform stores their sum. */
#ifndef WN_PLAN_SEPARATE_H
#define WN_PLAN_SEPARATE_H

#include "ir/uop.h"

const uop *products_separate(graph *g, const uop *root);

#endif
