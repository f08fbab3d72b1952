/* The encoder of stb's PNG writer: one block of fixed codes. It is at hand, and sources shrink to a quarter with it. The
 * decoder is that of its PNG reader. */
#include "pack.h"

#include <limits.h>

#define STBI_NO_STDIO
#include <stb/stb_image.h>

/* cli/stb.c has it, though its header does not say so. */
unsigned char *stbi_zlib_compress(unsigned char *data, int data_len, int *out_len, int quality);

const unsigned char *pack_zlib(arena *a, const void *bytes, size_t size, size_t *packed) {
  enum { QUALITY = 16 }; /* how many earlier places are looked at */
  if (size > INT_MAX) diag_fail(a->diag, WN_ERR_NOMEM, "%zu bytes are too many to pack", size);
  int length = 0;
  unsigned char *data = /* which only reads the bytes */
      stbi_zlib_compress((void *)(uintptr_t)bytes, (int)size, &length, QUALITY);
  const unsigned char *volatile copy = NULL;
  volatile wn_status status = WN_ERR_NOMEM;
  if (data != NULL) {
    DIAG_TRY(a->diag, status) { copy = arena_copy(a, data, (size_t)length); }
    DIAG_END(a->diag, status)
    mem_free(data);
  }
  if (copy == NULL) diag_fail(a->diag, status, "no memory to pack %zu bytes", size);
  *packed = (size_t)length;
  return copy;
}

bool pack_inflate(const void *bytes, size_t size, void *to, size_t room) {
  enum { BEHIND = 4 }; /* bytes that the decoder looks at before it sees that the data has ended */
  if (size > INT_MAX - BEHIND || room > INT_MAX) return false;
  char *copy = mem_alloc(size + BEHIND);
  if (copy == NULL) return false;
  memcpy(copy, bytes, size);
  memset(copy + size, 0, BEHIND);
  int got = stbi_zlib_decode_noheader_buffer(to, (int)room, copy, (int)size + BEHIND);
  mem_free(copy);
  return got == (int)room;
}

uint32_t pack_crc32(uint32_t c, const void *bytes, size_t size) {
  const unsigned char *p = bytes;
  uint32_t table[256];
  for (uint32_t i = 0; i < 256; ++i) {
    table[i] = i;
    for (int b = 0; b < 8; ++b)
      table[i] = table[i] >> 1 ^ (table[i] & 1 ? UINT32_C(0xedb88320) : 0);
  }
  c = ~c;
  for (size_t i = 0; i < size; ++i) c = c >> 8 ^ table[(c ^ p[i]) & 255];
  return ~c;
}
