/* Names of tensors, for people. In: a tensor and text. Out: the same tensor, its name in the table of its graph. Always
 * holds: the node is what it was, so equal tensors stay one, whatever they are called.
 * What has the same elements in another shape or order is the same value, and what is made of it later may well be made
 * of the value below it: so that has the name too, unless it was given another. */
#include "base/text.h"
#include "tensor/tensor.h"

/* NULL, or what is wrong with the name. */
static const char *mistake(const char *name) {
  if (name == NULL) return "is NULL";
  if (*name == '\0') return "is empty";
  for (size_t n; *name != '\0'; name += n) {
    const unsigned char *c = (const unsigned char *)name;
    n = text_sequence(name);
    if (n == 0) return "is not UTF-8";
    if (*c < 0x20 || *c == 0x7f || (n == 2 && c[0] == 0xc2 && c[1] < 0xa0))
      return "has a control character";
  }
  return NULL;
}

static wn_tensor *set_name(wn_tensor *t, const char *name) {
  diag *d = &t->ctx->diag;
  const char *why = mistake(name);
  if (why != NULL) diag_fail(d, WN_ERR_USAGE, "wn_name: the name for %s %s", tensor_text(t), why);
  if (strlen(name) > WN_MAX_NAME)
    diag_fail(d, WN_ERR_USAGE, "wn_name: the name for %s has %zu bytes; there may be %d",
              tensor_text(t), strlen(name), WN_MAX_NAME);
  graph *g = &t->ctx->graph;
  value_name *fresh = arena_new(&g->arena, value_name);
  *fresh = (value_name){intern_string(g, name), t->shape};
  const value_name *old = map_get_ptr(&g->names, t->node->id);
  map_put_ptr(&g->names, t->node->id, fresh);
  for (const uop *u = t->node; u->op == OP_RESHAPE || u->op == OP_PERMUTE;) {
    u = u->src[0];
    const value_name *own = map_get_ptr(&g->names, u->id);
    if (own != NULL && own != old) break;
    map_put_ptr(&g->names, u->id, fresh);
  }
  return t;
}

wn_tensor *wn_name(wn_tensor *t, const char *name) {
  if (t == NULL) return NULL;
  TENSOR_RETURN(t->ctx, set_name(t, name));
}
