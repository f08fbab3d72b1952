/* Protobuf's wire format (protobuf.dev/programming-guides/encoding), read into structs by tables of fields.
 *
 * In: bytes, and a table for each kind of message: numbers of fields, what they are, and where they go. Out: structs
 * whose texts and lists are in the arena; spans stay in the bytes. A message is walked twice, to count and to fill, so
 * lists have their size at once, and what lies in a span is not touched.
 * Always holds: nothing outside the bytes is read, whatever lengths say; memory is in proportion to the bytes; messages
 * nest at most as deep as the reader says. Errors are WN_ERR_USAGE, one line with the offset. Fields that a table does
 * not have are skipped; a field that has another type on the wire than its row says is an error. */
#ifndef WN_ONNX_WIRE_H
#define WN_ONNX_WIRE_H

#include "base/mem.h"

typedef struct wire_span {
  const unsigned char *at, *end; /* at NULL: there is none */
} wire_span;

typedef struct wire_reader {
  arena *arena;
  const char *what; /* of the bytes, for errors: "net.onnx" */
  wire_span all;
  int depth, max_depth; /* of messages */
} wire_reader;

typedef enum wire_kind {
  WIRE_INT64,         /* int64_t */
  WIRE_INT32,         /* int; enums, too */
  WIRE_FLOAT,         /* float */
  WIRE_TEXT,          /* const char *, "" where there is none */
  WIRE_OPTIONAL_TEXT, /* const char *, NULL where there is none */
  WIRE_BYTES,         /* wire_span */
  WIRE_MESSAGE,       /* pointer to a struct; twice in a message is an error */
  WIRE_LISTS, /* from here on lists, a pointer and an int that counts; numbers are packed or not */
  WIRE_INT64S = WIRE_LISTS,
  WIRE_FLOATS,
  WIRE_DOUBLES,
  WIRE_TEXTS,
  WIRE_MESSAGES
} wire_kind;

#define WIRE_NOWHERE   ((size_t)-1)
#define WIRE_MAX_ROWS  24
#define WIRE_MAX_DRAFT 320 /* bytes */

typedef struct wire_message wire_message;

typedef struct wire_field {
  unsigned number;
  const char *name;
  wire_kind kind;
  size_t
      at; /* offset in the struct; WIRE_NOWHERE: a list that is only counted, messages not looked into */
  size_t
      count; /* offset of an int: of a list its length, else 1 where the field is there; WIRE_NOWHERE */
  const wire_message *of; /* of messages */
} wire_field;

struct wire_message {
  const char *name; /* NodeProto */
  size_t size;      /* of the struct */
  int fields;
  const wire_field *field;
  /* What fields are read into is a draft of `draft` bytes, of which `finish` makes the struct; 0: it is the struct, and
   * finish, if there is one, gets it as both. `in` are the message's bytes, for wire_numbers. */
  size_t draft;
  void (*finish)(wire_reader *r, wire_span in, void *draft, void *to);
};

/* Reads a message; `to` is zeroed memory of m->size bytes. */
void wire_read(wire_reader *r, const wire_message *m, wire_span in, void *to);

/* What wire_numbers writes: integers of so many bytes, from lo to hi (of 8 bytes: any); floats and doubles as they are. */
typedef struct wire_number {
  size_t size;
  int64_t lo, hi;
} wire_number;

/* The numbers of a list that was only counted, as often as they were. */
void wire_numbers(wire_reader *r, wire_span in, const wire_field *field, const wire_number *as,
                  void *to);

/* Fails with a line that names the bytes, the offset of `at` in them, and the reason. */
_Noreturn void wire_fail(const wire_reader *r, const unsigned char *at, const char *format, ...)
    WN_PRINTF(3, 4);

#endif
