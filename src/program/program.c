/* Running a compiled program. In: a program from the pipeline. Out: results in the caller's memory.
 *
 * On a device a run is inputs written, kernels queued, results read; what was written and computed stays there between runs.
 * Always holds: constants are prepared once, before the first run; a run is a sequence of launches, and neither allocates
 * nor reads a clock (but for wn_run_timed); its turn at the pool is the only lock, and guards the program as well. A device
 * that fails ends the run with one line, and the program can still be run again or destroyed. In a child process of fork() a
 * program of the CPU's goes on as it was, and one of a device's has failed. */
#include "program/program.h"

#include <time.h>

#include "base/fpenv.h"
#include "base/sized.h"
#include "render/render.h"
#include "store/kernel_key.h"

enum { PAGE = 4096, LINE = 64 };

static void *address_of(const wn_program *p, const array_info *a) {
  switch (a->role) {
    case ROLE_INPUT:
    case ROLE_CONSTANT:
      return p->user[a->user];
    case ROLE_RESULT:
      return p->results[a->user];
    case ROLE_PREPARED:
      return p->prepared + a->offset;
    case ROLE_WORK:
      return p->workspace + a->offset;
    default:
      return NULL;
  }
}

static char *block(wn_program *p, size_t bytes, const char *what) {
  if (bytes == 0) return NULL;
  char *m = mem_alloc_aligned(bytes, PAGE);
  if (m == NULL) diag_fail(&p->diag, WN_ERR_NOMEM, "out of memory: %zu bytes of %s", bytes, what);
  return m;
}

void program_allocate(wn_program *p) {
  kernel_set *set = p->set;
  p->args = arena_array(&p->graph.arena, device_arg *, set->kernels.len);
  p->moved = arena_array(&p->graph.arena, device_arg *, set->kernels.len);
  for (size_t k = 0; k < set->kernels.len; ++k) {
    const linear_kernel *lk = p->kernels[k];
    p->args[k] = arena_array(&p->graph.arena, device_arg, lk->args.len + 1);
    p->moved[k] = arena_array(&p->graph.arena, device_arg, lk->args.len + 1);
  }
  if (!runtime_in_place(p->rt)) {
    program_allocate_device(p);
    return;
  }
  p->workspace = block(p, set->workspace_bytes, "workspace");
  p->prepared = block(p, set->prepared_bytes, "prepared weights");
  for (size_t k = 0; k < set->kernels.len; ++k) {
    const linear_kernel *lk = p->kernels[k];
    for (size_t i = 0; i < lk->args.len; ++i)
      p->args[k][i].block = address_of(p, &set->arrays.data[lk->args.data[i]]);
  }
}

double program_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Bytes by which a round of a host loop moves an array back: by whole lines, since kernels count on lines: what is left
 * over of a step shifts the round's tiles by as much, for which there is room. */
static int64_t round_shift(const array_info *a, int64_t chunk) {
  return chunk * a->chunk_step * (int64_t)wn_dtype_size(a->dtype) / LINE * LINE;
}

/* Addresses for a round of a host loop: kernels address all rounds' tiles, arrays hold one's. */
static const device_arg *args_of_round(wn_program *p, int kernel, int64_t chunk) {
  if (chunk == 0) return p->args[kernel];
  const linear_kernel *lk = p->kernels[kernel];
  for (size_t i = 0; i < lk->args.len; ++i) {
    const array_info *a = &p->set->arrays.data[lk->args.data[i]];
    p->moved[kernel][i] = p->args[kernel][i];
    p->moved[kernel][i].offset -= round_shift(a, chunk);
  }
  return p->moved[kernel];
}

/* --- launches ---------------------------------------------------------------------------------------------------------- */

/* Times of a run. They are asked for when all is done: launches go round a second time, and launch nothing. */
typedef struct timing {
  double *us; /* by kernel */
  int stamps; /* launches with a stamp so far */
  bool collect;
} timing;

static const char *collect_time(wn_program *p, int kernel, timing *t) {
  double seconds = 0;
  const char *why = runtime_stamp(p->rt, t->stamps++, &seconds);
  t->us[kernel] += seconds * 1e6;
  return why;
}

static const char *launch(wn_program *p, int kernel, int64_t chunk, int64_t chunks, timing *t) {
  if (t != NULL && t->collect) return collect_time(p, kernel, t);
  int64_t share = p->kernels[kernel]->lin.grid / chunks, begin = chunk * share;
  return module_launch(p->rt, p->module, p->set->kernels.data[kernel].code,
                       args_of_round(p, kernel, chunk), begin, begin + share,
                       t != NULL ? t->stamps++ : -1);
}

/* Runs one kernel, or chunk by chunk the kernels that share a host loop. Moves *next behind them. t may be NULL. */
static const char *launch_group(wn_program *p, int *next, timing *t) {
  const kernel_plan *k = p->set->kernels.data;
  int first = *next, end = first + 1;
  const char *why = NULL;
  while (k[first].chunks > 1 && end < (int)p->set->kernels.len &&
         k[end].chunks == k[first].chunks && k[end].chunk_group == k[first].chunk_group) {
    end++;
  }
  for (int64_t c = 0; c < k[first].chunks; ++c) {
    for (int i = first; i < end && why == NULL; ++i) why = launch(p, i, c, k[first].chunks, t);
  }
  *next = end;
  return why;
}

static const char *launch_all(wn_program *p, timing *t) {
  const char *why = NULL;
  for (int k = p->nprepare; k < (int)p->set->kernels.len && why == NULL;)
    why = launch_group(p, &k, t);
  return why;
}

static const char *prepare_once(wn_program *p) {
  if (p->is_prepared) return NULL;
  const char *why = p->device != NULL ? program_write_constants(p) : NULL;
  for (int k = 0; k < p->nprepare && why == NULL; ++k) why = launch(p, k, 0, 1, NULL);
  p->is_prepared = why == NULL;
  return why;
}

/* Drivers compile again, allocate and copy code when a kernel is first launched: that is part of preparing. What it computes
 * here from inputs of zeros is overwritten by the first run. */
static const char *warm_up(wn_program *p) {
  const char *why = NULL;
  for (int k = p->nprepare; k < (int)p->set->kernels.len && why == NULL; ++k) {
    if (program_is_on_device(p, k)) why = launch(p, k, 0, p->set->kernels.data[k].chunks, NULL);
  }
  return why != NULL ? why : runtime_finish(p->rt);
}

/* --- the public functions ---------------------------------------------------------------------------------------------- */

/* NULL, or why there is nothing to be done in this turn but to end it. */
static const char *begin_turn(wn_program *p) {
  if (!runtime_begin(p->rt)) p->alone = true;
  if (!runtime_is_orphan(p->rt)) return NULL;
  return "the program was compiled for a device before fork(), and no device works in a child "
         "process";
}

/* Warns when the turn is over, since the caller's function may run programs itself. */
static wn_status end_turn(wn_program *p, const char *why) {
  bool alone = p->alone;
  p->alone = false;
  if (why != NULL) p->failure = why;
  runtime_end(p->rt);
  if (alone)
    diag_warn(&p->diag,
              "this process, a child of fork(), cannot start %d threads: it runs with one",
              p->info.threads);
  return why != NULL ? WN_ERR_DEVICE : WN_OK;
}

static wn_status refuse(wn_program *p, const char *why) {
  begin_turn(p);
  end_turn(p, why);
  return WN_ERR_USAGE;
}

/* A program of plan_only has no code. */
static wn_status check_code(wn_program *p) {
  if (p == NULL) return WN_ERR_USAGE;
  if (p->module != NULL) return WN_OK;
  return refuse(p, "a program compiled with plan_only has no code to run");
}

wn_status wn_prepare(wn_program *p) {
  if (check_code(p) != WN_OK) return WN_ERR_USAGE;
  const char *why = begin_turn(p);
  bool first = !p->is_prepared;
  if (why == NULL) why = prepare_once(p);
  if (why == NULL && first && p->device != NULL) why = warm_up(p);
  return end_turn(p, why);
}

wn_status wn_run(wn_program *p) {
  if (check_code(p) != WN_OK) return WN_ERR_USAGE;
  const char *why = begin_turn(p);
  if (why == NULL) why = prepare_once(p);
  if (why == NULL && p->device != NULL) why = program_write_inputs(p);
  if (why == NULL) why = launch_all(p, NULL);
  if (why == NULL && p->device != NULL) why = program_read_results(p);
  return end_turn(p, why);
}

wn_status wn_upload(wn_program *p) {
  if (check_code(p) != WN_OK) return WN_ERR_USAGE;
  const char *why = begin_turn(p);
  if (why == NULL && p->device != NULL) why = program_write_inputs(p);
  return end_turn(p, why);
}

wn_status wn_launch(wn_program *p) {
  if (check_code(p) != WN_OK) return WN_ERR_USAGE;
  const char *why = begin_turn(p);
  if (why == NULL) why = prepare_once(p);
  if (why == NULL) why = launch_all(p, NULL);
  return end_turn(p, why);
}

wn_status wn_wait(wn_program *p) {
  if (check_code(p) != WN_OK) return WN_ERR_USAGE;
  const char *why = begin_turn(p);
  if (why == NULL && p->device != NULL) why = runtime_finish(p->rt);
  return end_turn(p, why);
}

wn_status wn_download(wn_program *p) {
  if (check_code(p) != WN_OK) return WN_ERR_USAGE;
  const char *why = begin_turn(p);
  if (why == NULL && p->device != NULL) why = program_read_results(p);
  return end_turn(p, why);
}

wn_status wn_capture(wn_program *p, const char *path) {
  if (check_code(p) != WN_OK) return WN_ERR_USAGE;
  if (p->device == NULL) return refuse(p, "a CPU has no tools of its maker's to capture for");
  const char *why = begin_turn(p);
  if (why == NULL) why = runtime_capture(p->rt, path);
  return end_turn(p, why);
}

wn_status wn_run_timed(wn_program *p, double *us) {
  if (check_code(p) != WN_OK) return WN_ERR_USAGE;
  if (us == NULL) return refuse(p, "wn_run_timed has nowhere to write the times to");
  int n = (int)p->set->kernels.len;
  for (int k = p->nprepare; k < n; ++k) us[k - p->nprepare] = 0;
  timing t = {.us = us - p->nprepare};
  const char *why = begin_turn(p);
  if (why == NULL) why = prepare_once(p);
  if (why == NULL && p->device != NULL) why = program_write_inputs(p);
  if (why == NULL) why = launch_all(p, &t);
  if (why == NULL) why = runtime_finish(p->rt);
  t.collect = true;
  t.stamps = 0;
  if (why == NULL) why = launch_all(p, &t);
  if (why == NULL && p->device != NULL) why = program_read_results(p);
  return end_turn(p, why);
}

const char *wn_program_message(const wn_program *p) {
  if (p == NULL) return "there is no program";
  return p->failure != NULL ? p->failure : "";
}

/* What a kernel's code cannot say: which arrays it gets, and its part in a host loop. */
static void add_launch(wn_program *p, int kernel, str *key) {
  const kernel_plan *k = &p->set->kernels.data[kernel];
  const linear_kernel *lk = p->kernels[kernel];
  const int64_t head[] = {k->code, k->prepare, k->chunks, k->chunk_group, (int64_t)lk->args.len};
  str_addn(key, (const char *)head, sizeof head);
  for (size_t i = 0; i < lk->args.len; ++i) {
    const array_info *a = &p->set->arrays.data[lk->args.data[i]];
    const int64_t fields[] = {a->role, a->user, (int64_t)a->offset, a->chunk_step, a->dtype};
    str_addn(key, (const char *)fields, sizeof fields);
  }
}

const char *program_identity(wn_program *p) {
  arena *a = &p->graph.arena;
  int n = (int)p->set->kernels.len;
  str key;
  str_init(&key, a);
  const int64_t sizes[] = {(int64_t)p->set->workspace_bytes, (int64_t)p->set->prepared_bytes,
                           runtime_flushes(p->rt)};
  str_addn(&key, (const char *)sizes, sizeof sizes);
  for (int i = 0; i < p->ncodes; ++i) {
    const lin_kernel *k = &p->codes[i]->lin;
    kernel_key_add(&key, k);
  }
  for (int i = 0; i < n; ++i) add_launch(p, i, &key);
  uint64_t half[2] = {hash_bytes(key.data, key.len, 0x77696e6e),
                      hash_bytes(key.data, key.len, 0x6f770002)};
  return arena_printf(a, "%016llx%016llx", (unsigned long long)half[0],
                      (unsigned long long)half[1]);
}

void program_close_store(wn_program *p) {
  store_close(p->store);
  p->store = NULL;
}

void wn_program_destroy(wn_program *p) {
  if (p == NULL) return;
  program_close_store(p);
  program_free_device(p);
  if (p->module != NULL) module_destroy(p->module);
  if (p->rt != NULL) runtime_destroy(p->rt);
  mem_free_aligned(p->workspace);
  mem_free_aligned(p->prepared);
  graph_release(&p->graph);
  mem_free(p);
}

wn_status wn_program_get_info(wn_program *p, wn_program_info *info) {
  const char *why = sized_out(&sized_program_info, info, p != NULL ? &p->info : NULL);
  if (p == NULL) return WN_ERR_USAGE;
  return why == NULL ? WN_OK : refuse(p, why);
}

/* Kernels are printed, and their machine code is read back, when somebody asks. */
static wn_status look_at_kernel(wn_program *p, int index, int *registers, int *spills) {
  int code = p->set->kernels.data[index].code;
  volatile wn_status st = WN_OK;
  fenv_t fp;
  fp_enter(&fp);
  DIAG_TRY(&p->diag, st) {
    str s;
    str_init(&s, &p->graph.arena);
    if (p->sources[code] == NULL) {
      runtime_source(p->rt, &p->codes[code]->lin, &s);
      p->sources[code] = str_text(&s);
    }
    if (p->nests[index] == NULL) {
      str_init(&s, &p->graph.arena);
      nest_print_kernel(&p->graph, &s, p->set, index, 0);
      p->nests[index] = str_text(&s);
    }
    *registers = *spills = -1;
    if (p->module != NULL) module_registers(p->module, code, registers, spills);
  }
  DIAG_END(&p->diag, st)
  fp_leave(&fp);
  return st;
}

const char *program_line_limit(const wn_program *p, arena *a, int max_lines) {
  const char *why = NULL;
  int lines;
  for (int i = 0; i < p->ncodes && why == NULL; ++i)
    why = runtime_line_limit(p->rt, a, a, &p->codes[i]->lin, max_lines, &lines);
  return why;
}

kernel_state program_kernel_state(const wn_program *p, int index) {
  return p->module != NULL ? module_kernel(p->module, p->set->kernels.data[index].code)
                           : (kernel_state){.source_lines = -1};
}

wn_status wn_program_get_kernel(wn_program *p, int index, wn_kernel_info *info) {
  const char *why = sized_out(&sized_kernel_info, info, NULL);
  if (p == NULL) return WN_ERR_USAGE;
  if (why != NULL) return refuse(p, why);
  if (index < 0 || index >= (int)p->set->kernels.len)
    return refuse(p, "wn_program_get_kernel: there is no kernel of this number");
  int registers, spills;
  wn_status st = look_at_kernel(p, index, &registers, &spills);
  if (st != WN_OK) return st;
  const lin_kernel *k = &p->kernels[index]->lin;
  kernel_state s = program_kernel_state(p, index);
  const wn_kernel_info now = {.name = k->name,
                              .stage = k->stage,
                              .loops = k->loops,
                              .source = p->sources[p->set->kernels.data[index].code],
                              .fallback = s.fallback,
                              .note = s.note,
                              .nest = p->nests[index],
                              .source_lines = s.source_lines,
                              .registers = registers,
                              .spills = spills,
                              .prepare = index < p->nprepare,
                              .site = p->site_of[index],
                              .flops = k->flops,
                              .bytes = k->bytes};
  sized_out(&sized_kernel_info, info, &now);
  return WN_OK;
}

wn_status wn_program_get_site(wn_program *p, int index, wn_site_info *info) {
  const char *why = sized_out(&sized_site_info, info, NULL);
  if (p == NULL) return WN_ERR_USAGE;
  if (why != NULL) return refuse(p, why);
  if (index < 0 || index >= p->info.sites)
    return refuse(p, "wn_program_get_site: there is no site of this number");
  sized_out(&sized_site_info, info, &p->sites[index]);
  return WN_OK;
}
