/* Sizes that a machine has its own of: lanes, register tiles, blocks of channels and tiles, products as matrices.
 *
 * In: extents, a site and its schedule, the machine. Out: sizes, from which complete.c and direct.c make whole plans.
 * Always
 * holds: a size that the schedule gives is that. */
#ifndef WN_PLAN_TILES_H
#define WN_PLAN_TILES_H

#include "machine/machine.h"
#include "plan/schedule.h"
#include "winograd/winograd.h"

enum { CHANNELS_AT_ONCE = 4 }; /* that a turn of a device's products adds: see several_at_once */

/* Lanes of the widest vectors of such numbers. A lane has four bytes at least: what is narrower in memory is computed
 * in f32 or beside it, and no OpenCL has vectors of more than 16. */
int widest_lanes(const machine *m, wn_dtype dtype);
/* Lanes for an axis of this extent: the count that wastes least. */
int pick_lanes(const machine *m, wn_dtype dtype, int64_t extent);
int64_t round_up(int64_t a, int64_t b);

typedef struct register_tile {
  int64_t k, t; /* output channels, tiles (lanes * vectors) held in registers */
  int lanes;
} register_tile;
register_tile pick_register_tile(const machine *m, wn_dtype dtype, int64_t k, int64_t t,
                                 int64_t limit);

/* Of a work item; others: how many such products there are side by side; most: sums at most, 0 for the usual. */
register_tile pick_item_tile(const machine *m, int64_t k, int64_t t, int64_t others, int64_t most);
/* Work items of a group: of a kernel with so many, each for itself; of one with stages inside, of which the widest has
 * so many points; as many as the device has at most. */
int work_group(const machine *m, int64_t items);
int work_group_of_block(const machine *m, int64_t points);
int64_t site_frequencies(const wino_site *site); /* of a tile */
int64_t item_channels(const machine *m, const wino_site *site);
/* Of the loop k0 around stages inside. */
int64_t channels_of_block(const schedule *s, const machine *m, const wino_site *site);
/* Tiles staged together where there are stages inside. */
int64_t tile_block(const schedule *s, const machine *m, const wino_site *site);
/* Products that are computed and thrown away, over those wanted, with n in vectors. */
double lanes_waste(const machine *m, int64_t n);
/* Would the products of this site be matrices, as far as its sizes and the schedule tell? */
bool matrix_wanted(const schedule *s, const machine *m, const wino_site *site);

#endif
