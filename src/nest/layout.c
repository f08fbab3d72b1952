/* Storage of a stage: strides and offsets.
 *
 * In: a stage whose ranges have their extents in the array. Out: a flat offset for every index. Ranges are stored in
 * stage.order; where g is packed, panels of `pack` output channels stand innermost, so that the products read their
 * weights in one stream; a value that is stored between others steps as its BUFFERIZE says.
 * Always holds: planes of frequencies are an odd number of cache lines apart. The transforms touch the same place of
 * all planes: were they a power of two apart, these would fall into a few sets of the cache. */
#include "nest/state.h"

enum { LINE = 64, WORTH_APART = 1024 };

static bool is_packed(const stage *st, int i) { return st->pack > 1 && st->letter[i] == 'k'; }

static int64_t stored_extent(const stage *st, int i) {
  return is_packed(st, i) ? (st->dim[i] + st->pack - 1) / st->pack : st->dim[i];
}

void lay_out(stage *st) {
  int64_t stride = st->pack > 1 ? st->pack : 1;
  const int_list *given = st->node->arg.info->stride;
  for (int i = 0; i < st->n && given != NULL; ++i) st->stride[i] = given->at[i];
  if (given != NULL) return;
  for (int i = st->n; i-- > 0;) {
    int r = st->order[i];
    int64_t line = LINE / (int64_t)wn_dtype_size((wn_dtype)st->node->dtype);
    if (st->letter[r] == 'f' && !st->exact && stride >= WORTH_APART / LINE * line)
      stride = ((stride + line - 1) / line | 1) * line;
    st->stride[r] = stride;
    stride *= stored_extent(st, r);
  }
}

int64_t stored_len(const stage *st) {
  if (st->node->arg.info->stride != NULL) return uop_span(st->node);
  return st->n ? st->stride[st->order[0]] * stored_extent(st, st->order[0]) : 1;
}

const uop *stored_at(graph *g, const stage *st, int i, const uop *index) {
  if (!is_packed(st, i)) return uop_muli(g, index, st->stride[i]);
  const uop *panel = uop_muli(g, uop_divi(g, index, st->pack), st->stride[i]);
  return uop_add(g, panel, uop_modi(g, index, st->pack));
}
