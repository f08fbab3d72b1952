/* What winnow keeps on disk between runs: compiled kernels, tuned plans, limits of the machine.
 *
 * In: a kind, a key and bytes. Out: the same bytes, in this process or a later one. One SQLite file
 * in $WINNOW_CACHE, else $XDG_CACHE_HOME/winnow, else ~/.cache/winnow; WINNOW_CACHE set to nothing
 * turns it off.
 * Always holds: nothing here fails a compile. A store that cannot be opened, read or written is one
 * warning line and a store that has nothing; waiting for other processes ends after a fraction of a
 * second. A value is what was put under exactly this kind and key by this version of winnow: whole
 * keys are compared, and a value whose checksum is wrong is not there. Folder and file must belong
 * to the user and be writable by nobody else, since what is loaded from them is executed. */
#ifndef WN_STORE_STORE_H
#define WN_STORE_STORE_H

#include "base/mem.h"
#include "machine/machine.h"

typedef struct store store; /* used by one thread at a time; in a child process it has nothing */

#define STORE_KERNELS "kernels"
#define STORE_PLANS   "plans"
#define STORE_MACHINE "machine"

#define STORE_LIMIT   (256 << 20) /* bytes of the file */

/* NULL where the store is off (`off`, WINNOW_CACHE empty) or cannot be used; every function below
 * takes NULL as a store without anything in it. Warnings go through d, which outlives it. */
store *store_open(diag *d, bool off);
void store_close(store *s);

/* The value in arena a (aligned for any type), or NULL. A diag_fail for lack of memory leaves a store that can only be
 * closed: whoever catches it closes it. */
const void *store_get(store *s, arena *a, const char *kind, const void *key, size_t key_size,
                      size_t *size);
/* Replaces what was there; false: not kept. Over the limit what was not asked for longest is dropped, large values
 * before small ones. */
bool store_put(store *s, const char *kind, const void *key, size_t key_size, const void *value,
               size_t size);
typedef struct store_entry {
  const void *key;
  size_t key_size;
  const void *value;
  size_t size;
} store_entry;
/* The same for several at once, which waits for the disk once; false: not all were kept. */
bool store_put_all(store *s, const char *kind, int count, const store_entry *entries);
/* Drops one value, or all of a kind where key is NULL. False: it could not be. */
bool store_remove(store *s, const char *kind, const void *key, size_t key_size);

/* Keys are any bytes; text is usual. The store adds winnow's version and its own format by itself. This adds
 * what makes measurements and machine code of one CPU useless on another: instruction set, features, model, caches. */
void store_add_machine(str *key, const machine *m);

/* --- for people: `winnow cache` --------------------------------------------------------------- */

/* The file, in arena a; NULL where the store is off, with *why. It need not exist. */
const char *store_path(arena *a, const char **why);

typedef struct store_kind {
  const char *kind;
  int64_t entries, bytes; /* keys and values */
} store_kind;
/* What is in it, by kind, in alphabetical order; *count 0 for nothing. */
const store_kind *store_kinds(store *s, arena *a, int *count);
/* Removes the file, whatever it is or holds. False: diag's message says why not. Nothing there is true. */
bool store_clear(diag *d);

/* Another limit than STORE_LIMIT. For tests. */
void store_set_limit(store *s, int64_t bytes);

#endif
