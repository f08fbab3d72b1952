/* ONNX's messages, written by hand: protobuf's wire format into strings, field by field. */
#ifndef WN_TESTS_ONNX_BYTES_H
#define WN_TESTS_ONNX_BYTES_H

#include "base/mem.h"

static inline str message(arena *a) {
  str s;
  str_init(&s, a);
  return s;
}

static inline void put_varint(str *m, uint64_t value) {
  for (; value > 127; value >>= 7) str_addn(m, (char[]){(char)((value & 127) | 128)}, 1);
  str_addn(m, (char[]){(char)value}, 1);
}

static inline void put_tag(str *m, unsigned field, unsigned type) {
  put_varint(m, field << 3 | type);
}

static inline void put_int(str *m, unsigned field, int64_t value) {
  put_tag(m, field, 0);
  put_varint(m, (uint64_t)value);
}

static inline void put_bytes(str *m, unsigned field, const void *bytes, size_t n) {
  put_tag(m, field, 2);
  put_varint(m, n);
  str_addn(m, bytes, n);
}

static inline void put_text(str *m, unsigned field, const char *text) {
  put_bytes(m, field, text, strlen(text));
}

static inline void put(str *m, unsigned field, const str *inner) {
  put_bytes(m, field, inner->data, inner->len);
}

/* Fixed 4 or 8 bytes, on a machine whose numbers have the order of the wire. */
static inline void put_float(str *m, unsigned field, float value) {
  put_tag(m, field, 5);
  str_addn(m, (const char *)&value, 4);
}

static inline void put_double(str *m, unsigned field, double value) {
  put_tag(m, field, 1);
  str_addn(m, (const char *)&value, 8);
}

/* Varints, packed. */
static inline void put_ints(str *m, unsigned field, int n, const int64_t *values) {
  str packed = message(m->arena);
  for (int i = 0; i < n; ++i) put_varint(&packed, (uint64_t)values[i]);
  put(m, field, &packed);
}

#endif
