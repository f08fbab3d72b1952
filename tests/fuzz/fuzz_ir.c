/* Any text is a graph that prints and parses back to the same text, or an error of usage; the verifier has an opinion
 * about every graph. */
#include <stdint.h>
#include <stdlib.h>

#include "ir/ir_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *print(graph *g, const uop *root, str *out) {
  str_init(out, &g->arena);
  ir_print(g, out, 1, &root);
  return str_text(out);
}

static void check(graph *g, const char *text) {
  const uop *root = ir_parse(g, text);
  ir_verify(g, root, UOP_EXPR);
  ir_verify(g, root, UOP_TENSOR);
  str first, second;
  const char *once = print(g, root, &first);
  if (ir_parse(g, once) != root) abort();
  diag d;
  graph other;
  volatile wn_status status;
  diag_init(&d);
  graph_init(&other, &d);
  DIAG_TRY(&d, status) {
    if (strcmp(once, print(&other, ir_parse(&other, once), &second)) != 0) abort();
  }
  DIAG_END(&d, status)
  graph_release(&other);
  if (status != WN_OK) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  diag d;
  graph g;
  volatile wn_status status;
  diag_init(&d);
  graph_init(&g, &d);
  DIAG_TRY(&d, status) {
    char *text = arena_alloc(&g.arena, size + 1);
    if (size) memcpy(text, data, size);
    check(&g, text);
  }
  DIAG_END(&d, status)
  graph_release(&g);
  if (status != WN_OK && (status != WN_ERR_USAGE || !d.message[0])) abort();
  return 0;
}
