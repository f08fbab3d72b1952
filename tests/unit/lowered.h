/* Tensors lowered to stored values and their sites, as the pipeline does it before there is a plan.
 *
 * In: tensors of a context. Out: range IR in the context's graph, and its sites. Always holds: what fails fails the
 * test. */
#ifndef WN_TESTS_LOWERED_H
#define WN_TESTS_LOWERED_H

#include "lower/lower.h"
#include "plan/separate.h"
#include "program/import.h"

typedef struct lowered {
  const uop *together, *root; /* before and after products were separated */
  site_list sites;
} lowered;

static inline lowered lower_all(wn_context *ctx, int count, wn_tensor *const *outs) {
  graph *g = &ctx->graph;
  const uop *tensor[8];
  lowered l = {0};
  volatile wn_status st;
  for (int i = 0; i < count; ++i) {
    if (outs[i] == NULL) fail_msg("%s", wn_message(ctx));
    tensor[i] = outs[i]->node;
  }
  DIAG_TRY(&ctx->diag, st) {
    l.together = simplify(g, lower_tensors(g, count, tensor, NULL));
    l.root = products_separate(g, l.together);
    l.sites = sites_of(g, l.root, import_describe(ctx, g));
  }
  DIAG_END(&ctx->diag, st)
  if (st != WN_OK) fail_msg("%s", wn_message(ctx));
  const char *broken = ir_verify(g, l.root, UOP_EXPR);
  if (broken != NULL) fail_msg("%s", broken);
  return l;
}

#endif
