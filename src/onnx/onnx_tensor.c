/* Tensors of a file: TensorProto's fields, checked against each other. Elements are in raw_data, left where they are;
 * or typed, in the list of numbers that the element's type has, decoded; or in a file beside the model.
 *
 * Always holds, of a tensor that was read: dims are not negative and their product fits; elements that are in the file
 * are as many as the shape says. */
#include "onnx/onnx_tensor.h"

/* Lists of typed elements; their rows come first in the table. */
typedef enum typed_list { FLOATS, INT32S, STRINGS, INT64S, DOUBLES, UINT64S, LISTS } typed_list;

typedef struct tensor_draft {
  const int64_t *dims;
  const char *name;
  wire_span raw;
  const struct entry *external;
  int ndim, type, segments, externals, is_external, typed[LISTS];
} tensor_draft;

/* StringStringEntryProto */
typedef struct entry {
  const char *key, *value;
} entry;

static const wire_field entry_rows[] = {
    ONNX_ONE(entry, 1, key, TEXT, key),
    ONNX_ONE(entry, 2, value, TEXT, value),
};
static const wire_message entry_message = {
    .name = "StringStringEntryProto", .size = sizeof(entry), ONNX_ROWS(entry_rows)};

static const wire_field tensor_rows[] = {
    [FLOATS] = ONNX_COUNT(tensor_draft, 4, float_data, FLOATS, typed[FLOATS]),
    [INT32S] = ONNX_COUNT(tensor_draft, 5, int32_data, INT64S, typed[INT32S]),
    [STRINGS] = ONNX_COUNT(tensor_draft, 6, string_data, TEXTS, typed[STRINGS]),
    [INT64S] = ONNX_COUNT(tensor_draft, 7, int64_data, INT64S, typed[INT64S]),
    [DOUBLES] = ONNX_COUNT(tensor_draft, 10, double_data, DOUBLES, typed[DOUBLES]),
    [UINT64S] = ONNX_COUNT(tensor_draft, 11, uint64_data, INT64S, typed[UINT64S]),
    ONNX_LIST(tensor_draft, 1, dims, INT64S, dims, ndim),
    ONNX_ONE(tensor_draft, 2, data_type, INT32, type),
    ONNX_COUNT(tensor_draft, 3, segment, MESSAGES, segments),
    ONNX_ONE(tensor_draft, 8, name, TEXT, name),
    ONNX_ONE(tensor_draft, 9, raw_data, BYTES, raw),
    ONNX_SUBS(tensor_draft, 13, external_data, external, externals, &entry_message),
    ONNX_ONE(tensor_draft, 14, data_location, INT32, is_external),
};

/* What an element is: its bytes; the list that has it when it is typed, as one number or, of complex
 * ones, two, each of so many bytes and from lo to hi. */
typedef struct type_row {
  const char *name;
  size_t size;
  typed_list list;
  wire_number number;
} type_row;

static const type_row types[] = {
    [ONNX_FLOAT] = {"float", 4, FLOATS, {4, 0, 0}},
    [ONNX_UINT8] = {"uint8", 1, INT32S, {1, 0, UINT8_MAX}},
    [ONNX_INT8] = {"int8", 1, INT32S, {1, INT8_MIN, INT8_MAX}},
    [ONNX_UINT16] = {"uint16", 2, INT32S, {2, 0, UINT16_MAX}},
    [ONNX_INT16] = {"int16", 2, INT32S, {2, INT16_MIN, INT16_MAX}},
    [ONNX_INT32] = {"int32", 4, INT32S, {4, INT32_MIN, INT32_MAX}},
    [ONNX_INT64] = {"int64", 8, INT64S, {8, 0, 0}},
    [ONNX_STRING] = {"string", 0, STRINGS, {0, 0, 0}},
    [ONNX_BOOL] = {"bool", 1, INT32S, {1, 0, UINT8_MAX}},
    [ONNX_FLOAT16] = {"float16", 2, INT32S, {2, 0, UINT16_MAX}},
    [ONNX_DOUBLE] = {"double", 8, DOUBLES, {8, 0, 0}},
    [ONNX_UINT32] = {"uint32", 4, UINT64S, {4, 0, UINT32_MAX}},
    [ONNX_UINT64] = {"uint64", 8, UINT64S, {8, 0, 0}},
    [ONNX_COMPLEX64] = {"complex64", 8, FLOATS, {4, 0, 0}},
    [ONNX_COMPLEX128] = {"complex128", 16, DOUBLES, {8, 0, 0}},
    [ONNX_BFLOAT16] = {"bfloat16", 2, INT32S, {2, 0, UINT16_MAX}},
    [ONNX_FLOAT8E4M3FN] = {"float8e4m3fn", 1, INT32S, {1, 0, UINT8_MAX}},
    [ONNX_FLOAT8E4M3FNUZ] = {"float8e4m3fnuz", 1, INT32S, {1, 0, UINT8_MAX}},
    [ONNX_FLOAT8E5M2] = {"float8e5m2", 1, INT32S, {1, 0, UINT8_MAX}},
    [ONNX_FLOAT8E5M2FNUZ] = {"float8e5m2fnuz", 1, INT32S, {1, 0, UINT8_MAX}},
    [ONNX_UINT4] = {"uint4", 0, INT32S, {1, 0, UINT8_MAX}}, /* two in a byte */
    [ONNX_INT4] = {"int4", 0, INT32S, {1, INT8_MIN, UINT8_MAX}},
};

static const type_row *find_type(int type) {
  bool known = type > 0 && (size_t)type < sizeof types / sizeof *types;
  return known && types[type].name != NULL ? &types[type] : NULL;
}

const char *onnx_type_name(arena *a, int type) {
  const type_row *row = find_type(type);
  return row != NULL ? row->name : arena_printf(a, "type %d", type);
}

size_t onnx_type_size(int type) {
  const type_row *row = find_type(type);
  return row != NULL ? row->size : 0;
}

/* --- checks ------------------------------------------------------------------------------------ */

/* "tensor 'w'", for errors. */
static const char *label(const wire_reader *r, const char *name) {
  return *name ? arena_printf(r->arena, "tensor '%.80s'", name) : "a tensor without a name";
}

/* "float[64, 3, 7, 7]", cut where there are very many. */
static const char *shape_text(const wire_reader *r, const onnx_tensor *t) {
  int shown = t->ndim < 8 ? t->ndim : 8;
  return arena_printf(r->arena, "%s%s%s", onnx_type_name(r->arena, t->type),
                      arena_shape(r->arena, shown, t->dims), shown < t->ndim ? " and more" : "");
}

/* Extents of 0 do not hide that the others overflow: strides are made of them. */
static void count_elements(const wire_reader *r, wire_span in, onnx_tensor *t) {
  int64_t product = 1;
  bool none = false;
  for (int i = 0; i < t->ndim; ++i) {
    int64_t n = t->dims[i];
    if (n < 0)
      wire_fail(r, in.at, "%s has a negative extent, %lld", label(r, t->name), (long long)n);
    none = none || n == 0;
    if (n > 0 && __builtin_mul_overflow(product, n, &product))
      wire_fail(r, in.at, "%s: the extents %s are more elements than 64 bits count",
                label(r, t->name), shape_text(r, t));
  }
  t->count = none ? 0 : product;
}

/* Bytes of the elements, where the type says it; false: it does not, or they are more than could be. */
static bool bytes_of(const onnx_tensor *t, uint64_t *bytes) {
  bool nibbles = t->type == ONNX_UINT4 || t->type == ONNX_INT4;
  uint64_t n = (uint64_t)t->count;
  *bytes = n / 2 + n % 2;
  return nibbles || !__builtin_mul_overflow(n, (uint64_t)onnx_type_size(t->type), bytes);
}

static void read_raw(const wire_reader *r, wire_span in, const tensor_draft *d, onnx_tensor *t) {
  uint64_t bytes = 0;
  t->raw = d->raw.at;
  t->raw_bytes = (size_t)(d->raw.end - d->raw.at);
  for (int i = 0; i < LISTS; ++i)
    if (d->typed[i] > 0)
      wire_fail(r, in.at, "%s has both raw_data and %s", label(r, t->name), tensor_rows[i].name);
  if (t->type == ONNX_STRING)
    wire_fail(r, in.at, "%s is of string, whose elements are not in raw_data", label(r, t->name));
  if (find_type(t->type) != NULL && (!bytes_of(t, &bytes) || bytes != t->raw_bytes))
    wire_fail(r, in.at, "%s: raw_data has %zu bytes, which does not fit %s", label(r, t->name),
              t->raw_bytes, shape_text(r, t));
}

/* Decodes the numbers of a list; the one list that there is must be the type's. */
static void read_typed(wire_reader *r, wire_span in, const tensor_draft *d, const type_row *row,
                       onnx_tensor *t) {
  for (int i = 0; i < LISTS; ++i)
    if (d->typed[i] > 0 && i != (int)row->list)
      wire_fail(r, in.at, "%s is of %s, whose elements are not in %s", label(r, t->name), row->name,
                tensor_rows[i].name);
  uint64_t bytes = 0, have = (uint64_t)d->typed[row->list];
  bool strings = row->list == STRINGS, known = bytes_of(t, &bytes);
  uint64_t need = strings ? (uint64_t)t->count : known ? bytes / row->number.size : 0;
  if (!known || have != need)
    wire_fail(r, in.at, "%s: %s has %llu, which does not fit %s", label(r, t->name),
              tensor_rows[row->list].name, (unsigned long long)have, shape_text(r, t));
  if (strings) return;
  unsigned char *elements =
      arena_alloc(r->arena, (size_t)bytes + 1); /* not empty, for no elements */
  wire_numbers(r, in, &tensor_rows[row->list], &row->number, elements);
  for (uint64_t i = 0; t->type == ONNX_BOOL && i < bytes; ++i) elements[i] = elements[i] != 0;
  t->typed = elements;
}

/* A number of bytes in the text of an entry. */
static uint64_t read_bytes(const wire_reader *r, wire_span in, const onnx_tensor *t,
                           const entry *e) {
  uint64_t value = 0;
  const char *c = e->value;
  bool fits = *c != '\0';
  for (; fits && *c; ++c) {
    fits = *c >= '0' && *c <= '9' && !__builtin_mul_overflow(value, 10u, &value) &&
           !__builtin_add_overflow(value, (uint64_t)(*c - '0'), &value);
  }
  if (!fits)
    wire_fail(r, in.at, "%s: the %s of its external data is '%.80s', expected a number of bytes",
              label(r, t->name), e->key, e->value);
  return value;
}

static void read_external(const wire_reader *r, wire_span in, const tensor_draft *d,
                          onnx_tensor *t) {
  for (int i = 0; i < d->externals; ++i) {
    const entry *e = &d->external[i];
    if (strcmp(e->key, "location") == 0) t->location = e->value;
    if (strcmp(e->key, "offset") == 0) t->offset = read_bytes(r, in, t, e);
    if (strcmp(e->key, "length") == 0) t->length = read_bytes(r, in, t, e);
  }
  if (t->location == NULL || *t->location == '\0')
    wire_fail(r, in.at, "%s: its data is external, and no location says where", label(r, t->name));
}

static void finish_tensor(wire_reader *r, wire_span in, void *draft, void *to) {
  const tensor_draft *d = draft;
  onnx_tensor *t = to;
  *t = (onnx_tensor){.name = d->name, .type = d->type, .ndim = d->ndim, .dims = d->dims};
  t->place = arena_new(r->arena, const void *);
  if (d->segments > 0)
    wire_fail(r, in.at, "%s is a segment of a tensor, or a sequence: neither is supported",
              label(r, t->name));
  if (t->type == ONNX_UNDEFINED) wire_fail(r, in.at, "%s has no data_type", label(r, t->name));
  count_elements(r, in, t);
  if (d->is_external != 0)
    read_external(r, in, d, t);
  else if (d->raw.at < d->raw.end)
    read_raw(r, in, d, t);
  else if (find_type(t->type) != NULL)
    read_typed(r, in, d, find_type(t->type), t);
}

const wire_message onnx_tensor_message = {.name = "TensorProto",
                                          .size = sizeof(onnx_tensor),
                                          ONNX_ROWS(tensor_rows),
                                          .draft = sizeof(tensor_draft),
                                          .finish = finish_tensor};
