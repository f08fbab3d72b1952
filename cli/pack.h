/* Bytes made smaller, as browsers unpack them (DecompressionStream, "deflate"). */
#ifndef WINNOW_CLI_PACK_H
#define WINNOW_CLI_PACK_H

#include "base/mem.h"

/* A zlib stream (RFC 1950) in the arena; a report_pack_fn. */
const unsigned char *pack_zlib(arena *a, const void *bytes, size_t size, size_t *packed);

#endif
