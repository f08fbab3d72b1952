/* Writes protobuf's wire format into strings, field by field. Nothing is checked. */
#ifndef WN_TESTS_ONNX_WRITE_PROTOBUF_H
#define WN_TESTS_ONNX_WRITE_PROTOBUF_H

#include "base/mem.h"

static inline str pb_begin(arena *a) {
  str s;
  str_init(&s, a);
  str_addn(&s, "", 0);
  return s;
}

static inline void pb_varint(str *s, uint64_t v) {
  char bytes[10];
  size_t n = 0;
  for (; v >= 128; v >>= 7) bytes[n++] = (char)(v | 128);
  bytes[n++] = (char)v;
  str_addn(s, bytes, n);
}

static inline void pb_tag(str *s, int field, int wire) {
  pb_varint(s, (uint64_t)field << 3 | (uint64_t)wire);
}

static inline void pb_int(str *s, int field, int64_t v) {
  pb_tag(s, field, 0);
  pb_varint(s, (uint64_t)v);
}

static inline void pb_bytes(str *s, int field, const void *bytes, size_t n) {
  pb_tag(s, field, 2);
  pb_varint(s, n);
  str_addn(s, bytes, n);
}

static inline void pb_text(str *s, int field, const char *text) {
  pb_bytes(s, field, text, strlen(text));
}

static inline void pb_message(str *s, int field, const str *inner) {
  pb_bytes(s, field, inner->data, inner->len);
}

/* Fixed 4 or 8 bytes, on a machine whose numbers have the order of the wire. */
static inline void pb_float(str *s, int field, float x) {
  pb_tag(s, field, 5);
  str_addn(s, (const char *)&x, sizeof x);
}

static inline void pb_double(str *s, int field, double x) {
  pb_tag(s, field, 1);
  str_addn(s, (const char *)&x, sizeof x);
}

/* Varints, packed. */
static inline void pb_ints(str *s, int field, int n, const int64_t *values) {
  str packed = pb_begin(s->arena);
  for (int i = 0; i < n; ++i) pb_varint(&packed, (uint64_t)values[i]);
  pb_message(s, field, &packed);
}

#endif
