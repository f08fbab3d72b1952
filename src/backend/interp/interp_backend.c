/* The interpreter as a backend, which stands behind all others as well.
 *
 * In: kernels for any instruction set. Out: each of them decoded; nothing fails but for a lack of memory. Always holds:
 * the code lies in the arena of the job, so there is nothing to release. */
#include "backend/host.h"
#include "backend/interp/interp.h"
#include "render/render.h"

static void *interp_open(diag *d, host *h, const char *spec, const char *isa, machine *target) {
  (void)spec;
  if (isa != NULL)
    machine_look_at(target, d, isa);
  else
    machine_of_cpu(target, d, NULL);
  return h;
}

/* backend_kernel.code has no const: nothing writes through it. */
static void *interp_compile(void *device, backend_job *job) {
  (void)device;
  for (int i = 0; i < job->count; ++i) {
    const interp_code *code = interp_prepare(job->a, job->kernels[i]);
    job->out[i].code = (void *)(uintptr_t)code;
    job->out[i].scratch = interp_scratch(code);
  }
  return NULL;
}

static void interp_release(void *handle) { (void)handle; }

static void run_part(void *context, int worker, int64_t begin, int64_t end) {
  const host_job *j = context;
  interp_run(j->kernel->code, j->args, host_scratch(j, worker), begin, end);
}

static const char *interp_launch(void *device, const backend_kernel *kernel, const device_arg *args,
                                 int64_t begin, int64_t end, int stamp) {
  return host_share(device, run_part, kernel, args, begin, end, stamp);
}

const backend backend_interp = {
    HOST_BACKEND(interp_open, interp_launch, run_part),
    .name = "interp",
    .compiler = "none: the reference, in float64",
    .reference = true,
    .isas = machine_all_isas,
    .compile = interp_compile,
    .release = interp_release,
};
