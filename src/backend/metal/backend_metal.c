/* The backend `metal`: Apple's GPUs.
 *
 * In: kernels. Out: the functions of metal.h as a backend where the build has Metal (on macOS); elsewhere no devices,
 * but kernels that can be looked at, made for a typical device. */
#include "backend/metal/metal.h"

#include <stdio.h>

#include "render/render.h"

void metal_check_isa(diag *d, const char *isa) {
  if (isa != NULL && strcmp(isa, "simt") != 0 && strcmp(isa, "simd") != 0)
    diag_fail(
        d, WN_ERR_USAGE,
        "Metal has no instruction set '%.80s': there are simt (work items in groups) and simd "
        "(one work item a group, with vectors)",
        isa);
}

/* Metal tells nothing of caches or of how many cores there are: those are of the smaller devices of the kind. The
 * registers are those of a work item where the device is full. */
void metal_typical(machine *t, const char *isa) {
  bool simd = isa != NULL && strcmp(isa, "simd") == 0;
  *t = (machine){.isa = ISA_GENERIC,
                 .name = simd ? "simd" : "simt",
                 .vector_bytes = 16,
                 .registers = 32,
                 .fma = true,
                 .driver = "",
                 .version = "",
                 .model = "a typical Metal device",
                 .units = 8,
                 .l1 = (size_t)8 << 10,
                 .l2 = (size_t)768 << 10,
                 .l3 = (size_t)8 << 20,
                 .group = simd ? 0 : METAL_GROUP,
                 .items = simd ? 0 : 8 * METAL_GROUP,
                 .local_bytes = (size_t)32 << 10,
                 .matrix = simd ? 0 : 8,
                 .memory = (size_t)8 << 30};
}

static void typical(diag *d, const char *isa, machine *target) {
  metal_check_isa(d, isa);
  metal_typical(target, isa);
}

static void render(str *out, const lin_kernel *k) {
  const char *why = render_metal_refusal(out->arena, k);
  if (why != NULL)
    str_printf(out, "// %s: %s\n", k->name, why);
  else
    render_metal(out, k);
}

#ifdef WN_METAL
#define METAL                                                                             \
  .list = metal_list, .open = metal_open, .close = metal_close, .alloc = metal_alloc,     \
  .free = metal_free, .write = metal_write, .read = metal_read, .compile = metal_compile, \
  .release = metal_release, .launch = metal_launch, .finish = metal_finish,               \
  .stamps = metal_stamps, .capture = metal_capture
#else
static int list_none(diag *d, arena *a, const device_info **out, const char **why) {
  (void)d, (void)a, (void)out;
  *why = "built on macOS only";
  return 0;
}

static void *open_none(diag *d, host *h, const char *spec, const char *isa, machine *target) {
  (void)h, (void)spec, (void)isa, (void)target;
  diag_fail(
      d, WN_ERR_USAGE,
      "the backend metal is built on macOS only; `winnow explain PROBLEM --backend metal` shows "
      "its kernels everywhere");
}

#define METAL .list = list_none, .open = open_none
#endif

/* Its own, and one that is a device's: who means it by $WINNOW_ISA is told that Metal has it not. */
static const char *const isas[] = {"simt", "simd", "simdgroup", NULL};

const backend backend_metal = {
    METAL,
    .name = "metal",
    .spec = "D",
    .compiler = "the driver's",
    .capture_suffix = ".gputrace",
    .isas = isas,
    .typical = typical,
    .render = render,
};
