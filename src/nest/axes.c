/* Axes of a nest. In: extents and names. Out: axes appended to a nest, and what the exact loops of a stage are in them.
 * Always holds: what reaches past the end of an exact loop has a limit that says so. */
#include "nest/state.h"

int stage_range(const stage *st, char letter, int from) {
  for (int i = from; i < st->n; ++i) {
    if (st->letter[i] == letter) return i;
  }
  return -1;
}

const uop *draft_axis(apply *ap, draft *d, axis_kind kind, int64_t extent, const char *name) {
  nest *n = d->n;
  if (extent == 1) {
    if (n->nunits < NEST_AXES && kind <= AXIS_LOOP) {
      n->unit[n->nunits].name = name;
      n->unit[n->nunits++].at = n->naxes;
    }
    return uop_int(ap->g, 0);
  }
  WN_CHECK(n->naxes < NEST_AXES, "more than %d axes", NEST_AXES);
  const uop *r = uop_range(ap->g, extent, name);
  n->axis[n->naxes++] = (axis){r, kind, uop_range_name(ap->g, r), false};
  return r;
}

const uop *draft_exact(apply *ap, draft *d, int64_t extent, const char *name) {
  if (extent == 1) return uop_int(ap->g, 0);
  (void)d;
  return uop_range(ap->g, extent, name);
}

void draft_limit(apply *ap, draft *d, const uop *value, int64_t extent, bool aliases) {
  const uop *c = uop_lt(ap->g, value, extent);
  if (uop_is_int(c, 1)) return;
  WN_CHECK(d->nlimits < DRAFT_LIMITS, "more than %d limits", DRAFT_LIMITS);
  d->limit[d->nlimits] = c;
  d->aliases[d->nlimits++] = aliases;
}

void draft_bind(apply *ap, draft *d, const uop *exact, const uop *over_axes, bool aliases) {
  if (exact->op != OP_RANGE) return; /* an extent of 1 */
  WN_CHECK(d->nexact < NEST_AXES, "more than %d loops", NEST_AXES);
  d->exact[d->nexact] = exact;
  d->over_axes[d->nexact++] = over_axes;
  draft_limit(ap, d, over_axes, exact->arg.j, aliases);
}

const uop *draft_split(apply *ap, draft *d, const uop *exact, const uop *outer, const uop *inner,
                       int64_t inner_extent, bool aliases) {
  const uop *e = uop_add(ap->g, uop_muli(ap->g, outer, inner_extent), inner);
  draft_bind(ap, d, exact, e, aliases);
  return e;
}
