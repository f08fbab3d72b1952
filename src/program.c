/* Running a compiled program. In: a program from the pipeline. Out: results in the caller's memory.
 *
 * Always holds: constants are prepared once, before the first run; a run is a sequence of launches, and neither allocates
 * nor reads a clock (but for wn_run_timed); its turn at the pool is the only lock, and guards the program as well. */
#include "program.h"

#include <time.h>

#include "render/render.h"

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
  p->workspace = block(p, set->workspace_bytes, "workspace");
  p->prepared = block(p, set->prepared_bytes, "prepared weights");
  p->args = arena_array(&p->graph.arena, void **, set->kernels.len);
  p->moved = arena_array(&p->graph.arena, void **, set->kernels.len);
  for (size_t k = 0; k < set->kernels.len; ++k) {
    const linear_kernel *lk = p->kernels[k];
    p->args[k] = arena_array(&p->graph.arena, void *, lk->args.len + 1);
    p->moved[k] = arena_array(&p->graph.arena, void *, lk->args.len + 1);
    for (size_t i = 0; i < lk->args.len; ++i)
      p->args[k][i] = address_of(p, &set->arrays.data[lk->args.data[i]]);
  }
}

double program_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Addresses for a round of a host loop: kernels address all rounds' tiles, arrays hold one's. By whole lines, since kernels
 * count on lines: what is left over of a step shifts the round's tiles by as much, for which there is room. */
static void *const *args_of_round(wn_program *p, int kernel, int64_t chunk) {
  if (chunk == 0) return p->args[kernel];
  const linear_kernel *lk = p->kernels[kernel];
  for (size_t i = 0; i < lk->args.len; ++i) {
    const array_info *a = &p->set->arrays.data[lk->args.data[i]];
    size_t step = (size_t)(chunk * a->chunk_step) * wn_dtype_size(a->dtype);
    uintptr_t address = (uintptr_t)p->args[kernel][i] - step / LINE * LINE;
    p->moved[kernel][i] = (void *)address;
  }
  return p->moved[kernel];
}

static void launch(wn_program *p, int kernel, int64_t chunk, int64_t chunks, double *us) {
  double start = us != NULL ? program_now() : 0;
  int64_t share = p->kernels[kernel]->lin.grid / chunks;
  module_launch(p->module, kernel, args_of_round(p, kernel, chunk), chunk * share,
                (chunk + 1) * share);
  if (us != NULL) us[kernel] += (program_now() - start) * 1e6;
}

/* Runs one kernel, or chunk by chunk the kernels that share a host loop. Returns the next one. us, by kernel, may be NULL. */
static int launch_group(wn_program *p, int first, double *us) {
  const kernel_plan *k = p->set->kernels.data;
  int end = first + 1;
  while (k[first].chunks > 1 && end < (int)p->set->kernels.len &&
         k[end].chunks == k[first].chunks && k[end].chunk_group == k[first].chunk_group) {
    end++;
  }
  for (int i = first; us != NULL && i < end; ++i) us[i] = 0;
  for (int64_t c = 0; c < k[first].chunks; ++c) {
    for (int i = first; i < end; ++i) launch(p, i, c, k[first].chunks, us);
  }
  return end;
}

static void prepare_once(wn_program *p) {
  if (p->is_prepared) return;
  for (int k = 0; k < p->nprepare; ++k) launch(p, k, 0, 1, NULL);
  p->is_prepared = true;
}

wn_status wn_prepare(wn_program *p) {
  runtime_begin(p->rt);
  prepare_once(p);
  runtime_end(p->rt);
  return WN_OK;
}

wn_status wn_run(wn_program *p) {
  runtime_begin(p->rt);
  prepare_once(p);
  for (int k = p->nprepare; k < (int)p->set->kernels.len;) k = launch_group(p, k, NULL);
  runtime_end(p->rt);
  return WN_OK;
}

wn_status wn_run_timed(wn_program *p, double *us) {
  runtime_begin(p->rt);
  prepare_once(p);
  for (int k = p->nprepare; k < (int)p->set->kernels.len;) k = launch_group(p, k, us - p->nprepare);
  runtime_end(p->rt);
  return WN_OK;
}

void program_close_store(wn_program *p) {
  store_close(p->store);
  p->store = NULL;
}

void wn_program_destroy(wn_program *p) {
  if (p == NULL) return;
  program_close_store(p);
  if (p->module != NULL) module_destroy(p->module);
  if (p->rt != NULL) runtime_destroy(p->rt);
  mem_free_aligned(p->workspace);
  mem_free_aligned(p->prepared);
  graph_release(&p->graph);
  mem_free(p);
}

wn_status wn_program_get_info(const wn_program *p, wn_program_info *info) {
  *info = p->info;
  return WN_OK;
}

/* Kernels are printed, and their machine code is read back, when somebody asks. */
static wn_status look_at_kernel(wn_program *p, int index, int *registers, int *spills) {
  volatile wn_status st = WN_OK;
  DIAG_TRY(&p->diag, st) {
    if (p->sources[index] == NULL) {
      str s;
      str_init(&s, &p->graph.arena);
      render_c(&s, &p->kernels[index]->lin);
      p->sources[index] = str_text(&s);
    }
    module_registers(p->module, index, registers, spills);
  }
  DIAG_END(&p->diag, st)
  return st;
}

wn_status wn_program_get_kernel(wn_program *p, int index, wn_kernel_info *info) {
  if (index < 0 || index >= (int)p->set->kernels.len) return WN_ERR_USAGE;
  int registers, spills;
  wn_status st = look_at_kernel(p, index, &registers, &spills);
  if (st != WN_OK) return st;
  const lin_kernel *k = &p->kernels[index]->lin;
  kernel_state s = module_kernel(p->module, index);
  *info = (wn_kernel_info){.name = k->name,
                           .stage = k->stage,
                           .loops = k->loops,
                           .source = p->sources[index],
                           .fallback = s.fallback,
                           .source_lines = s.source_lines,
                           .registers = registers,
                           .spills = spills,
                           .flops = k->flops,
                           .bytes = k->bytes,
                           .prepare = index < p->nprepare};
  return WN_OK;
}
