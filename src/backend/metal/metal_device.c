/* Apple's Metal: devices and their memory.
 *
 * In: the number of a device, or none for the system's default. Out: an open device. Always holds: where the device
 * shares the machine's memory its arrays are read and written in place; where it does not they are private to it and go
 * through a staging buffer. Either waits for what was queued before. */
#include "base/text.h"
#include "backend/metal/metal.h"

#include <stdio.h>
#include <stdlib.h>

enum { STORAGE_SHARED = 0, STORAGE_PRIVATE = 2 << 4 }; /* MTLResourceOptions */
static const size_t STAGING_BYTES = (size_t)8 << 20;

/* --- opening ---------------------------------------------------------------------------------- */

/* The number, or -1 for none. */
static long device_number(diag *d, const char *spec) {
  if (spec == NULL || *spec == '\0') return -1;
  char *end;
  long n = strtol(spec, &end, 10);
  if (*end || end == spec || n < 0 || n > 255)
    diag_fail(d, WN_ERR_USAGE, "metal:%.40s: expected the number of a device, as metal:0", spec);
  return n;
}

/* The device, owned by the caller; nil with how many there are. */
static objc_id find_device(const metal_api *api, long number, objc_uint *count) {
  objc_id found = number < 0 ? api->default_device() : NULL;
  if (found != NULL) return found;
  objc_id all = api->all_devices();
  *count = mtl_count(api, all);
  objc_uint wanted = number < 0 ? 0 : (objc_uint)number;
  if (wanted < *count) found = mtl_retain(api, mtl_object_at(api, all, wanted));
  mtl_release(api, all);
  return found;
}

static const char *utf8_or(const metal_api *api, objc_id string, const char *otherwise) {
  const char *text = mtl_utf8(api, string);
  return text != NULL ? text : otherwise;
}

/* Matrices of simdgroups came with Apple's seventh family (M1); others have none, nor simdgroups of 32 for certain. */
static bool multiplies_matrices(const metal_device *m) {
  enum { FAMILY_APPLE7 = 1007 };
  const metal_api *api = &m->api;
  return mtl_responds_to(api, m->device, api->selector[SELECTOR_supports_family]) &&
         mtl_supports_family(api, m->device, FAMILY_APPLE7);
}

static void describe(metal_device *m, const char *isa, machine *t) {
  const metal_api *api = &m->api;
  objc_id process = mtl_process_info(api, api->get_class("NSProcessInfo"));
  snprintf(m->version, sizeof m->version, "macOS %s",
           utf8_or(api, mtl_system_version(api, process), "of unknown version"));
  metal_typical(t, isa);
  snprintf(t->model, sizeof t->model, "%s", utf8_or(api, mtl_name(api, m->device), "Metal device"));
  t->driver = m->version; /* drivers come with the system */
  t->local_bytes = mtl_max_threadgroup_memory(api, m->device);
  t->memory = mtl_working_set(api, m->device);
  if (!multiplies_matrices(m)) t->matrix = 0;
}

/* Fills in the device; false: not there, with `count` devices. */
static bool open_device(metal_device *m, long number, const char *isa, machine *target,
                        objc_uint *count) {
  void *pool = m->api.pool_push();
  m->device = find_device(&m->api, number, count);
  m->queue = mtl_new_queue(&m->api, m->device);
  if (m->queue != NULL) {
    m->unified = mtl_has_unified_memory(&m->api, m->device);
    describe(m, isa, target);
  }
  m->api.pool_pop(pool);
  return m->queue != NULL;
}

void metal_close(void *device) {
  metal_device *m = device;
  if (m == NULL) return;
  void *pool = m->api.pool_push();
  metal_queue_close(m);
  mtl_release(&m->api, m->staging);
  mtl_release(&m->api, m->queue);
  mtl_release(&m->api, m->device);
  m->api.pool_pop(pool);
  metal_api_close(&m->api);
  mem_free(m->stamps);
  mem_free(m);
}

void *metal_open(diag *d, host *h, const char *spec, const char *isa, machine *target) {
  (void)h;
  long number = device_number(d, spec);
  metal_check_isa(d, isa);
  metal_device *m = mem_alloc(sizeof *m);
  if (m == NULL) diag_fail(d, WN_ERR_NOMEM, "out of memory while opening Metal");
  memset(m, 0, sizeof *m);
  char why[256];
  if (metal_api_open(&m->api, why, sizeof why) != NULL) {
    mem_free(m);
    diag_fail(d, WN_ERR_DEVICE, "there is no Metal here: %s", why);
  }
  objc_uint count = 0;
  if (open_device(m, number, isa, target, &count)) return m;
  bool found = m->device != NULL;
  metal_close(m);
  if (found) diag_fail(d, WN_ERR_DEVICE, "the Metal device gives no command queue");
  if (number < 0 || count == 0) diag_fail(d, WN_ERR_DEVICE, "this machine has no Metal device");
  diag_fail(d, WN_ERR_USAGE, "metal:%ld does not exist: there %s %lu, from metal:0", number,
            count == 1 ? "is" : "are", count);
}

/* --- listing ---------------------------------------------------------------------------------- */

static void list_devices(const metal_api *api, arena *a, device_info *list, objc_id all,
                         int count) {
  for (int i = 0; i < count; ++i) {
    objc_id device = mtl_object_at(api, all, (objc_uint)i);
    list[i] =
        (device_info){.spec = arena_printf(a, "%d", i),
                      .name = arena_strdup(a, utf8_or(api, mtl_name(api, device), "Metal device")),
                      .platform = "Metal",
                      .version = "",
                      .kind = "gpu",
                      .memory = mtl_working_set(api, device),
                      .local_bytes = mtl_max_threadgroup_memory(api, device),
                      .group = METAL_GROUP};
  }
}

int metal_list(diag *d, arena *a, const device_info **out, const char **why) {
  metal_api api;
  char reason[256];
  if (metal_api_open(&api, reason, sizeof reason) != NULL) {
    *why = arena_printf(a, "there is no Metal here: %s", reason);
    return 0;
  }
  void *pool = api.pool_push();
  objc_id all = api.all_devices();
  int count = (int)mtl_count(&api, all);
  device_info *volatile list = NULL;
  wn_status st;
  DIAG_TRY(d, st) {
    list = arena_array(a, device_info, count + 1);
    list_devices(&api, a, list, all, count);
  }
  DIAG_END(d, st)
  mtl_release(&api, all);
  api.pool_pop(pool);
  metal_api_close(&api);
  if (st != WN_OK) diag_fail(d, st, "out of memory while listing the Metal devices");
  *out = list;
  if (count == 0) *why = "this machine has no Metal device";
  return count;
}

/* --- memory ----------------------------------------------------------------------------------- */

void *metal_alloc(void *device, size_t bytes) {
  metal_device *m = device;
  if (bytes > mtl_max_buffer_length(&m->api, m->device)) return NULL;
  void *pool = m->api.pool_push();
  objc_uint storage = m->unified ? STORAGE_SHARED : STORAGE_PRIVATE;
  objc_id buffer = mtl_new_buffer(&m->api, m->device, bytes > 16 ? bytes : 16, storage);
  m->api.pool_pop(pool);
  return buffer;
}

void metal_free(void *device, void *block) {
  metal_device *m = device;
  mtl_release(&m->api, block);
}

static char *staging_of(metal_device *m) {
  if (m->staging == NULL)
    m->staging = mtl_new_buffer(&m->api, m->device, STAGING_BYTES, STORAGE_SHARED);
  return mtl_contents(&m->api, m->staging);
}

static const char *write_staged(metal_device *m, objc_id block, size_t offset, const char *from,
                                size_t bytes) {
  char *staging = staging_of(m);
  if (staging == NULL) return metal_error(m, "no memory to write to the device through");
  for (size_t at = 0; at < bytes;) {
    size_t part = bytes - at < STAGING_BYTES ? bytes - at : STAGING_BYTES;
    memcpy(staging, from + at, part);
    const char *error = metal_copy(m, m->staging, 0, block, offset + at, part);
    if (error != NULL) return error;
    at += part;
  }
  return NULL;
}

static const char *read_staged(metal_device *m, objc_id block, size_t offset, char *to,
                               size_t bytes) {
  char *staging = staging_of(m);
  if (staging == NULL) return metal_error(m, "no memory to read from the device through");
  for (size_t at = 0; at < bytes;) {
    size_t part = bytes - at < STAGING_BYTES ? bytes - at : STAGING_BYTES;
    const char *error = metal_copy(m, block, offset + at, m->staging, 0, part);
    if (error != NULL) return error;
    memcpy(to + at, staging, part);
    at += part;
  }
  return NULL;
}

const char *metal_write(void *device, void *block, size_t offset, const void *from, size_t bytes) {
  metal_device *m = device;
  void *pool = m->api.pool_push();
  const char *error = metal_finish(m);
  if (error == NULL && m->unified)
    memcpy((char *)mtl_contents(&m->api, block) + offset, from, bytes);
  else if (error == NULL)
    error = write_staged(m, block, offset, from, bytes);
  m->api.pool_pop(pool);
  return error;
}

const char *metal_read(void *device, void *block, size_t offset, void *to, size_t bytes) {
  metal_device *m = device;
  void *pool = m->api.pool_push();
  const char *error = metal_finish(m);
  if (error == NULL && m->unified)
    memcpy(to, (const char *)mtl_contents(&m->api, block) + offset, bytes);
  else if (error == NULL)
    error = read_staged(m, block, offset, to, bytes);
  m->api.pool_pop(pool);
  return error;
}
