/* The backends that there are: one table, which the runtime, the command line and messages read.
 *
 * In: what stood behind --backend. Out: a backend. Always holds: the first is what is taken where none is named, and
 * one of them interprets. */
#ifndef WN_BACKEND_REGISTRY_H
#define WN_BACKEND_REGISTRY_H

#include "backend/backend.h"

typedef struct backend_row {
  /* that --backend takes for it: another than the backend's own where it stands for one not built */
  const char *name;
  const backend *backend;
  const char *note; /* a warning for who asks for this name, or NULL */
} backend_row;

int registry_count(void);
const backend_row *registry_row(int i);
const backend_row *registry_default(void);
const backend *registry_reference(void); /* the interpreter */
/* By its name, alone or with a colon and what else the backend takes, which is *spec, else NULL; NULL: there is none. A
 * name that is NULL is the default's. */
const backend_row *registry_find(const char *name, const char **spec);
/* The backend alone. */
const backend *registry_backend(const char *name);
/* The row's backend, with a warning where there is one; diag_fail with a list of what there is. */
const backend *registry_choose(diag *d, const char *name, const char **spec);

/* "cpu, cpu:cc, interp, opencl and metal" of the names, with this word before the last; with specs "opencl[:P:D]". */
const char *registry_names(char *out, size_t size, const char *last, bool specs);
/* May the backend be asked for this instruction set? NULL: may any? */
bool registry_knows_isa(const backend *b, const char *isa);

/* For the handler of a signal that ends the process, of a program that owns it: whatever backends have outside of it
 * goes. Calls only what a handler may. */
void registry_abandon(void);

/* Until it is called with NULL one more row is behind the others. For tests, which have one thread then. */
void registry_add(const backend_row *row);

#endif
