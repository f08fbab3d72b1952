/* In: structs of another version. Out: structs of this one, and back; see sized.h. A row of the table is a struct, the
 * macro that makes one, and the last field that its first version had. */
#include <string.h>

#include "winnow/winnow.h"

#include "base/sized.h"

#define SIZED(type, macro, last)                                                                  \
  {offsetof(type, last) + sizeof(((type *)0)->last), sizeof(type),                                \
   #type ".size is not that of any " #type ": start from " #macro "() or set it to sizeof(" #type \
         ")",                                                                                     \
   "fields of " #type " are set that winnow " WN_VERSION_STRING                                   \
   " does not have: it is older than the program that calls it",                                  \
   "there is nowhere to write to: " #type " is NULL"}

const sized sized_conv_params = SIZED(wn_conv_params, WN_CONV_PARAMS, groups);
const sized sized_options = SIZED(wn_options, WN_OPTIONS, plan_only);
const sized sized_tune_options = SIZED(wn_tune_options, WN_TUNE_OPTIONS, user);
const sized sized_program_info = SIZED(wn_program_info, WN_PROGRAM_INFO, identity);
const sized sized_kernel_info = SIZED(wn_kernel_info, WN_KERNEL_INFO, bytes);
const sized sized_site_info = SIZED(wn_site_info, WN_SITE_INFO, bytes);
const sized sized_slot_info = SIZED(wn_slot_info, WN_SLOT_INFO, data);
const sized sized_model_options = SIZED(wn_model_options, WN_MODEL_OPTIONS, free_shapes);
const sized sized_model_info = SIZED(wn_model_info, WN_MODEL_INFO, weight_bytes);
const sized sized_value = SIZED(wn_value, WN_VALUE, dim);
const sized sized_tune_result = SIZED(wn_tune_result, WN_TUNE_RESULT, not_stored);

static size_t lesser(size_t a, size_t b) { return a < b ? a : b; }

const char *sized_in(const sized *of, void *to, const void *from) {
  memset(to, 0, of->now);
  if (from != NULL) {
    size_t size = *(const size_t *)from;
    const unsigned char *bytes = from;
    if (size < of->first) return of->unset;
    for (size_t i = of->now; i < size; ++i)
      if (bytes[i] != 0) return of->newer;
    memcpy(to, from, lesser(size, of->now));
  }
  *(size_t *)to = of->now;
  return NULL;
}

const char *sized_out(const sized *of, void *to, const void *from) {
  if (to == NULL) return of->nowhere;
  size_t size = *(const size_t *)to;
  if (size < of->first) return of->unset;
  if (from != NULL)
    memcpy(to, from, lesser(size, of->now));
  else
    memset(to, 0, lesser(size, of->now));
  *(size_t *)to = size;
  return NULL;
}
