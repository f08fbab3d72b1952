/* Metal's classes as far as winnow uses them; see fake_metal.h.
 *
 * Always holds: work is done when somebody waits for it, in the order in which it was committed, so what is read too
 * early is not there yet. What Metal's validation would stop stops the test: an encoder that is left open, a command
 * buffer that is committed twice, a group that is larger than the pipeline takes, private memory that the CPU looks at.
 * */
#include "fake_metal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_objc.h"

typedef struct size3 {
  unsigned long width, height, depth;
} size3;
typedef struct range {
  unsigned long location, length;
} range;
typedef unsigned long uint;

enum { BUFFERS = 31, MOST_WAITING = 256, TICKS = 3, NANOSECONDS = 125 /* 24 MHz */ };

fake_metal fake = {.devices = 1};

/* What an encoder recorded. */
typedef struct command {
  struct command *next;
  object *pipeline, *buffer[BUFFERS], *samples;
  int64_t args[64];
  uint groups, threads, start_sample, end_sample;
  object *from, *to; /* of a copy */
  uint from_at, to_at, bytes;
} command;

typedef struct recording {
  command *first, **last;
  bool open, committed, done, failed;
} recording;

static object *waiting[MOST_WAITING];
static int waiting_count;
static uint64_t clock_ns = 5000000000u;

static bool fails(void) {
  bool now = ++fake.tried == fake.fail_at;
  fake.failed += now;
  return now;
}

bool fake_has_class(const char *name) {
  return !fake.old_system || strstr(name, "Counter") == NULL;
}
bool fake_has_method(const char *name) {
  return !fake.old_system ||
         (strcmp(name, "setMathMode:") != 0 && strcmp(name, "supportsCounterSampling:") != 0);
}

#define SELF object *self, fake_sel sel

/* --- Foundation ------------------------------------------------------------------------------- */

static fake_class NSString, NSError, NSArray, NSData, NSURL, NSProcessInfo;

static char *copy_text(const char *text) {
  char *copy = malloc(strlen(text) + 1);
  if (copy == NULL) fake_stop("no memory");
  return strcpy(copy, text);
}

static object *string_of(const char *text) {
  object *s = fake_new(&NSString);
  s->text = copy_text(text);
  return s;
}

static object *string_with(SELF, const char *text) {
  (void)self, (void)sel;
  return fake_autorelease(string_of(text));
}
static const char *utf8(SELF) {
  (void)sel;
  return self->text;
}
static object *file_url(SELF, object *path) {
  (void)self, (void)sel;
  object *url = fake_new(&NSURL);
  url->text = copy_text(path->text);
  return fake_autorelease(url);
}

static void set_error(object **out, const char *text) {
  object *e = fake_new(&NSError);
  e->text = copy_text(text);
  if (out != NULL)
    *out = fake_autorelease(e);
  else
    fake_release(e);
}
static object *description(SELF) {
  (void)sel;
  return fake_autorelease(string_of(self->text));
}

static object *array_of(int count, object *const *items) {
  object *a = fake_new(&NSArray);
  a->size = (size_t)count;
  for (int i = 0; i < count; i++) fake_hold(a, i, items[i]);
  return a;
}
static uint array_count(SELF) {
  (void)sel;
  return self->size;
}
static object *object_at(SELF, uint i) {
  (void)sel;
  if (i >= self->size) fake_stop("element %lu of an array of %zu", i, self->size);
  return self->held[i];
}
static const void *data_bytes(SELF) {
  (void)sel;
  return self->data;
}
static uint data_length(SELF) {
  (void)sel;
  return self->size;
}
static object *process_info(SELF) {
  (void)self, (void)sel;
  return fake_autorelease(fake_new(&NSProcessInfo));
}
static object *system_version(SELF) {
  (void)self, (void)sel;
  return fake_autorelease(string_of("Version 15.1 (Build 24B83)"));
}

/* --- devices ---------------------------------------------------------------------------------- */

static fake_class MTLDevice, MTLCommandQueue, MTLBuffer, MTLLibrary, MTLFunction, MTLPipeline,
    MTLCommandBuffer, MTLEncoder, MTLCounterSet, MTLSamples, MTLAttachments, MTLAttachment,
    MTLCompileOptions, MTLComputePipelineDescriptor, MTLCounterSampleBufferDescriptor,
    MTLComputePassDescriptor, MTLCaptureManager, MTLCaptureDescriptor;

object *MTLCreateSystemDefaultDevice(void);
object *MTLCopyAllDevices(void);

static object *device_of(int n) {
  object *d = fake_new(&MTLDevice);
  d->number[0] = (size_t)n;
  return d;
}
object *MTLCreateSystemDefaultDevice(void) { return fake.devices > 0 ? device_of(0) : NULL; }
object *MTLCopyAllDevices(void) {
  object *items[HELD];
  for (int i = 0; i < fake.devices; i++) items[i] = device_of(i);
  object *a = array_of(fake.devices, items);
  for (int i = 0; i < fake.devices; i++) fake_release(items[i]);
  return a;
}

static object *device_name(SELF) {
  (void)sel;
  char name[32];
  snprintf(name, sizeof name, "Fake M%zu", self->number[0] + 1);
  return fake_autorelease(string_of(name));
}
static signed char unified(SELF) {
  (void)self, (void)sel;
  return !fake.private_memory;
}
static signed char supports_family(SELF, long family) {
  (void)self, (void)sel;
  return family <= fake.family;
}
static uint most_bytes(SELF) {
  (void)self, (void)sel;
  return (uint)1 << 30;
}
static uint most_local(SELF) {
  (void)self, (void)sel;
  return 32768;
}
static object *new_queue(SELF) {
  (void)self, (void)sel;
  return fails() ? NULL : fake_new(&MTLCommandQueue);
}
static object *new_buffer(SELF, uint bytes, uint options) {
  (void)self, (void)sel;
  if (bytes == 0) fake_stop("a buffer of no bytes");
  if (fails()) return NULL;
  object *b = fake_new(&MTLBuffer);
  b->data = calloc(1, bytes);
  b->size = bytes;
  b->number[0] = options >> 4;
  return b;
}
static void *contents(SELF) {
  (void)sel;
  return self->number[0] == 2 ? NULL : self->data;
}

/* --- compiling -------------------------------------------------------------------------------- */

static void set_fast_math(SELF, signed char on) {
  (void)sel;
  self->number[0] = 1 + (size_t)(on != 0);
}
static void set_math_mode(SELF, long mode) {
  (void)sel;
  self->number[0] = 1 + (size_t)(mode != 0);
}
static void set_math_functions(SELF, long functions) {
  (void)sel;
  self->number[1] = (size_t)functions;
}

/* A kernel with "bad" in its name is an error in its line, as Metal's compiler words it. */
static int bad_line(const char *source) {
  int line = 1;
  for (const char *at = source; at != NULL; at = strchr(at, '\n'), line++) {
    at += *at == '\n';
    const char *kernel = strstr(at, "kernel void "), *bad = strstr(at, "bad"),
               *end = strchr(at, '\n');
    if (kernel != NULL && bad != NULL && kernel < bad && (end == NULL || bad < end)) return line;
  }
  return 0;
}
static object *new_library(SELF, object *source, object *options, object **error) {
  (void)self, (void)sel;
  int line = bad_line(source->text);
  fake.fast_math |= options->number[0] != 1;
  fake.libraries++;
  if (fails()) {
    set_error(error, "the compiler's process is gone");
    return NULL;
  }
  if (line > 0) {
    char text[160];
    snprintf(text, sizeof text,
             "program_source:1:1: warning: unused\nprogram_source:%d:7: error: no member named "
             "'bad'\nint bad;\n    ^\n",
             line);
    set_error(error, text);
    return NULL;
  }
  void *code = fake.load != NULL ? fake.load(source->text) : NULL;
  if (fake.load != NULL && code == NULL) {
    set_error(error, "program_source:1:1: error: it does not compile as C++");
    return NULL;
  }
  object *l = fake_new(&MTLLibrary);
  l->text = copy_text(source->text);
  l->code = code;
  return l;
}
static object *new_function(SELF, object *name) {
  (void)sel;
  if (fails() || strstr(self->text, name->text) == NULL || strstr(name->text, "lost") != NULL)
    return NULL;
  object *f = fake_new(&MTLFunction);
  f->text = copy_text(name->text);
  f->code = self->code;
  return f;
}
static object *pipeline_of(const object *function, uint most, object **error) {
  if (fails() || strstr(function->text, "nopipe") != NULL) {
    set_error(error, "Compiler encountered an internal error");
    return NULL;
  }
  object *p = fake_new(&MTLPipeline);
  p->text = copy_text(function->text);
  p->code = function->code;
  bool few = strstr(function->text, "narrow") != NULL || strstr(function->text, "stuck") != NULL;
  p->number[0] = few ? 64 : 1024;
  if (most > 0 && strstr(function->text, "stuck") == NULL) p->number[0] = most;
  return p;
}
static object *new_pipeline(SELF, object *function, object **error) {
  (void)self, (void)sel;
  return pipeline_of(function, 0, error);
}
static object *new_pipeline_as(SELF, object *wanted, uint options, void *reflection,
                               object **error) {
  (void)self, (void)sel;
  if (options != 0 || reflection != NULL) fake_stop("nothing of the kind was asked for");
  return pipeline_of(wanted->held[0], wanted->number[0], error);
}
static void set_function(SELF, object *function) {
  (void)sel;
  fake_hold(self, 0, function);
}
static void set_number(SELF, uint n) {
  (void)sel;
  self->number[0] = n;
}
static uint get_number(SELF) {
  (void)sel;
  return self->number[0];
}

/* --- command buffers -------------------------------------------------------------------------- */

static recording *recording_of(object *commands) { return (recording *)(void *)commands->data; }

static object *command_buffer(SELF) {
  (void)self, (void)sel;
  if (fails()) return NULL;
  object *c = fake_new(&MTLCommandBuffer);
  recording *r = calloc(1, sizeof *r);
  if (r == NULL) fake_stop("no memory");
  r->last = &r->first;
  c->data = (char *)r;
  return fake_autorelease(c);
}

static void free_commands(object *self) {
  for (command *c = recording_of(self)->first; c != NULL;) {
    command *next = c->next;
    fake_release(c->pipeline);
    fake_release(c->samples);
    fake_release(c->from);
    fake_release(c->to);
    for (int i = 0; i < BUFFERS; i++) fake_release(c->buffer[i]);
    free(c);
    c = next;
  }
}

static object *encoder_of(object *self) {
  recording *r = recording_of(self);
  if (r->open) fake_stop("a second encoder is opened");
  if (r->committed) fake_stop("an encoder is opened in what was committed");
  if (fails()) return NULL;
  r->open = true;
  object *e = fake_new(&MTLEncoder);
  fake_hold(e, 0, self);
  e->data = calloc(1, sizeof(command));
  return fake_autorelease(e);
}
static object *plain_encoder(SELF) {
  (void)sel;
  return encoder_of(self);
}
/* held: 1 the pass's sample buffer */
static object *encoder_with(SELF, object *pass) {
  (void)sel;
  object *e = encoder_of(self), *attached = pass->held[0]->held[0];
  if (e == NULL) return NULL;
  command *c = (command *)(void *)e->data;
  c->samples = fake_retain(attached->held[0]);
  c->start_sample = attached->number[0];
  c->end_sample = attached->number[1];
  return e;
}

static command *state_of(object *encoder) {
  if (encoder->number[3] != 0) fake_stop("an encoder is used that was ended");
  return (command *)(void *)encoder->data;
}
static void set_pipeline(SELF, object *pipeline) {
  (void)sel;
  command *c = state_of(self);
  fake_release(c->pipeline);
  c->pipeline = fake_retain(pipeline);
}
static void set_buffer(SELF, object *buffer, uint offset, uint at) {
  (void)sel;
  command *c = state_of(self);
  if (at >= BUFFERS || offset != 0) fake_stop("buffer %lu at offset %lu", at, offset);
  fake_release(c->buffer[at]);
  c->buffer[at] = fake_retain(buffer);
}
static void set_bytes(SELF, const void *bytes, uint length, uint at) {
  (void)sel;
  command *c = state_of(self);
  if (length > sizeof c->args || at >= BUFFERS) fake_stop("%lu bytes at %lu", length, at);
  memcpy(c->args, bytes, length);
}

/* Adds a copy of the encoder's state to what will be done. */
static command *record(object *encoder) {
  command *c = malloc(sizeof *c);
  if (c == NULL) fake_stop("no memory");
  *c = *state_of(encoder);
  c->next = NULL;
  fake_retain(c->pipeline);
  fake_retain(c->samples);
  for (int i = 0; i < BUFFERS; i++) fake_retain(c->buffer[i]);
  recording *r = recording_of(encoder->held[0]);
  *r->last = c;
  r->last = &c->next;
  return c;
}
static void dispatch(SELF, size3 groups, size3 threads) {
  (void)sel;
  command *c = record(self);
  if (c->pipeline == NULL) fake_stop("a dispatch without a pipeline");
  if (threads.width > c->pipeline->number[0])
    fake_stop("groups of %lu, the pipeline takes %zu", threads.width, c->pipeline->number[0]);
  if (groups.height != 1 || groups.depth != 1 || threads.height != 1 || threads.depth != 1)
    fake_stop("a dispatch of more than one dimension");
  c->groups = groups.width;
  c->threads = threads.width;
  fake.dispatches++;
}
static void copy(SELF, object *from, uint from_at, object *to, uint to_at, uint bytes) {
  (void)sel;
  command *c = record(self);
  c->from = fake_retain(from);
  c->to = fake_retain(to);
  c->from_at = from_at;
  c->to_at = to_at;
  c->bytes = bytes;
  if (from_at + bytes > from->size || to_at + bytes > to->size) fake_stop("a copy past the end");
}
static void end_encoding(SELF) {
  (void)sel;
  state_of(self);
  self->number[3] = 1;
  recording_of(self->held[0])->open = false;
}
static void free_encoder(object *self) {
  command *c = (command *)(void *)self->data;
  fake_release(c->pipeline);
  fake_release(c->samples);
  for (int i = 0; i < BUFFERS; i++) fake_release(c->buffer[i]);
  if (self->number[3] == 0) fake_stop("an encoder is released before it was ended");
}

static void commit(SELF) {
  (void)sel;
  recording *r = recording_of(self);
  if (r->committed || r->open) fake_stop("a commit %s", r->open ? "of an open encoder" : "again");
  r->committed = true;
  r->failed = fails();
  fake.committed++;
  if (waiting_count == MOST_WAITING) fake_stop("nobody waits");
  waiting[waiting_count++] = fake_retain(self);
}

static void sample(const command *c, uint at) {
  uint64_t tick = clock_ns * TICKS / NANOSECONDS;
  if (c->samples != NULL) memcpy(c->samples->data + 8 * at, &tick, sizeof tick);
}
static void execute(const command *c) {
  char *buffers[BUFFERS];
  sample(c, c->start_sample);
  clock_ns += 1000 * (1 + c->groups);
  sample(c, c->end_sample);
  if (c->to != NULL) memcpy(c->to->data + c->to_at, c->from->data + c->from_at, c->bytes);
  for (int i = 0; i < BUFFERS; i++) buffers[i] = c->buffer[i] != NULL ? c->buffer[i]->data : NULL;
  for (uint g = 0; c->pipeline != NULL && fake.run != NULL && g < c->groups; g++)
    fake.run(c->pipeline->code, c->pipeline->text, buffers, c->args, (unsigned)g,
             (unsigned)c->threads);
  for (uint g = 0; c->pipeline != NULL && fake.work != NULL && g < c->groups; g++) {
    for (uint t = 0; t < c->threads; t++) fake.work(buffers, c->args, (unsigned)g, (unsigned)t);
  }
}
static void run(object *commands) {
  recording *r = recording_of(commands);
  clock_ns += 2000;
  commands->time[0] = (double)clock_ns * 1e-9;
  for (const command *c = r->first; c != NULL && !r->failed; c = c->next) execute(c);
  commands->time[1] = (double)clock_ns * 1e-9;
  r->done = true;
  fake_release(commands);
}
static void wait_for(SELF) {
  (void)sel;
  if (!recording_of(self)->committed) fake_stop("a wait for what was not committed");
  while (!recording_of(self)->done) {
    object *next = waiting[0];
    memmove(waiting, waiting + 1, (size_t)--waiting_count * sizeof *waiting);
    run(next);
  }
}
static uint status(SELF) {
  (void)sel;
  const recording *r = recording_of(self);
  return !r->done ? 2 : r->failed ? 5 : 4;
}
static object *error_of(SELF) {
  (void)sel;
  object *e = NULL;
  if (recording_of(self)->failed) set_error(&e, "Caused GPU Hang Error (00000003)\nIgnored");
  return e;
}
static double start_time(SELF) {
  (void)sel;
  return self->time[0];
}
static double end_time(SELF) {
  (void)sel;
  return self->time[1];
}

/* --- counters --------------------------------------------------------------------------------- */

static signed char supports_sampling(SELF, uint point) {
  (void)self, (void)sel;
  return point == 0 && !fake.no_counters;
}
static object *counter_sets(SELF) {
  (void)self, (void)sel;
  object *sets[2] = {fake_new(&MTLCounterSet), fake_new(&MTLCounterSet)};
  sets[0]->text = copy_text("stageutilization");
  sets[1]->text = copy_text("timestamp");
  object *a = array_of(2, sets);
  fake_release(sets[0]);
  fake_release(sets[1]);
  return fake_autorelease(a);
}
static object *set_name(SELF) {
  (void)sel;
  return fake_autorelease(string_of(self->text));
}
static void set_storage(SELF, uint mode) {
  (void)self, (void)sel;
  if (mode != 0) fake_stop("samples that the CPU cannot see");
}
static object *new_samples(SELF, object *wanted, object **error) {
  (void)self, (void)sel;
  if (!fake_is(wanted->held[0], "MTLCounterSet")) fake_stop("samples without counters");
  if (fails() || fake.no_samples) {
    set_error(error, "Cannot allocate sample buffer");
    return NULL;
  }
  object *s = fake_new(&MTLSamples);
  s->size = 8 * wanted->number[0];
  if (s->size > 32768) fake_stop("%zu bytes of samples", s->size);
  s->data = calloc(1, s->size);
  return s;
}
static void sample_timestamps(SELF, uint64_t *cpu, uint64_t *gpu) {
  (void)self, (void)sel;
  *cpu = clock_ns;
  *gpu = clock_ns * TICKS / NANOSECONDS;
}
static object *resolve(SELF, range r) {
  (void)sel;
  if (8 * (r.location + r.length) > self->size) fake_stop("samples past the end");
  if (fails()) return NULL;
  object *d = fake_new(&NSData);
  d->size = 8 * r.length;
  d->data = malloc(d->size);
  if (d->data == NULL) fake_stop("no memory");
  memcpy(d->data, self->data + 8 * r.location, d->size);
  return fake_autorelease(d);
}
static object *compute_pass(SELF) {
  (void)self, (void)sel;
  object *pass = fake_new(&MTLComputePassDescriptor), *list = fake_new(&MTLAttachments);
  object *one = fake_new(&MTLAttachment);
  fake_hold(list, 0, one);
  fake_hold(pass, 0, list);
  fake_release(one);
  fake_release(list);
  return fake_autorelease(pass);
}
static object *first_held(SELF) {
  (void)sel;
  return self->held[0];
}
static object *attachment_at(SELF, uint at) {
  (void)sel;
  if (at != 0) fake_stop("attachment %lu", at);
  return self->held[0];
}
static void hold_first(SELF, object *held) {
  (void)sel;
  fake_hold(self, 0, held);
}
static void set_end(SELF, uint n) {
  (void)sel;
  self->number[1] = n;
}

/* --- capture ---------------------------------------------------------------------------------- */

static bool capturing;

static object *shared_capture(SELF) {
  (void)self, (void)sel;
  return fake_autorelease(fake_new(&MTLCaptureManager));
}
static signed char supports_destination(SELF, long destination) {
  (void)self, (void)sel;
  return destination == 2 && !fake.no_capture;
}
static void set_destination(SELF, long destination) {
  (void)sel;
  self->number[0] = (size_t)destination;
}
static void set_url(SELF, object *url) {
  (void)sel;
  fake_hold(self, 1, url);
}
static signed char start_capture(SELF, object *wanted, object **error) {
  (void)self, (void)sel;
  if (capturing) fake_stop("a second capture is started");
  if (!fake_is(wanted->held[0], "MTLDevice") || !fake_is(wanted->held[1], "NSURL") ||
      wanted->number[0] != 2)
    fake_stop("a capture of nothing");
  if (fails()) {
    set_error(error, "The file exists");
    return 0;
  }
  capturing = true;
  snprintf(fake.capture_path, sizeof fake.capture_path, "%s", wanted->held[1]->text);
  return 1;
}
static void stop_capture(SELF) {
  (void)self, (void)sel;
  if (!capturing) fake_stop("no capture is stopped");
  if (waiting_count > 0) fake_stop("a capture is stopped before its work was done");
  capturing = false;
  fake.captures++;
}

/* --- classes ---------------------------------------------------------------------------------- */

#define IS(selector, function) {selector, (void (*)(void))(function)}
#define METHODS(...)            \
  (const fake_method[]) {       \
    __VA_ARGS__, { NULL, NULL } \
  }
#define CLASS(class, own, of_class, freed) \
  static fake_class class = {              \
      .name = #class, .methods = own, .class_methods = of_class, .dealloc = freed}

CLASS(NSString, METHODS(IS("UTF8String", utf8)), METHODS(IS("stringWithUTF8String:", string_with)),
      NULL);
CLASS(NSURL, NULL, METHODS(IS("fileURLWithPath:", file_url)), NULL);
CLASS(NSError, METHODS(IS("localizedDescription", description)), NULL, NULL);
CLASS(NSArray, METHODS(IS("count", array_count), IS("objectAtIndex:", object_at)), NULL, NULL);
CLASS(NSData, METHODS(IS("bytes", data_bytes), IS("length", data_length)), NULL, NULL);
CLASS(NSProcessInfo, METHODS(IS("operatingSystemVersionString", system_version)),
      METHODS(IS("processInfo", process_info)), NULL);
CLASS(MTLDevice,
      METHODS(IS("name", device_name), IS("hasUnifiedMemory", unified),
              IS("supportsFamily:", supports_family), IS("maxBufferLength", most_bytes),
              IS("recommendedMaxWorkingSetSize", most_bytes),
              IS("maxThreadgroupMemoryLength", most_local), IS("newCommandQueue", new_queue),
              IS("newBufferWithLength:options:", new_buffer),
              IS("newLibraryWithSource:options:error:", new_library),
              IS("newComputePipelineStateWithFunction:error:", new_pipeline),
              IS("newComputePipelineStateWithDescriptor:options:reflection:error:",
                 new_pipeline_as),
              IS("supportsCounterSampling:", supports_sampling), IS("counterSets", counter_sets),
              IS("newCounterSampleBufferWithDescriptor:error:", new_samples),
              IS("sampleTimestamps:gpuTimestamp:", sample_timestamps)),
      NULL, NULL);
CLASS(MTLCompileOptions,
      METHODS(IS("setFastMathEnabled:", set_fast_math), IS("setMathMode:", set_math_mode),
              IS("setMathFloatingPointFunctions:", set_math_functions)),
      NULL, NULL);
CLASS(MTLLibrary, METHODS(IS("newFunctionWithName:", new_function)), NULL, NULL);
CLASS(MTLFunction, NULL, NULL, NULL);
CLASS(MTLPipeline, METHODS(IS("maxTotalThreadsPerThreadgroup", get_number)), NULL, NULL);
CLASS(MTLComputePipelineDescriptor,
      METHODS(IS("setComputeFunction:", set_function),
              IS("setMaxTotalThreadsPerThreadgroup:", set_number)),
      NULL, NULL);
CLASS(MTLCommandQueue, METHODS(IS("commandBuffer", command_buffer)), NULL, NULL);
CLASS(MTLCommandBuffer,
      METHODS(IS("computeCommandEncoder", plain_encoder),
              IS("computeCommandEncoderWithDescriptor:", encoder_with),
              IS("blitCommandEncoder", plain_encoder), IS("commit", commit),
              IS("waitUntilCompleted", wait_for), IS("status", status), IS("error", error_of),
              IS("GPUStartTime", start_time), IS("GPUEndTime", end_time)),
      NULL, free_commands);
CLASS(MTLEncoder,
      METHODS(IS("setComputePipelineState:", set_pipeline),
              IS("setBuffer:offset:atIndex:", set_buffer),
              IS("setBytes:length:atIndex:", set_bytes),
              IS("dispatchThreadgroups:threadsPerThreadgroup:", dispatch),
              IS("copyFromBuffer:sourceOffset:toBuffer:destinationOffset:size:", copy),
              IS("endEncoding", end_encoding)),
      NULL, free_encoder);
CLASS(MTLBuffer, METHODS(IS("contents", contents)), NULL, NULL);
CLASS(MTLCounterSet, METHODS(IS("name", set_name)), NULL, NULL);
CLASS(MTLCounterSampleBufferDescriptor,
      METHODS(IS("setCounterSet:", hold_first), IS("setStorageMode:", set_storage),
              IS("setSampleCount:", set_number)),
      NULL, NULL);
CLASS(MTLSamples, METHODS(IS("resolveCounterRange:", resolve)), NULL, NULL);
CLASS(MTLComputePassDescriptor, METHODS(IS("sampleBufferAttachments", first_held)),
      METHODS(IS("computePassDescriptor", compute_pass)), NULL);
CLASS(MTLAttachments, METHODS(IS("objectAtIndexedSubscript:", attachment_at)), NULL, NULL);
CLASS(MTLAttachment,
      METHODS(IS("setSampleBuffer:", hold_first), IS("setStartOfEncoderSampleIndex:", set_number),
              IS("setEndOfEncoderSampleIndex:", set_end)),
      NULL, NULL);
CLASS(MTLCaptureManager,
      METHODS(IS("supportsDestination:", supports_destination),
              IS("startCaptureWithDescriptor:error:", start_capture),
              IS("stopCapture", stop_capture)),
      METHODS(IS("sharedCaptureManager", shared_capture)), NULL);
CLASS(MTLCaptureDescriptor,
      METHODS(IS("setCaptureObject:", hold_first), IS("setDestination:", set_destination),
              IS("setOutputURL:", set_url)),
      NULL, NULL);

fake_class *const fake_classes[] = {&NSString,
                                    &NSURL,
                                    &NSProcessInfo,
                                    &MTLCompileOptions,
                                    &MTLComputePipelineDescriptor,
                                    &MTLCounterSampleBufferDescriptor,
                                    &MTLComputePassDescriptor,
                                    &MTLCaptureManager,
                                    &MTLCaptureDescriptor,
                                    NULL};
