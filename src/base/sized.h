/* The public structs that begin with their size, between programs and libraries of different versions (winnow.h).
 *
 * In: a caller's struct, of its version of the header. Out: the same as this version's. Always holds: nothing past
 * `size` bytes of a caller's struct is read or written. Text that is returned is NULL, or one constant line for
 * WN_ERR_USAGE. A new field goes to the end of its struct, at or past the size that the struct had: no struct may end
 * in padding (tests/install/abi.sh). */
#ifndef WN_BASE_SIZED_H
#define WN_BASE_SIZED_H

#include <stddef.h>

typedef struct sized {
  size_t first, now; /* bytes of the first version of the struct, and of this one */
  const char *unset, *newer, *nowhere;
} sized;

extern const sized sized_conv_params, sized_options, sized_tune_options, sized_model_options,
    sized_value;
extern const sized sized_program_info, sized_kernel_info, sized_site_info, sized_slot_info,
    sized_tune_result, sized_model_info;

/* What the caller does not have is zero; from NULL: all of it. `to` is this version's. */
const char *sized_in(const sized *of, void *to, const void *from);
/* What the caller does not have is left out, and what only the caller has is not written. from NULL: zeros. */
const char *sized_out(const sized *of, void *to, const void *from);

#endif
