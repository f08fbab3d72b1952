/* Programs whose arrays are in a device's memory.
 *
 * In: a program from the pipeline, and the caller's arrays. Out: blocks of the device's memory for the workspace, prepared
 * weights and each array of the caller's that a kernel names; launches with places in them.
 * Always holds: the caller's arrays are read in writes of inputs and constants and written in reads of results alone. */
#include "program/program.h"

typedef struct device_block {
  void *block;
  size_t bytes;
  void *host; /* the caller's array, or NULL */
  array_role role;
} device_block;

typedef struct device_memory {
  int count;
  device_block *blocks;
  int **block; /* per kernel, by slot: its array's block */
} device_memory;

/* --- blocks ------------------------------------------------------------------------------------------------------------ */

/* The number of the array's block: the workspace, prepared weights, and one for each of the caller's arrays. */
static int block_of(device_memory *m, const wn_program *p, const array_info *a) {
  size_t bytes = (size_t)a->len * wn_dtype_size(a->dtype);
  void *host = NULL;
  if (a->role == ROLE_WORK) bytes = p->set->workspace_bytes;
  if (a->role == ROLE_PREPARED) bytes = p->set->prepared_bytes;
  if (a->role == ROLE_INPUT || a->role == ROLE_CONSTANT) host = p->user[a->user];
  if (a->role == ROLE_RESULT) host = p->results[a->user];
  for (int i = 0; i < m->count; ++i) {
    device_block *b = &m->blocks[i];
    if (b->role != a->role || b->host != host) continue;
    if (b->bytes < bytes) b->bytes = bytes;
    return i;
  }
  m->blocks[m->count] = (device_block){.bytes = bytes, .host = host, .role = a->role};
  return m->count++;
}

static size_t offset_of(const array_info *a) {
  return a->role == ROLE_WORK || a->role == ROLE_PREPARED ? a->offset : 0;
}

static void find_blocks(wn_program *p, device_memory *m) {
  arena *a = &p->graph.arena;
  size_t n = p->set->kernels.len;
  m->blocks = arena_array(a, device_block, p->set->arrays.len + 1);
  m->block = arena_array(a, int *, n);
  for (size_t k = 0; k < n; ++k) {
    const linear_kernel *lk = p->kernels[k];
    m->block[k] = arena_array(a, int, lk->args.len + 1);
    for (size_t i = 0; i < lk->args.len; ++i)
      m->block[k][i] = block_of(m, p, &p->set->arrays.data[lk->args.data[i]]);
  }
}

static void allocate_blocks(wn_program *p, device_memory *m) {
  for (int i = 0; i < m->count; ++i) {
    device_block *b = &m->blocks[i];
    b->block = runtime_alloc(p->rt, b->bytes);
    if (b->block == NULL)
      diag_fail(&p->diag, WN_ERR_NOMEM, "%s has no %zu bytes left for %s",
                runtime_machine(p->rt)->model, b->bytes,
                b->role == ROLE_WORK       ? "the workspace"
                : b->role == ROLE_PREPARED ? "prepared weights"
                                           : "an array");
  }
}

void program_allocate_device(wn_program *p) {
  device_memory *m = p->device = arena_new(&p->graph.arena, device_memory);
  find_blocks(p, m);
  allocate_blocks(p, m);
  for (size_t k = 0; k < p->set->kernels.len; ++k) {
    const linear_kernel *lk = p->kernels[k];
    for (size_t i = 0; i < lk->args.len; ++i) {
      const array_info *a = &p->set->arrays.data[lk->args.data[i]];
      p->args[k][i] = (device_arg){m->blocks[m->block[k][i]].block, (int64_t)offset_of(a)};
    }
  }
}

void program_free_device(wn_program *p) {
  device_memory *m = p->device;
  if (m == NULL) return;
  if (!runtime_is_orphan(p->rt))
    (void)runtime_finish(p->rt); /* what fails here has nobody left to tell */
  for (int i = 0; i < m->count; ++i) runtime_free(p->rt, m->blocks[i].block);
  p->device = NULL;
}

/* --- the caller's arrays ------------------------------------------------------------------------------------------------- */

static const char *write_all(wn_program *p, array_role role) {
  const char *why = NULL;
  for (int i = 0; i < p->device->count && why == NULL; ++i) {
    const device_block *b = &p->device->blocks[i];
    if (b->role == role) why = runtime_write(p->rt, b->block, 0, b->host, b->bytes);
  }
  return why;
}

const char *program_write_constants(wn_program *p) { return write_all(p, ROLE_CONSTANT); }
const char *program_write_inputs(wn_program *p) { return write_all(p, ROLE_INPUT); }

const char *program_read_results(wn_program *p) {
  const char *why = NULL;
  for (int i = 0; i < p->device->count && why == NULL; ++i) {
    const device_block *b = &p->device->blocks[i];
    if (b->role == ROLE_RESULT) why = runtime_read(p->rt, b->block, 0, b->host, b->bytes);
  }
  return why;
}

/* --- launches -------------------------------------------------------------------------------------------------------------- */

bool program_is_on_device(const wn_program *p, int kernel) {
  return program_kernel_state(p, kernel).fallback == NULL;
}
