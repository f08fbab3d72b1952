/* Loops in parentheses: m=global(k0:g t0:g f k1:u t1:u t2:v) reorders a nest's axes and sets their kinds.
 *
 * In: a nest with its default axes and what the schedule says. Out: the axes in the order asked for. Refused, with the
 * axes' names, where one is left out or unknown, or where a kind cannot be. Always holds: GRID axes come first, UNROLL
 * and VECTOR ones last; the vector axis keeps its lanes. */
#include "nest/state.h"

enum { MOST_COPIES = 64 };

static _Noreturn void refuse_loops(apply *ap, const nest *n, const char *why) {
  str names;
  str_init(&names, ap->a);
  for (int i = 0; i < n->naxes; ++i) {
    str_printf(&names, " %s:%c", n->axis[i].name, axis_kind_name[n->axis[i].kind][0]);
  }
  diag_fail(ap->g->diag, WN_ERR_REFUSED, "the loops of %s: %s; its axes by default:%s",
            n->store[0].stage, why, str_text(&names));
}

static void check_kind(apply *ap, const nest *n, const axis *was, axis_kind kind) {
  if ((was->kind == AXIS_VECTOR) != (kind == AXIS_VECTOR))
    refuse_loops(ap, n, "another axis cannot be the vector");
  if (was->reduces && kind != AXIS_LOOP) refuse_loops(ap, n, "the sum's axis is a loop");
  if (kind == AXIS_UNROLL && was->range->arg.j > MOST_COPIES)
    refuse_loops(ap, n, "more than 64 copies of the body");
  if (was->kind == AXIS_UNROLL && kind != AXIS_UNROLL && was->name[0] == 'f') {
    refuse_loops(ap, n, "a transform gives all its frequencies at once: f is unrolled");
  }
  if (was->kind == AXIS_UNROLL && kind != AXIS_UNROLL && was->name[0] == 'p') {
    refuse_loops(ap, n, "a transform gives all its positions at once: p is unrolled");
  }
}

void nest_reorder(apply *ap, nest *n, const stage_plan *plan) {
  if (plan->nloops == 0) return;
  axis out[NEST_AXES];
  bool taken[NEST_AXES] = {false};
  int count = 0;
  for (int l = 0; l < plan->nloops; ++l) {
    int before = count;
    for (int i = 0; i < n->naxes; ++i) {
      if (taken[i] || !loop_named(plan->loop[l].name, n->axis[i].name)) continue;
      check_kind(ap, n, &n->axis[i], plan->loop[l].kind);
      taken[i] = true;
      out[count] = n->axis[i];
      out[count++].kind = plan->loop[l].kind;
    }
    if (count == before) refuse_loops(ap, n, "one is unknown or named twice");
  }
  if (count < n->naxes) refuse_loops(ap, n, "one is left out");
  for (int i = 1; i < count; ++i) {
    if (out[i].kind < out[i - 1].kind)
      refuse_loops(ap, n, "the order of kinds is grid, loop, unroll, vector");
  }
  memcpy(n->axis, out, sizeof out);
}
