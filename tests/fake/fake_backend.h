/* A backend in one file, as a new one would be: a device that is made up, with memory of its own.
 *
 * In: kernels. Out: what they compute, when somebody waits for it: launches are queued with their arguments, and run in
 * the interpreter at finish, read or write. Every call counts, and the one that fake.fail_at names fails as such a call
 * can. What is made is counted, so that a test finds what is left.
 * Always holds: a block is a handle and no address; a kernel whose number among those compiled is in fake.refused falls
 * back. */
#ifndef WN_TESTS_FAKE_BACKEND_H
#define WN_TESTS_FAKE_BACKEND_H

#include <stdio.h>
#include <stdlib.h>

#include "backend/interp/interp.h"
#include "backend/registry.h"
#include "render/render.h"

enum { FAKE_QUEUE = 256, FAKE_ARGS = 16, FAKE_STAMPS = 1024 };

static struct {
  int calls, fail_at;   /* of the functions below, from 1; 0: none fails */
  unsigned refused;     /* bits: kernels that do not compile */
  int devices, handles; /* that are open, and not released */
  int blocks;
  int launches, captures;
} fake;

typedef struct fake_block {
  unsigned char *bytes;
  size_t size;
} fake_block;

typedef struct fake_launch {
  const backend_kernel *kernel;
  device_arg args[FAKE_ARGS];
  int64_t begin, end;
  int stamp;
} fake_launch;

typedef struct fake_device {
  fake_launch queue[FAKE_QUEUE];
  int queued;
  double clock, start[FAKE_STAMPS], end[FAKE_STAMPS]; /* a second a block */
  char failure[64];
} fake_device;

static bool fake_fails(void) { return ++fake.calls == fake.fail_at; }

static const char *fake_call(fake_device *d) {
  if (!fake_fails()) return NULL;
  snprintf(d->failure, sizeof d->failure, "the fake device failed at call %d", fake.calls);
  return d->failure;
}

/* --- devices ---------------------------------------------------------------------------------- */

static int fake_list(diag *d, arena *a, const device_info **out, const char **why) {
  (void)d;
  *why = "the fake device cannot be listed";
  if (fake_fails()) return 0;
  device_info *list = arena_array(a, device_info, 1);
  *list = (device_info){
      .spec = "0", .name = "Fake", .platform = "Fake", .version = "", .kind = "gpu", .units = 3};
  *out = list;
  return 1;
}

static void *fake_open(diag *d, host *h, const char *spec, const char *isa, machine *target) {
  (void)h;
  if (spec != NULL && strcmp(spec, "0") != 0)
    diag_fail(d, WN_ERR_USAGE, "fake:%.40s does not exist", spec);
  machine_look_at(target, d, isa != NULL ? isa : "simt");
  if (fake_fails()) diag_fail(d, WN_ERR_DEVICE, "the fake device does not open");
  fake_device *made = calloc(1, sizeof *made);
  if (made == NULL) diag_fail(d, WN_ERR_NOMEM, "out of memory");
  target->driver = target->version = "1";
  target->units = 3;
  target->memory = (size_t)1 << 30;
  snprintf(target->model, sizeof target->model, "Fake");
  fake.devices++;
  return made;
}

static void fake_close(void *device) {
  fake.devices--;
  free(device);
}

/* --- running what was queued ------------------------------------------------------------------ */

static void fake_run(fake_device *d, const fake_launch *l) {
  void *at[FAKE_ARGS] = {NULL};
  for (int i = 0; i < l->kernel->nargs; ++i) {
    const fake_block *b = l->args[i].block;
    at[i] = (void *)((uintptr_t)b->bytes + (uintptr_t)l->args[i].offset);
  }
  void *scratch = aligned_alloc(64, (interp_scratch(l->kernel->code) + 64) / 64 * 64);
  WN_CHECK(scratch != NULL, "no memory for a test");
  interp_run(l->kernel->code, at, scratch, l->begin, l->end);
  free(scratch);
  if (l->stamp >= 0) d->start[l->stamp] = d->clock;
  d->clock += (double)(l->end - l->begin);
  if (l->stamp >= 0) d->end[l->stamp] = d->clock;
}

static void fake_run_all(fake_device *d) {
  for (int i = 0; i < d->queued; ++i) fake_run(d, &d->queue[i]);
  d->queued = 0;
}

static const char *fake_finish(void *device) {
  const char *why = fake_call(device);
  fake_run_all(device);
  return why;
}

static const char *fake_do_launch(void *device, const backend_kernel *kernel,
                                  const device_arg *args, int64_t begin, int64_t end, int stamp) {
  fake_device *d = device;
  const char *why = fake_call(d);
  if (why != NULL) return why;
  WN_CHECK(kernel->nargs <= FAKE_ARGS && stamp < FAKE_STAMPS, "too much for the fake device");
  if (d->queued == FAKE_QUEUE) fake_run_all(d);
  fake_launch *l = &d->queue[d->queued++];
  *l = (fake_launch){.kernel = kernel, .begin = begin, .end = end, .stamp = stamp};
  memcpy(l->args, args, (size_t)kernel->nargs * sizeof *args);
  fake.launches++;
  return NULL;
}

static const char *fake_stamps(void *device, int stamp, double *start, double *end) {
  fake_device *d = device;
  *start = d->start[stamp];
  *end = d->end[stamp];
  return fake_call(d);
}

static const char *fake_capture(void *device, const char *path) {
  fake.captures += path != NULL;
  return fake_call(device);
}

/* --- memory ----------------------------------------------------------------------------------- */

static void *fake_alloc(void *device, size_t bytes) {
  (void)device;
  fake_block *b = fake_fails() ? NULL : malloc(sizeof *b);
  if (b == NULL) return NULL;
  *b = (fake_block){calloc(1, bytes > 0 ? bytes : 1), bytes};
  WN_CHECK(b->bytes != NULL, "no memory for a test");
  fake.blocks++;
  return b;
}

static void fake_free(void *device, void *block) {
  fake_block *b = block;
  fake_run_all(device);
  if (b == NULL) return;
  fake.blocks--;
  free(b->bytes);
  free(b);
}

static const char *fake_write(void *device, void *block, size_t offset, const void *from,
                              size_t bytes) {
  fake_block *b = block;
  WN_CHECK(offset <= b->size && bytes <= b->size - offset, "a write past the end of a block");
  fake_run_all(device);
  const char *why = fake_call(device);
  if (why == NULL) memcpy(b->bytes + offset, from, bytes);
  return why;
}

static const char *fake_read(void *device, void *block, size_t offset, void *to, size_t bytes) {
  fake_block *b = block;
  WN_CHECK(offset <= b->size && bytes <= b->size - offset, "a read past the end of a block");
  fake_run_all(device);
  const char *why = fake_call(device);
  if (why == NULL) memcpy(to, b->bytes + offset, bytes);
  return why;
}

/* --- kernels ---------------------------------------------------------------------------------- */

static void *fake_compile(void *device, backend_job *job) {
  (void)device;
  bool fails = fake_fails();
  for (int i = 0; i < job->count; ++i) {
    backend_kernel *out = &job->out[i];
    if (fails || (fake.refused >> i % 32 & 1))
      out->error = "the fake device has no compiler for it";
    else
      out->code = (void *)(uintptr_t)interp_prepare(job->a, job->kernels[i]);
  }
  fake.handles++;
  return &fake;
}

static void fake_release(void *handle) { fake.handles -= handle != NULL; }

static const char *const fake_isas[] = {"simt", "generic", NULL};

static const backend fake_backend = {
    .name = "fake",
    .spec = "N",
    .compiler = "made up",
    .capture_suffix = ".fake",
    .isas = fake_isas,
    .list = fake_list,
    .open = fake_open,
    .close = fake_close,
    .alloc = fake_alloc,
    .free = fake_free,
    .write = fake_write,
    .read = fake_read,
    .render = render_opencl,
    .compile = fake_compile,
    .release = fake_release,
    .launch = fake_do_launch,
    .finish = fake_finish,
    .stamps = fake_stamps,
    .capture = fake_capture,
};

static const backend_row fake_row = {"fake", &fake_backend, NULL};

#endif
