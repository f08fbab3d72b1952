/* Running a program: walking its list of launches. In: a program with all of its slots bound.
 * Out: results in the caller's arrays.
 *
 * On a device a run is inputs written, kernels queued, results read; what was written and
 * computed stays there between runs. Always holds: constants are prepared once, before the first
 * run or the one after they were bound; neither allocates nor reads a clock (but for
 * wn_run_timed); a run's turn at the pool is its only lock, and guards the program as well. A
 * device that fails ends the run with one line, and the program can still be run again or
 * destroyed. In a child process of fork() a program of the CPU's goes on as it was, and one of a
 * device's has failed. */
#include <time.h>

#include "base/text.h"
#include "program/program.h"

double program_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- launches -------------------------------------------------------------------------------- */

/* Arguments in a round of a host loop: kernels address all rounds' tiles, arrays hold one's. */
static const device_arg *args_of(wn_program *p, const program_launch *l, int64_t round) {
  const device_arg *args = p->args + l->first_arg;
  if (round == 0) return args;
  const launch_arg *arg = p->compiled->list.arg + l->first_arg;
  for (int i = 0; i < l->args; ++i)
    p->moved[i] = (device_arg){args[i].block, args[i].offset - launch_shift(&arg[i], round)};
  return p->moved;
}

/* Times of a run, by launch. They are asked for when all is done: launches go round a second
 * time, and launch nothing. */
typedef struct timing {
  double *us;
  int stamps; /* launches so far, in the order of launching */
  bool collect;
} timing;

static const char *collect_time(wn_program *p, int index, timing *t) {
  double seconds = 0;
  const char *why = runtime_stamp(p->rt, t->stamps++, &seconds);
  t->us[index] += seconds * 1e6;
  return why;
}

static const char *launch_blocks(wn_program *p, int index, const device_arg *args, int64_t begin,
                                 int64_t end, timing *t) {
  if (t != NULL && t->collect) return collect_time(p, index, t);
  return module_launch(p->rt, p->compiled->module, p->compiled->list.launch[index].code, args,
                       begin, end, t != NULL ? t->stamps++ : -1);
}

static const char *launch(wn_program *p, int index, int64_t round, timing *t) {
  const program_launch *l = &p->compiled->list.launch[index];
  const int64_t begin = round * l->blocks;
  return launch_blocks(p, index, args_of(p, l, round), begin, begin + l->blocks, t);
}

/* A round of those that take turns: each goes as far as the next ones need it. */
static const char *take_turns(wn_program *p, const program_rounds *group, int64_t round,
                              timing *t) {
  const int n = group->end - group->first;
  const int64_t *until = group->until + round * n;
  const char *why = NULL;
  for (int i = 0; i < n && why == NULL; ++i) {
    const int64_t begin = round > 0 ? until[i - n] : 0;
    const device_arg *args = p->args + p->compiled->list.launch[group->first + i].first_arg;
    if (begin < until[i]) why = launch_blocks(p, group->first + i, args, begin, until[i], t);
  }
  return why;
}

/* Those that are one job. */
static const char *launch_together(wn_program *p, const program_rounds *group) {
  const int n = group->end - group->first;
  for (int i = 0; i < n; ++i) {
    const program_launch *l = &p->compiled->list.launch[group->first + i];
    p->calls[i] = (module_call){l->code, p->args + l->first_arg, 0, l->blocks};
  }
  return module_launch_together(p->rt, p->compiled->module, p->calls, n);
}

/* Groups [first, end) of the list; t may be NULL. With times launches are one behind the other, since those of one job
 * have no time of their own. */
static const char *launch_groups(wn_program *p, int first, int end, timing *t) {
  const launch_list *l = &p->compiled->list;
  const char *why = NULL;
  for (int g = first; g < end && why == NULL; ++g) {
    const program_rounds *group = &l->rounds[g];
    if (group->side && t == NULL) {
      why = launch_together(p, group);
      continue;
    }
    for (int64_t r = 0; r < group->count && why == NULL; ++r) {
      if (group->until != NULL) {
        why = take_turns(p, group, r, t);
        continue;
      }
      for (int i = group->first; i < group->end && why == NULL; ++i) why = launch(p, i, r, t);
    }
  }
  return why;
}

static const char *launch_all(wn_program *p, timing *t) {
  const launch_list *l = &p->compiled->list;
  return launch_groups(p, l->prepare_groups, l->round_groups, t);
}

/* --- the caller's arrays on a device --------------------------------------------------------- */

static const char *write_slots(wn_program *p, bool once) {
  const slot_list *s = &p->compiled->slots;
  const char *why = NULL;
  for (int i = 0; i < s->inputs + s->constants && why == NULL; ++i) {
    if (p->block[i] != NULL && slot_is_prepared(s, i) == once)
      why = runtime_write(p->rt, p->block[i], 0, p->bound[i], s->at[i].bytes);
  }
  return why;
}

static const char *write_inputs(wn_program *p) {
  return p->in_place ? NULL : write_slots(p, false);
}

static const char *read_outputs(wn_program *p) {
  if (p->in_place) return NULL;
  const slot_list *s = &p->compiled->slots;
  const char *why = NULL;
  for (int i = s->inputs + s->constants; i < s->count && why == NULL; ++i) {
    if (p->block[i] != NULL) why = runtime_read(p->rt, p->block[i], 0, p->bound[i], s->at[i].bytes);
  }
  return why;
}

/* --- preparing ------------------------------------------------------------------------------- */

static bool is_prepared(const wn_program *p) {
  return atomic_load_explicit(&p->prepared->done, memory_order_acquire);
}

/* Is the slot read behind this launch of preparing? A device has constants of its own once it is prepared. */
static bool is_read_after(const wn_program *p, int slot, int launch) {
  const launch_list *l = &p->compiled->list;
  return slot_is_prepared(&p->compiled->slots, slot) && l->last_read[slot] > launch &&
         (p->in_place || launch < l->prepare);
}

static bool overlaps(const wn_program *p, int slot, const void *data, size_t bytes) {
  const char *a = p->bound[slot], *b = data;
  return a != NULL && a < b + bytes && b < a + p->compiled->slots.at[slot].bytes;
}

static bool reads_after(const wn_program *p, int launch, const void *data, size_t bytes) {
  bool any = false;
  for (int i = 0; i < p->compiled->slots.count && !any; ++i)
    any = is_read_after(p, i, launch) && overlaps(p, i, data, bytes);
  return any;
}

bool program_reads(const wn_program *p, const void *data, size_t bytes) {
  return reads_after(p, is_prepared(p) ? READ_BY_RUNS - 1 : NEVER_READ - 1, data, bytes);
}

/* Constants that launches [first, end) of preparing are the last to read. */
static void tell_unread(const wn_program *p, const unread_watch *w, int first, int end) {
  const slot_list *s = &p->compiled->slots;
  for (int i = s->inputs; i < s->inputs + s->constants; ++i) {
    int last = p->in_place ? p->compiled->list.last_read[i] : NEVER_READ;
    if (last < first || last >= end || p->bound[i] == NULL || s->at[i].bytes == 0) continue;
    if (!reads_after(p, end - 1, p->bound[i], s->at[i].bytes))
      w->tell(w->user, p->bound[i], s->at[i].bytes);
  }
}

/* Launches of a group by themselves, unless they take turns. */
static const char *prepare_group(wn_program *p, int group, const unread_watch *w) {
  const program_rounds *g = &p->compiled->list.rounds[group];
  const char *why = g->count > 1 ? launch_groups(p, group, group + 1, NULL) : NULL;
  for (int i = g->first; i < g->end && why == NULL; ++i) {
    if (g->count == 1) why = launch(p, i, 0, NULL);
    if (why == NULL && (g->count == 1 || i + 1 == g->end))
      tell_unread(p, w, g->count == 1 ? i : g->first, i + 1);
  }
  return why;
}

/* What is read for the last time is not waited with, but on a device, which may not be done with it. */
static const char *prepare_all(wn_program *p, const unread_watch *w) {
  const launch_list *l = &p->compiled->list;
  const char *why = NULL;
  if (w == NULL) return launch_groups(p, 0, l->prepare_groups, NULL);
  if (p->in_place) {
    tell_unread(p, w, NEVER_READ, 0);
    for (int g = 0; g < l->prepare_groups && why == NULL; ++g) why = prepare_group(p, g, w);
    return why;
  }
  why = launch_groups(p, 0, l->prepare_groups, NULL);
  if (why == NULL) why = runtime_finish(p->rt);
  if (why == NULL) tell_unread(p, w, NEVER_READ, l->prepare + 1);
  return why;
}

/* Of those that share the weights the first does it, and others wait for it. */
static const char *prepare(wn_program *p, const unread_watch *w) {
  const char *why = NULL;
  fork_lock_take(&p->prepared->lock);
  if (!is_prepared(p)) {
    if (atomic_load_explicit(&p->prepared->released, memory_order_relaxed))
      why = "preparing failed once, and since then weights that it reads were released";
    if (why == NULL && !p->in_place) why = write_slots(p, true);
    if (w != NULL) atomic_store_explicit(&p->prepared->released, true, memory_order_relaxed);
    if (why == NULL) why = prepare_all(p, w);
    atomic_store_explicit(&p->prepared->done, why == NULL, memory_order_release);
  } else if (w != NULL &&
             !atomic_exchange_explicit(&p->prepared->released, true, memory_order_relaxed)) {
    tell_unread(p, w, NEVER_READ, p->compiled->list.prepare + 1);
  }
  fork_lock_give(&p->prepared->lock);
  return why;
}

static const char *prepare_once(wn_program *p) { return is_prepared(p) ? NULL : prepare(p, NULL); }

/* Drivers compile again, allocate and copy code when a kernel is first launched: that is part of
 * preparing. What it computes here from inputs of zeros is overwritten by the first run. */
static const char *warm_up(wn_program *p) {
  const launch_list *l = &p->compiled->list;
  const char *why = NULL;
  for (int i = l->prepare; i < l->count && why == NULL; ++i) {
    if (compiled_kernel_state(p->compiled, i).fallback == NULL) why = launch(p, i, 0, NULL);
  }
  return why != NULL ? why : runtime_finish(p->rt);
}

/* --- turns ----------------------------------------------------------------------------------- */

/* Which slots a call needs. */
enum {
  INPUTS = 1 << WN_SLOT_INPUT,
  CONSTANTS = 1 << WN_SLOT_CONSTANT,
  OUTPUTS = 1 << WN_SLOT_OUTPUT,
  ALL = INPUTS | CONSTANTS | OUTPUTS
};

static wn_status complain(wn_program *p, wn_status status, const char *format, ...) WN_PRINTF(3, 4);
static wn_status complain(wn_program *p, wn_status status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  text_vformat(p->diag.message, sizeof p->diag.message, format, args);
  va_end(args);
  return status;
}

/* Warns when the turn is over, since the caller's function may run programs itself. */
static void end_turn(wn_program *p) {
  bool alone = p->alone;
  p->alone = false;
  runtime_end(p->rt);
  if (alone)
    diag_warn(&p->diag,
              "this process, a child of fork(), cannot start %d threads: it runs with one",
              p->compiled->info.threads);
}

const char *program_no_code(const wn_program *p) {
  return p->compiled->module != NULL ? NULL
                                     : "a program compiled with plan_only has no code to run";
}

wn_status program_refuse(wn_program *p, wn_status status, const char *format, ...) {
  if (!runtime_begin(p->rt)) p->alone = true;
  va_list args;
  va_start(args, format);
  text_vformat(p->diag.message, sizeof p->diag.message, format, args);
  va_end(args);
  end_turn(p);
  return status;
}

static wn_status missing(wn_program *p, unsigned needs) {
  const slot_list *s = &p->compiled->slots;
  for (int i = 0; i < s->count; ++i) {
    if (slot_lacks(&s->at[i], p->bound[i]) && (needs >> s->at[i].kind & 1) != 0)
      return complain(p, WN_ERR_USAGE, "%s has no array: wn_bind one before the program is run",
                      s->at[i].text);
  }
  return WN_OK;
}

static wn_status check_turn(wn_program *p, unsigned needs) {
  if (!p->in_place && runtime_is_orphan(p->rt))
    return complain(p, WN_ERR_DEVICE,
                    "the program was compiled for a device before fork(), and no device works in a "
                    "child process");
  return p->unbound > 0 ? missing(p, needs) : WN_OK;
}

/* WN_OK: it is p's turn, until close_turn. */
static wn_status open_turn(wn_program *p, unsigned needs) {
  if (p == NULL) return WN_ERR_USAGE;
  const char *no_code = program_no_code(p);
  if (no_code != NULL) return program_refuse(p, WN_ERR_USAGE, "%s", no_code);
  if (!runtime_begin(p->rt)) p->alone = true;
  wn_status st = WN_ERR_USAGE;
  if (!program_enter(p, PROGRAM_RUNS)) {
    complain(p, st, "another thread binds an array while the program is to run");
  } else {
    st = check_turn(p, needs);
    if (st != WN_OK) program_leave(p);
  }
  if (st != WN_OK) end_turn(p);
  return st;
}

static wn_status close_turn(wn_program *p, const char *why) {
  if (why != NULL) complain(p, WN_ERR_DEVICE, "%s", why);
  program_leave(p);
  end_turn(p);
  return why != NULL ? WN_ERR_DEVICE : WN_OK;
}

/* --- the public functions -------------------------------------------------------------------- */

wn_status wn_prepare(wn_program *p) {
  wn_status st = open_turn(p, CONSTANTS);
  if (st != WN_OK) return st;
  bool first = !is_prepared(p);
  const char *why = prepare_once(p);
  if (why == NULL && first && !p->in_place) why = warm_up(p);
  return close_turn(p, why);
}

wn_status program_prepare(wn_program *p, const unread_watch *watch) {
  const char *no_code = program_no_code(p);
  if (no_code != NULL) return program_refuse(p, WN_ERR_USAGE, "%s", no_code);
  if (is_prepared(p) && atomic_load_explicit(&p->prepared->released, memory_order_relaxed))
    return WN_OK;
  wn_status st = open_turn(p, CONSTANTS);
  return st != WN_OK ? st : close_turn(p, prepare(p, watch));
}

wn_status wn_run(wn_program *p) {
  wn_status st = open_turn(p, ALL);
  if (st != WN_OK) return st;
  const char *why = prepare_once(p);
  if (why == NULL) why = write_inputs(p);
  if (why == NULL) why = launch_all(p, NULL);
  if (why == NULL) why = read_outputs(p);
  return close_turn(p, why);
}

wn_status wn_upload(wn_program *p) {
  wn_status st = open_turn(p, INPUTS | CONSTANTS);
  return st != WN_OK ? st : close_turn(p, write_inputs(p));
}

wn_status wn_launch(wn_program *p) {
  wn_status st = open_turn(p, p != NULL && p->in_place ? ALL : CONSTANTS);
  if (st != WN_OK) return st;
  const char *why = prepare_once(p);
  return close_turn(p, why != NULL ? why : launch_all(p, NULL));
}

wn_status wn_wait(wn_program *p) {
  wn_status st = open_turn(p, 0);
  return st != WN_OK ? st : close_turn(p, runtime_finish(p->rt));
}

wn_status wn_download(wn_program *p) {
  wn_status st = open_turn(p, OUTPUTS);
  return st != WN_OK ? st : close_turn(p, read_outputs(p));
}

wn_status wn_capture(wn_program *p, const char *path) {
  if (p == NULL) return WN_ERR_USAGE;
  if (program_no_code(p) == NULL && p->in_place)
    return program_refuse(p, WN_ERR_USAGE, "a CPU has no tools of its maker's to capture for");
  wn_status st = open_turn(p, 0);
  return st != WN_OK ? st : close_turn(p, runtime_capture(p->rt, path));
}

wn_status wn_run_timed(wn_program *p, double *us) {
  if (p == NULL) return WN_ERR_USAGE;
  if (program_no_code(p) == NULL && us == NULL)
    return program_refuse(p, WN_ERR_USAGE, "wn_run_timed has nowhere to write the times to");
  wn_status st = open_turn(p, ALL);
  if (st != WN_OK) return st;
  const launch_list *l = &p->compiled->list;
  timing t = {.us = us - l->prepare};
  for (int i = l->prepare; i < l->count; ++i) t.us[i] = 0;
  const char *why = prepare_once(p);
  if (why == NULL) why = write_inputs(p);
  if (why == NULL) why = launch_all(p, &t);
  if (why == NULL) why = runtime_finish(p->rt);
  t.collect = true;
  t.stamps = 0;
  if (why == NULL) why = launch_all(p, &t);
  if (why == NULL) why = read_outputs(p);
  return close_turn(p, why);
}

const char *wn_program_message(const wn_program *p) {
  return p == NULL ? "there is no program" : p->diag.message;
}
