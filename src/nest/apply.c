/* Applying a schedule: range IR -> kernels as nests.
 *
 * In: rewritten range IR and a schedule. Out: a kernel_set; see nest.h. The steps, in the order of schedule_apply:
 *   place     every BUFFERIZE gets its space; partial sums split the long reductions
 *   inline    INDEX of an inline or reg stage becomes its value with the ranges substituted
 *   build     consumers first: a global stage starts a kernel; a stage computed inside one becomes a child of the nest
 *             of its consumer, over just the part that an iteration of the loop `at` needs
 *   connect   once a stage's array is laid out, every INDEX of it becomes a flat read
 * Always holds: a stage's readers are placed before it, so what they need of it is known when its nest is made. */
#include "nest/state.h"

#include "rewrite/scratch.h"

static _Noreturn void refuse(apply *ap, const char *why) {
  diag_fail(ap->g->diag, WN_ERR_REFUSED, "%s", why);
}

/* --- place ------------------------------------------------------------------------------------ */

/* Of a BUFFERIZE: the index of the rewritten site that it is a stage of, -1: of none. */
static int site_of(const apply *ap, const bufferize_info *info) {
  return info->stage == STAGE_COUNT ? -1 : ap->site_of[info->site];
}

/* sum over c of body as a sum over blocks of sums over a block, and what is left over at the end. */
static const uop *split_sum(apply *ap, const uop *reduce, int site) {
  graph *g = ap->g;
  const uop *c = reduce->src[1], *body = reduce->src[0];
  int64_t n = c->arg.j, chunk = ap->sizes[site].chain, blocks = n / chunk,
          rest = n - blocks * chunk;
  if (chunk == n) return reduce;
  const uop *c0 = uop_range(g, blocks, "c0"), *c1 = uop_range(g, chunk, "c1"), *sum;
  const uop *at = uop_add(g, uop_muli(g, c0, chunk), c1);
  if (blocks == 1) at = c1;
  sum = uop_reduce(g, OP_ADD, uop_replace(g, body, 1, &c, &at), 1, &c1);
  if (blocks > 1) sum = uop_reduce(g, OP_ADD, sum, 1, &c0);
  if (rest == 0) return sum;
  const uop *c2 = uop_range(g, rest, "c2"), *tail = rest > 1 ? c2 : uop_int(g, 0);
  at = uop_addi(g, tail, blocks * chunk);
  return uop_add(g, sum, uop_reduce(g, OP_ADD, uop_replace(g, body, 1, &c, &at), rest > 1, &c2));
}

static uop_space space_of(apply *ap, const bufferize_info *info) {
  int site = site_of(ap, info);
  if (site < 0) return SPACE_GLOBAL;
  uop_space space = plan_of(ap, site)->stage[info->stage].space;
  bool flows = ap->flow[site].found;
  if (info->stage != STAGE_O) return space;
  /* the result is the array of an output transform that flows straight into it */
  if (space == SPACE_GLOBAL && flows) return SPACE_INLINE;
  if (space != SPACE_GLOBAL && !flows)
    refuse(
        ap,
        "o can only be global here: its tiles are read at other places than where they are stored");
  return space;
}

/* The value of a BUFFERIZE at other indices; resolved with everything else when the graph is simplified. */
static const uop *substitute_ranges(apply *ap, const uop *b, const uop *const *index) {
  int n = b->nsrc - 1;
  const uop **pairs = arena_array(ap->a, const uop *, 2 * n + 1);
  for (int i = 0; i < n; ++i) {
    pairs[2 * i] = b->src[i + 1];
    pairs[2 * i + 1] = index[i];
  }
  return uop_substitute(ap->g, b->src[0], n, pairs);
}

static const uop *place_node(void *user, const uop *u) {
  apply *ap = user;
  if (u->op == OP_BUFFERIZE) {
    bufferize_info info = *u->arg.info;
    *ap->at_site = info.site;
    if (info.stage < STAGE_COUNT || info.space != SPACE_REG) info.space = space_of(ap, &info);
    const uop *value = u->src[0];
    if (info.stage == STAGE_M && value->op == OP_REDUCE && value->nsrc == 2)
      value = split_sum(ap, value, site_of(ap, &info));
    return uop_bufferize(ap->g, value, u->nsrc - 1, u->src + 1, info);
  }
  if (u->op == OP_INDEX && u->src[0]->op == OP_BUFFERIZE) {
    const uop *b = u->src[0];
    uop_space space = b->arg.info->space;
    if (b->arg.info->stage == STAGE_COUNT || (space != SPACE_INLINE && space != SPACE_REG))
      return u;
    const uop *value = substitute_ranges(ap, b, u->src + 2);
    return uop_is_int(u->src[1], 1) ? value : guard_value(ap->g, value, u->src[1]);
  }
  return u;
}

/* --- stages ----------------------------------------------------------------------------------- */

/* Do the readers of x or g unroll the frequencies? They do where another transform is inlined into the same products.
 * */
static bool reads_all_frequencies(const schedule *s, stage_id id) {
  const stage_plan *st = s->stage;
  if (id != STAGE_X && id != STAGE_G) return false;
  uop_space other = st[id == STAGE_X ? STAGE_G : STAGE_X].space, m = st[STAGE_M].space;
  return m == SPACE_INLINE || m == SPACE_REG || other == SPACE_INLINE || other == SPACE_REG;
}

/* From the slowest in storage to the fastest: as they come, but frequencies and tiles last where a reader takes all
 * frequencies at once, and last of all the class that is in the lanes. */
static void order_ranges(apply *ap, stage *st) {
  bool unrolled = st->id < STAGE_COUNT && reads_all_frequencies(st->plan, st->id);
  char fastest = 0;
  if (st->id == STAGE_M && ap->sizes[st->site].over_k) fastest = 'k';
  if (st->id == STAGE_X && ap->sizes[st->site].c_lanes > 0) fastest = 'c';
  int at = 0;
  for (int pass = 0; pass < 3; ++pass) {
    for (int i = 0; i < st->n; ++i) {
      char letter = st->letter[i];
      int turn = unrolled && letter == 'f' ? 1 : unrolled && letter == 't' ? 2 : 0;
      if (letter != 0 && letter == fastest) turn = 2;
      if (turn == pass) st->order[at++] = i;
    }
  }
}

static void add_stage(apply *ap, const uop *node) {
  stage *st = arena_new(ap->a, stage);
  const bufferize_info *info = node->arg.info;
  st->node = node;
  st->id = info->stage;
  st->site = site_of(ap, info);
  st->plan = plan_of_site(ap, info->site);
  st->space = info->space;
  const stage_plan *p = st->id < STAGE_COUNT ? &st->plan->stage[st->id] : NULL;
  st->inside =
      p != NULL && (st->space == SPACE_LOCAL || (st->space == SPACE_GLOBAL && p->at.letter != 0));
  if (st->id < STAGE_COUNT) ap->of_site[st->site * STAGE_COUNT + (int)st->id] = st;
  uint64_t packed;
  st->exact = st->id == STAGE_COUNT && !map_get(&ap->packed, node->id, &packed);
  st->n = node->nsrc - 1;
  WN_CHECK(st->n <= STAGE_RANGES, "%d ranges", st->n);
  st->range = node->src + 1;
  st->pack = 1;
  for (int i = 0; i < st->n; ++i) {
    st->letter[i] = st->id < STAGE_COUNT ? uop_range_name(ap->g, st->range[i])[0] : 0;
    st->len[i] = st->dim[i] = st->range[i]->arg.j;
  }
  vec_push(ap->a, &ap->stages, st);
  map_put_ptr(&ap->by_node, node->id, st);
}

/* --- build ------------------------------------------------------------------------------------ */

/* Notes what a nest's value reads, once it is in a kernel. */
static void note_reads(apply *ap, nest *n, int kernel) {
  uop_order all = nest_walk(ap->a, n);
  for (size_t i = 0; i < all.len; ++i) {
    if (all.at[i]->op != OP_BUFFERIZE) continue;
    reader *r = arena_new(ap->a, reader);
    *r = (reader){n, kernel, map_get_ptr(&ap->readers, all.at[i]->id)};
    map_put_ptr(&ap->readers, all.at[i]->id, r);
  }
}

static reader *readers_of(const apply *ap, const stage *st) {
  return map_get_ptr(&ap->readers, st->node->id);
}

typedef struct need { /* what the nests of one kernel need of a stage */
  stage *st;
  const nest *root;
  int at; /* axes of root that are open around the stage */
  bool whole[STAGE_RANGES];
  bool blocks[STAGE_RANGES]; /* of more than one block of tiles */
  const uop *base[STAGE_RANGES];
  int64_t lo[STAGE_RANGES], hi[STAGE_RANGES], reach[STAGE_RANGES];
} need;

static bool all_open(const need *nd, const uop *e) {
  int open = 0;
  for (int i = 0; i < nd->at; ++i) open += uop_has_range(e, nd->root->axis[i].range);
  return open == e->free_->len;
}

/* Does e move with a loop over blocks, images or phases that is not open? In a block readers may reach past its end,
 * and those tiles are not for them; what is computed around several has the tiles of all. */
static bool moves_with_blocks(const need *nd, const uop *e) {
  for (int i = nd->at; i < nd->root->naxes; ++i) {
    const axis *a = &nd->root->axis[i];
    bool over = a->kind == AXIS_GRID || strcmp(a->name, "t0") == 0;
    if (over && uop_has_range(e, a->range)) return true;
  }
  return false;
}

/* e = base (over open axes) + something in [lo, hi]. */
static void need_index(apply *ap, need *nd, int i, const uop *e) {
  linear_form f, base = {0};
  int64_t lo, hi;
  if (e->vmax > nd->reach[i]) nd->reach[i] = e->vmax;
  if (!linear_of(e, &f)) {
    nd->whole[i] = true;
    return;
  }
  lo = hi = f.constant;
  for (int k = 0; k < f.n; ++k) {
    if (all_open(nd, f.atom[k])) {
      base.atom[base.n] = f.atom[k];
      base.coeff[base.n++] = f.coeff[k];
      continue;
    }
    nd->blocks[i] |= moves_with_blocks(nd, f.atom[k]);
    int64_t a = f.coeff[k] * f.atom[k]->vmin, b = f.coeff[k] * f.atom[k]->vmax;
    lo += a < b ? a : b;
    hi += a < b ? b : a;
  }
  const uop *b = linear_to_uop(ap->g, &base);
  if (nd->base[i] != NULL && nd->base[i] != b) nd->whole[i] = true;
  if (nd->base[i] == NULL || lo < nd->lo[i]) nd->lo[i] = lo;
  if (nd->base[i] == NULL || hi > nd->hi[i]) nd->hi[i] = hi;
  nd->base[i] = b;
}

/* Where a reader reads the stage. */
static void scan_reader(apply *ap, const nest *n, need *nd) {
  uop_order all = nest_walk(ap->a, n);
  for (size_t k = 0; k < all.len; ++k) {
    const uop *u = all.at[k];
    if (u->op != OP_INDEX || u->src[0] != nd->st->node) continue;
    for (int i = 0; i < nd->st->n; ++i) need_index(ap, nd, i, u->src[i + 2]);
  }
}

static nest *make_nest(apply *ap, stage *st) {
  switch (st->id) {
    case STAGE_X:
      return nest_x(ap, st);
    case STAGE_G:
      return nest_g(ap, st);
    case STAGE_M:
      return nest_m(ap, st);
    case STAGE_O:
      return nest_o(ap, st);
    default:
      break;
  }
  const flow *f = flow_into(ap, st);
  const stage *o = f != NULL ? stage_find(ap, f->site, STAGE_O) : NULL;
  /* an output transform with an array of its own is read like any other array */
  return f != NULL && (o == NULL || o->inside) ? nest_tiled(ap, st) : nest_general(ap, st);
}

/* Is a loop of this name where the stage is computed unless told otherwise? x: inside the blocks of tiles; the others:
 * inside the blocks of channels too. */
static bool default_at(const stage *st, const char *name, bool grid) {
  if (strcmp(name, "k0") == 0) return st->id != STAGE_X;
  return grid || strcmp(name, "t0") == 0 || strcmp(name, "n") == 0;
}

static void consider_at(const stage *st, loop_name want, const char *name, bool grid, int open,
                        int *best, bool *found) {
  bool here = want.letter != 0 ? loop_named(want, name) : default_at(st, name, grid);
  if (here && open >= *best) *best = open;
  *found |= here;
}

/* Number of axes of the kernel's root nest that are open at the loop where the stage is computed. */
static int find_at(apply *ap, const stage *st, const nest *root) {
  loop_name want = st->plan->stage[st->id].at;
  int best = 0, outer = 0;
  bool found = false;
  while (outer < root->naxes && root->axis[outer].kind <= AXIS_LOOP) ++outer;
  for (int i = 0; i < outer; ++i) {
    const axis *a = &root->axis[i];
    consider_at(st, want, a->name, a->kind == AXIS_GRID, i + 1, &best, &found);
  }
  for (int i = 0; i < root->nunits; ++i) {
    consider_at(st, want, root->unit[i].name, false, root->unit[i].at, &best, &found);
  }
  if (want.letter == 0 || found) return best;
  const wino_site *site = &ap->w->site[st->site];
  if ((want.letter == 'k' && site->K == 1) || (want.letter == 't' && site->T == 1)) {
    want.letter = 0; /* a loop of one iteration: where it would be */
    for (int i = 0; i < outer; ++i) {
      consider_at(st, want, root->axis[i].name, root->axis[i].kind == AXIS_GRID, i + 1, &best,
                  &found);
    }
    return best;
  }
  str names;
  str_init(&names, ap->a);
  for (int i = 0; i < outer; ++i) str_printf(&names, " %s", root->axis[i].name);
  for (int i = 0; i < root->nunits; ++i) str_printf(&names, " %s", root->unit[i].name);
  char part[4] = {want.part >= 0 ? (char)('0' + want.part) : '\0', 0};
  diag_fail(ap->g->diag, WN_ERR_REFUSED,
            "no loop %c%s in the kernel of %s, in which %c would be computed; its loops:%s",
            want.letter, part, root->store[0].stage, stage_letter[st->id], str_text(&names));
}

static int64_t block_of(const apply *ap, const stage *st) {
  const wino_site *ws = &ap->w->site[st->site];
  int64_t b = ap->sizes[st->site].block;
  return b < ws->T ? b : ws->T;
}

/* The tiles that a part is wanted for where it is of one block: those of the stage inside that reads it, unless that
 * one is further inside and reads other tiles each time, or a block's. */
static int64_t tiles_wanted(const apply *ap, const stage *st, const need *nd) {
  for (int id = (int)st->id + 1; id < STAGE_COUNT; ++id) {
    const stage *by = stage_find(ap, st->site, (stage_id)id);
    int t = by != NULL && by->inside ? stage_range(by, 't', 0) : -1;
    if (t < 0) continue;
    return by->base[t] == NULL || all_open(nd, by->base[t]) ? by->len[t] : block_of(ap, st);
  }
  return block_of(ap, st);
}

/* Fixes the part of the stage that an iteration computes. */
static void set_domain(const apply *ap, stage *st, const need *nd) {
  for (int i = 0; i < st->n; ++i) {
    int64_t extent = st->range[i]->arg.j;
    st->base[i] = NULL;
    st->len[i] = extent;
    st->dim[i] = st->space == SPACE_LOCAL    ? 1
                 : nd->reach[i] + 1 > extent ? nd->reach[i] + 1
                                             : extent;
    bool whole = nd->whole[i] || nd->base[i] == NULL || uop_is_int(nd->base[i], 0) || nd->lo[i] < 0;
    int64_t len = nd->hi[i] + 1;
    if (whole) {
      if (st->space == SPACE_LOCAL)
        st->dim[i] = nd->reach[i] + 1 > extent ? nd->reach[i] + 1 : extent;
      continue;
    }
    st->base[i] = nd->base[i];
    if (st->space == SPACE_LOCAL) st->dim[i] = len;
    if (st->letter[i] == 't' && !nd->blocks[i]) {
      int64_t wanted = tiles_wanted(ap, st, nd);
      if (len > wanted) len = wanted;
    }
    st->len[i] = len < extent ? len : extent;
  }
}

/* A stage is made no further inside than its readers run: `at`, or the outermost of them. */
static int not_inside_readers(apply *ap, const stage *st, const nest *root, int at) {
  int outermost = at;
  for (const reader *r = readers_of(ap, st); r != NULL; r = r->next) {
    for (int i = 0; i < root->nchildren; ++i) {
      if (root->child[i].nest == r->n && root->child[i].at < outermost)
        outermost = root->child[i].at;
    }
  }
  if (outermost < at && st->plan->stage[st->id].at.letter != 0) {
    diag_fail(ap->g->diag, WN_ERR_REFUSED,
              "%c would be computed at a loop inside the one at which its reader has already run",
              stage_letter[st->id]);
  }
  return outermost;
}

/* The loop over blocks that moves fastest, of those open. */
static const uop *last_block(const nest *root, int open) {
  const uop *last = NULL;
  for (int i = 0; i < open; ++i) {
    if (root->axis[i].kind == AXIS_GRID) last = root->axis[i].range;
  }
  return last;
}

/* An array in memory that is filled inside its reader's kernel: blocks that would all write the same part of it would
 * race. */
static void check_own_part(apply *ap, const stage *st, const nest *root) {
  for (int i = 0; st->space == SPACE_GLOBAL && i < root->naxes; ++i) {
    bool moves = false;
    for (int r = 0; r < st->n; ++r)
      moves |= st->base[r] != NULL && uop_has_range(st->base[r], root->axis[i].range);
    if (moves || root->axis[i].kind != AXIS_GRID) continue;
    diag_fail(
        ap->g->diag, WN_ERR_REFUSED,
        "every block %s of %s would write the same part of %c: place it local, or global without @",
        root->axis[i].name, root->store[0].stage, stage_letter[st->id]);
  }
}

static nest *place_inside(apply *ap, stage *st) {
  const reader *first = readers_of(ap, st);
  WN_CHECK(first != NULL, "nobody reads %s", st->node->arg.info->name);
  for (const reader *r = first; r != NULL; r = r->next) {
    if (r->kernel != first->kernel)
      refuse(ap, "a stage computed inside a kernel has two kernels that read it");
  }
  nest *root = ap->set->kernels.data[first->kernel].root[0];
  need nd = {.st = st, .root = root};
  nd.at = not_inside_readers(ap, st, root, find_at(ap, st, root));
  for (const reader *r = first; r != NULL; r = r->next) scan_reader(ap, r->n, &nd);
  set_domain(ap, st, &nd);
  check_own_part(ap, st, root);
  nest *n = make_nest(ap, st);
  if (st->id == STAGE_X) n->next = last_block(root, nd.at);
  st->kernel = first->kernel + 1;
  WN_CHECK(root->nchildren < STAGE_COUNT * 2, "too many stages in a kernel");
  /* sources first: stages arrive consumers first */
  for (int i = root->nchildren++; i > 0; --i) root->child[i] = root->child[i - 1];
  root->child[0].nest = n;
  root->child[0].at = nd.at;
  note_reads(ap, n, first->kernel);
  return n;
}

/* x, m and the value that o flows into go through the chunks of the host loop together. */
static void set_chunks(apply *ap, const stage *st, nest_kernel *k) {
  int site = st->id == STAGE_X || st->id == STAGE_M ? st->site : -1;
  if (st->id == STAGE_COUNT && flow_into(ap, st) != NULL) site = flow_into(ap, st)->site;
  if (site < 0 || plan_of(ap, site)->chunk == 0) return;
  const wino_site *ws = &ap->w->site[site];
  int64_t round = ap->sizes[site].round;
  if (round == 0) {
    if (st->id == STAGE_M) {
      diag_warn(ap->g->diag,
                "chunk=: the result of %s does not go through the rows of its tiles in order: all "
                "tiles run at once",
                st->node->arg.info->name);
    }
    return;
  }
  for (stage_id id = STAGE_X; id <= STAGE_M; ++id) {
    if (stage_find(ap, site, id) == NULL)
      refuse(ap, "chunk= needs x, g and m in arrays of their own");
  }
  for (stage_id id = STAGE_X; id < STAGE_COUNT; ++id) {
    const stage *other = stage_find(ap, site, id);
    if (other != NULL && other->inside)
      refuse(ap, "chunk= and a stage computed inside another's kernel exclude each other");
  }
  k->chunks = ws->T / round;
  k->chunk_group = site;
}

/* Between x, m and the result only a round's tiles are handed on: x and m have room for those. */
static int64_t tiles_elsewhere(const apply *ap, const stage *st) {
  if (st->id != STAGE_X && st->id != STAGE_M) return 0;
  int64_t round = ap->sizes[st->site].round;
  return round > 0 ? ap->w->site[st->site].T - round : 0;
}

static nest *place_global(apply *ap, stage *st) {
  int t = stage_range(st, 't', 0);
  st->elsewhere = t >= 0 ? tiles_elsewhere(ap, st) : 0;
  if (t >= 0) st->dim[t] -= st->elsewhere;
  static const nest no_axes;
  need nd = {.st = st, .root = &no_axes};
  for (const reader *r = readers_of(ap, st); r != NULL; r = r->next) scan_reader(ap, r->n, &nd);
  for (int i = 0; i < st->n && !st->exact && readers_of(ap, st) != NULL; ++i) {
    int64_t reach = nd.reach[i] + 1 - (i == t ? st->elsewhere : 0);
    if (reach > st->dim[i]) st->dim[i] = reach;
  }
  nest_kernel k = {.nroots = 1, .chunks = 1};
  k.root[0] = make_nest(ap, st);
  set_chunks(ap, st, &k);
  vec_push(ap->keep, &ap->set->kernels, k);
  st->kernel = (int)ap->set->kernels.len;
  note_reads(ap, k.root[0], st->kernel - 1);
  return k.root[0];
}

/* --- connect ---------------------------------------------------------------------------------- */

array_info stage_array(apply *ap, const stage *st) {
  const bufferize_info *info = st->node->arg.info;
  array_info a = {
      .name = info->name, .dtype = (wn_dtype)st->node->dtype, .site = info->site, .user = -1};
  a.stage = info->stage;
  a.role = st->space == SPACE_LOCAL ? ROLE_LOCAL : ROLE_WORK;
  a.len = stored_len(st);
  if (info->stride != NULL) a.gaps = a.len - uop_elements(st->node);
  if (st->elsewhere > 0) {
    int64_t all = ap->w->site[st->site].T, held = all - st->elsewhere;
    a.chunks = all / held;
    a.chunk_step = held * st->stride[stage_range(st, 't', 0)];
    a.len += (a.chunks - 1) * a.chunk_step;
  }
  if (st->id == STAGE_COUNT && info->explicit_) {
    a.role = ROLE_RESULT;
    a.user = 0;
  }
  if (st->space == SPACE_REG) a.len = a.gaps = 0; /* nobody reads it but partial sums */
  return a;
}

typedef struct connection {
  apply *ap;
  const stage *st;
  const uop *buffer;
} connection;

static const uop *connect_read(void *user, const uop *u) {
  const connection *c = user;
  if (u->op != OP_INDEX || u->src[0] != c->st->node) return u;
  graph *g = c->ap->g;
  const uop *flat = uop_int(g, 0);
  for (int i = 0; i < c->st->n; ++i) {
    const uop *e = u->src[i + 2];
    if (c->st->space == SPACE_LOCAL && c->st->base[i] != NULL) {
      e = uop_add(g, e, uop_muli(g, c->st->base[i], -1));
    }
    flat = uop_add(g, flat, stored_at(g, c->st, i, e));
  }
  return uop_index(g, c->buffer, u->src[1], 1, (const uop *[]){flat});
}

static void connect_stage(apply *ap, stage *st, nest *own) {
  array_info a = stage_array(ap, st);
  st->array = (int)ap->set->arrays.len;
  vec_push(ap->keep, &ap->set->arrays, a);
  own->store[0].array = st->array;
  for (int i = 0; i < own->nchildren; ++i)
    own->child[i].nest->store[0].array = st->array; /* of zeros */
  connection c = {ap, st, uop_buffer(ap->g, st->array, a.dtype, 1, &a.len)};
  for (const reader *r = readers_of(ap, st); r != NULL; r = r->next) {
    for (int s = 0; s < r->n->nstores; ++s) {
      nest_store *by = &r->n->store[s];
      by->value = simplify(ap->g, uop_transform_value(ap->g, ap->a, by->value, connect_read, &c));
    }
  }
}

/* --- all of it -------------------------------------------------------------------------------- */

void add_user_arrays(kernel_set *set, arena *keep, int nuser, const user_buffer *user) {
  for (int i = 0; i < nuser; ++i) {
    array_info a = {.name = arena_printf(keep, "in%d", i),
                    .dtype = user[i].dtype,
                    .len = user[i].len,
                    .gaps = user[i].gaps,
                    .site = -1,
                    .stage = STAGE_COUNT,
                    .user = i};
    a.role = user[i].constant ? ROLE_CONSTANT : ROLE_INPUT;
    vec_push(keep, &set->arrays, a);
  }
}

/* What is inlined has no loops of its own to say anything about. */
static void check_loops(apply *ap, const schedule *s) {
  for (int id = 0; id < STAGE_COUNT && !s->direct; ++id) {
    const stage_plan *p = &s->stage[id];
    bool inlined = schedule_is_inlined(s, (stage_id)id);
    if (inlined && (p->nloops > 0 || p->at.letter != 0) && id != STAGE_O &&
        !(p->space == SPACE_REG && p->nloops == 0)) {
      diag_fail(ap->g->diag, WN_ERR_REFUSED, "%c is %s: it has no loops of its own",
                stage_letter[id], space_name[p->space]);
    }
  }
}

static void index_sites(apply *ap) {
  int n = ap->nplans, rewritten = ap->w->nsites;
  for (int i = 0; i < rewritten; ++i) n = ap->w->site[i].number < n ? n : ap->w->site[i].number + 1;
  ap->site_of = arena_array(ap->a, int, n + 1);
  ap->into = arena_array(ap->a, const flow *, n + 1);
  for (int i = 0; i < n; ++i) ap->site_of[i] = -1;
  for (int i = 0; i < rewritten; ++i) ap->site_of[ap->w->site[i].number] = i;
  ap->flow = arena_array(ap->a, flow, rewritten + 1);
  ap->sizes = arena_array(ap->a, site_sizes, rewritten + 1);
  ap->of_site = arena_array(ap->a, stage *, rewritten * STAGE_COUNT + 1);
}

/* Everything that a plan leaves open, from here on. */
static void complete_sites(apply *ap) {
  for (int i = 0; i < ap->w->nsites; ++i) {
    const flow *f = &ap->flow[i];
    wn_dtype dtype = (wn_dtype)f->x->dtype;
    const site_facts facts = {.site = &ap->w->site[i],
                              .dtype = dtype,
                              .stored = f->found ? f->dtype : dtype,
                              .channels = f->found ? f->channels : ap->w->site[i].K,
                              .flows = f->found,
                              .by_rows = f->by_rows,
                              .channels_last = channels_are_neighbours(ap, f->x)};
    int number = facts.site->number;
    *ap->at_site = number;
    ap->sizes[i] = complete_site(ap->g->diag, plan_of(ap, i), &facts, ap->machine);
    ap->set->plan[number] = complete_schedule(plan_of(ap, i), &facts, &ap->sizes[i]);
  }
}

static void place_all(apply *ap, const uop *root) {
  uop_order all = uop_toposort(ap->a, 1, &root);
  for (size_t i = 0; i < all.len; ++i) {
    if (all.at[i]->op == OP_BUFFERIZE) add_stage(ap, all.at[i]);
  }
  for (size_t i = 0; i < ap->stages.len; ++i) {
    *ap->at_site = ap->stages.data[i]->node->arg.info->site;
    order_ranges(ap, ap->stages.data[i]);
  }
  sums_announce(ap);
  for (size_t i = ap->stages.len; i-- > 0;) {
    stage *st = ap->stages.data[i];
    *ap->at_site = st->node->arg.info->site;
    if (!sums_are_partial(ap, st->node))
      connect_stage(ap, st, st->inside ? place_inside(ap, st) : place_global(ap, st));
  }
}

static void apply_plan(arena *a, void *state) {
  apply *ap = state;
  ap->a = a;
  map_init(&ap->by_node, a);
  map_init(&ap->readers, a);
  map_init(&ap->turns, a);
  index_sites(ap);
  for (int i = 0; i < ap->w->nsites; ++i) {
    *ap->at_site = ap->w->site[i].number;
    check_loops(ap, plan_of(ap, i));
  }
  flows_find(ap);
  complete_sites(ap);
  const uop *root = simplify(ap->g, uop_transform(ap->g, a, ap->w->root, place_node, ap));
  place_all(ap, lanes_copy(ap, channels_pack(ap, root)));
  nests_join(ap);
  sums_store(ap);
  launch_order(ap);
  launch_join(ap);
  simt_share(ap);
  in_place_find(ap->set, ap->keep, a);
}

kernel_set *schedule_apply(graph *g, const wino_result *rewritten, const schedule *plan, int nsites,
                           const machine *m, bool variable_weights, int narrays,
                           const user_buffer *array, int *site) {
  apply ap = {.g = g,
              .keep = &g->arena,
              .plan = plan,
              .nplans = nsites,
              .machine = m,
              .variable_weights = variable_weights,
              .w = rewritten,
              .nuser = narrays,
              .user = array,
              .at_site = site};
  *site = -1;
  ap.set = arena_new(ap.keep, kernel_set);
  ap.set->plan = arena_copy(ap.keep, plan, (size_t)nsites * sizeof *plan);
  map_init(&ap.set->kinds, ap.keep);
  map_init(&ap.set->chains, ap.keep);
  add_user_arrays(ap.set, ap.keep, narrays, array);
  with_scratch(g->diag, apply_plan, &ap);
  *site = -1;
  return ap.set;
}
