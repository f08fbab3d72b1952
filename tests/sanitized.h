/* Which sanitizers this was compiled with, as gcc and clang say it: 0 or 1 each. */
#ifndef WN_TESTS_SANITIZED_H
#define WN_TESTS_SANITIZED_H

#include <stdbool.h>
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#endif
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#endif
#if defined(__SANITIZE_ADDRESS__)
#define ADDRESS_SANITIZER 1
#endif
#ifndef THREAD_SANITIZER
#define THREAD_SANITIZER 0
#endif
#ifndef ADDRESS_SANITIZER
#define ADDRESS_SANITIZER 0
#endif

/* The quick tier under AddressSanitizer: what has been run whole without it is run in part. */
static inline bool in_part(void) { return ADDRESS_SANITIZER && getenv("WINNOW_LONG") == NULL; }

#endif
