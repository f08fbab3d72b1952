/* The store as one SQLite file. See store.h for what holds.
 *
 * In: kinds, keys and bytes. Out: rows of one table. A key is found by its hash and then compared
 * whole; the version of winnow is part of both. Rows carry a counter of use: a put takes the next
 * number, and so does a get whose number has become old, so that reading writes nothing most of the
 * time. Always holds: every access is one transaction that waits at most WAIT_MS for its lock; a
 * rollback journal and not a write-ahead log, since with one a folder that cannot be written could
 * not be read either; a file that is not ours is never written; SQLite is entered between `enter`
 * and `leave` alone, where warnings wait, and never with a connection of another process's. */
#define _GNU_SOURCE
#include "store/store.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fork.h"
#include "base/map.h"
#include "base/signals.h"
#include "base/text.h"

enum {
  WAIT_MS = 200,
  FORMAT = 1,               /* of the table and of what the kinds hold */
  APPLICATION = 0x776e6f77, /* "wnow", in the header of the file */
  PATH_SIZE = 1024,         /* longer ones are refused */
  LARGEST = 64 << 20,       /* bytes of a key or a value */
  SMALL = 4096,             /* values below stay longer than others: measurements, not code */
  OLD = 64,                 /* puts since a value was last asked for, before a get says so */
  ASKED = 256               /* gets that are said together */
};

struct store {
  sqlite3 *db;
  sqlite3_stmt *find, *touch, *drop, *insert, *evict, *room, *list;
  int64_t asked[ASKED]; /* rows that were asked for, of which the file does not know yet */
  int nasked;
  diag *diag;
  int64_t limit;
  bool warned;
  bool dead;           /* not to be asked again */
  unsigned generation; /* of forks */
  char path[PATH_SIZE];
  char warning[512]; /* that was not given yet, "": none */
};

static const char schema[] =
    "CREATE TABLE blobs(id INTEGER PRIMARY KEY, kind TEXT NOT NULL, version TEXT NOT NULL,"
    " hash INTEGER NOT NULL, used INTEGER NOT NULL, checksum INTEGER NOT NULL,"
    " key BLOB NOT NULL, value BLOB NOT NULL);"
    "CREATE INDEX blobs_hash ON blobs(kind, hash);"
    "CREATE INDEX blobs_used ON blobs(used);";

/* --- where ------------------------------------------------------------------------------------ */

/* Fills `out`; NULL, or why there is none: "" where it was turned off. */
static const char *find_path(char *out, size_t size) {
  const char *own = getenv("WINNOW_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  int n;
  if (own != NULL && !*own) return "";
  if (own != NULL)
    n = snprintf(out, size, "%s/cache-%d.db", own, FORMAT);
  else if (xdg != NULL && *xdg == '/')
    n = snprintf(out, size, "%s/winnow/cache-%d.db", xdg, FORMAT);
  else if (home != NULL && *home == '/')
    n = snprintf(out, size, "%s/.cache/winnow/cache-%d.db", home, FORMAT);
  else
    return "there is no folder for it: none of WINNOW_CACHE, XDG_CACHE_HOME and HOME is set";
  return n > 0 && (size_t)n < size ? NULL : "the name of its folder is too long";
}

/* Makes the folders of a file's path; errno tells why not. */
static bool make_folders(const char *path) {
  char part[PATH_SIZE];
  struct stat there;
  snprintf(part, sizeof part, "%s", path);
  for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    *slash = 0;
    bool is_there = stat(part, &there) == 0;
    if (is_there && !S_ISDIR(there.st_mode)) errno = ENOTDIR;
    if (is_there ? !S_ISDIR(there.st_mode) : mkdir(part, 0700) != 0 && errno != EEXIST)
      return false;
    *slash = '/';
  }
  return true;
}

/* Could anybody put another folder in the place of one on the way? */
static bool is_exposed(const char *folder) {
  char part[PATH_SIZE];
  struct stat there;
  snprintf(part, sizeof part, "%s", folder);
  for (char *slash = strrchr(part, '/'); slash != NULL; slash = strrchr(part, '/')) {
    slash[slash == part] = 0; /* "/" stays */
    bool open =
        stat(part, &there) != 0 || ((there.st_mode & S_IWOTH) && !(there.st_mode & S_ISVTX));
    if (open) return true;
    if (slash == part) break;
  }
  return false;
}

static bool is_private(const struct stat *s) {
  return s->st_uid == geteuid() && !(s->st_mode & (S_IWGRP | S_IWOTH));
}

/* --- trouble ---------------------------------------------------------------------------------- */

static void warn_once(store *s, const char *format, ...) WN_PRINTF(2, 3);
static void warn_once(store *s, const char *format, ...) {
  if (s->warned) return;
  s->warned = true;
  va_list args;
  va_start(args, format);
  text_vformat(s->warning, sizeof s->warning, format, args);
  va_end(args);
}

static void warn_damaged(store *s, const char *what) {
  s->dead = true;
  warn_once(s, "%.300s is %s; `winnow cache --clear` removes it", s->path, what);
}

/* After a statement that failed. Waiting in vain for another process is no trouble, but is done once. */
static void trouble(store *s) {
  switch (sqlite3_errcode(s->db)) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      sqlite3_busy_timeout(s->db, 0);
      return;
    case SQLITE_CORRUPT:
      warn_damaged(s, "damaged");
      return;
    case SQLITE_NOTADB:
      warn_damaged(s, "not a cache of winnow's but no database at all");
      return;
    default:
      s->dead = true;
      if (sqlite3_extended_errcode(s->db) == SQLITE_READONLY_DBMOVED)
        return; /* cleared meanwhile */
      warn_once(s, "%.300s: %s", s->path, sqlite3_errmsg(s->db));
  }
}

/* --- entering SQLite -------------------------------------------------------------------------- */

static bool is_forked(const store *s) { return s->generation != fork_generation(); }

/* False: there is nothing to ask, and nothing to leave. */
static bool enter(store *s) { return s != NULL && !s->dead && !is_forked(s) && fork_enter(); }

/* Gives the warning in text of its own, since its function may do what it likes. */
static void leave(store *s) {
  char what[sizeof s->warning];
  fork_leave();
  if (!s->warning[0]) return;
  memcpy(what, s->warning, sizeof what);
  s->warning[0] = 0;
  diag_warn(s->diag, "going on without the cache: %s", what);
}

/* --- calls of SQLite that may write ----------------------------------------------------------- */

static int step(sqlite3_stmt *q) {
  signals_held held;
  signals_hold(&held);
  int result = sqlite3_step(q);
  signals_free(&held);
  return result;
}

static bool execute(sqlite3 *db, const char *sql) {
  signals_held held;
  signals_hold(&held);
  int result = sqlite3_exec(db, sql, NULL, NULL, NULL);
  signals_free(&held);
  return result == SQLITE_OK;
}

/* --- opening ---------------------------------------------------------------------------------- */

/* The only number of the statement's only row; false on failure. */
static bool ask(store *s, const char *sql, int64_t *value) {
  sqlite3_stmt *q = NULL;
  bool ok = sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) == SQLITE_OK && step(q) == SQLITE_ROW;
  if (ok) *value = sqlite3_column_int64(q, 0);
  if (!ok) trouble(s);
  sqlite3_finalize(q);
  return ok;
}

static bool run(store *s, const char *sql) {
  if (execute(s->db, sql)) return true;
  trouble(s);
  return false;
}

/* Another process may be doing the same: whoever comes second finds the table. */
static bool create(store *s) {
  char sql[sizeof schema + 128];
  int64_t tables;
  snprintf(sql, sizeof sql, "%s PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT;", schema,
           APPLICATION, FORMAT);
  if (!run(s, "BEGIN IMMEDIATE;")) return false;
  if (ask(s, "SELECT count(*) FROM sqlite_master;", &tables) && (tables > 0 || run(s, sql))) {
    if (tables > 0) run(s, "COMMIT;");
    return true;
  }
  execute(s->db, "ROLLBACK;");
  return false;
}

/* An empty file becomes ours; any other must say that it is. */
static bool check_owner(store *s) {
  int64_t application, format, tables;
  if (!ask(s, "SELECT count(*) FROM sqlite_master;", &tables)) return false;
  if (tables == 0 && !create(s)) return false;
  if (!ask(s, "PRAGMA application_id;", &application) || !ask(s, "PRAGMA user_version;", &format))
    return false;
  if (application == APPLICATION && format == FORMAT) return true;
  warn_damaged(s, "a database of something else");
  return false;
}

static bool prepare(store *s) {
  static const char find[] =
      "SELECT id, key, value, checksum, (SELECT max(used) FROM blobs) - used FROM blobs"
      " WHERE kind = ?1 AND hash = ?2 AND version = ?3;";
  static const char touch[] =
      "UPDATE blobs SET used = (SELECT max(used) FROM blobs) + 1 WHERE id = ?1;";
  static const char drop[] =
      "DELETE FROM blobs WHERE kind = ?1 AND hash = ?2 AND version = ?3 AND key = ?4;";
  static const char insert[] =
      "INSERT INTO blobs(kind, hash, version, key, used, checksum, value) VALUES"
      " (?1, ?2, ?3, ?4, (SELECT coalesce(max(used), 0) FROM blobs) + 1, ?5, ?6);";
  static const char evict[] =
      "DELETE FROM blobs WHERE id IN (SELECT id FROM (SELECT id, length(key) + length(value) AS "
      "own,"
      " sum(length(key) + length(value)) OVER (ORDER BY length(value) < ?2, used, id"
      " ROWS UNBOUNDED PRECEDING) AS upto FROM blobs) WHERE upto - own < ?1);";
  static const char room[] =
      "SELECT (c.page_count - f.freelist_count) * p.page_size FROM pragma_page_count AS c,"
      " pragma_freelist_count AS f, pragma_page_size AS p;";
  const struct {
    sqlite3_stmt **into;
    const char *sql;
  } all[] = {{&s->find, find},     {&s->touch, touch}, {&s->drop, drop},
             {&s->insert, insert}, {&s->evict, evict}, {&s->room, room}};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i)
    if (sqlite3_prepare_v2(s->db, all[i].sql, -1, all[i].into, NULL) != SQLITE_OK) {
      if (sqlite3_errcode(s->db) == SQLITE_ERROR)
        warn_damaged(s, "a database of something else"); /* no such table or column */
      else
        trouble(s);
      return false;
    }
  return true;
}

static bool open_file(store *s) {
  struct stat there;
  char folder[PATH_SIZE];
  snprintf(folder, sizeof folder, "%s", s->path);
  *strrchr(folder, '/') = 0;
  if (!make_folders(s->path)) {
    warn_once(s, "cannot make %.300s: %s; WINNOW_CACHE names another folder", folder,
              strerror(errno));
    return false;
  }
  bool is_safe = stat(folder, &there) == 0 && is_private(&there) && !is_exposed(folder);
  const char *bad = is_safe ? NULL : folder;
  if (bad == NULL && lstat(s->path, &there) == 0 &&
      (!S_ISREG(there.st_mode) || !is_private(&there)))
    bad = s->path;
  if (bad != NULL) {
    warn_once(s, "code is not loaded from %.300s, which others may change (chmod go-w)", bad);
    return false;
  }
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_PRIVATECACHE;
  if (sqlite3_open_v2(s->path, &s->db, flags, NULL) != SQLITE_OK) {
    if (s->db != NULL) trouble(s);
    return false;
  }
  sqlite3_busy_timeout(s->db, WAIT_MS);
  sqlite3_limit(s->db, SQLITE_LIMIT_LENGTH, LARGEST + SMALL);
  return run(s, "PRAGMA synchronous=NORMAL; PRAGMA trusted_schema=OFF;") && check_owner(s) &&
         prepare(s);
}

/* Once a process: every compile asks. */
static void warn_cut_off(diag *d) {
  static atomic_flag said = ATOMIC_FLAG_INIT;
  if (!atomic_flag_test_and_set(&said)) diag_warn(d, "going on without the cache: %s", fork_why);
}

store *store_open(diag *d, bool off) {
  char path[PATH_SIZE];
  const char *why = off ? "" : find_path(path, sizeof path);
  if (why != NULL && !*why) return NULL;
  store *s = mem_alloc(sizeof *s);
  if (s == NULL) return NULL;
  *s = (store){.diag = d, .limit = STORE_LIMIT, .generation = fork_generation()};
  if (!fork_enter()) {
    warn_cut_off(d);
    mem_free(s);
    return NULL;
  }
  if (why != NULL)
    warn_once(s, "%s", why);
  else
    memcpy(s->path, path, sizeof path);
  bool opened = why == NULL && open_file(s);
  leave(s);
  if (opened) return s;
  store_close(s);
  return NULL;
}

/* A connection of the parent's is left as it is: closing it here could end the parent's transaction. */
static void touch_asked(store *s);
static void say_asked(store *s);

void store_close(store *s) {
  if (s == NULL) return;
  if (s->nasked > 0 && enter(s)) {
    say_asked(s);
    leave(s);
  }
  if (!is_forked(s) && fork_enter()) {
    sqlite3_stmt *all[] = {s->find, s->touch, s->drop, s->insert, s->evict, s->room, s->list};
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i) sqlite3_finalize(all[i]);
    sqlite3_close(s->db);
    fork_leave();
  }
  mem_free(s);
}

void store_set_limit(store *s, int64_t bytes) {
  if (s != NULL) s->limit = bytes;
}

/* --- keys and values -------------------------------------------------------------------------- */

static int64_t hash_key(const char *kind, const void *key, size_t size) {
  uint64_t h = hash_bytes(kind, strlen(kind), FORMAT);
  h = hash_bytes(wn_version(), strlen(wn_version()), h);
  return (int64_t)hash_bytes(key, size, h);
}

static int64_t checksum(int64_t hash, const void *value, size_t size) {
  return (int64_t)hash_bytes(value, size, (uint64_t)hash);
}

static void bind_key(sqlite3_stmt *q, const char *kind, int64_t hash) {
  sqlite3_reset(q);
  sqlite3_bind_text(q, 1, kind, -1, SQLITE_STATIC);
  sqlite3_bind_int64(q, 2, hash);
  sqlite3_bind_text(q, 3, wn_version(), -1, SQLITE_STATIC);
}

static void bind_bytes(sqlite3_stmt *q, int at, const void *p, size_t size) {
  sqlite3_bind_blob(q, at, size ? p : "", (int)size, SQLITE_STATIC);
}

/* Runs a statement that gives no rows. */
static bool finish(store *s, sqlite3_stmt *q) {
  bool ok = step(q) == SQLITE_DONE;
  if (!ok) trouble(s);
  sqlite3_reset(q);
  return ok;
}

static bool has_key(sqlite3_stmt *row, const void *key, size_t size) {
  return (size_t)sqlite3_column_bytes(row, 1) == size &&
         (size == 0 || memcmp(sqlite3_column_blob(row, 1), key, size) == 0);
}

/* The row's value, or NULL with a warning where it is not what was put. */
static const void *take_value(store *s, arena *a, int64_t hash, const char *kind, size_t *size) {
  const void *bytes = sqlite3_column_blob(s->find, 2);
  *size = (size_t)sqlite3_column_bytes(s->find, 2);
  if (sqlite3_column_int64(s->find, 3) != checksum(hash, bytes, *size)) {
    warn_once(s, "an entry (%s) of %.300s is damaged and made anew", kind, s->path);
    return NULL;
  }
  char *copy = arena_alloc(a, *size + 1); /* never empty, and text is terminated */
  if (*size) memcpy(copy, bytes, *size);
  return copy;
}

static void touch_asked(store *s) {
  for (int i = 0; i < s->nasked; ++i) {
    sqlite3_reset(s->touch);
    sqlite3_bind_int64(s->touch, 1, s->asked[i]);
    finish(s, s->touch);
  }
  s->nasked = 0;
}

/* In one transaction, since each waits for the disk. */
static void say_asked(store *s) {
  if (!run(s, "BEGIN IMMEDIATE;")) {
    s->nasked = 0;
    return;
  }
  touch_asked(s);
  if (!run(s, "COMMIT;")) execute(s->db, "ROLLBACK;");
}

static const void *find_value(store *s, arena *a, const char *kind, const void *key,
                              size_t key_size, size_t *size) {
  int64_t hash = hash_key(kind, key, key_size);
  bind_key(s->find, kind, hash);
  int found;
  const void *value = NULL;
  int64_t id = 0, age = 0;
  while ((found = step(s->find)) == SQLITE_ROW) {
    if (!has_key(s->find, key, key_size)) continue;
    id = sqlite3_column_int64(s->find, 0);
    age = sqlite3_column_int64(s->find, 4);
    value = take_value(s, a, hash, kind, size);
    break;
  }
  if (found != SQLITE_ROW && found != SQLITE_DONE) trouble(s);
  sqlite3_reset(s->find);
  if (value == NULL || age <= OLD || sqlite3_db_readonly(s->db, "main") == 1) return value;
  if (s->nasked == ASKED) say_asked(s);
  s->asked[s->nasked++] = id;
  return value;
}

const void *store_get(store *s, arena *a, const char *kind, const void *key, size_t key_size,
                      size_t *size) {
  const void *volatile value = NULL;
  wn_status st;
  *size = 0;
  if (key_size > LARGEST || !enter(s)) return NULL;
  DIAG_TRY(a->diag, st) value = find_value(s, a, kind, key, key_size, size);
  DIAG_END(a->diag, st)
  leave(s);
  if (st != WN_OK) diag_again(a->diag);
  return value;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Drops what was not asked for longest where `more` bytes would not fit, and some room with it. */
static bool make_room(store *s, int64_t more) {
  bool known = step(s->room) == SQLITE_ROW;
  int64_t used = known ? sqlite3_column_int64(s->room, 0) : 0;
  if (!known) trouble(s);
  sqlite3_reset(s->room);
  if (!known || used + more <= s->limit) return known;
  sqlite3_reset(s->evict);
  sqlite3_bind_int64(s->evict, 1, used + more - s->limit + s->limit / 4);
  sqlite3_bind_int64(s->evict, 2, SMALL);
  return finish(s, s->evict);
}

static bool replace(store *s, const char *kind, const void *key, size_t key_size, const void *value,
                    size_t size) {
  int64_t hash = hash_key(kind, key, key_size);
  bind_key(s->drop, kind, hash);
  bind_bytes(s->drop, 4, key, key_size);
  if (!finish(s, s->drop) || !make_room(s, (int64_t)(key_size + size))) return false;
  bind_key(s->insert, kind, hash);
  bind_bytes(s->insert, 4, key, key_size);
  sqlite3_bind_int64(s->insert, 5, checksum(hash, value, size));
  bind_bytes(s->insert, 6, value, size);
  return finish(s, s->insert);
}

static bool fits(const store *s, const store_entry *e) {
  return e->key_size <= LARGEST && e->size <= LARGEST &&
         (int64_t)(e->key_size + e->size) <= s->limit / 4;
}

static bool replace_all(store *s, const char *kind, int count, const store_entry *e) {
  touch_asked(s);
  for (int i = 0; i < count; ++i)
    if (fits(s, &e[i]) && !replace(s, kind, e[i].key, e[i].key_size, e[i].value, e[i].size))
      return false;
  return true;
}

bool store_put_all(store *s, const char *kind, int count, const store_entry *entries) {
  if (count == 0 || !enter(s)) return false;
  bool all = true;
  for (int i = 0; i < count; ++i) all = all && fits(s, &entries[i]);
  bool kept =
      run(s, "BEGIN IMMEDIATE;") && replace_all(s, kind, count, entries) && run(s, "COMMIT;");
  if (!kept && !sqlite3_get_autocommit(s->db)) execute(s->db, "ROLLBACK;");
  leave(s);
  return kept && all;
}

bool store_put(store *s, const char *kind, const void *key, size_t key_size, const void *value,
               size_t size) {
  const store_entry one = {key, key_size, value, size};
  return store_put_all(s, kind, 1, &one);
}

static bool drop_values(store *s, const char *kind, const void *key, size_t key_size) {
  if (key != NULL) {
    bind_key(s->drop, kind, hash_key(kind, key, key_size));
    bind_bytes(s->drop, 4, key, key_size);
    return finish(s, s->drop);
  }
  sqlite3_stmt *q = NULL;
  bool ok =
      sqlite3_prepare_v2(s->db, "DELETE FROM blobs WHERE kind = ?1;", -1, &q, NULL) == SQLITE_OK;
  if (ok) sqlite3_bind_text(q, 1, kind, -1, SQLITE_STATIC);
  ok = ok && step(q) == SQLITE_DONE;
  if (!ok) trouble(s);
  sqlite3_finalize(q);
  return ok;
}

bool store_remove(store *s, const char *kind, const void *key, size_t key_size) {
  if (key_size > LARGEST || !enter(s)) return false;
  bool done = drop_values(s, kind, key, key_size);
  leave(s);
  return done;
}

void store_add_machine(str *key, const machine *m) {
  str_printf(key, "isa %s\n", m->name);
  if (m->llvm_cpu != NULL) str_printf(key, "cpu %s %s\n", m->llvm_cpu, m->llvm_features);
  if (m->driver != NULL) str_printf(key, "driver %s %s\n", m->driver, m->version);
  str_printf(key, "model %s\ncaches %zu %zu %zu\n", m->model, m->l1, m->l2, m->l3);
}

/* --- for people ------------------------------------------------------------------------------- */

const char *store_path(arena *a, const char **why) {
  char path[PATH_SIZE];
  *why = find_path(path, sizeof path);
  if (*why == NULL) return arena_strdup(a, path);
  if (!**why) *why = "WINNOW_CACHE is empty, which turns it off";
  return NULL;
}

static const store_kind *list_kinds(store *s, arena *a, int *count) {
  static const char sql[] =
      "SELECT kind, count(*), sum(length(key) + length(value)) FROM blobs GROUP BY kind ORDER BY "
      "kind;";
  VEC(store_kind) kinds = {0};
  /* Belongs to the store, so that running out of memory below leaves nothing that is not closed. */
  sqlite3_finalize(s->list);
  s->list = NULL;
  int row = sqlite3_prepare_v2(s->db, sql, -1, &s->list, NULL);
  while (row == SQLITE_OK || row == SQLITE_ROW) {
    row = step(s->list);
    if (row != SQLITE_ROW) break;
    store_kind k = {arena_strdup(a, (const char *)sqlite3_column_text(s->list, 0)),
                    sqlite3_column_int64(s->list, 1), sqlite3_column_int64(s->list, 2)};
    vec_push(a, &kinds, k);
  }
  if (row != SQLITE_DONE) trouble(s);
  *count = (int)kinds.len;
  return kinds.data;
}

const store_kind *store_kinds(store *s, arena *a, int *count) {
  const store_kind *volatile kinds = NULL;
  wn_status st;
  *count = 0;
  if (!enter(s)) return NULL;
  DIAG_TRY(a->diag, st) kinds = list_kinds(s, a, count);
  DIAG_END(a->diag, st)
  leave(s);
  if (st != WN_OK) diag_again(a->diag);
  return kinds;
}

bool store_clear(diag *d) {
  static const char *const also[] = {"", "-journal", "-wal", "-shm"};
  char path[PATH_SIZE], name[PATH_SIZE + 16];
  const char *why = find_path(path, sizeof path);
  if (why != NULL && !*why) return true;
  if (why != NULL) {
    diag_set(d, WN_ERR_IO, "cannot clear the cache: %s", why);
    return false;
  }
  for (size_t i = 0; i < sizeof also / sizeof *also; ++i) {
    snprintf(name, sizeof name, "%s%s", path, also[i]);
    if (unlink(name) == 0 || errno == ENOENT || errno == ENOTDIR) continue;
    diag_set(d, WN_ERR_IO, "cannot remove %s: %s", name, strerror(errno));
    return false;
  }
  return true;
}
