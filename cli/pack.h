/* Bytes made smaller, as browsers unpack them (DecompressionStream, "deflate"), and the other way; checksums. */
#ifndef WINNOW_CLI_PACK_H
#define WINNOW_CLI_PACK_H

#include "base/mem.h"

/* A zlib stream (RFC 1950) in the arena; a report_pack_fn. */
const unsigned char *pack_zlib(arena *a, const void *bytes, size_t size, size_t *packed);
/* Of raw deflate data (RFC 1951) into to[0..room); false where it is none or does not fill it, or where
 * there is no memory. */
bool pack_inflate(const void *bytes, size_t size, void *to, size_t room);
/* The checksum of PNG, zip and gzip; of more bytes after those that gave c, which is 0 at first. */
uint32_t pack_crc32(uint32_t c, const void *bytes, size_t size);

#endif
