/* See wire.h. A field is a tag (number and type on the wire, a varint), then a varint, 4 or 8 bytes, or a length and as
 * many bytes. Groups, which protobuf gave up before ONNX began, are refused. */
#include "onnx/wire.h"
#include "base/text.h"

#include <limits.h>

typedef enum wire_type { VARINT, FIXED64, LENGTH, GROUP, END_GROUP, FIXED32, WIRE_TYPES } wire_type;

enum { LITTLE_ENDIAN_HOST = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ };

/* One field as it stands in the bytes. */
typedef struct wire_item {
  uint64_t number;
  wire_type type;
  uint64_t value;          /* of VARINT, FIXED32 and FIXED64 */
  wire_span bytes;         /* of LENGTH */
  const unsigned char *at; /* its tag */
} wire_item;

void wire_fail(const wire_reader *r, const unsigned char *at, const char *format, ...) {
  char reason[512];
  va_list args;
  va_start(args, format);
  text_vformat(reason, sizeof reason, format, args);
  va_end(args);
  diag_fail(r->arena->diag, WN_ERR_USAGE, "%.300s: at byte %zu: %s", r->what,
            (size_t)(at - r->all.at), reason);
}

static size_t left(wire_span s) { return (size_t)(s.end - s.at); }

/* What is missing at the end of the bytes was cut off; inside, a length is wrong. */
static const char *cut(const wire_reader *r, wire_span in) {
  return in.end == r->all.end ? "; it is truncated" : "";
}

static uint64_t read_varint(const wire_reader *r, wire_span *in) {
  uint64_t value = 0;
  const unsigned char *start = in->at;
  for (int shift = 0; in->at < in->end; shift += 7) {
    unsigned char byte = *in->at++;
    if (shift == 63 && byte > 1) wire_fail(r, start, "a varint of more than 64 bits");
    value |= (uint64_t)(byte & 127) << shift;
    if (byte < 128) return value;
  }
  wire_fail(r, start, "a varint goes past the end of its message%s", cut(r, *in));
}

/* n bytes, little-endian. */
static uint64_t read_fixed(const wire_reader *r, wire_span *in, size_t n) {
  if (left(*in) < n)
    wire_fail(r, in->at, "%zu bytes of a number, %zu are left in its message%s", n, left(*in),
              cut(r, *in));
  uint64_t value = 0;
  for (size_t i = 0; i < n; ++i) value |= (uint64_t)in->at[i] << 8 * i;
  in->at += n;
  return value;
}

static const wire_field *find_row(const wire_message *m, uint64_t number) {
  for (int i = 0; i < m->fields; ++i)
    if (m->field[i].number == number) return &m->field[i];
  return NULL;
}

/* "NodeProto.name" or "field 77 of NodeProto", for errors. */
static const char *item_name(const wire_reader *r, const wire_message *m, uint64_t number) {
  const wire_field *f = find_row(m, number);
  return f != NULL
             ? arena_printf(r->arena, "%s.%s", m->name, f->name)
             : arena_printf(r->arena, "field %llu of %s", (unsigned long long)number, m->name);
}

/* The next field of message m in `in`; false at its end. */
static bool next_item(const wire_reader *r, const wire_message *m, wire_span *in, wire_item *out) {
  if (in->at == in->end) return false;
  *out = (wire_item){.at = in->at};
  uint64_t tag = read_varint(r, in);
  out->number = tag >> 3;
  out->type = (wire_type)(tag & 7);
  if (out->number == 0 || out->number > 0x1fffffff)
    wire_fail(r, out->at, "%s with a field number of %llu, which protobuf does not have", m->name,
              (unsigned long long)out->number);
  if (out->type == GROUP || out->type == END_GROUP || out->type >= WIRE_TYPES)
    wire_fail(r, out->at, "%s is of wire type %d, which ONNX does not use",
              item_name(r, m, out->number), (int)out->type);
  if (out->type != LENGTH) {
    out->value =
        out->type == VARINT ? read_varint(r, in) : read_fixed(r, in, out->type == FIXED32 ? 4 : 8);
    return true;
  }
  uint64_t length = read_varint(r, in);
  if (length > left(*in))
    wire_fail(r, out->at, "%s says that it has %llu bytes, %zu are left in its message%s",
              item_name(r, m, out->number), (unsigned long long)length, left(*in), cut(r, *in));
  out->bytes = (wire_span){in->at, in->at + length};
  in->at += length;
  return true;
}

/* --- what rows say ----------------------------------------------------------------------------- */

static wire_type type_of(wire_kind kind) {
  switch (kind) {
    case WIRE_INT64:
    case WIRE_INT32:
    case WIRE_INT64S:
      return VARINT;
    case WIRE_FLOAT:
    case WIRE_FLOATS:
      return FIXED32;
    case WIRE_DOUBLES:
      return FIXED64;
    default:
      return LENGTH;
  }
}

static size_t element_size(const wire_field *f) {
  switch (f->kind) {
    case WIRE_INT64S:
      return sizeof(int64_t);
    case WIRE_FLOATS:
      return sizeof(float);
    case WIRE_DOUBLES:
      return sizeof(double);
    case WIRE_TEXTS:
      return sizeof(char *);
    default:
      return f->of->size;
  }
}

static bool is_numbers(wire_kind kind) {
  return kind == WIRE_INT64S || kind == WIRE_FLOATS || kind == WIRE_DOUBLES;
}

/* How many elements of a list an item has: one, or those that are packed in it. */
static size_t count_in(const wire_reader *r, const wire_message *m, const wire_field *f,
                       const wire_item *item) {
  wire_type type = type_of(f->kind);
  if (type == LENGTH || item->type == type) return 1;
  size_t bytes = left(item->bytes), width = type == FIXED32 ? 4 : 8, n = 0;
  if (type != VARINT) {
    if (bytes % width != 0)
      wire_fail(r, item->at, "%s.%s has %zu bytes of numbers of %zu bytes", m->name, f->name, bytes,
                width);
    return bytes / width;
  }
  for (const unsigned char *at = item->bytes.at; at < item->bytes.end; ++at) n += *at < 128;
  return n; /* where the last does not end, filling says so */
}

static void check_type(const wire_reader *r, const wire_message *m, const wire_field *f,
                       const wire_item *item) {
  wire_type type = type_of(f->kind);
  if (item->type == type || (item->type == LENGTH && is_numbers(f->kind))) return;
  static const char *const names[] = {[VARINT] = "an integer",
                                      [FIXED64] = "8 bytes",
                                      [LENGTH] = "a text or a message",
                                      [FIXED32] = "4 bytes"};
  wire_fail(r, item->at, "%s.%s is %s, expected %s", m->name, f->name, names[item->type],
            names[type]);
}

/* --- values ------------------------------------------------------------------------------------ */

static float to_float(uint64_t bits) {
  uint32_t low = (uint32_t)bits;
  float x;
  memcpy(&x, &low, sizeof x);
  return x;
}

static const char *read_text(const wire_reader *r, const wire_message *m, const wire_field *f,
                             const wire_item *item) {
  size_t n = left(item->bytes);
  if (n == 0) return "";
  char *text = arena_alloc(r->arena, n + 1);
  memcpy(text, item->bytes.at, n);
  size_t at = 0, step = 1;
  while (at < n && text[at] != '\0' && step != 0) at += step = text_sequence(text + at);
  if (at < n)
    wire_fail(r, item->bytes.at + at, "%s.%s %s", m->name, f->name,
              text[at] == '\0' ? "has a NUL inside" : "is not UTF-8");
  return text;
}

static int read_int32(const wire_reader *r, const wire_message *m, const wire_field *f,
                      const wire_item *item) {
  int64_t value = (int64_t)item->value;
  if (value < INT32_MIN || value > INT32_MAX)
    wire_fail(r, item->at, "%s.%s is %lld, which does not fit 32 bits", m->name, f->name,
              (long long)value);
  return (int)value;
}

/* One number of a list, or all that are packed in an item, from to[0] on; returns how many. */
static size_t read_numbers(const wire_reader *r, const wire_field *f, const wire_item *item,
                           const wire_number *as, unsigned char *to) {
  wire_type type = type_of(f->kind);
  bool packed = item->type == LENGTH;
  wire_span in = item->bytes;
  unsigned char *first = to;
  if (packed && type != VARINT && LITTLE_ENDIAN_HOST) {
    if (left(in) > 0) memcpy(to, in.at, left(in));
    return left(in) / as->size;
  }
  do {
    const unsigned char *at = packed ? in.at : item->at;
    if (packed && in.at == in.end) break;
    uint64_t value = !packed          ? item->value
                     : type == VARINT ? read_varint(r, &in)
                                      : read_fixed(r, &in, as->size);
    int64_t number = (int64_t)value;
    if (type == VARINT && as->size < 8 && (number < as->lo || number > as->hi))
      wire_fail(r, at, "%s has %lld, its tensor's type ends at %lld", f->name, (long long)number,
                (long long)(number < as->lo ? as->lo : as->hi));
    uint8_t v8 = (uint8_t)value;
    uint16_t v16 = (uint16_t)value;
    uint32_t v32 = (uint32_t)value;
    const void *from = as->size == 8   ? (const void *)&value
                       : as->size == 4 ? (const void *)&v32
                       : as->size == 2 ? (const void *)&v16
                                       : (const void *)&v8;
    memcpy(to, from, as->size);
    to += as->size;
  } while (packed);
  return (size_t)(to - first) / as->size;
}

void wire_numbers(wire_reader *r, wire_span in, const wire_field *field, const wire_number *as,
                  void *to) {
  const wire_message m = {.name = field->name, .fields = 1, .field = field};
  unsigned char *next = to;
  for (wire_item item; next_item(r, &m, &in, &item);)
    if (item.number == field->number) next += as->size * read_numbers(r, field, &item, as, next);
}

/* --- messages ---------------------------------------------------------------------------------- */

/* A struct on the way from a message. */
typedef struct filling {
  const wire_message *m;
  unsigned char *to;
  size_t count[WIRE_MAX_ROWS]; /* of a list's elements; then of those that are filled */
} filling;

static void *place(const filling *x, const wire_field *f) { return x->to + f->at; }

static void set_count(const wire_reader *r, const filling *x, const wire_field *f, size_t n,
                      wire_span in) {
  if (n > INT_MAX) wire_fail(r, in.at, "%s.%s has %zu elements", x->m->name, f->name, n);
  int count = (int)n;
  if (f->count != WIRE_NOWHERE) memcpy(x->to + f->count, &count, sizeof count);
}

/* Memory for the lists, and what texts are where there is none. */
static void make_room(const wire_reader *r, filling *x, wire_span in) {
  const char *none = "";
  for (int i = 0; i < x->m->fields; ++i) {
    const wire_field *f = &x->m->field[i];
    size_t n = x->count[i];
    set_count(r, x, f, f->kind >= WIRE_LISTS ? n : n > 0, in);
    if (f->kind == WIRE_MESSAGE && n > 1)
      wire_fail(r, in.at, "%s.%s is there %zu times", x->m->name, f->name, n);
    if (f->kind == WIRE_TEXT) memcpy(place(x, f), &none, sizeof none);
    x->count[i] = 0;
    if (f->kind < WIRE_LISTS || f->at == WIRE_NOWHERE || n == 0) continue;
    void *list = arena_alloc(r->arena, n * element_size(f));
    memcpy(place(x, f), &list, sizeof list);
  }
}

/* An element of a list, as read_numbers and others fill it. */
static void *next_element(filling *x, const wire_field *f, size_t n) {
  unsigned char *list;
  size_t *filled = &x->count[f - x->m->field];
  memcpy(&list, place(x, f), sizeof list);
  list += *filled * element_size(f);
  *filled += n;
  return list;
}

static void fill_list(wire_reader *r, filling *x, const wire_field *f, const wire_item *item) {
  if (f->at == WIRE_NOWHERE) return;
  if (is_numbers(f->kind)) {
    const wire_number as = {.size = element_size(f)};
    void *to = next_element(x, f, 0);
    next_element(x, f, read_numbers(r, f, item, &as, to));
    return;
  }
  void *to = next_element(x, f, 1);
  if (f->kind == WIRE_MESSAGES) {
    wire_read(r, f->of, item->bytes, to);
  } else {
    const char *text = read_text(r, x->m, f, item);
    memcpy(to, &text, sizeof text);
  }
}

static void fill(wire_reader *r, filling *x, const wire_field *f, const wire_item *item) {
  if (f->kind >= WIRE_LISTS) {
    fill_list(r, x, f, item);
    return;
  }
  void *to = place(x, f);
  if (f->kind == WIRE_INT64) {
    memcpy(to, &item->value, sizeof item->value);
  } else if (f->kind == WIRE_INT32) {
    int value = read_int32(r, x->m, f, item);
    memcpy(to, &value, sizeof value);
  } else if (f->kind == WIRE_FLOAT) {
    float value = to_float(item->value);
    memcpy(to, &value, sizeof value);
  } else if (f->kind == WIRE_BYTES) {
    memcpy(to, &item->bytes, sizeof item->bytes);
  } else if (f->kind == WIRE_MESSAGE) {
    void *message = arena_alloc(r->arena, f->of->size);
    memcpy(to, &message, sizeof message);
    wire_read(r, f->of, item->bytes, message);
  } else {
    const char *text = read_text(r, x->m, f, item);
    memcpy(to, &text, sizeof text);
  }
}

static void read_fields(wire_reader *r, const wire_message *m, wire_span in, void *to) {
  filling x = {.m = m, .to = to};
  wire_item item;
  WN_CHECK(m->fields <= WIRE_MAX_ROWS, "%s has %d fields", m->name, m->fields);
  for (wire_span s = in; next_item(r, m, &s, &item);) {
    const wire_field *f = find_row(m, item.number);
    if (f == NULL) continue;
    check_type(r, m, f, &item);
    x.count[f - m->field] += f->kind < WIRE_LISTS ? 1 : count_in(r, m, f, &item);
  }
  make_room(r, &x, in);
  for (wire_span s = in; next_item(r, m, &s, &item);) {
    const wire_field *f = find_row(m, item.number);
    if (f != NULL) fill(r, &x, f, &item);
  }
}

/* In a function of its own, so that only messages that need a draft have it on the stack. */
static void read_draft(wire_reader *r, const wire_message *m, wire_span in, void *to) {
  _Alignas(16) unsigned char draft[WIRE_MAX_DRAFT];
  WN_CHECK(m->draft <= sizeof draft, "a draft of %s has %zu bytes", m->name, m->draft);
  memset(draft, 0, m->draft);
  read_fields(r, m, in, draft);
  m->finish(r, in, draft, to);
}

void wire_read(wire_reader *r, const wire_message *m, wire_span in, void *to) {
  if (++r->depth > r->max_depth)
    wire_fail(r, in.at, "%s is nested more than %d messages deep", m->name, r->max_depth);
  if (m->draft != 0) {
    read_draft(r, m, in, to);
  } else {
    read_fields(r, m, in, to);
    if (m->finish != NULL) m->finish(r, in, to, to);
  }
  --r->depth;
}
