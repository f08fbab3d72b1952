/* Kernels that fell back, where arrays are in a device's memory; see mirror.h.
 *
 * A mirror is as large as the parts of blocks that the kernel's arrays may lie in, one part a block: arrays of one
 * block lie in its mirror as they do in it, so that writing back what surrounds an array changes nothing. An array may
 * begin before its block and end behind it: a later round of a host loop has addresses of all rounds, and touches what
 * is there.
 * Always holds: the mirror belongs to the runtime and grows when a larger one is needed first, so a steady run
 * allocates nothing. */
#include "backend/mirror.h"

enum { PAGE = 4096, LINE = 64 };

typedef struct fallen { /* a launch */
  runtime *rt;
  const lin_kernel *k;
  const device_arg *args;
  int nargs;
  mirror_part *parts;
} fallen;

static const device_block *block_of(const fallen *f, int slot) { return f->args[slot].block; }

/* Where in its block the array may be. */
static mirror_part reach_of(const fallen *f, const lin_array *a) {
  int64_t offset = f->args[a->slot].offset, bytes = (int64_t)block_of(f, a->slot)->bytes;
  int64_t end = offset + a->len * (int64_t)wn_dtype_size(a->dtype);
  mirror_part p = {.begin = (size_t)(offset < 0 ? 0 : offset < bytes ? offset : bytes)};
  p.end = (size_t)(end < 0 ? 0 : end < bytes ? end : bytes);
  return p;
}

/* The parts, without places in the mirror. */
static void find_parts(const fallen *f) {
  for (int i = 0; i < f->nargs; ++i) {
    int first = 0;
    while (first < i && f->args[first].block != f->args[i].block) ++first;
    f->parts[i] = (mirror_part){.first = first, .begin = SIZE_MAX};
  }
  for (size_t i = 0; i < f->k->arrays.len; ++i) {
    const lin_array *a = &f->k->arrays.data[i];
    if (a->space != SPACE_GLOBAL) continue;
    mirror_part reach = reach_of(f, a), *p = &f->parts[f->parts[a->slot].first];
    if (reach.begin < p->begin) p->begin = reach.begin;
    if (reach.end > p->end) p->end = reach.end;
  }
}

static bool is_part(const fallen *f, int slot) {
  return f->parts[slot].first == slot && f->parts[slot].begin < f->parts[slot].end;
}

/* Bytes of all parts: addresses are as far from a line's start as the block's. */
static size_t place_parts(const fallen *f) {
  size_t at = 0;
  for (int i = 0; i < f->nargs; ++i) {
    mirror_part *p = &f->parts[i];
    if (!is_part(f, i)) continue;
    p->at = at + p->begin % LINE;
    at = (p->at + (p->end - p->begin) + LINE - 1) / LINE * LINE;
  }
  return at;
}

static const char *grow(runtime *rt, size_t bytes) {
  if (bytes <= rt->mirror_bytes) return NULL;
  mem_free_aligned(rt->mirror);
  rt->mirror_bytes = 0;
  rt->mirror = mem_alloc_aligned(bytes, PAGE);
  if (rt->mirror == NULL) return "out of memory for the arrays of a kernel that fell back";
  rt->mirror_bytes = bytes;
  return NULL;
}

static const char *read_parts(const fallen *f) {
  const char *why = NULL;
  for (int i = 0; i < f->nargs && why == NULL; ++i) {
    const mirror_part *p = &f->parts[i];
    if (is_part(f, i))
      why = f->rt->backend->read(f->rt->device, block_of(f, i)->block, p->begin,
                                 f->rt->mirror + p->at, p->end - p->begin);
  }
  return why;
}

static const char *write_changed(const fallen *f) {
  const char *why = NULL;
  for (size_t i = 0; i < f->k->arrays.len && why == NULL; ++i) {
    const lin_array *a = &f->k->arrays.data[i];
    if (a->space != SPACE_GLOBAL || !a->written) continue;
    mirror_part reach = reach_of(f, a), *p = &f->parts[f->parts[a->slot].first];
    if (reach.begin < reach.end)
      why = f->rt->backend->write(f->rt->device, block_of(f, a->slot)->block, reach.begin,
                                  f->rt->mirror + p->at + (reach.begin - p->begin),
                                  reach.end - reach.begin);
  }
  return why;
}

static const char *run(const fallen *f, const backend *on, const backend_kernel *code,
                       int64_t begin, int64_t end) {
  find_parts(f);
  const char *why = grow(f->rt, place_parts(f));
  if (why == NULL) why = read_parts(f);
  if (why != NULL) return why;
  for (int i = 0; i < f->nargs; ++i) {
    const mirror_part *p = &f->parts[f->parts[i].first];
    f->rt->args[i] =
        (device_arg){f->rt->mirror, (int64_t)p->at - (int64_t)p->begin + f->args[i].offset};
  }
  why = on->launch(&f->rt->host, code, f->rt->args, begin, end, -1);
  return why != NULL ? why : write_changed(f);
}

const char *mirror_launch(runtime *rt, const backend *on, const lin_kernel *k,
                          const backend_kernel *code, const device_arg *args, int64_t begin,
                          int64_t end, int stamp) {
  fallen f = {.rt = rt, .k = k, .args = args, .nargs = code->nargs, .parts = rt->parts};
  const char *why = stamp >= 0 ? host_stamp_begin(&rt->host, stamp) : NULL;
  if (why == NULL) why = run(&f, on, code, begin, end);
  if (stamp >= 0 && why == NULL) host_stamp_end(&rt->host, stamp);
  return why;
}
