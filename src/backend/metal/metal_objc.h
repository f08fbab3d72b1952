/* Apple's Metal from C: the Objective-C runtime and the frameworks, opened at run time.
 *
 * In: nothing. Out: a function for each method of metal_methods.def, mtl_NAME(api, receiver, ...). Always holds:
 * nothing of Apple's is needed to compile this, so it is the same text that runs on macOS and that is tested elsewhere;
 * a message to nil does nothing and gives 0, as in Objective-C.
 *
 * The runtime's objc_msgSend jumps to the method with the registers as they are, so it has to be called as a function
 * of just the method's type, which the casts below do. */
#ifndef WN_BACKEND_METAL_METAL_OBJC_H
#define WN_BACKEND_METAL_METAL_OBJC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct objc_object *objc_id;
typedef struct objc_selector *objc_sel;
typedef signed char objc_bool;   /* BOOL: on ARM it is bool, which 0 and 1 are passed alike as */
typedef unsigned long objc_uint; /* NSUInteger */
typedef long objc_int;           /* NSInteger */

typedef struct metal_size { /* MTLSize */
  objc_uint width, height, depth;
} metal_size;
typedef struct metal_range { /* NSRange */
  objc_uint location, length;
} metal_range;

#define M0(type, name, text)             SELECTOR_##name,
#define M1(type, name, text, a)          SELECTOR_##name,
#define M2(type, name, text, a, b)       SELECTOR_##name,
#define M3(type, name, text, a, b, c)    SELECTOR_##name,
#define M4(type, name, text, a, b, c, d) SELECTOR_##name,
#define V0(name, text)                   SELECTOR_##name,
#define V1(name, text, a)                SELECTOR_##name,
#define V2(name, text, a, b)             SELECTOR_##name,
#define V3(name, text, a, b, c)          SELECTOR_##name,
#define V5(name, text, a, b, c, d, e)    SELECTOR_##name,
enum {
#include "backend/metal/metal_methods.def"
  METAL_SELECTORS
};

enum { METAL_LIBRARIES = 4 };

typedef struct metal_api {
  void *library[METAL_LIBRARIES];
  void (*send)(void); /* objc_msgSend, of whatever type the method has */
  objc_id (*get_class)(const char *name);
  void *(*pool_push)(void);
  void (*pool_pop)(void *pool);
  objc_id (*default_device)(void); /* owned by the caller, or nil */
  objc_id (*all_devices)(void);    /* an array, owned by the caller */
  objc_sel selector[METAL_SELECTORS];
} metal_api;

/* NULL, or what is missing, in `why`; then there is nothing to close. */
const char *metal_api_open(metal_api *api, char *why, size_t size);
void metal_api_close(metal_api *api);

#define METAL_AS(type, ...) ((type(*)(__VA_ARGS__))api->send)
#define M0(type, name, text)                                                        \
  static inline type mtl_##name(const metal_api *api, objc_id self) {               \
    return METAL_AS(type, objc_id, objc_sel)(self, api->selector[SELECTOR_##name]); \
  }
#define M1(type, name, text, A)                                                           \
  static inline type mtl_##name(const metal_api *api, objc_id self, A a) {                \
    return METAL_AS(type, objc_id, objc_sel, A)(self, api->selector[SELECTOR_##name], a); \
  }
#define M2(type, name, text, A, B)                                                              \
  static inline type mtl_##name(const metal_api *api, objc_id self, A a, B b) {                 \
    return METAL_AS(type, objc_id, objc_sel, A, B)(self, api->selector[SELECTOR_##name], a, b); \
  }
#define M3(type, name, text, A, B, C)                                                             \
  static inline type mtl_##name(const metal_api *api, objc_id self, A a, B b, C c) {              \
    return METAL_AS(type, objc_id, objc_sel, A, B, C)(self, api->selector[SELECTOR_##name], a, b, \
                                                      c);                                         \
  }
#define M4(type, name, text, A, B, C, D)                                                          \
  static inline type mtl_##name(const metal_api *api, objc_id self, A a, B b, C c, D d) {         \
    return METAL_AS(type, objc_id, objc_sel, A, B, C, D)(self, api->selector[SELECTOR_##name], a, \
                                                         b, c, d);                                \
  }
#define V0(name, text)                                                       \
  static inline void mtl_##name(const metal_api *api, objc_id self) {        \
    METAL_AS(void, objc_id, objc_sel)(self, api->selector[SELECTOR_##name]); \
  }
#define V1(name, text, A)                                                          \
  static inline void mtl_##name(const metal_api *api, objc_id self, A a) {         \
    METAL_AS(void, objc_id, objc_sel, A)(self, api->selector[SELECTOR_##name], a); \
  }
#define V2(name, text, A, B)                                                             \
  static inline void mtl_##name(const metal_api *api, objc_id self, A a, B b) {          \
    METAL_AS(void, objc_id, objc_sel, A, B)(self, api->selector[SELECTOR_##name], a, b); \
  }
#define V3(name, text, A, B, C)                                                                \
  static inline void mtl_##name(const metal_api *api, objc_id self, A a, B b, C c) {           \
    METAL_AS(void, objc_id, objc_sel, A, B, C)(self, api->selector[SELECTOR_##name], a, b, c); \
  }
#define V5(name, text, A, B, C, D, E)                                                            \
  static inline void mtl_##name(const metal_api *api, objc_id self, A a, B b, C c, D d, E e) {   \
    METAL_AS(void, objc_id, objc_sel, A, B, C, D, E)(self, api->selector[SELECTOR_##name], a, b, \
                                                     c, d, e);                                   \
  }
#include "backend/metal/metal_methods.def"
#undef METAL_AS

/* An instance of the class, owned by the caller; nil where this system has no such class. */
static inline objc_id metal_make(const metal_api *api, const char *class_name) {
  return mtl_new(api, api->get_class(class_name));
}
/* The text as an NSString, until the pool is popped. */
static inline objc_id metal_string(const metal_api *api, const char *text) {
  return mtl_string_with(api, api->get_class("NSString"), text);
}
/* What an NSError says; "no reason was given" for nil. Until the pool is popped. */
const char *metal_reason(const metal_api *api, objc_id error);

#endif
