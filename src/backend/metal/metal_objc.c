/* Opens the Objective-C runtime and Metal; see metal_objc.h. */
#include "backend/metal/metal_objc.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "base/fork.h"

/* A command line program gets a default device only with CoreGraphics in the process. The tests have libraries of their
 * own. */
#ifndef WN_METAL_LIBRARIES
#define WN_METAL_LIBRARIES                                                                   \
  {"/usr/lib/libobjc.A.dylib", "/System/Library/Frameworks/Foundation.framework/Foundation", \
   "/System/Library/Frameworks/CoreGraphics.framework/CoreGraphics",                         \
   "/System/Library/Frameworks/Metal.framework/Metal"}
#endif
static const char *const libraries[METAL_LIBRARIES] = WN_METAL_LIBRARIES;

#define M0(type, name, text)             text,
#define M1(type, name, text, a)          text,
#define M2(type, name, text, a, b)       text,
#define M3(type, name, text, a, b, c)    text,
#define M4(type, name, text, a, b, c, d) text,
#define V0(name, text)                   text,
#define V1(name, text, a)                text,
#define V2(name, text, a, b)             text,
#define V3(name, text, a, b, c)          text,
#define V5(name, text, a, b, c, d, e)    text,
static const char *const selectors[METAL_SELECTORS] = {
#include "backend/metal/metal_methods.def"
};

/* Any of the libraries may define a symbol. POSIX lets a function be read from the object pointer that dlsym returns.
 * */
static bool find(const metal_api *api, const char *symbol, void *function, char *why, size_t size) {
  void *found = NULL;
  for (int i = 0; i < METAL_LIBRARIES && found == NULL; ++i) found = dlsym(api->library[i], symbol);
  if (found == NULL) snprintf(why, size, "%s is not to be found on this system", symbol);
  memcpy(function, &found, sizeof found);
  return found != NULL;
}

static bool open_libraries(metal_api *api, char *why, size_t size) {
  for (int i = 0; i < METAL_LIBRARIES; ++i) {
    api->library[i] = dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL);
    if (api->library[i] != NULL) continue;
    const char *reason = dlerror();
    snprintf(why, size, "%s cannot be opened: %s", libraries[i], reason != NULL ? reason : "");
    return false;
  }
  return true;
}

const char *metal_api_open(metal_api *api, char *why, size_t size) {
  static _Atomic unsigned owner;
  objc_sel (*register_name)(const char *) = NULL;
  memset(api, 0, sizeof *api);
  if (!fork_claim(&owner)) {
    snprintf(why, size, "Metal was in use before fork(), and does not work in a child process");
    return why;
  }
  if (!open_libraries(api, why, size) || !find(api, "objc_msgSend", &api->send, why, size) ||
      !find(api, "sel_registerName", &register_name, why, size) ||
      !find(api, "objc_getClass", &api->get_class, why, size) ||
      !find(api, "objc_autoreleasePoolPush", &api->pool_push, why, size) ||
      !find(api, "objc_autoreleasePoolPop", &api->pool_pop, why, size) ||
      !find(api, "MTLCreateSystemDefaultDevice", &api->default_device, why, size) ||
      !find(api, "MTLCopyAllDevices", &api->all_devices, why, size)) {
    metal_api_close(api);
    return why;
  }
  for (int i = 0; i < METAL_SELECTORS; ++i) api->selector[i] = register_name(selectors[i]);
  return NULL;
}

/* Frameworks stay in the process once they are in it; closing only gives the handles back. */
void metal_api_close(metal_api *api) {
  for (int i = METAL_LIBRARIES; i-- > 0;) {
    if (api->library[i] != NULL) dlclose(api->library[i]);
    api->library[i] = NULL;
  }
}

const char *metal_reason(const metal_api *api, objc_id error) {
  const char *text = mtl_utf8(api, mtl_localized_description(api, error));
  return text != NULL && *text ? text : "no reason was given";
}
