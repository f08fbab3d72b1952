/* Kernels to Metal's pipelines.
 *
 * In: linear kernels. Out: for each a pipeline, or why there is none. All are compiled as one library; where that fails
 * each is compiled by itself, so that one bad kernel does not take the others with it. Always holds: floating-point
 * arithmetic is compiled as it is written (no fast math), with the precise functions. What is owned is the handle's or
 * the pool's before anything is allocated, so a lack of memory leaves nothing behind.
 *
 * Nothing goes to the store: the system keeps what it compiled, by source, beside every program that uses Metal, and a
 * pipeline's archive could be used only after its source has been compiled. So the second compile of a kernel is fast
 * and is never called cached. */
#include "backend/metal/metal.h"

#include <stdio.h>
#include <stdlib.h>

#include "render/render.h"

typedef struct metal_code {
  metal_device *device;
  int count;
  metal_kernel kernel[];
} metal_code;

enum { MATH_SAFE = 0, FUNCTIONS_PRECISE = 1 };

/* --- source ----------------------------------------------------------------------------------- */

/* Line n of the text, from 1, without blanks around it. */
static const char *line_of(arena *a, const char *text, long n) {
  while (n-- > 1 && text != NULL) {
    text = strchr(text, '\n');
    if (text != NULL) ++text;
  }
  if (text == NULL) return "";
  text += strspn(text, " \t");
  return arena_printf(a, "%.*s", (int)strcspn(text, "\n"), text);
}

/* Metal's compiler says "program_source:12:3: error: ..." and goes on over many lines: its first error, with the line
 * of the source that it is about. */
static const char *explain_error(arena *a, const char *message, const char *source) {
  static const char file[] = "program_source:";
  const char *error = strstr(message, "error:"), *at = message;
  if (error == NULL) return arena_printf(a, "%.*s", (int)strcspn(message, "\n"), message);
  for (const char *next = at; next != NULL && next < error; next = strchr(next, '\n')) {
    next += *next == '\n';
    if (next < error) at = next;
  }
  int length = (int)strcspn(at, "\n");
  long line = strncmp(at, file, sizeof file - 1) == 0 ? strtol(at + sizeof file - 1, NULL, 10) : 0;
  if (line < 1) return arena_printf(a, "%.*s", length, at);
  return arena_printf(a, "%.*s, in: %s", length, at, line_of(a, source, line));
}

static const char *render_all(arena *a, int count, const lin_kernel *const *kernels) {
  str source;
  str_init(&source, a);
  render_metal_prelude(&source, count, kernels);
  for (int i = 0; i < count; ++i) {
    if (kernels[i] != NULL) render_metal(&source, kernels[i]);
  }
  return str_text(&source);
}

/* Fast math is off by a switch that macOS 15 has put two others in the place of. */
static objc_id exact_arithmetic(const metal_api *api) {
  objc_id options = metal_make(api, "MTLCompileOptions");
  if (mtl_responds_to(api, options, api->selector[SELECTOR_set_math_mode])) {
    mtl_set_math_mode(api, options, MATH_SAFE);
    mtl_set_math_functions(api, options, FUNCTIONS_PRECISE);
  } else {
    mtl_set_fast_math(api, options, 0);
  }
  return options;
}

/* The library of the source, until the pool is popped; nil with the error. */
static objc_id compile_source(metal_device *m, arena *a, const char *source, const char **error) {
  const metal_api *api = &m->api;
  objc_id options = mtl_autorelease(api, exact_arithmetic(api)), reason = NULL;
  objc_id library = mtl_autorelease(
      api, mtl_new_library(api, m->device, metal_string(api, source), options, &reason));
  if (library == NULL) *error = explain_error(a, metal_reason(api, reason), source);
  return library;
}

/* --- pipelines -------------------------------------------------------------------------------- */

/* A pipeline of which a group may have as many work items as the kernel's has: the compiler gives each of them fewer
 * registers. Nil where that cannot be. */
static objc_id pipeline_of_group(const metal_device *m, objc_id function, objc_uint group) {
  const metal_api *api = &m->api;
  objc_id wanted = metal_make(api, "MTLComputePipelineDescriptor"), reason = NULL;
  mtl_set_function(api, wanted, function);
  mtl_set_max_threads(api, wanted, group);
  objc_id pipeline = mtl_new_pipeline_as(api, m->device, wanted, 0, NULL, &reason);
  mtl_release(api, wanted);
  return pipeline;
}

static void make_pipeline(metal_device *m, arena *a, objc_id function, metal_kernel *k,
                          backend_kernel *out) {
  const metal_api *api = &m->api;
  objc_id reason = NULL;
  k->pipeline = mtl_new_pipeline(api, m->device, function, &reason);
  if (k->pipeline == NULL) {
    out->error = explain_error(a, metal_reason(api, reason), "");
    return;
  }
  objc_uint most = mtl_max_threads(api, k->pipeline);
  if (most < k->group) {
    objc_id tighter = pipeline_of_group(m, function, k->group);
    mtl_release(api, tighter != NULL ? k->pipeline : NULL);
    if (tighter != NULL) k->pipeline = tighter;
  }
  out->note = arena_printf(a, "maxTotalThreadsPerThreadgroup %lu", most);
  if (mtl_max_threads(api, k->pipeline) < k->group)
    out->error = arena_printf(a, "its groups are of %lu work items, its %s", k->group, out->note);
  else
    out->code = k;
}

static void take_from_library(metal_device *m, arena *a, objc_id library, const lin_kernel *kernel,
                              metal_kernel *k, backend_kernel *out) {
  const metal_api *api = &m->api;
  objc_id name = metal_string(api, kernel->name);
  objc_id function = mtl_autorelease(api, mtl_new_function(api, library, name));
  if (function == NULL)
    out->error = "it is not in the library that Metal compiled";
  else
    make_pipeline(m, a, function, k, out);
}

/* --- the backend ------------------------------------------------------------------------------ */

/* What a launch needs to know of the kernel. */
static void describe_kernel(const lin_kernel *k, metal_kernel *out) {
  out->group = k->group > 0 ? (objc_uint)k->group : 1;
  for (size_t i = 0; i < k->arrays.len; ++i) {
    const lin_array *array = &k->arrays.data[i];
    if (array->space != SPACE_GLOBAL) continue;
    out->element[array->slot] = (uint8_t)wn_dtype_size(array->dtype);
    if (array->slot >= out->nargs) out->nargs = array->slot + 1;
  }
}

/* The pool is emptied after each, since a program may have many. */
static void compile_alone(metal_device *m, arena *a, const lin_kernel *kernel, metal_kernel *k,
                          backend_kernel *out) {
  const char *source = render_all(a, 1, &kernel);
  void *pool = m->api.pool_push();
  objc_id library = compile_source(m, a, source, &out->error);
  if (library != NULL) take_from_library(m, a, library, kernel, k, out);
  m->api.pool_pop(pool);
}

static void compile_all(metal_code *code, const backend_job *job) {
  metal_device *m = code->device;
  arena *a = job->a;
  const lin_kernel **able = arena_array(a, const lin_kernel *, code->count + 1);
  int *entry = arena_array(a, int, code->count + 1), n = 0;
  for (int i = 0; i < code->count; ++i) {
    job->out[i].error = render_metal_refusal(a, job->kernels[i]);
    if (job->out[i].error != NULL) continue;
    describe_kernel(job->kernels[i], &code->kernel[i]);
    entry[n] = i;
    able[n++] = job->kernels[i];
  }
  if (n == 0) return;
  const char *error = NULL;
  objc_id library = n > 1 ? compile_source(m, a, render_all(a, n, able), &error) : NULL;
  for (int i = 0; i < n; ++i) {
    metal_kernel *k = &code->kernel[entry[i]];
    if (library != NULL)
      take_from_library(m, a, library, able[i], k, &job->out[entry[i]]);
    else
      compile_alone(m, a, able[i], k, &job->out[entry[i]]);
  }
}

/* Whether subnormal numbers are flushed is the GPU's affair: Metal's language lets it, and has no switch for it. */
void *metal_compile(void *device, backend_job *job) {
  metal_device *m = device;
  diag *d = job->d;
  size_t bytes = sizeof(metal_code) + (size_t)job->count * sizeof(metal_kernel);
  metal_code *code = mem_alloc(bytes);
  if (code == NULL) diag_fail(d, WN_ERR_NOMEM, "out of memory while compiling for Metal");
  memset(code, 0, bytes);
  code->device = m;
  code->count = job->count;
  void *pool = m->api.pool_push();
  wn_status st;
  DIAG_TRY(d, st) { compile_all(code, job); }
  DIAG_END(d, st)
  m->api.pool_pop(pool);
  if (st == WN_OK) return code;
  metal_release(code);
  diag_fail(d, st, "out of memory while compiling for Metal");
}

void metal_release(void *handle) {
  metal_code *code = handle;
  if (code == NULL) return;
  for (int i = 0; i < code->count; ++i) mtl_release(&code->device->api, code->kernel[i].pipeline);
  mem_free(code);
}
