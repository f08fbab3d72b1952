/* NumPy's .npz files: zip archives (PKWARE APPNOTE) whose members are .npy files, stored or deflated.
 *
 * In: bytes of an archive. Out: its arrays by name, without the ending .npy. Always holds: nothing past the end is read
 * and no member is longer than it says, whatever the archive says; checksums are right. Encrypted members, archives of
 * several files and those over 4 GiB (zip64) are refused. */
#ifndef WINNOW_CLI_NPZ_H
#define WINNOW_CLI_NPZ_H

#include "npy.h"

typedef struct npz_member {
  const char *name; /* of the array */
  npy_array array;
} npz_member;

typedef struct npz {
  int count;
  npz_member *member; /* in the order of the archive's directory */
} npz;

/* name is only for messages. Fails with WN_ERR_USAGE (contents) or WN_ERR_IO (file). */
void npz_parse(npz *out, arena *a, const char *name, const unsigned char *bytes, size_t size);
void npz_read(npz *out, arena *a, const char *path);
/* The array of that name, NULL: there is none. */
const npy_array *npz_find(const npz *in, const char *name);
/* Members are stored, and the same arrays give the same bytes. All or nothing. */
void npz_write(arena *scratch, const char *path, const npz *in);

#endif
