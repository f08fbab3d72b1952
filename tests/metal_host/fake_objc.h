/* A stand-in for the Objective-C runtime: classes as tables of methods, counted objects, autorelease pools, and an
 * objc_msgSend that jumps to a method with the registers as they are.
 *
 * Always holds: what Apple's runtime would crash on stops the test with a line that says what it was: a message that an
 * object does not understand, one to an object that is gone, one release too many, an autorelease without a pool. */
#ifndef TEST_FAKE_OBJC_H
#define TEST_FAKE_OBJC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct object object;
typedef struct fake_sel *fake_sel;
typedef struct fake_method {
  const char *selector;
  void (*function)(void); /* (object *self, fake_sel, ...) */
} fake_method;
typedef struct fake_class fake_class;

enum { HELD = 6 };

/* Every object has the same fields, whatever its class. */
struct object {
  const fake_class *isa;
  long retains;       /* 0: gone, kept to be recognised */
  object *next;       /* of all that were ever made */
  object *held[HELD]; /* retained */
  char *text;         /* of strings, names, functions */
  char *data;         /* of buffers and collections, freed with the object */
  size_t size;        /* of data, or a number that the class keeps */
  size_t number[4];
  double time[2];
  void *code; /* of libraries, functions and pipelines; borrowed */
};

struct fake_class {
  object head; /* a class is an object too: its isa is NULL */
  const char *name;
  const fake_method *methods, *class_methods; /* up to one without a selector */
  void (*dealloc)(object *self);              /* or NULL */
};

/* The classes of fake_metal.c, up to NULL. */
extern fake_class *const fake_classes[];

object *fake_new(const fake_class *c); /* owned by the caller */
object *fake_retain(object *o);
void fake_release(object *o);
object *fake_autorelease(object *o);
void fake_hold(object *o, int at, object *held); /* retains held, releases what was there */
object *fake_array(int count, object *const *items);
_Noreturn void fake_stop(const char *format, ...);
bool fake_is(const object *o, const char *class_name);

#endif
