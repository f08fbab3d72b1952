/* Nests into which an output transform flows: the caller's arrays, or an array of its own.
 *
 * In: a stored value over ranges of which some are o = (y * m + p) * phases + phi of a window axis. Out: a nest over
 * blocks of tiles and channels, y and x of the tiles and p unrolled; masked where tiles reach past the image.
 * Always holds: stages computed inside hang at the loops over blocks, t0 (tiles) and k0 (channels). */
#include "schedule/apply.h"

/* --- does it flow? ---------------------------------------------------------------------------------------------------- */

/* e is r % m, (r / d) % m, r or r / d for a RANGE r: the position in a tile. */
static bool match_position(const uop *e, int m, const uop **r, int64_t *phases) {
  if (e->op == OP_MOD && uop_is_int(e->src[1], m)) e = e->src[0];
  *phases = 1;
  if (e->op == OP_IDIV && e->src[1]->op == OP_CONST) {
    *phases = e->src[1]->arg.i;
    e = e->src[0];
  }
  *r = e;
  return e->op == OP_RANGE;
}

static bool is_bound_by(const uop *bufferize, const uop *r) {
  for (int i = 1; i < bufferize->nsrc; ++i) {
    if (bufferize->src[i] == r) return true;
  }
  return false;
}

void flow_find(apply *ap, const uop *root, int site, flow *f) {
  const wino_site *ws = &ap->w->site[site];
  memset(f, 0, sizeof *f);
  f->site = site;
  uop_order all = uop_toposort(ap->a, 1, &root);
  const uop *index = NULL, *into = NULL;
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i];
    if (u->op != OP_INDEX || u->src[0]->op != OP_BUFFERIZE) continue;
    if (strcmp(u->src[0]->arg.info->name, ws->name_o) != 0) continue;
    if (index != NULL) return; /* read at two places: it needs an array */
    index = u;
  }
  for (size_t i = 0; index != NULL && i < all.len; ++i) {
    const uop *b = all.at[i];
    if (b->op != OP_BUFFERIZE || b->arg.info->explicit_ == false) continue;
    bool covers = true;
    for (int w = 0; w < ws->ndim && covers; ++w) {
      const uop *p = index->src[index->nsrc - ws->ndim + w];
      covers = match_position(p, ws->m[w], &f->window[w], &f->phases[w]) && is_bound_by(b, f->window[w]);
      for (int v = 0; v < w; ++v) covers &= f->window[v] != f->window[w];
    }
    if (covers) into = b;
  }
  f->index = index;
  f->found = into != NULL && uop_is_int(index->src[1], 1);
  if (f->found) f->root = into->arg.info->name;
}

/* --- the nest ----------------------------------------------------------------------------------------------------------- */

typedef struct window_axes {
  const uop *y, *p;   /* exact loops: tile, position */
  const uop *y0, *y1; /* block and tile in it */
  int64_t tiles, block;
} window_axes;

/* Class of a stored range that is no window: k, g, or n for what the tiles depend on. */
static char other_letter(const apply *ap, const flow *f, const uop *r) {
  const stage *o = NULL;
  const wino_site *ws = &ap->w->site[f->site];
  (void)o;
  int at = 2;
  if (ws->G > 1 && uop_has_range(f->index->src[at++], r)) return 'g';
  if (ws->K > 1 && uop_has_range(f->index->src[at++], r)) return 'k';
  return 'n';
}

static bool anything_inside(const apply *ap, int site) {
  for (size_t i = 0; i < ap->stages.len; ++i) {
    const stage *st = ap->stages.data[i];
    if (st->site != site || !st->inside) continue;
    /* x and g belong to the kernel of m where m has one of its own */
    const stage *m = stage_find((apply *)ap, site, STAGE_M);
    if ((st->id == STAGE_X || st->id == STAGE_G) && m != NULL && !m->inside) continue;
    return true;
  }
  return false;
}

static bool is_window(const flow *f, const wino_site *ws, const uop *r) {
  for (int w = 0; w < ws->ndim; ++w) {
    if (f->window[w] == r) return true;
  }
  return false;
}

static const char *const tile_names[] = {"x", "y", "z", "w"};

nest *nest_tiled(apply *ap, stage *st) {
  const flow *f = NULL;
  for (int i = 0; i < ap->w->nsites; ++i) {
    if (ap->flow[i].found && strcmp(ap->flow[i].root, st->node->arg.info->name) == 0) f = &ap->flow[i];
  }
  const wino_site *ws = &ap->w->site[f->site];
  graph *g = ap->g;
  draft d = draft_begin(ap, st);
  bool blocked = anything_inside(ap, f->site);
  bool chunks = chunk_rows(ap, ws) > 0 && !blocked; /* rows of tiles outermost */
  bool products = stage_find(ap, f->site, STAGE_M) == NULL; /* summed here */
  window_axes win[WN_MAX_SPATIAL];
  int64_t block = blocked ? tile_block(ap, ws) : 0;

  /* outer loops: batch, phases, tiles of all but the last window axis */
  const uop *k0 = NULL, *k1 = NULL, *kexact = NULL;
  int ki = -1;
  int64_t klen = 1, kblock = 1;
  for (int i = 0; i < st->n; ++i) {
    if (is_window(f, ws, st->range[i])) continue;
    char letter = other_letter(ap, f, st->range[i]);
    if (chunks && letter != 'n' && !(letter == 'k' && ki < 0)) continue;
    if (letter == 'k' && ki < 0) {
      ki = i;
      klen = st->len[i];
      continue;
    }
    draft_plain(ap, &d, i, AXIS_GRID, letter == 'n' ? "n" : letter == 'g' ? "g" : "k");
  }
  if (ki >= 0) {
    kblock = ap->s->k[0] > 0 ? ap->s->k[0] : blocked ? 32 : products ? 2 : 1;
    if (kblock > klen) kblock = klen;
    kexact = draft_exact(ap, &d, klen, "k");
  }
  int64_t kblocks = ki >= 0 ? (klen + kblock - 1) / kblock : 1;
  /* sums read the tiles again for each block of channels: those go inside, and the tiles stay in the cache */
  if (ki >= 0 && !blocked && !products && !chunks) k0 = draft_axis(ap, &d, AXIS_GRID, kblocks, "k0");
  const uop *phi[WN_MAX_SPATIAL];
  for (int w = 0; w < ws->ndim; ++w) {
    phi[w] = draft_exact(ap, &d, f->phases[w], "n");
    draft_bind(ap, &d, phi[w], draft_axis(ap, &d, AXIS_GRID, f->phases[w], "n"), false);
  }
  int last = ws->ndim - 1;
  for (int w = 0; w < ws->ndim; ++w) {
    int64_t outputs = (f->window[w]->arg.j + f->phases[w] - 1) / f->phases[w];
    win[w].tiles = (outputs + ws->m[w] - 1) / ws->m[w];
  }
  for (int w = 0; w < ws->ndim; ++w) {
    win[w].block = win[w].tiles;
    if (w == last && (!blocked || block >= win[w].tiles)) win[w].block = blocked ? win[w].tiles : 1;
    if (w == last && blocked && block < win[w].tiles) win[w].block = block;
    if (w == last - 1) win[w].block = blocked && block > win[last].tiles ? block / win[last].tiles : 1;
    if (w == last - 1 && win[w].block > win[w].tiles) win[w].block = win[w].tiles;
    if (w < last - 1) win[w].block = 1;
    win[w].y = draft_exact(ap, &d, win[w].tiles, tile_names[last - w]);
    win[w].p = draft_exact(ap, &d, ws->m[w], "p");
    win[w].y0 = NULL;
    if (w == last && !blocked) continue;
    int64_t blocks = (win[w].tiles + win[w].block - 1) / win[w].block;
    bool innermost = w == last;
    win[w].y0 = draft_axis(ap, &d, AXIS_GRID, blocks, innermost ? "t0" : w == last - 1 && blocked ? "t0" : tile_names[last - w]);
  }
  for (int i = 0; i < st->n && chunks; ++i) {
    if (d.index[i] == NULL && i != ki && !is_window(f, ws, st->range[i])) draft_plain(ap, &d, i, AXIS_GRID, "g");
  }
  if (ki >= 0 && !blocked && (products || chunks)) k0 = draft_axis(ap, &d, AXIS_GRID, kblocks, "k0");
  if (ki >= 0 && blocked) {
    k0 = draft_axis(ap, &d, AXIS_LOOP, kblocks, "k0");
    k1 = draft_axis(ap, &d, AXIS_LOOP, kblock, "k1");
  }
  /* inner loops: tiles of a block, then vectors of tiles */
  int64_t row = blocked ? win[last].block : win[last].tiles;
  int lanes = pick_lanes(ap->target, (wn_dtype)st->node->dtype, row);
  for (int w = 0; w < last; ++w) {
    win[w].y1 = draft_axis(ap, &d, AXIS_LOOP, win[w].block, "y1");
    draft_split(ap, &d, win[w].y, win[w].y0, win[w].y1, win[w].block, false);
  }
  const uop *x1 = draft_axis(ap, &d, AXIS_LOOP, (row + lanes - 1) / lanes, "x0");
  if (ki >= 0 && !blocked) k1 = draft_axis(ap, &d, AXIS_UNROLL, kblock, "k1");
  if (ki >= 0) {
    d.index[ki] = kexact;
    draft_split(ap, &d, kexact, k0, k1, kblock, true);
  }
  for (int w = 0; w < ws->ndim; ++w) {
    draft_bind(ap, &d, win[w].p, draft_axis(ap, &d, AXIS_UNROLL, ws->m[w], "p"), false);
  }
  const uop *lane = draft_axis(ap, &d, AXIS_VECTOR, lanes, "x1");
  const uop *x = uop_add(g, uop_muli(g, x1, lanes), lane);
  if (win[last].y0 != NULL) {
    draft_limit(ap, &d, x, win[last].block, true);
    x = uop_add(g, uop_muli(g, win[last].y0, win[last].block), x);
  }
  draft_bind(ap, &d, win[last].y, x, false); /* the limit on o masks the store */
  for (int w = 0; w < ws->ndim; ++w) {
    int i = 0;
    while (st->range[i] != f->window[w]) ++i;
    const uop *o = uop_add(g, uop_muli(g, win[w].y, ws->m[w]), win[w].p);
    o = uop_add(g, uop_muli(g, o, f->phases[w]), phi[w]);
    d.index[i] = o;
    const uop *over = uop_replace(g, o, d.nexact, d.exact, d.over_axes);
    draft_limit(ap, &d, simplify(g, over), st->len[i], true);
  }
  return draft_finish(ap, &d, st);
}

nest *nest_o(apply *ap, stage *st) {
  draft d = draft_begin(ap, st);
  int k = stage_range(st, 'k', 0), t = stage_range(st, 't', 0);
  axis_kind outer = outer_kind(st);
  draft_plain(ap, &d, stage_range(st, 'g', 0), outer, "g");
  row_axes r = {0};
  bool blocked = !st->inside && anything_inside(ap, st->site);
  if (!blocked) draft_plain(ap, &d, k, outer, "k0");
  if (t >= 0) r = rows_begin(ap, &d, t, outer, 1);
  if (blocked && k >= 0) {
    int64_t kblock = st->len[k] < 32 ? st->len[k] : 32;
    d.index[k] = draft_exact(ap, &d, st->len[k], "k");
    const uop *k0 = draft_axis(ap, &d, AXIS_LOOP, (st->len[k] + kblock - 1) / kblock, "k0");
    draft_split(ap, &d, d.index[k], k0, draft_axis(ap, &d, AXIS_LOOP, kblock, "k1"), kblock, false);
  }
  for (int i = stage_range(st, 'p', 0); i >= 0; i = stage_range(st, 'p', i + 1)) {
    draft_plain(ap, &d, i, AXIS_UNROLL, "p");
  }
  if (t >= 0) rows_end(ap, &d, r);
  return draft_finish(ap, &d, st);
}
