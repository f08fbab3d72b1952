/* Work items: how a device's kernels share out their loops.
 *
 * In: kernels in running order, as a CPU would run them. Out: the same with the kinds of their axes changed, and the
 * size of their groups. A kernel in which nothing is computed inside gives every point of its outer loops to a work
 * item of its own (LANE), neighbours to neighbours. In one with stages inside, the grid stays, loops around a stage
 * are run by all work items together, and loops below them are shared out in the group (GROUP), as plan/share.h says;
 * barriers are linearise's business. Always holds: axes that reduce come right behind the shared ones, so a work item
 * adds only to elements of its own. */
#include "nest/state.h"

/* Axes around the innermost stage that is computed inside. */
static int axes_around(const nest *n) {
  int at = 0;
  for (int c = 0; c < n->nchildren; ++c) {
    if (!nest_adds_to(n, n->child[c].nest) && n->child[c].at > at) at = n->child[c].at;
  }
  return at;
}

/* The number of the site whose plan says what is shared in this kernel: of two with stages inside, the result's is
 * meant. -1: none is. */
static int site_of_root(const apply *ap, const nest *root) {
  const nest_store *s = &root->store[0];
  const flow *f = s->id == STAGE_COUNT && s->site >= 0 ? ap->into[s->site] : NULL;
  int site = f != NULL ? f->site : s->id == STAGE_COUNT || s->site < 0 ? -1 : ap->site_of[s->site];
  if (site < 0) return -1;
  bool result = s->id == STAGE_COUNT || s->id == STAGE_O;
  return ap->sizes[site].staged == result ? ap->w->site[site].number : -1;
}

static int shared_from(apply *ap, const nest *root) {
  int number = site_of_root(ap, root);
  *ap->at_site = number;
  const schedule *s = number >= 0 ? plan_of_site(ap, number) : NULL;
  sharing found = share_from(ap->g->diag, ap->a, s, root->naxes, root->axis, axes_around(root),
                             root->store[0].stage);
  if (number >= 0 && number < ap->nplans) ap->set->plan[number].share = found.said;
  return found.from;
}

static bool computes_inside(const nest *n) {
  for (int c = 0; c < n->nchildren; ++c) {
    if (!nest_adds_to(n, n->child[c].nest)) return true;
  }
  return false;
}

static int64_t points(const nest *n, axis_kind kind) {
  int64_t all = 1;
  for (int i = 0; i < n->naxes; ++i) all *= n->axis[i].kind == kind ? n->axis[i].range->arg.j : 1;
  return all;
}

/* The zeros that a nest adds to are written where their work item is known already. */
static void keep_inner(nest *zeros, int at, const nest *n) {
  int kept = 0;
  for (int i = 0; i < zeros->naxes; ++i) {
    bool outside = false;
    for (int k = 0; k < at; ++k) outside |= n->axis[k].range == zeros->axis[i].range;
    if (!outside) zeros->axis[kept++] = zeros->axis[i];
  }
  zeros->naxes = kept;
}

/* Axes from `first` on that neither reduce nor are copies get this kind; those that reduce follow them. */
static void share_axes(nest *n, int first, axis_kind kind) {
  axis out[NEST_AXES];
  n->shared = first;
  int count = first, reduced = -1;
  memcpy(out, n->axis, sizeof out);
  for (int pass = 0; pass < 3; ++pass) {
    for (int i = first; i < n->naxes; ++i) {
      const axis *a = &n->axis[i];
      int turn = a->kind > AXIS_LOOP ? 2 : a->reduces ? 1 : 0;
      if (turn != pass) continue;
      if (turn == 1 && reduced < 0) reduced = count;
      out[count] = *a;
      if (turn == 0) out[count].kind = kind;
      ++count;
    }
  }
  memcpy(n->axis, out, sizeof out);
  for (int c = 0; c < n->nchildren; ++c) {
    if (!nest_adds_to(n, n->child[c].nest)) continue;
    n->child[c].at = reduced;
    keep_inner(n->child[c].nest, reduced, n);
  }
}

static int64_t most_points(const nest *n) {
  int64_t most = points(n, AXIS_GROUP);
  for (int c = 0; c < n->nchildren; ++c) {
    int64_t inside = most_points(n->child[c].nest);
    if (inside > most) most = inside;
  }
  return most;
}

static void share_inside(nest *n) {
  for (int c = 0; c < n->nchildren; ++c) {
    nest *child = n->child[c].nest;
    if (nest_adds_to(n, child)) continue;
    share_axes(child, 0, AXIS_GROUP);
    share_inside(child);
  }
}

void simt_share(apply *ap) {
  for (size_t k = 0; ap->machine->group > 0 && k < ap->set->kernels.len; ++k) {
    nest_kernel *kp = &ap->set->kernels.data[k];
    int64_t items = 0;
    for (int r = 0; r < kp->nroots; ++r) {
      nest *root = kp->root[r];
      bool inside = computes_inside(root);
      share_axes(root, inside ? shared_from(ap, root) : 0, inside ? AXIS_GROUP : AXIS_LANE);
      share_inside(root);
      int group = inside ? work_group_of_block(ap->machine, most_points(root)) : 0;
      if (group > kp->group) kp->group = group;
      items += points(root, AXIS_LANE);
    }
    int group = work_group(ap->machine, items);
    if (group > kp->group) kp->group = group;
  }
}
