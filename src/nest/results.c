/* Nests into which an output transform flows: the caller's arrays, or an array of its own.
 *
 * In: a stored value over ranges of which some are o = (y * m + p) * phases + phi of a window axis. Out: a nest over
 * blocks of tiles and channels, y and x of the tiles and p unrolled; masked where tiles reach past the image.
 * Always holds: stages computed inside hang at the loops over blocks, t0 (tiles) and k0 (channels). */
#include "nest/state.h"

/* --- does it flow? ---------------------------------------------------------------------------- */

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

/* Class of a stored range that is no window: k, g, or n for what the tiles depend on. */
static char other_letter(const apply *ap, const flow *f, const uop *r) {
  const wino_site *ws = &ap->w->site[f->site];
  int at = 2;
  if (ws->G > 1 && uop_has_range(f->index->src[at++], r)) return 'g';
  if (ws->K > 1 && uop_has_range(f->index->src[at++], r)) return 'k';
  return 'n';
}

static bool is_window(const flow *f, const wino_site *ws, const uop *r) {
  for (int w = 0; w < ws->ndim; ++w) {
    if (f->window[w] == r) return true;
  }
  return false;
}

/* The extent of the first loop over output channels. */
static int64_t channels_of(const apply *ap, const uop *into, const flow *f) {
  for (int i = 1; i < into->nsrc; ++i) {
    const uop *r = into->src[i];
    if (!is_window(f, &ap->w->site[f->site], r) && other_letter(ap, f, r) == 'k') return r->arg.j;
  }
  return 1;
}

/* Do the stored value's loops, in their order, go through the rows of tiles one after the other? That is, is the tile
 * index of o, at the first position of each tile, the row-major number of those loops? */
static bool goes_by_rows(apply *ap, const uop *into, const flow *f) {
  graph *g = ap->g;
  const wino_site *ws = &ap->w->site[f->site];
  const uop *from[WN_MAX_SPATIAL], *to[WN_MAX_SPATIAL], *loop[STAGE_RANGES + WN_MAX_SPATIAL];
  int n = 0;
  for (int i = 1; i < into->nsrc; ++i) {
    if (!is_window(f, ws, into->src[i]) && other_letter(ap, f, into->src[i]) == 'n')
      loop[n++] = into->src[i];
  }
  for (int w = 0; w < ws->ndim; ++w) {
    if (f->phases[w] != 1) return false;
    int64_t tiles = (f->window[w]->arg.j + ws->m[w] - 1) / ws->m[w];
    loop[n] = tiles > 1 ? uop_range(g, tiles, "y") : uop_int(g, 0);
    from[w] = f->window[w];
    to[w] = uop_muli(g, loop[n++], ws->m[w]);
  }
  int t = 2 + (ws->G > 1) + (ws->K > 1);
  if (t + ws->ndim >= f->index->nsrc) return ws->T == 1;
  const uop *tile = uop_replace(g, f->index->src[t], ws->ndim, from, to), *number = uop_int(g, 0);
  for (int i = 0; i < n; ++i) number = uop_add(g, uop_muli(g, number, loop[i]->vmax + 1), loop[i]);
  return simplify(g, tile) == simplify(g, number);
}

/* One walk over the graph: each x, where each o is read, and in which stored value each loop is. */
typedef struct flow_search {
  apply *ap;
  const uop **index, **x; /* by rewritten site: the INDEX of its o, its x */
  int *reads;
  map binder; /* number of a RANGE -> the stored value that binds it */
} flow_search;

static void search_reads(flow_search *f) {
  uop_order all = uop_toposort(f->ap->a, 1, &f->ap->w->root);
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i];
    if (u->op == OP_INDEX && u->src[0]->op == OP_BUFFERIZE) {
      const bufferize_info *info = u->src[0]->arg.info;
      if (info->stage != STAGE_O) continue;
      f->index[f->ap->site_of[info->site]] = u;
      f->reads[f->ap->site_of[info->site]]++;
    }
    if (u->op != OP_BUFFERIZE) continue;
    if (u->arg.info->stage == STAGE_X) f->x[f->ap->site_of[u->arg.info->site]] = u;
    if (u->arg.info->stage != STAGE_COUNT) continue;
    for (int r = 1; r < u->nsrc; ++r) map_put_ptr(&f->binder, (uint64_t)u->src[r]->arg.i, u);
  }
}

/* The stored value whose loops are the windows of the tiles that this INDEX reads; NULL: none is. */
static const uop *find_into(flow_search *s, const wino_site *ws, const uop *index, flow *f) {
  const uop *into = NULL;
  for (int w = 0; w < ws->ndim; ++w) {
    const uop *p = index->src[index->nsrc - ws->ndim + w];
    if (!match_position(p, ws->m[w], &f->window[w], &f->phases[w])) return NULL;
    const uop *b = map_get_ptr(&s->binder, (uint64_t)f->window[w]->arg.i);
    if (b == NULL || (into != NULL && b != into)) return NULL;
    for (int v = 0; v < w; ++v) {
      if (f->window[v] == f->window[w]) return NULL;
    }
    into = b;
  }
  return into;
}

static void find_flow(flow_search *s, int site, flow *f) {
  apply *ap = s->ap;
  const wino_site *ws = &ap->w->site[site];
  *f = (flow){.site = site, .into = -1, .x = s->x[site]};
  if (s->reads[site] != 1) return; /* read at two places: it needs an array */
  const uop *into = find_into(s, ws, s->index[site], f);
  f->index = s->index[site];
  f->found = into != NULL && uop_is_int(f->index->src[1], 1);
  if (!f->found) return;
  f->into = into->arg.info->site;
  f->dtype = (wn_dtype)into->dtype;
  f->channels = channels_of(ap, into, f);
  f->by_rows = goes_by_rows(ap, into, f);
  /* a stored value is tiled by one output transform; any other that it reads has an array of its own */
  if (ap->into[f->into] != NULL)
    f->found = false;
  else
    ap->into[f->into] = f;
}

void flows_find(apply *ap) {
  flow_search s = {.ap = ap};
  s.index = arena_array(ap->a, const uop *, ap->w->nsites + 1);
  s.x = arena_array(ap->a, const uop *, ap->w->nsites + 1);
  s.reads = arena_array(ap->a, int, ap->w->nsites + 1);
  map_init(&s.binder, ap->a);
  search_reads(&s);
  for (int i = 0; i < ap->w->nsites; ++i) find_flow(&s, i, &ap->flow[i]);
}

/* --- the nest --------------------------------------------------------------------------------- */

typedef struct window_axes {
  const uop *y, *p;   /* exact loops: tile, position */
  const uop *y0, *y1; /* block and tile in it */
  int64_t tiles, block;
} window_axes;

static const char *const tile_names[] = {"x", "y", "z", "w"};

/* A result in tiles, while its nest is made. */
typedef struct tiled {
  apply *ap;
  stage *st;
  const flow *f;
  const wino_site *site;
  const site_sizes *sizes;
  draft d;
  bool blocked;  /* stages are computed inside, for blocks of tiles and channels */
  bool products; /* the sums over channels are made here */
  bool chunks;   /* rows of tiles are the outermost axes */
  int lanes;     /* channels in a vector; 0: tiles are */
  int64_t line;  /* channels of a cache line of m, taken together */
  window_axes win[WN_MAX_SPATIAL];
  int last; /* window axis of the vectors */
  const uop *phase[WN_MAX_SPATIAL];
  int ki; /* the range of output channels, -1 */
  int64_t klen, kblock;
  const uop *k, *k0, *k1;
} tiled;

static tiled tiled_begin(apply *ap, stage *st) {
  tiled t = {.ap = ap, .st = st, .f = flow_into(ap, st), .ki = -1, .klen = 1, .kblock = 1};
  t.site = &ap->w->site[t.f->site];
  t.d = draft_begin(ap, st);
  t.blocked = ap->sizes[t.f->site].staged;
  t.products = stage_find(ap, t.f->site, STAGE_M) == NULL;
  t.sizes = &ap->sizes[t.f->site];
  t.chunks = t.sizes->round > 0 && !t.blocked;
  t.last = t.site->ndim - 1;
  return t;
}

/* The ranges that are no window: loops of the batch outermost; groups and channels too, unless chunks of rows are. */
static void other_ranges(tiled *t, bool after_rows) {
  static const char *const names[] = {['n'] = "n", ['g'] = "g", ['k'] = "k"};
  for (int i = 0; i < t->st->n; ++i) {
    const uop *r = t->st->range[i];
    if (is_window(t->f, t->site, r) || i == t->ki || t->d.index[i] != NULL) continue;
    char letter = other_letter(t->ap, t->f, r);
    if (letter == 'k' && t->ki < 0) {
      t->ki = i;
      t->klen = t->st->len[i];
      continue;
    }
    if (t->chunks && !after_rows && letter != 'n') continue;
    draft_plain(t->ap, &t->d, i, AXIS_GRID, names[(int)letter]);
  }
}

static void channel_block(tiled *t) {
  if (t->ki < 0) return;
  t->kblock = t->sizes->kblock;
  t->line = t->sizes->line;
  t->lanes = t->sizes->over_k ? t->sizes->o_lanes : 0;
  t->k = draft_exact(t->ap, &t->d, t->klen, "k");
}

static void open_channels(tiled *t, axis_kind kind) {
  if (t->ki >= 0)
    t->k0 = draft_axis(t->ap, &t->d, kind, (t->klen + t->kblock - 1) / t->kblock, "k0");
}

static void phases(tiled *t) {
  for (int w = 0; w < t->site->ndim; ++w) {
    t->phase[w] = draft_exact(t->ap, &t->d, t->f->phases[w], "n");
    draft_bind(t->ap, &t->d, t->phase[w], draft_axis(t->ap, &t->d, AXIS_GRID, t->f->phases[w], "n"),
               false);
  }
}

/* Tiles of a window axis that an iteration of its outer loop covers. */
static int64_t window_block(const tiled *t, int w, int64_t block) {
  int64_t row = t->win[t->last].tiles, own = t->win[w].tiles;
  if (w == t->last) return t->blocked && block < row ? block : own;
  if (w < t->last - 1 || !t->blocked || block <= row) return 1;
  return block / row < own ? block / row : own;
}

/* Outer loops over blocks of tiles: "t0" is the innermost of them. */
static void window_loops(tiled *t) {
  apply *ap = t->ap;
  int64_t block = t->blocked ? t->sizes->block : 0;
  for (int w = 0; w < t->site->ndim; ++w) {
    int64_t outputs = (t->f->window[w]->arg.j + t->f->phases[w] - 1) / t->f->phases[w];
    t->win[w].tiles = (outputs + t->site->m[w] - 1) / t->site->m[w];
  }
  for (int w = 0; w < t->site->ndim; ++w) {
    window_axes *win = &t->win[w];
    win->block = window_block(t, w, block);
    win->y = draft_exact(ap, &t->d, win->tiles, tile_names[t->last - w]);
    win->p = draft_exact(ap, &t->d, t->site->m[w], "p");
    if (w == t->last && !t->blocked) continue; /* a whole row */
    bool innermost = w == t->last || (w == t->last - 1 && t->blocked);
    int64_t blocks = (win->tiles + win->block - 1) / win->block;
    /* only the channels' blocks may be inside this loop, and those are one by one where stages are in it */
    int i = 0;
    while (t->st->range[i] != t->f->window[w]) ++i;
    win->y0 = draft_axis(ap, &t->d, sums_kind(t->st, i), blocks,
                         innermost ? "t0" : tile_names[t->last - w]);
  }
}

static void bind_positions(tiled *t) {
  for (int w = 0; w < t->site->ndim; ++w) {
    const uop *p = draft_axis(t->ap, &t->d, AXIS_UNROLL, t->site->m[w], "p");
    draft_bind(t->ap, &t->d, t->win[w].p, p, false);
  }
}

/* The last window axis tile by tile, channels in the lanes. */
static void channels_in_lanes(tiled *t) {
  apply *ap = t->ap;
  draft *d = &t->d;
  window_axes *last = &t->win[t->last];
  const uop *x = draft_axis(ap, d, AXIS_LOOP, last->block, "x0");
  if (last->y0 != NULL)
    draft_split(ap, d, last->y, last->y0, x, last->block, true);
  else
    draft_bind(ap, d, last->y, x, false);
  const uop *vector = draft_axis(ap, d, AXIS_LOOP, t->line / t->lanes, "k2");
  bind_positions(t);
  const uop *in = uop_add(ap->g, uop_muli(ap->g, vector, t->lanes),
                          draft_axis(ap, d, AXIS_VECTOR, t->lanes, "k3"));
  if (t->k1 != NULL) in = uop_add(ap->g, uop_muli(ap->g, t->k1, t->line), in);
  d->index[t->ki] = t->k;
  draft_split(ap, d, t->k, t->k0, in, t->kblock, true);
}

/* The last window axis in vectors of tiles. */
static void tiles_in_lanes(tiled *t) {
  apply *ap = t->ap;
  draft *d = &t->d;
  window_axes *last = &t->win[t->last];
  int lanes = t->sizes->o_lanes;
  const uop *x0 = draft_axis(ap, d, AXIS_LOOP, (last->block + lanes - 1) / lanes, "x0");
  if (t->ki >= 0 && !t->blocked) t->k1 = draft_axis(ap, d, AXIS_UNROLL, t->kblock, "k1");
  bind_positions(t);
  const uop *x =
      uop_add(ap->g, uop_muli(ap->g, x0, lanes), draft_axis(ap, d, AXIS_VECTOR, lanes, "x1"));
  if (last->y0 != NULL) {
    draft_limit(ap, d, x, last->block, true);
    x = uop_add(ap->g, uop_muli(ap->g, last->y0, last->block), x);
  }
  draft_bind(ap, d, last->y, x, false); /* the limit on o masks the store */
  if (t->ki < 0) return;
  d->index[t->ki] = t->k;
  draft_split(ap, d, t->k, t->k0, t->k1, t->kblock, true);
}

/* Loops inside the blocks: channels, tiles; positions in a tile unrolled. */
static void inner_loops(tiled *t) {
  if (t->ki >= 0 && t->blocked) {
    int64_t step = t->lanes > 0 ? t->line : 1;
    t->k1 = draft_axis(t->ap, &t->d, AXIS_LOOP, t->kblock / step, "k1");
  }
  for (int w = 0; w < t->last; ++w) {
    window_axes *win = &t->win[w];
    const uop *y1 = draft_axis(t->ap, &t->d, AXIS_LOOP, win->block, "y1");
    draft_split(t->ap, &t->d, win->y, win->y0, y1, win->block, false);
  }
  if (t->lanes > 0)
    channels_in_lanes(t);
  else
    tiles_in_lanes(t);
}

/* o = (y * m + p) * phases + phi, masked where it reaches past the image. */
static void window_indices(tiled *t) {
  graph *g = t->ap->g;
  for (int w = 0; w < t->site->ndim; ++w) {
    int i = 0;
    while (t->st->range[i] != t->f->window[w]) ++i;
    const uop *o = uop_add(g, uop_muli(g, t->win[w].y, t->site->m[w]), t->win[w].p);
    o = uop_add(g, uop_muli(g, o, t->f->phases[w]), t->phase[w]);
    t->d.index[i] = o;
    const uop *over = uop_replace(g, o, t->d.nexact, t->d.exact, t->d.over_axes);
    draft_limit(t->ap, &t->d, simplify(g, over), t->st->len[i], true);
  }
}

nest *nest_tiled(apply *ap, stage *st) {
  tiled t = tiled_begin(ap, st);
  other_ranges(&t, false);
  channel_block(&t);
  /* sums read the tiles again for each block of channels: then those go inside, and the tiles stay in the cache */
  bool channels_outside = !t.blocked && !t.products && !t.chunks;
  if (channels_outside) open_channels(&t, AXIS_GRID);
  phases(&t);
  window_loops(&t);
  other_ranges(&t, true);
  if (!channels_outside) open_channels(&t, t.blocked ? AXIS_LOOP : AXIS_GRID);
  inner_loops(&t);
  if (t.lanes > 0 && t.k1 != NULL && t.k1->op == OP_RANGE) t.d.n->next = t.k1;
  window_indices(&t);
  return draft_finish(ap, &t.d, st);
}

nest *nest_o(apply *ap, stage *st) {
  draft d = draft_begin(ap, st);
  int k = stage_range(st, 'k', 0), t = stage_range(st, 't', 0);
  axis_kind outer = outer_kind(st);
  draft_plain(ap, &d, stage_range(st, 'g', 0), outer, "g");
  row_axes r = {0};
  bool blocked = !st->inside && ap->sizes[st->site].staged;
  if (!blocked) draft_plain(ap, &d, k, outer, "k0");
  if (t >= 0) r = rows_begin(ap, &d, t, outer, 1, row_lanes(ap, st));
  if (blocked && k >= 0) {
    int64_t kblock = ap->sizes[st->site].kblock;
    d.index[k] = draft_exact(ap, &d, st->len[k], "k");
    const uop *k0 = draft_axis(ap, &d, AXIS_LOOP, (st->len[k] + kblock - 1) / kblock, "k0");
    draft_split(ap, &d, d.index[k], k0, draft_axis(ap, &d, AXIS_LOOP, kblock, "k1"), kblock, false);
  }
  for (int i = stage_range(st, 'p', 0); i >= 0; i = stage_range(st, 'p', i + 1)) {
    draft_plain(ap, &d, i, AXIS_UNROLL, "p");
  }
  if (t >= 0) rows_end(ap, &d, r, false);
  return draft_finish(ap, &d, st);
}
