/* How long the kernels of a schedule will be as source; see cost_model.h.
 *
 * In: extents and cuts. Out: about how many lines the longest kernel has. A kernel over the most lines that are
 * compiled runs in the interpreter, hundreds of times slower, so such a schedule has no cost. A line is an operation,
 * and what is unrolled is most of them: steps of the transforms, sums of all frequencies, results. The factors were
 * fitted to the 1,152 kernels of all combinations of the reference problem and four layers; one in a hundred is on the
 * wrong side of 2,000.
 * Always holds: more of anything is more lines. */
#include "plan/cost_model.h"

static const double MOST_LINES = 2000; /* as runtime.c has it unless it is told */

static const double KERNEL = 34, TILED = 53; /* what every kernel, and every register tile, has */
static const double X_STEP = 2, G_STEP = 3.7, OUT_STEP = 1.7; /* with loads and stores */
static const double SUM = 3.5, SUM_IN_ARRAY = 5.5;
static const double X_IN_SUM = 1.9, G_IN_SUM = 2.1; /* steps of transforms that are inlined */
static const double CHANNEL_ROW = 4.5, COPIED = 7;  /* storing results */

static double lines_of_sums(const model *m, const sizes *z, const cut *u) {
  bool x = schedule_is_inlined(u->s, STAGE_X), g = schedule_is_inlined(u->s, STAGE_G);
  double k = u->sum == SUM_REGISTER ? u->sum_k : 1, sums = z->f * k * u->sum_rows;
  bool array = u->sum != SUM_REGISTER;
  if (u->sum == SUM_TILED) return TILED;
  double again_x = array ? 1 : made_again(m, z->f * k),
         again_g = array ? 1 : made_again(m, z->f * u->sum_rows);
  return sums * (array ? SUM_IN_ARRAY : SUM) + (x ? X_IN_SUM * again_x * u->sum_rows * z->in : 0) +
         (g ? G_IN_SUM * again_g * k * z->weights : 0);
}

static double lines_of_results(const sizes *z, const cut *u) {
  bool several = schedule_is_inlined(u->s, STAGE_M) && !u->staged;
  double lines = OUT_STEP * z->out * (several ? u->sum_k : 1);
  if (u->over_k) lines += CHANNEL_ROW * u->lanes * z->positions / z->m;
  return lines + (schedule_is_inside(u->s, STAGE_O) ? COPIED * z->positions : 0);
}

bool too_long(const model *m, const sizes *z, const cut *u) {
  const schedule *s = u->s;
  bool own = schedule_has_kernel(s, STAGE_M);
  double sums = KERNEL + lines_of_sums(m, z, u),
         most = m->t->max_lines > 0 ? m->t->max_lines : MOST_LINES;
  if (schedule_is_inside(s, STAGE_X)) sums += X_STEP * z->in;
  if (schedule_is_inside(s, STAGE_G)) sums += G_STEP * z->weights;
  double results = lines_of_results(z, u);
  return sums + (own ? 0 : results) > most || results > most;
}
