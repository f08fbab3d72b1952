/* Programs whose arrays are in a device's memory.
 *
 * In: a program from the pipeline, and the caller's arrays. Out: blocks of the device's memory for the workspace, prepared
 * weights and each array of the caller's that a kernel names; launches with places in them.
 * A kernel that fell back runs in the interpreter, on the host: what it touches is read back into a mirror of its block, and
 * what it wrote is written again. Mirrors exist only for blocks that such a kernel touches.
 * Always holds: the caller's arrays are read in writes of inputs and constants and written in reads of results alone. */
#include "program/program.h"

typedef struct device_block {
  void *block;
  char *mirror; /* NULL: no interpreted kernel touches it */
  size_t bytes;
  void *host; /* the caller's array, or NULL */
  array_role role;
} device_block;

typedef struct device_memory {
  int count;
  device_block *blocks;
  int **block;        /* per kernel, by slot: its array's block */
  device_arg **args;  /* per kernel, by slot */
  device_arg **moved; /* the same for a later round of a host loop */
  void ***mirrors;    /* addresses for the interpreter */
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
  m->args = arena_array(a, device_arg *, n);
  m->moved = arena_array(a, device_arg *, n);
  m->mirrors = arena_array(a, void **, n);
  for (size_t k = 0; k < n; ++k) {
    const linear_kernel *lk = p->kernels[k];
    m->block[k] = arena_array(a, int, lk->args.len + 1);
    m->args[k] = arena_array(a, device_arg, lk->args.len + 1);
    m->moved[k] = arena_array(a, device_arg, lk->args.len + 1);
    m->mirrors[k] = arena_array(a, void *, lk->args.len + 1);
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

static void allocate_mirrors(wn_program *p, device_memory *m, int kernel) {
  for (size_t i = 0; i < p->kernels[kernel]->args.len; ++i) {
    device_block *b = &m->blocks[m->block[kernel][i]];
    if (b->mirror != NULL) continue;
    b->mirror = mem_alloc_aligned(b->bytes > 0 ? b->bytes : 1, 4096);
    if (b->mirror == NULL)
      diag_fail(&p->diag, WN_ERR_NOMEM, "out of memory: %zu bytes for a kernel that fell back",
                b->bytes);
  }
}

void program_allocate_device(wn_program *p) {
  device_memory *m = p->device = arena_new(&p->graph.arena, device_memory);
  find_blocks(p, m);
  allocate_blocks(p, m);
  for (size_t k = 0; k < p->set->kernels.len; ++k) {
    const linear_kernel *lk = p->kernels[k];
    if (!program_is_on_device(p, (int)k)) allocate_mirrors(p, m, (int)k);
    for (size_t i = 0; i < lk->args.len; ++i) {
      const array_info *a = &p->set->arrays.data[lk->args.data[i]];
      m->args[k][i] = (device_arg){m->blocks[m->block[k][i]].block, (int64_t)offset_of(a)};
    }
  }
}

void program_free_device(wn_program *p) {
  device_memory *m = p->device;
  if (m == NULL) return;
  bool orphan = runtime_is_orphan(p->rt);
  if (!orphan) (void)runtime_finish(p->rt); /* what fails here has nobody left to tell */
  for (int i = 0; i < m->count; ++i) {
    if (!orphan) runtime_free(p->rt, m->blocks[i].block);
    mem_free_aligned(m->blocks[i].mirror);
  }
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

static const device_arg *args_of_round(wn_program *p, int kernel, int64_t chunk) {
  device_memory *m = p->device;
  if (chunk == 0) return m->args[kernel];
  const linear_kernel *lk = p->kernels[kernel];
  for (size_t i = 0; i < lk->args.len; ++i) {
    m->moved[kernel][i] = m->args[kernel][i];
    m->moved[kernel][i].offset -=
        program_round_shift(&p->set->arrays.data[lk->args.data[i]], chunk);
  }
  return m->moved[kernel];
}

/* What of its block an array takes: there is room for one round of a host loop. */
static size_t resident_bytes(const device_block *b, const array_info *a) {
  size_t offset = offset_of(a), bytes = array_bytes(a);
  return bytes < b->bytes - offset ? bytes : b->bytes - offset;
}

/* Copies the kernel's arrays between their blocks and the mirrors: all to the host, or those that it writes back again. */
static const char *copy_arrays(wn_program *p, int kernel, bool back) {
  const linear_kernel *lk = p->kernels[kernel];
  const char *why = NULL;
  for (size_t i = 0; i < lk->lin.arrays.len && why == NULL; ++i) {
    const lin_array *array = &lk->lin.arrays.data[i];
    if (array->space != SPACE_GLOBAL || (back && !array->written)) continue;
    const array_info *a = &p->set->arrays.data[lk->args.data[array->slot]];
    const device_block *b = &p->device->blocks[p->device->block[kernel][array->slot]];
    size_t offset = offset_of(a), bytes = resident_bytes(b, a);
    why = back ? runtime_write(p->rt, b->block, offset, b->mirror + offset, bytes)
               : runtime_read(p->rt, b->block, offset, b->mirror + offset, bytes);
  }
  return why;
}

static const char *interpret(wn_program *p, int kernel, const device_arg *args, int64_t begin,
                             int64_t end) {
  device_memory *m = p->device;
  const char *why = copy_arrays(p, kernel, false);
  if (why != NULL) return why;
  for (size_t i = 0; i < p->kernels[kernel]->args.len; ++i) {
    const device_block *b = &m->blocks[m->block[kernel][i]];
    m->mirrors[kernel][i] = (void *)((uintptr_t)b->mirror + (uintptr_t)args[i].offset);
  }
  module_launch(p->module, p->set->kernels.data[kernel].code, m->mirrors[kernel], begin, end);
  return copy_arrays(p, kernel, true);
}

const char *program_launch_device(wn_program *p, int kernel, int64_t chunk, int64_t begin,
                                  int64_t end, int stamp) {
  const device_arg *args = args_of_round(p, kernel, chunk);
  if (!program_is_on_device(p, kernel)) return interpret(p, kernel, args, begin, end);
  return module_queue(p->module, p->set->kernels.data[kernel].code, args, begin, end, stamp);
}
