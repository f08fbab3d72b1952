/* Metal's queue: launches are encoded into command buffers, which are committed now and then.
 *
 * In: kernels and where their arrays are. Out: work on the device, its errors, and when it ran. Always holds: the queue
 * runs command buffers in order and an encoder its launches one behind the other, so nothing else orders them; a
 * command buffer is looked at when it is done, so each error is told once.
 *
 * A stamped launch is an encoder of its own with a counter sample at either end where the device has them; elsewhere it
 * is a command buffer of its own, whose GPUStartTime and GPUEndTime are the stamps. Samples are in ticks: the device
 * tells its clock and the CPU's at the same time, once when it is opened and again when stamps are asked for, which
 * gives the rate of the one in the other. Both kinds of stamps are then seconds of the same clock. */
#include "base/text.h"
#include "backend/metal/metal.h"

#include <stdarg.h>
#include <stdio.h>

enum {
  COMMIT_AFTER = 64, /* launches, so that the device does not wait for all of them to be encoded */
  STATUS_COMPLETED = 4,
  SAMPLE_AT_STAGES = 0,
  CAPTURE_TO_FILE = 2
};

const char *metal_error(metal_device *m, const char *format, ...) {
  va_list args;
  va_start(args, format);
  text_vformat(m->text, sizeof m->text, format, args);
  va_end(args);
  for (char *c = m->text; *c; ++c) {
    if (*c == '\n') *c = ' ';
  }
  return m->text;
}

/* --- command buffers -------------------------------------------------------------------------- */

static void end_encoder(metal_device *m) {
  mtl_end_encoding(&m->api, m->encoder);
  mtl_release(&m->api, m->encoder);
  m->encoder = NULL;
}

/* Waits for the oldest one. */
static const char *collect(metal_device *m) {
  metal_sent s = m->sent[m->first_sent];
  const char *error = NULL;
  m->first_sent = (m->first_sent + 1) % METAL_IN_FLIGHT;
  --m->sent_count;
  mtl_wait_until_completed(&m->api, s.commands);
  if (mtl_status(&m->api, s.commands) != STATUS_COMPLETED)
    error = metal_error(m, "the device failed: %s",
                        metal_reason(&m->api, mtl_error(&m->api, s.commands)));
  if (s.stamp >= 0)
    m->stamps[s.stamp] = (metal_stamp){.start = mtl_gpu_start_time(&m->api, s.commands),
                                       .end = mtl_gpu_end_time(&m->api, s.commands)};
  mtl_release(&m->api, s.commands);
  return error;
}

/* Commits what was encoded, if anything was. An error is one of earlier work. */
static const char *commit(metal_device *m, int stamp) {
  const char *error = NULL;
  if (m->commands == NULL) return NULL;
  end_encoder(m);
  mtl_commit(&m->api, m->commands);
  if (m->sent_count == METAL_IN_FLIGHT) error = collect(m);
  int at = (m->first_sent + m->sent_count++) % METAL_IN_FLIGHT;
  m->sent[at] = (metal_sent){.commands = m->commands, .stamp = stamp};
  m->commands = NULL;
  m->encoded = 0;
  return error;
}

static const char *open_commands(metal_device *m) {
  if (m->commands == NULL) m->commands = mtl_retain(&m->api, mtl_command_buffer(&m->api, m->queue));
  return m->commands != NULL ? NULL : metal_error(m, "the device gives no command buffer");
}

/* samples: an attached stamp, or -1. */
static const char *open_encoder(metal_device *m, int stamp) {
  const metal_api *api = &m->api;
  if (m->encoder != NULL && stamp < 0) return NULL;
  const char *error = open_commands(m);
  if (error != NULL) return error;
  end_encoder(m);
  objc_id encoder;
  if (stamp < 0) {
    encoder = mtl_compute_encoder(api, m->commands);
  } else {
    objc_id pass = mtl_compute_pass(api, api->get_class("MTLComputePassDescriptor"));
    objc_id attached = mtl_attachment_at(api, mtl_sample_attachments(api, pass), 0);
    mtl_set_sample_buffer(api, attached, m->samples);
    mtl_set_start_index(api, attached, 2 * (objc_uint)stamp);
    mtl_set_end_index(api, attached, 2 * (objc_uint)stamp + 1);
    encoder = mtl_compute_encoder_with(api, m->commands, pass);
  }
  m->encoder = mtl_retain(api, encoder);
  return m->encoder != NULL ? NULL : metal_error(m, "the device gives no command encoder");
}

const char *metal_finish(void *device) {
  metal_device *m = device;
  void *pool = m->api.pool_push();
  const char *error = commit(m, -1);
  while (m->sent_count > 0) {
    const char *next = collect(m);
    if (error == NULL) error = next;
  }
  m->api.pool_pop(pool);
  return error;
}

const char *metal_copy(metal_device *m, objc_id from, size_t from_offset, objc_id to,
                       size_t to_offset, size_t bytes) {
  const metal_api *api = &m->api;
  const char *error = open_commands(m);
  if (error != NULL) return error;
  end_encoder(m);
  m->encoder = mtl_retain(api, mtl_blit_encoder(api, m->commands));
  if (m->encoder == NULL) return metal_error(m, "the device gives no command encoder");
  mtl_copy(api, m->encoder, from, from_offset, to, to_offset, bytes);
  return metal_finish(m);
}

/* --- samples ---------------------------------------------------------------------------------- */

/* The counters that tell the time, or nil. */
static objc_id time_counters(const metal_device *m) {
  const metal_api *api = &m->api;
  objc_id sets = mtl_counter_sets(api, m->device);
  for (objc_uint i = 0, count = mtl_count(api, sets); i < count; ++i) {
    objc_id set = mtl_object_at(api, sets, i);
    const char *name = mtl_utf8(api, mtl_name(api, set));
    if (name != NULL && strcmp(name, "timestamp") == 0) return set;
  }
  return NULL;
}

/* Counters came with macOS 11, a device need not have them, and a process may have a few buffers of samples only: what
 * cannot be had is done without. */
static void open_samples(metal_device *m) {
  const metal_api *api = &m->api;
  if (m->timed) return;
  m->timed = true;
  if (!mtl_responds_to(api, m->device, api->selector[SELECTOR_supports_sampling]) ||
      !mtl_supports_sampling(api, m->device, SAMPLE_AT_STAGES))
    return;
  objc_id set = time_counters(m), error = NULL;
  objc_id wanted = set != NULL ? metal_make(api, "MTLCounterSampleBufferDescriptor") : NULL;
  if (wanted == NULL) return;
  mtl_set_counter_set(api, wanted, set);
  mtl_set_storage_mode(api, wanted, 0); /* shared */
  mtl_set_sample_count(api, wanted, 2 * METAL_SAMPLED);
  m->samples = mtl_new_samples(api, m->device, wanted, &error);
  mtl_release(api, wanted);
  if (m->samples != NULL) mtl_sample_timestamps(api, m->device, &m->cpu_clock, &m->gpu_clock);
}

/* --- launching -------------------------------------------------------------------------------- */

static bool room_for(metal_device *m, int stamp) {
  if (stamp < m->stamp_count) return true;
  int count = stamp < 64 ? 64 : 2 * stamp;
  metal_stamp *grown = mem_realloc(m->stamps, (size_t)count * sizeof *grown);
  if (grown == NULL) return false;
  for (int i = m->stamp_count; i < count; ++i) grown[i] = (metal_stamp){0};
  m->stamps = grown;
  m->stamp_count = count;
  return true;
}

/* The arguments as the kernels declare them: the arrays, then
 *     struct launch_args { long first; long offset[arrays]; }    offsets in elements
 */
static void encode(metal_device *m, const metal_kernel *k, const device_arg *args, int64_t begin,
                   int64_t end) {
  const metal_api *api = &m->api;
  int64_t launch[1 + METAL_BUFFERS] = {begin};
  mtl_set_pipeline(api, m->encoder, k->pipeline);
  for (int i = 0; i < k->nargs; ++i) {
    mtl_set_buffer(api, m->encoder, args[i].block, 0, (objc_uint)i);
    launch[1 + i] = args[i].offset / k->element[i];
  }
  objc_uint bytes = (1 + (objc_uint)k->nargs) * sizeof *launch;
  mtl_set_bytes(api, m->encoder, launch, bytes, (objc_uint)k->nargs);
  mtl_dispatch(api, m->encoder, (metal_size){(objc_uint)(end - begin), 1, 1},
               (metal_size){k->group, 1, 1});
  ++m->encoded;
}

static const char *launch_stamped(metal_device *m, const metal_kernel *k, const device_arg *args,
                                  int64_t begin, int64_t end, int stamp) {
  open_samples(m);
  bool sampled = m->samples != NULL && stamp < METAL_SAMPLED;
  if (!room_for(m, stamp)) return metal_error(m, "no memory for the times of kernels");
  const char *error = sampled ? NULL : commit(m, -1);
  if (error == NULL) error = open_encoder(m, sampled ? stamp : -1);
  if (error != NULL) return error;
  encode(m, k, args, begin, end);
  m->stamps[stamp] = (metal_stamp){.sampled = sampled};
  if (!sampled) return commit(m, stamp);
  end_encoder(m); /* the next launch is not part of it */
  return NULL;
}

const char *metal_launch(void *device, const backend_kernel *kernel, const device_arg *args,
                         int64_t begin, int64_t end, int stamp) {
  metal_device *m = device;
  const metal_kernel *k = kernel->code;
  if (begin >= end && stamp < 0) return NULL;
  void *pool = m->api.pool_push();
  const char *error;
  if (stamp >= 0) {
    error = launch_stamped(m, k, args, begin, end, stamp);
  } else {
    error = open_encoder(m, -1);
    if (error == NULL) encode(m, k, args, begin, end);
  }
  if (error == NULL && m->encoded >= COMMIT_AFTER) error = commit(m, -1);
  m->api.pool_pop(pool);
  return error;
}

/* --- stamps ----------------------------------------------------------------------------------- */

void metal_queue_close(metal_device *m) {
  if (m->commands != NULL) { /* never to run, but an encoder has to be ended */
    end_encoder(m);
    mtl_release(&m->api, m->commands);
    m->commands = NULL;
  }
  while (m->sent_count > 0) collect(m);
  if (m->capturing) metal_capture(m, NULL);
  mtl_release(&m->api, m->samples);
}

/* Seconds of the CPU's clock at a tick of the device's. */
static double seconds_at(const metal_device *m, double rate, uint64_t tick) {
  double since =
      tick >= m->gpu_clock ? (double)(tick - m->gpu_clock) : -(double)(m->gpu_clock - tick);
  return ((double)m->cpu_clock + since * rate) * 1e-9;
}

static const char *read_samples(metal_device *m, int stamp) {
  const metal_api *api = &m->api;
  static const char refused[] = "the device has no times for a kernel";
  objc_id data = mtl_resolve(api, m->samples, (metal_range){2 * (objc_uint)stamp, 2});
  const void *bytes = mtl_bytes(api, data);
  uint64_t tick[2], cpu = 0, gpu = 0;
  if (bytes == NULL || mtl_length(api, data) < sizeof tick) return metal_error(m, refused);
  memcpy(tick, bytes, sizeof tick);
  if (tick[0] == UINT64_MAX || tick[1] == UINT64_MAX || tick[0] > tick[1])
    return metal_error(m, refused);
  mtl_sample_timestamps(api, m->device, &cpu, &gpu);
  double rate = gpu > m->gpu_clock && cpu > m->cpu_clock
                    ? (double)(cpu - m->cpu_clock) / (double)(gpu - m->gpu_clock)
                    : 1;
  m->stamps[stamp] =
      (metal_stamp){.start = seconds_at(m, rate, tick[0]), .end = seconds_at(m, rate, tick[1])};
  return NULL;
}

const char *metal_stamps(void *device, int stamp, double *start, double *end) {
  metal_device *m = device;
  WN_CHECK(stamp >= 0 && stamp < m->stamp_count, "stamp %d was not launched", stamp);
  const char *error = NULL;
  if (m->stamps[stamp].sampled) {
    void *pool = m->api.pool_push();
    error = read_samples(m, stamp);
    m->api.pool_pop(pool);
  }
  *start = m->stamps[stamp].start;
  *end = m->stamps[stamp].end;
  return error;
}

/* --- capture ---------------------------------------------------------------------------------- */

static const char *start_capture(metal_device *m, objc_id manager, const char *path) {
  const metal_api *api = &m->api;
  objc_id error = NULL;
  if (!mtl_supports_destination(api, manager, CAPTURE_TO_FILE))
    return metal_error(m,
                       "Metal writes no captures in this process: start it with "
                       "METAL_CAPTURE_ENABLED=1 in the environment");
  objc_id wanted = metal_make(api, "MTLCaptureDescriptor");
  objc_id url = mtl_file_url(api, api->get_class("NSURL"), metal_string(api, path));
  mtl_set_capture_object(api, wanted, m->device);
  mtl_set_destination(api, wanted, CAPTURE_TO_FILE);
  mtl_set_output_url(api, wanted, url);
  m->capturing = mtl_start_capture(api, manager, wanted, &error);
  mtl_release(api, wanted);
  return m->capturing
             ? NULL
             : metal_error(m, "cannot capture to %.200s: %s", path, metal_reason(api, error));
}

const char *metal_capture(void *device, const char *path) {
  metal_device *m = device;
  const char *error = NULL;
  void *pool = m->api.pool_push();
  objc_id manager = mtl_shared_capture(&m->api, m->api.get_class("MTLCaptureManager"));
  if (m->capturing) {
    error = metal_finish(m);
    mtl_stop_capture(&m->api, manager);
    m->capturing = false;
  }
  if (path != NULL && error == NULL) error = start_capture(m, manager, path);
  m->api.pool_pop(pool);
  return error;
}
