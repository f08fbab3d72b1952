/* The store on disk: what was put comes back or nothing does, whatever happens to the file, the folder, the
 * environment, other processes and memory; and whatever is wrong is one warning. Damage is done through SQLite
 * itself or byte by byte, not through the store. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store.h"

enum { NOBODY = 65534 };

typedef struct fixture {
  diag d;
  arena a;
  char root[64], folder[96], file[128];
  char warned[1024]; /* the last warning */
} fixture;

static void keep_warning(void *user, const char *line) {
  fixture *f = user;
  snprintf(f->warned, sizeof f->warned, "%s", line);
}

static int setup(void **state) {
  fixture *f = mem_alloc(sizeof *f);
  if (!f) return -1;
  /* where there is no disk to wait for, if there is such a place */
  const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  *f = (fixture){0};
  snprintf(f->root, sizeof f->root, "%s/winnow-test-XXXXXX", base);
  if (!mkdtemp(f->root) || chmod(f->root, 0755) != 0) return -1;
  snprintf(f->folder, sizeof f->folder, "%s/cache", f->root);
  snprintf(f->file, sizeof f->file, "%s/cache-1.db", f->folder);
  diag_init(&f->d);
  f->d.warn = keep_warning;
  f->d.warn_user = f;
  arena_init(&f->a, &f->d);
  setenv("WINNOW_CACHE", f->folder, 1);
  alarm(120); /* waiting for ever is a failure */
  *state = f;
  return 0;
}

static int teardown(void **state) {
  fixture *f = *state;
  char command[160];
  mem_fail_at(0);
  arena_release(&f->a);
  snprintf(command, sizeof command, "chmod -R u+rwx '%s'; rm -rf '%s'", f->root, f->root);
  int status = system(command);
  mem_free(f);
  return status;
}

/* --- shorthands ------------------------------------------------------------------------------- */

static bool put(store *s, const char *key, const char *value) {
  return store_put(s, STORE_KERNELS, key, strlen(key), value, strlen(value));
}

static const char *get(fixture *f, store *s, const char *key) {
  size_t size;
  const char *value = store_get(s, &f->a, STORE_KERNELS, key, strlen(key), &size);
  if (value) assert_int_equal(strlen(value), size);
  return value;
}

static void expect(fixture *f, store *s, const char *key, const char *value) {
  const char *found = get(f, s, key);
  assert_non_null(found);
  assert_string_equal(found, value);
}

static store *opened(fixture *f) {
  store *s = store_open(&f->d, false);
  if (!s) fail_msg("no store: %s", f->warned);
  return s;
}

/* A store with one value, closed. */
static void make_store(fixture *f) {
  store *s = opened(f);
  assert_true(put(s, "key", "value"));
  store_close(s);
  assert_int_equal(f->d.warnings, 0);
}

static void expect_warning(fixture *f, const char *text) {
  if (f->d.warnings != 1) fail_msg("%d warnings, the last one: %s", f->d.warnings, f->warned);
  if (!strstr(f->warned, text)) fail_msg("'%s' is not in: %s", text, f->warned);
}

static void expect_nothing_but(fixture *f, const char *warning) {
  store *s = store_open(&f->d, false);
  assert_null(s);
  assert_null(get(f, s, "key"));
  assert_false(put(s, "key", "other"));
  assert_false(store_remove(s, STORE_KERNELS, NULL, 0));
  store_close(s);
  expect_warning(f, warning);
}

static void sql(const char *file, const char *statements) {
  sqlite3 *db;
  char *why = NULL;
  assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
  if (sqlite3_exec(db, statements, NULL, NULL, &why) != SQLITE_OK)
    fail_msg("%s: %s", statements, why);
  sqlite3_close(db);
}

static void write_bytes(const char *file, const void *bytes, size_t size) {
  FILE *out = fopen(file, "wb");
  assert_non_null(out);
  assert_int_equal(fwrite(bytes, 1, size, out), size);
  assert_int_equal(fclose(out), 0);
}

static char *read_bytes(fixture *f, const char *file, size_t *size) {
  struct stat there;
  FILE *in = fopen(file, "rb");
  assert_non_null(in);
  assert_int_equal(stat(file, &there), 0);
  *size = (size_t)there.st_size;
  char *bytes = arena_alloc(&f->a, *size + 1);
  assert_int_equal(fread(bytes, 1, *size, in), *size);
  fclose(in);
  return bytes;
}

/* Runs work in a process of its own, as somebody who is not root; what it returns is its exit status. */
static void elsewhere(fixture *f, int (*work)(fixture *)) {
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) _exit(geteuid() == 0 && setuid(NOBODY) != 0 ? 99 : work(f));
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  if (WEXITSTATUS(status) != 0) fail_msg("step %d failed", WEXITSTATUS(status));
}

static void give_away(fixture *f) {
  if (geteuid() != 0) return;
  assert_int_equal(chown(f->folder, NOBODY, NOBODY), 0);
  if (access(f->file, F_OK) == 0) assert_int_equal(chown(f->file, NOBODY, NOBODY), 0);
}

/* --- what it is for --------------------------------------------------------------------------- */

static void round_trip(void **state) {
  fixture *f = *state;
  static const char key[] = "a\0b", other[] = "a\0c", value[] = "\0\1\2\xff";
  size_t size;
  store *s = opened(f);
  assert_null(store_get(s, &f->a, STORE_KERNELS, key, sizeof key, &size));
  assert_int_equal(size, 0);
  assert_true(store_put(s, STORE_KERNELS, key, sizeof key, value, sizeof value));
  assert_true(store_put(s, STORE_PLANS, key, sizeof key, "", 0));
  store_close(s);
  s = opened(f);
  const void *found = store_get(s, &f->a, STORE_KERNELS, key, sizeof key, &size);
  assert_non_null(found);
  assert_int_equal(size, sizeof value);
  assert_memory_equal(found, value, size);
  assert_non_null(store_get(s, &f->a, STORE_PLANS, key, sizeof key, &size));
  assert_int_equal(size, 0);
  assert_null(store_get(s, &f->a, STORE_KERNELS, other, sizeof other, &size));
  assert_null(store_get(s, &f->a, STORE_KERNELS, key, sizeof key - 1, &size));
  assert_null(store_get(s, &f->a, STORE_MACHINE, key, sizeof key, &size));
  assert_true(store_put(s, STORE_KERNELS, key, sizeof key, "new", 3));
  found = store_get(s, &f->a, STORE_KERNELS, key, sizeof key, &size);
  assert_non_null(found);
  assert_int_equal(size, 3);
  assert_memory_equal(found, "new", 4); /* terminated, as text may be asked for */
  store_close(s);
  assert_int_equal(f->d.warnings, 0);
}

/* Several are put at once, but for one that is too large; and many that are old are asked for before the store is
 * closed. */
static void several(void **state) {
  enum { LIMIT = 1 << 20, MANY = 300 };
  fixture *f = *state;
  static char large[LIMIT / 2];
  char name[MANY][8];
  store_entry e[MANY];
  store *s = opened(f);
  store_set_limit(s, LIMIT);
  for (int i = 0; i < MANY; i++) {
    snprintf(name[i], sizeof name[i], "%d", i);
    e[i] = (store_entry){name[i], strlen(name[i]), name[i], sizeof name[i]};
  }
  assert_true(store_put_all(s, STORE_KERNELS, MANY, e));
  assert_false(store_put_all(s, STORE_KERNELS, 0, e));
  const store_entry some[] = {{"a", 1, "A", 1}, {"b", 1, large, sizeof large}, {"c", 1, "C", 1}};
  assert_false(store_put_all(s, STORE_PLANS, 3, some));
  size_t size;
  for (int again = 0; again < 2; again++) { /* in the second as another process */
    for (int i = 0; i < MANY; i++) {
      const void *found = store_get(s, &f->a, STORE_KERNELS, name[i], strlen(name[i]), &size);
      assert_non_null(found);
      assert_memory_equal(found, name[i], sizeof name[i]);
    }
    assert_memory_equal(store_get(s, &f->a, STORE_PLANS, "a", 1, &size), "A", 1);
    assert_null(store_get(s, &f->a, STORE_PLANS, "b", 1, &size));
    assert_memory_equal(store_get(s, &f->a, STORE_PLANS, "c", 1, &size), "C", 1);
    store_close(s);
    s = opened(f);
  }
  store_close(s);
  assert_int_equal(f->d.warnings, 0);
}

static void kinds_and_removal(void **state) {
  fixture *f = *state;
  int count;
  store *s = opened(f);
  store_kinds(s, &f->a, &count);
  assert_int_equal(count, 0);
  assert_true(put(s, "one", "12345") && put(s, "two", "1"));
  assert_true(store_put(s, STORE_PLANS, "p", 1, "xy", 2));
  const store_kind *kinds = store_kinds(s, &f->a, &count);
  assert_int_equal(count, 2);
  assert_string_equal(kinds[0].kind, STORE_KERNELS);
  assert_int_equal(kinds[0].entries, 2);
  assert_int_equal(kinds[0].bytes, 3 + 5 + 3 + 1);
  assert_string_equal(kinds[1].kind, STORE_PLANS);
  assert_int_equal(kinds[1].bytes, 3);
  assert_true(store_remove(s, STORE_KERNELS, "one", 3));
  assert_true(store_remove(s, STORE_KERNELS, "none", 4));
  assert_null(get(f, s, "one"));
  expect(f, s, "two", "1");
  assert_true(store_remove(s, STORE_KERNELS, NULL, 0));
  kinds = store_kinds(s, &f->a, &count);
  assert_int_equal(count, 1);
  assert_string_equal(kinds[0].kind, STORE_PLANS);
  assert_true(put(s, "three", "3")); /* listing leaves it as it was */
  store_close(s);
  assert_true(store_clear(&f->d));
  assert_int_not_equal(access(f->file, F_OK), 0);
  assert_true(store_clear(&f->d));
  assert_int_equal(f->d.warnings, 0);
}

/* --- where it is ------------------------------------------------------------------------------ */

static void turned_off(void **state) {
  fixture *f = *state;
  const char *why;
  int count;
  assert_null(store_open(&f->d, true));
  assert_int_not_equal(access(f->folder, F_OK), 0);
  setenv("WINNOW_CACHE", "", 1);
  assert_null(store_open(&f->d, false));
  assert_null(store_path(&f->a, &why));
  assert_non_null(strstr(why, "WINNOW_CACHE"));
  assert_null(store_kinds(NULL, &f->a, &count));
  assert_int_equal(count, 0);
  assert_true(store_clear(&f->d));
  assert_int_equal(f->d.warnings, 0);
}

static void expect_path(fixture *f, const char *below) {
  const char *why, *path = store_path(&f->a, &why);
  assert_non_null(path);
  assert_string_equal(path, arena_printf(&f->a, "%s/%s", f->root, below));
  make_store(f);
  assert_int_equal(access(path, F_OK), 0);
}

static void folders(void **state) {
  fixture *f = *state;
  const char *home = getenv("HOME"), *xdg = getenv("XDG_CACHE_HOME");
  char *old_home = home ? arena_strdup(&f->a, home) : NULL,
       *old_xdg = xdg ? arena_strdup(&f->a, xdg) : NULL;
  unsetenv("WINNOW_CACHE");
  setenv("HOME", f->root, 1);
  setenv("XDG_CACHE_HOME", arena_printf(&f->a, "%s/xdg", f->root), 1);
  expect_path(f, "xdg/winnow/cache-1.db");
  setenv("XDG_CACHE_HOME", "relative", 1); /* which the specification says to ignore */
  expect_path(f, ".cache/winnow/cache-1.db");
  unsetenv("XDG_CACHE_HOME");
  expect_path(f, ".cache/winnow/cache-1.db");
  unsetenv("HOME");
  expect_nothing_but(f, "none of WINNOW_CACHE, XDG_CACHE_HOME and HOME");
  if (old_home) setenv("HOME", old_home, 1);
  if (old_xdg) setenv("XDG_CACHE_HOME", old_xdg, 1);
}

static void no_folder(void **state) {
  fixture *f = *state;
  write_bytes(f->folder, "a file", 6);
  expect_nothing_but(f, f->folder);
  assert_non_null(strstr(f->warned, "WINNOW_CACHE"));
  f->d.warnings = 0;
  char *name = arena_alloc(&f->a, 5000);
  memset(name, 'x', 4999);
  name[0] = '/';
  setenv("WINNOW_CACHE", name, 1);
  expect_nothing_but(f, "too long");
}

/* --- whose it is ------------------------------------------------------------------------------ */

static void writable_by_others(void **state) {
  fixture *f = *state;
  make_store(f);
  assert_int_equal(chmod(f->folder, 0770), 0);
  expect_nothing_but(f, f->folder);
  assert_int_equal(chmod(f->folder, 0700), 0);
  assert_int_equal(chmod(f->file, 0646), 0);
  f->d.warnings = 0;
  expect_nothing_but(f, f->file);
  char real[160];
  snprintf(real, sizeof real, "%s-real", f->file);
  assert_int_equal(chmod(f->file, 0644), 0);
  assert_int_equal(rename(f->file, real), 0);
  assert_int_equal(symlink(real, f->file), 0);
  f->d.warnings = 0;
  expect_nothing_but(f, f->file);
  assert_int_equal(unlink(f->file), 0);
  assert_int_equal(rename(real, f->file), 0);
  store *s = opened(f);
  expect(f, s, "key", "value");
  store_close(s);
}

/* The folder itself is safe, but not its name. */
static void parent_for_everybody(void **state) {
  fixture *f = *state;
  make_store(f);
  assert_int_equal(chmod(f->root, 0777), 0);
  expect_nothing_but(f, f->folder);
  assert_int_equal(chmod(f->root, 01777), 0); /* as /tmp is */
  store *s = opened(f);
  expect(f, s, "key", "value");
  store_close(s);
}

/* Another process clears the cache while this one has it open. */
static void cleared_meanwhile(void **state) {
  fixture *f = *state;
  make_store(f);
  store *s = opened(f);
  expect(f, s, "key", "value");
  assert_true(store_clear(&f->d));
  put(s, "key", "other");
  put(s, "another", "value");
  store_close(s);
  make_store(f); /* and it gave no warning */
}

static void of_another_user(void **state) {
  fixture *f = *state;
  if (geteuid() != 0) skip();
  make_store(f);
  assert_int_equal(chown(f->file, NOBODY, NOBODY), 0);
  expect_nothing_but(f, f->file);
  assert_int_equal(chown(f->file, 0, 0), 0);
  assert_int_equal(chown(f->folder, NOBODY, NOBODY), 0);
  f->d.warnings = 0;
  expect_nothing_but(f, f->folder);
}

/* --- not to be written ------------------------------------------------------------------------ */

static int use_empty_read_only(fixture *f) {
  store *s = store_open(&f->d, false);
  if (s) return 1;
  return f->d.warnings == 1 ? 0 : 2;
}

/* What is there is read; what cannot be kept is one warning. */
static int use_read_only(fixture *f) {
  store *s = store_open(&f->d, false);
  size_t size;
  if (!s) return 3;
  const char *value = store_get(s, &f->a, STORE_KERNELS, "key", 3, &size);
  if (!value || strcmp(value, "value") != 0) return 4;
  if (f->d.warnings != 0) return 5;
  if (put(s, "another", "value") || put(s, "third", "value")) return 6;
  store_close(s);
  return f->d.warnings == 1 ? 0 : 7;
}

static void read_only(void **state) {
  fixture *f = *state;
  assert_int_equal(mkdir(f->folder, 0500), 0);
  give_away(f);
  elsewhere(f, use_empty_read_only);
  assert_int_equal(chmod(f->folder, 0700), 0);
  if (geteuid() == 0) assert_int_equal(chown(f->folder, 0, 0), 0);
  make_store(f);
  assert_int_equal(chmod(f->file, 0400), 0);
  assert_int_equal(chmod(f->folder, 0500), 0);
  give_away(f);
  elsewhere(f, use_read_only);
}

/* A disk without room, as a limit on the size of files. The signal that comes with it must not end the process. */
static int use_full(fixture *f) {
  struct rlimit limit = {32 << 10, 32 << 10};
  if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
  store *s = store_open(&f->d, false);
  size_t size;
  static const char large[64 << 10];
  if (!s) return 2;
  if (store_put(s, STORE_KERNELS, "large", 5, large, sizeof large)) return 3;
  if (store_put(s, STORE_KERNELS, "large", 5, large, sizeof large)) return 4;
  if (f->d.warnings != 1) return 5;
  store_close(s);
  s = store_open(&f->d, false);
  if (!s || !store_get(s, &f->a, STORE_KERNELS, "key", 3, &size)) return 6;
  store_close(s);
  return 0;
}

static void full(void **state) {
  fixture *f = *state;
  make_store(f);
  give_away(f);
  elsewhere(f, use_full);
}

/* --- damage ----------------------------------------------------------------------------------- */

static void no_database(void **state) {
  fixture *f = *state;
  static const char text[] =
      "this is a text that somebody put here, and it is longer than a header "
      "of SQLite, which has a hundred bytes";
  size_t size;
  assert_int_equal(mkdir(f->folder, 0700), 0);
  write_bytes(f->file, text, sizeof text);
  expect_nothing_but(f, "winnow cache --clear");
  assert_non_null(strstr(f->warned, f->file));
  assert_memory_equal(read_bytes(f, f->file, &size), text, sizeof text);
  assert_true(store_clear(&f->d));
  f->d.warnings = 0;
  make_store(f);
}

static void foreign(void **state) {
#define OURS "PRAGMA application_id=2003726199;" /* "wnow" */
#define NOW  "PRAGMA user_version=1;"
  static const char *const schemas[] = {
      "CREATE TABLE songs(title); INSERT INTO songs VALUES('a');",
      "CREATE TABLE blobs(kind, key, value);",
      "CREATE TABLE blobs(kind, key, value); " OURS,
      "CREATE TABLE songs(title); " OURS NOW,
      "CREATE TABLE blobs(kind, key, value); " OURS NOW,
  };
#undef OURS
#undef NOW
  fixture *f = *state;
  assert_int_equal(mkdir(f->folder, 0700), 0);
  for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++) {
    size_t before, after;
    unlink(f->file);
    sql(f->file, schemas[i]);
    char *bytes = read_bytes(f, f->file, &before);
    f->d.warnings = 0;
    expect_nothing_but(f, "something else");
    char *now = read_bytes(f, f->file, &after);
    assert_int_equal(before, after);
    assert_memory_equal(bytes, now, before);
  }
}

static void damaged_value(void **state) {
  static const char *const damages[] = {
      "UPDATE blobs SET value = 'valve';",
      "UPDATE blobs SET value = 'valu';",
      "UPDATE blobs SET checksum = checksum + 1;",
      "UPDATE blobs SET value = x'';",
  };
  fixture *f = *state;
  for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
    f->d.warnings = 0;
    make_store(f);
    sql(f->file, damages[i]);
    store *s = opened(f);
    assert_null(get(f, s, "key"));
    assert_null(get(f, s, "key"));
    expect_warning(f, "damaged");
    assert_true(put(s, "key", "again"));
    expect(f, s, "key", "again");
    store_close(s);
  }
}

/* Not damage, but nothing that this version may use either. */
static void another_version(void **state) {
  fixture *f = *state;
  make_store(f);
  sql(f->file, "UPDATE blobs SET version = '0.0.0';");
  store *s = opened(f);
  assert_null(get(f, s, "key"));
  assert_true(put(s, "key", "mine"));
  store_close(s);
  sql(f->file,
      "UPDATE blobs SET key = 'yek' WHERE version <> '0.0.0';"); /* the same hash, another key */
  s = opened(f);
  assert_null(get(f, s, "key"));
  store_close(s);
  assert_int_equal(f->d.warnings, 0);
}

/* Whatever byte is changed and wherever the file ends: the value or nothing, and no more than one warning each time. */
static void damaged_file(void **state) {
  fixture *f = *state;
  size_t size, length = 20000;
  char *value = arena_alloc(&f->a, length + 1);
  for (size_t i = 0; i < length; i++) value[i] = (char)('a' + i * 7 % 26);
  store *s = opened(f);
  assert_true(put(s, "key", value) && put(s, "other", "value"));
  store_close(s);
  char *good = read_bytes(f, f->file, &size), *bad = arena_alloc(&f->a, size);
  int found = 0, lost = 0;
  uint32_t random = 1;
  for (int i = 0; i < 240; i++) {
    size_t length_now = size;
    memcpy(bad, good, size);
    random = random * 1664525u + 1013904223u;
    if (i % 8 == 0)
      length_now = random % size;
    else
      bad[i % 2 ? random % size : random % 200] ^= (char)(1 + (random >> 24) % 255);
    write_bytes(f->file, bad, length_now);
    f->d.warnings = 0;
    s = store_open(&f->d, false);
    const char *now = get(f, s, "key");
    if (now) assert_string_equal(now, value);
    found += now != NULL;
    lost += now == NULL;
    now = get(f, s, "other");
    if (now) assert_string_equal(now, "value");
    if (i % 4 < 2) put(s, "third", "value");
    store_close(s);
    assert_true(f->d.warnings <= 1);
    char journal[160];
    snprintf(journal, sizeof journal, "%s-journal", f->file);
    unlink(journal);
  }
  assert_true(found > 0 && lost > 0);
}

/* --- other processes -------------------------------------------------------------------------- */

enum { PROCESSES = 4, ROUNDS = 25 };

/* Every process puts the same keys, each with a value that says which key it is of. */
static int put_and_get(fixture *f, int process) {
  for (int i = 0; i < ROUNDS; i++) {
    char key[32], value[64];
    size_t size;
    store *s = store_open(&f->d, false);
    if (!s && f->d.warnings) return 1;
    snprintf(key, sizeof key, "key %d", (i * 7 + process) % ROUNDS);
    snprintf(value, sizeof value, "value of %s", key);
    put(s, key, value);
    const char *found = store_get(s, &f->a, STORE_KERNELS, key, strlen(key), &size);
    if (found && strcmp(found, value) != 0) return 2;
    store_close(s);
  }
  return f->d.warnings ? 3 : 0;
}

static void processes(void **state) {
  fixture *f = *state;
  pid_t children[PROCESSES];
  for (int i = 0; i < PROCESSES; i++) {
    children[i] = fork();
    assert_true(children[i] >= 0);
    if (children[i] == 0) _exit(put_and_get(f, i));
  }
  for (int i = 0; i < PROCESSES; i++) {
    int status;
    assert_int_equal(waitpid(children[i], &status, 0), children[i]);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
  }
  store *s = opened(f);
  int count, found = 0;
  for (int i = 0; i < ROUNDS; i++) {
    char key[32];
    snprintf(key, sizeof key, "key %d", i);
    found += get(f, s, key) != NULL;
  }
  const store_kind *kinds = store_kinds(s, &f->a, &count);
  store_close(s);
  assert_int_equal(count, 1);
  assert_int_equal(kinds[0].entries, found); /* nothing twice */
  assert_true(found > ROUNDS / 2);
}

static void *in_a_thread(void *user) {
  fixture *f = user;
  return put_and_get(f, f->root[0] % PROCESSES) ? f : NULL;
}

/* Threads of one process, each with a store of its own: closing one must not free the locks of another. */
static void threads(void **state) {
  (void)state;
  pthread_t running[PROCESSES];
  static fixture own[PROCESSES];
  for (int i = 0; i < PROCESSES; i++) {
    diag_init(&own[i].d);
    own[i].d.warn = keep_warning;
    own[i].d.warn_user = &own[i];
    arena_init(&own[i].a, &own[i].d);
    own[i].root[0] = (char)i;
    assert_int_equal(pthread_create(&running[i], NULL, in_a_thread, &own[i]), 0);
  }
  for (int i = 0; i < PROCESSES; i++) {
    void *failed;
    pthread_join(running[i], &failed);
    arena_release(&own[i].a);
    if (failed) fail_msg("thread %d: %s", i, own[i].warned);
  }
}

static void locked(void **state) {
  fixture *f = *state;
  make_store(f);
  sqlite3 *db;
  assert_int_equal(sqlite3_open(f->file, &db), SQLITE_OK);
  store *s = opened(f);
  assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE;", NULL, NULL, NULL), SQLITE_OK);
  expect(f, s, "key", "value");
  assert_false(put(s, "key", "other"));
  assert_int_equal(sqlite3_exec(db, "ROLLBACK; BEGIN EXCLUSIVE;", NULL, NULL, NULL), SQLITE_OK);
  assert_null(get(f, s, "key"));
  assert_null(store_open(&f->d, false));
  assert_int_equal(sqlite3_exec(db, "ROLLBACK;", NULL, NULL, NULL), SQLITE_OK);
  sqlite3_close(db);
  expect(f, s, "key", "value");
  assert_true(put(s, "key", "other"));
  store_close(s);
  assert_int_equal(f->d.warnings, 0); /* that another process is busy is no news */
}

/* --- size and memory -------------------------------------------------------------------------- */

static void bounded(void **state) {
  enum { LIMIT = 1 << 20, LARGE = 32 << 10, COUNT = 150 };
  fixture *f = *state;
  static char value[LARGE];
  store *s = opened(f);
  store_set_limit(s, LIMIT);
  assert_false(store_put(s, STORE_KERNELS, "too large", 9, value, LIMIT / 2));
  assert_true(put(s, "small", "kept"));
  memset(value, 1, sizeof value);
  assert_true(store_put(s, STORE_KERNELS, "used", 4, value, 8192));
  assert_true(store_put(s, STORE_KERNELS, "idle", 4, value, 8192));
  size_t size;
  for (int i = 0; i < COUNT; i++) {
    char name[16];
    snprintf(name, sizeof name, "%d", i);
    /* enough puts without a large one for "used" to grow old, and then room is needed */
    size_t length = i < 80 ? 5000 : LARGE;
    assert_true(store_put(s, STORE_KERNELS, name, strlen(name), value, length));
    if (i == 79) assert_non_null(store_get(s, &f->a, STORE_KERNELS, "used", 4, &size));
    if (i == 101) break;
  }
  assert_null(store_get(s, &f->a, STORE_KERNELS, "0", 1, &size));
  assert_null(store_get(s, &f->a, STORE_KERNELS, "idle", 4, &size));
  assert_non_null(store_get(s, &f->a, STORE_KERNELS, "101", 3, &size));
  assert_non_null(store_get(s, &f->a, STORE_KERNELS, "used", 4, &size));
  for (int i = 102; i < COUNT; i++) {
    char name[16];
    snprintf(name, sizeof name, "%d", i);
    assert_true(store_put(s, STORE_KERNELS, name, strlen(name), value, LARGE));
  }
  expect(f, s, "small", "kept");
  store_close(s);
  struct stat there;
  assert_int_equal(stat(f->file, &there), 0);
  assert_true(there.st_size <= LIMIT + LARGE);
  assert_int_equal(f->d.warnings, 0);
}

static void use_all(fixture *f, store *volatile *s) {
  int count;
  *s = store_open(&f->d, false);
  put(*s, "key", "value");
  get(f, *s, "key");
  store_kinds(*s, &f->a, &count);
}

static void out_of_memory(void **state) {
  fixture *f = *state;
  make_store(f);
  for (long n = 1, count = 0; n <= count + 1; n++) {
    store *volatile s = NULL;
    volatile wn_status status;
    mem_fail_at(n);
    DIAG_TRY(&f->d, status) { use_all(f, &s); }
    DIAG_END(&f->d, status)
    count = mem_count();
    mem_fail_at(0);
    store_close(s);
    assert_true(status == WN_OK || status == WN_ERR_NOMEM);
    if (n > count) assert_int_equal(status, WN_OK);
    arena_release(&f->a);
  }
  store *s = opened(f);
  expect(f, s, "key", "value");
  store_close(s);
}

static void cpu_in_keys(void **state) {
  fixture *f = *state;
  const char *seen[8];
  machine cpu;
  machine_of_cpu(&cpu, &f->d, NULL);
  for (int i = 0; i < 8; i++) {
    machine c = cpu;
    if (i == 1) c.llvm_features = "+none";
    if (i == 2) c.name = "other";
    if (i == 3) snprintf(c.model, sizeof c.model, "other");
    if (i == 4) c.l2++;
    if (i == 5) c.l3++;
    if (i > 5) c.driver = i > 6 ? "2" : "1", c.version = "";
    str key;
    str_init(&key, &f->a);
    store_add_machine(&key, &c);
    seen[i] = str_text(&key);
    for (int j = 0; j < i; j++) assert_string_not_equal(seen[i], seen[j]);
  }
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(round_trip),
      TEST(several),
      TEST(kinds_and_removal),
      TEST(turned_off),
      TEST(folders),
      TEST(no_folder),
      TEST(writable_by_others),
      TEST(of_another_user),
      TEST(parent_for_everybody),
      TEST(cleared_meanwhile),
      TEST(read_only),
      TEST(full),
      TEST(no_database),
      TEST(foreign),
      TEST(damaged_value),
      TEST(another_version),
      TEST(damaged_file),
      TEST(processes),
      TEST(threads),
      TEST(locked),
      TEST(bounded),
      TEST(out_of_memory),
      TEST(cpu_in_keys),
  };
  return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
