/* Neighbours of a schedule; see moves.h.
 *
 * A split is a block and a register tile in it. Where the schedule leaves one to the machine, a few absolute sizes are
 * tried, since what the machine took is not part of the value; else the size half as large, twice as large, and one
 * register tile more or less. */
#include "tune/moves.h"

typedef struct mover {
  const schedule *s;
  const move_sizes *sizes;
  arena *a;
  schedule_list *out;
} mover;

static void add(mover *m, schedule s) {
  bool known = schedule_equal(&s, m->s);
  for (size_t i = 0; i < m->out->len && !known; ++i) known = schedule_equal(&s, &m->out->data[i]);
  if (!known) vec_push(m->a, m->out, s);
}

/* --- tile, lanes, launches -------------------------------------------------------------------- */

static bool uniform(const schedule *s) {
  for (int i = 1; i < s->nm; ++i) {
    if (s->m[i] != s->m[0]) return false;
  }
  return s->nm > 0;
}

static void move_tile(mover *m) {
  static const int by[] = {-1, 1, -2, 2};
  for (int i = 0; uniform(m->s) && i < 4; ++i) {
    schedule s = *m->s;
    int tile = s.m[0] + by[i];
    if (tile < 2 || tile > 8) continue;
    for (int j = 0; j < s.nm; ++j) s.m[j] = tile;
    add(m, s);
  }
  for (int j = 0; m->s->nm > 1 && j < m->s->nm; ++j) { /* one axis: images as wide as no tile */
    for (int i = 0; i < 2; ++i) {
      schedule s = *m->s;
      s.m[j] += by[i];
      if (s.m[j] >= 2 && s.m[j] <= 8) add(m, s);
    }
  }
}

static void move_lanes(mover *m) {
  static const char classes[] = {'t', 'k'};
  for (int i = 0; i < 2; ++i) {
    schedule s = *m->s;
    s.v = classes[i];
    add(m, s);
  }
}

/* Whole arrays between kernels: what launches and rounds are about. */
static bool in_kernels(const schedule *s) {
  return s->stage[STAGE_X].space == SPACE_GLOBAL && s->stage[STAGE_M].space == SPACE_GLOBAL;
}

static void move_joint(mover *m) {
  schedule s = *m->s;
  if (!in_kernels(&s)) return;
  s.joint = !s.joint;
  add(m, s);
}

static void move_chunk(mover *m) {
  static const int64_t first[] = {64, 128, 256, 512};
  schedule s = *m->s;
  if (!in_kernels(&s)) return;
  if (s.chunk == 0) {
    for (int i = 0; i < 4; ++i) {
      s.chunk = first[i];
      add(m, s);
    }
    return;
  }
  s.chunk = m->s->chunk * 2;
  add(m, s);
  s.chunk = m->s->chunk / 2;
  if (s.chunk >= 16) add(m, s);
  s.chunk = 0;
  add(m, s);
}

/* An array in memory or a worker's own; which loop a local one is filled in, the default says. */
static void move_places(mover *m) {
  static const stage_id stages[] = {STAGE_M, STAGE_X};
  for (int i = 0; i < 2; ++i) {
    schedule s = *m->s;
    stage_plan *p = &s.stage[stages[i]];
    if (p->nloops > 0 || (p->space != SPACE_LOCAL && p->space != SPACE_GLOBAL)) continue;
    p->space = p->space == SPACE_LOCAL ? SPACE_GLOBAL : SPACE_LOCAL;
    p->at = s.share = (loop_name){0, 0};
    if (p->space == SPACE_LOCAL) s.chunk = 0, s.joint = false;
    add(m, s);
  }
}

/* --- splits ----------------------------------------------------------------------------------- */

typedef int64_t split[SCHEDULE_PARTS];

static split *split_of(schedule *s, char letter) {
  return letter == 't' ? &s->t : letter == 'k' ? &s->k : &s->c;
}

/* tile 0: a block or a register tile alone. The block becomes a multiple of the tile; a block of more than everything
 * is no block that was not tried before. */
static void add_split(mover *m, char letter, int64_t block, int64_t tile, int64_t extent) {
  schedule s = *m->s;
  split *to = split_of(&s, letter);
  if (tile > 0) {
    block = (block + tile / 2) / tile * tile;
    if (block < tile) block = tile;
  }
  if (block < 1 || block > 1 << 16 || (extent > 0 && block >= 2 * extent)) return;
  (*to)[0] = block;
  (*to)[1] = tile;
  add(m, s);
}

static void move_block(mover *m, char letter, int64_t extent) {
  schedule s = *m->s;
  split *now = split_of(&s, letter);
  int64_t block = (*now)[0], tile = (*now)[1];
  if (block == 0) return;
  int64_t few = block >= 16 ? 4 : block >= 8 ? 2 : 1;
  int64_t step = tile > 0 ? tile : letter == 't' ? m->sizes->lanes : few;
  const int64_t sizes[] = {block * 2,     block / 2, block + step, block - step,
                           block * 3 / 2, block / 4, block * 4};
  for (int i = 0; i < 7; ++i) {
    if (sizes[i] >= 1) add_split(m, letter, sizes[i], tile, extent);
  }
}

static void move_register_tile(mover *m, char letter, int64_t extent) {
  schedule s = *m->s;
  split *now = split_of(&s, letter);
  int64_t block = (*now)[0], tile = (*now)[1];
  bool lanes = letter == (m->s->v ? m->s->v : 't'); /* whole vectors of them */
  int64_t unit = lanes ? m->sizes->lanes : 1, most = lanes ? 6 * unit : 16;
  if (tile > 0) {
    const int64_t tiles[] = {tile + unit, tile - unit, tile * 2, tile / 2};
    for (int i = 0; i < 4; ++i) {
      if (tiles[i] >= unit && tiles[i] <= most && tiles[i] % unit == 0)
        add_split(m, letter, block, tiles[i], extent);
    }
  } else if (block == 0) { /* without a block around it the first size is the register tile's */
    for (int64_t n = 1; n <= (lanes ? 4 : 12); n += n < 4 ? 1 : 2)
      add_split(m, letter, n * unit, 0, extent);
  }
}

static void move_sum(mover *m) {
  static const int64_t lengths[] = {64, 32, 128}; /* longer chains round too much */
  for (int i = 0; i < 3; ++i) {
    schedule s = *m->s;
    if (m->sizes->C > 0 && lengths[i] >= m->sizes->C) continue;
    s.c[0] = lengths[i];
    s.c[1] = 0;
    add(m, s);
  }
}

void moves_of(const schedule *s, const move_sizes *sizes, arena *a, schedule_list *out) {
  mover m = {s, sizes, a, out};
  if (!s->direct) move_tile(&m);
  move_register_tile(&m, 't', 0);
  move_register_tile(&m, 'k', sizes->K);
  move_block(&m, 't', 0);
  move_block(&m, 'k', sizes->K);
  if (s->direct) return;
  move_lanes(&m);
  move_sum(&m);
  move_chunk(&m);
  move_joint(&m);
  move_places(&m);
}
