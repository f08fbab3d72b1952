/* cpu:cc: kernels as C, through the system's C compiler, loaded as a shared object.
 *
 * In: kernels. Out: functions, or the compiler's complaint. The compiler is the first of cc, gcc
 * and clang on PATH, started without a shell, with no input but one file and no network: as many processes at a time as
 * kernels run on threads, each with one kernel, which the store can keep by itself, or without a store with its share
 * of them all, since a process costs as much as a small kernel; a bad one then does not take others with it. Source
 * and object live in a private directory that is gone again when compile returns; a loaded object
 * needs its file no longer. What a process that was killed left behind is removed by the next one: a
 * directory is in use while somebody has a lock on the file `lock` in it. The store keeps the object's bytes under the
 * source, the flags and the compiler's file: its path, size and time of change.
 * Always holds: nothing that is fast but inexact is switched on (no fast-math, no contraction), so
 * this backend and the LLVM one round alike. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fork.h"
#include "base/mem.h"
#include "base/signals.h"
#include "render/render.h"
#include "backend/host.h"
#include "store/store.h"

#ifdef __APPLE__ /* whose libraries have no environ, and whose files' times have another name */
#include <crt_externs.h>
#define environ (*_NSGetEnviron())
#define st_mtim st_mtimespec
#else
extern char **environ;
#endif

enum { MAX_ARGS = 48, REASON = 256 };

/* All objects of one compile. */
typedef struct cc_code {
  int count;
  void *object[]; /* of dlopen */
} cc_code;

/* The directories of the process, for cc_abandon (backend.abandon; without it the next process that compiles removes
 * them), which can have no argument. */
enum { PATH_BYTES = 256, ACTIVE = 16 };
static struct active {
  atomic_int state; /* FREE, TAKEN, or in USE: dir is whole */
  atomic_long compiler;
  char dir[PATH_BYTES];
} active[ACTIVE];
enum { FREE, TAKEN, USE };

/* What all compilers of one compile have in common. */
typedef struct common {
  const machine *target;
  store *cache;
  char flags[512];
  char *args[MAX_ARGS]; /* but for the last four: the compiler's name first, then flags */
  int nflags;
  str key; /* flags and the compiler's file */
} common;

/* One source and its object. */
typedef struct build {
  common *of;
  int first, last; /* kernels, by their place among those that were missing */
  str text, key;
  char dir[PATH_BYTES], source[288], object[288], errors[288];
  int lock;              /* descriptor, or -1 */
  struct active *active; /* NULL: there are too many */
  pid_t pid;             /* of its compiler while that runs, else 0 */
  char reason[REASON];   /* why the last step failed */
  void *loaded;          /* of dlopen */
  char *bytes;           /* of the object, for the store; of mem_alloc, or NULL */
  size_t size;
  bool stored; /* it was in the store */
} build;

/* --- the private directory -------------------------------------------------------------------- */

static const char *const inside[] = {"kernels.c", "kernels.so", "errors", "lock"};
enum { INSIDE = sizeof inside / sizeof *inside, SETTLED = 10 /* seconds */ };

/* Calls only what a signal handler may. */
static bool remove_directory(const char *dir) {
  char path[PATH_BYTES + 16];
  size_t n = strlen(dir);
  memcpy(path, dir, n);
  path[n] = '/';
  for (int i = 0; i < INSIDE; ++i) {
    memcpy(path + n + 1, inside[i], strlen(inside[i]) + 1);
    unlink(path);
  }
  return rmdir(dir) == 0;
}

static void cc_abandon(void) {
  const struct timespec moment = {.tv_nsec = 2000000};
  for (int i = 0; i < ACTIVE; ++i) {
    struct active *x = &active[i];
    if (atomic_load(&x->state) != USE) continue;
    pid_t compiler = (pid_t)atomic_load(&x->compiler);
    if (compiler > 0) kill(compiler, SIGTERM);
    /* a compiler's last word may be another file */
    for (int tries = 0; !remove_directory(x->dir) && errno != ENOENT && tries < 100; ++tries)
      nanosleep(&moment, NULL);
  }
}

static int lock_directory(const char *dir, int flags) {
  char path[PATH_BYTES + 16];
  snprintf(path, sizeof path, "%s/lock", dir);
  int fd = open(path, flags | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

/* Directories of this user that nobody has a lock on; their names end with six characters of mkdtemp's. */
static void sweep(const char *base) {
  static const char prefix[] = "winnow-";
  DIR *d = opendir(base);
  for (struct dirent *e; d != NULL && (e = readdir(d));) {
    char dir[PATH_BYTES];
    struct stat s;
    if (strncmp(e->d_name, prefix, sizeof prefix - 1) != 0 ||
        strlen(e->d_name) != sizeof prefix - 1 + 6)
      continue;
    snprintf(dir, sizeof dir, "%s/%.13s", base, e->d_name);
    if (lstat(dir, &s) != 0 || !S_ISDIR(s.st_mode) || s.st_uid != geteuid()) continue;
    if (time(NULL) - s.st_mtime < SETTLED) continue; /* its owner may be about to lock it */
    int lock = lock_directory(dir, 0);
    if (lock < 0) continue;
    remove_directory(dir);
    close(lock);
  }
  if (d != NULL) closedir(d);
}

static const char *directory_base(void) {
  const char *base = getenv("TMPDIR");
  return base != NULL && *base && strlen(base) <= 200 ? base : "/tmp";
}

static pthread_once_t swept = PTHREAD_ONCE_INIT;
static void sweep_once(void) { sweep(directory_base()); }

static struct active *take_active(const char *dir) {
  for (int i = 0; i < ACTIVE; ++i) {
    int expected = FREE;
    if (!atomic_compare_exchange_strong(&active[i].state, &expected, TAKEN)) continue;
    memcpy(active[i].dir, dir, strlen(dir) + 1);
    atomic_store(&active[i].compiler, 0);
    atomic_store(&active[i].state, USE);
    return &active[i];
  }
  return NULL;
}

/* Signals wait meanwhile, so that cc_abandon knows every directory. */
static bool make_directory(build *b) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  bool made = mkdtemp(b->dir) != NULL;
  int error = errno;
  if (made) b->active = take_active(b->dir);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  errno = error;
  return made;
}

static bool open_directory(build *b) {
  const char *base = directory_base();
  pthread_once(&swept, sweep_once);
  snprintf(b->dir, sizeof b->dir, "%s/winnow-XXXXXX", base);
  if (!make_directory(b)) {
    snprintf(b->reason, REASON, "no temporary directory in %.100s: %s", base, strerror(errno));
    return false;
  }
  b->lock =
      lock_directory(b->dir, O_CREAT); /* where there are no locks only a kill leaves something */
  snprintf(b->source, sizeof b->source, "%s/kernels.c", b->dir);
  snprintf(b->object, sizeof b->object, "%s/kernels.so", b->dir);
  snprintf(b->errors, sizeof b->errors, "%s/errors", b->dir);
  return true;
}

static void close_directory(build *b) {
  remove_directory(b->dir);
  if (b->lock >= 0) close(b->lock);
  if (b->active != NULL) atomic_store(&b->active->state, FREE);
  b->lock = -1;
  b->active = NULL;
}

static bool write_file(build *b, const char *path, const void *bytes, size_t len) {
  FILE *f = fopen(path, "w");
  bool ok = f != NULL && fwrite(bytes, 1, len, f) == len;
  if (f != NULL && fclose(f) != 0) ok = false;
  if (!ok) snprintf(b->reason, REASON, "cannot write %.150s: %s", path, strerror(errno));
  return ok;
}

/* --- the compiler ----------------------------------------------------------------------------- */

static const char *const compilers[] = {"cc", "gcc", "clang"}; /* the first that starts */
enum { COMPILERS = sizeof compilers / sizeof *compilers };

static const char fixed_flags[] =
    "-std=gnu17 -O2 -fno-fast-math -ffp-contract=off -fno-math-errno -fno-trapping-math -fwrapv "
    "-fno-strict-aliasing"
    " -w -fPIC -shared";

static void set_flags(common *c) {
  snprintf(c->flags, sizeof c->flags, "%s %s", fixed_flags, c->target->cc_flags);
  c->nflags = 1;
  for (char *rest = c->flags, *word;
       c->nflags < MAX_ARGS - 5 && (word = strtok_r(rest, " ", &rest));)
    c->args[c->nflags++] = word;
}

/* The line that names the error, or else the first line, of what the compiler printed. */
static void read_errors(build *b, int status) {
  char line[512];
  const char *name = b->of->args[0];
  snprintf(b->reason, REASON, "%s failed (status %d)", name, status);
  FILE *f = fopen(b->errors, "r");
  if (f == NULL) return;
  bool first = true;
  while (fgets(line, sizeof line, f) != NULL) {
    line[strcspn(line, "\n")] = 0;
    char *error = strstr(line, "error:");
    const char *what = error != NULL ? error : line;
    if (error != NULL || first) snprintf(b->reason, REASON, "%s: %.200s", name, what);
    first = false;
    if (error != NULL) break;
  }
  fclose(f);
}

/* The signals that are held here must end a compiler as they would end any program. */
static bool spawn_attributes(posix_spawnattr_t *attributes) {
  sigset_t mask;
  if (posix_spawnattr_init(attributes) != 0) return false;
  signals_mask_of_child(&mask);
  if (posix_spawnattr_setsigmask(attributes, &mask) == 0 &&
      posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK) == 0)
    return true;
  posix_spawnattr_destroy(attributes);
  return false;
}

static int spawn(build *b, const posix_spawn_file_actions_t *files,
                 const posix_spawnattr_t *attributes) {
  char out[] = "-o", math[] = "-lm";
  common *c = b->of;
  char *args[MAX_ARGS];
  memcpy(args, c->args, (size_t)c->nflags * sizeof *args);
  char *const last[] = {out, b->object, b->source, math, NULL};
  memcpy(args + c->nflags, last, sizeof last);
  int failed = ENOENT;
  for (size_t i = 0; i < COMPILERS && failed; ++i) {
    args[0] = c->args[0] = (char *)(uintptr_t)compilers[i];
    failed = posix_spawnp(&b->pid, args[0], files, attributes, args, environ);
  }
  if (failed) b->pid = 0;
  return failed;
}

static bool start_compiler(build *b) {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  if (!spawn_attributes(&attributes)) return false;
  if (posix_spawn_file_actions_init(&files) != 0) {
    posix_spawnattr_destroy(&attributes);
    return false;
  }
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&files, 2, b->errors, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  int failed = spawn(b, &files, &attributes);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (failed)
    snprintf(b->reason, REASON, "no C compiler: none of cc, gcc and clang on PATH starts (%s)",
             strerror(failed));
  if (b->active != NULL) atomic_store(&b->active->compiler, b->pid);
  return !failed;
}

/* True: the compiler has ended, with *ok. Where somebody else reaps children the object's existence decides. */
static bool has_ended(build *b, bool wait, bool *ok) {
  int status = 0;
  pid_t got;
  do got = waitpid(b->pid, &status, wait ? 0 : WNOHANG);
  while (got < 0 && errno == EINTR);
  if (got == 0) return false;
  bool known = got > 0 || errno == ECHILD;
  if (got < 0) status = 0;
  b->pid = 0;
  if (b->active != NULL) atomic_store(&b->active->compiler, 0);
  *ok = known && status == 0;
  if (!*ok) read_errors(b, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
  return true;
}

/* --- one object ------------------------------------------------------------------------------- */

/* Everything that the object depends on. Two compilers of one name differ in their files. */
static void make_common_key(str *key, const machine *target) {
  str_printf(key, "cpu:cc %s %s\n", fixed_flags, target->cc_flags);
  const char *path = getenv("PATH");
  bool found = false;
  for (size_t i = 0; i < COMPILERS && !found; ++i)
    for (const char *at = path; at != NULL && *at && !found;
         at += strcspn(at, ":"), at += *at == ':') {
      char file[1024];
      struct stat s;
      snprintf(file, sizeof file, "%.*s/%s", (int)strcspn(at, ":"), at, compilers[i]);
      found = access(file, X_OK) == 0 && stat(file, &s) == 0;
      if (found)
        str_printf(key, "%s %lld %lld.%09ld\n", file, (long long)s.st_size,
                   (long long)s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
    }
}

static bool load_object(build *b) {
  if (!fork_enter()) {
    snprintf(b->reason, REASON, "does not load: %.200s", fork_why);
    return false;
  }
  b->loaded = dlopen(b->object, RTLD_NOW | RTLD_LOCAL);
  fork_leave();
  if (b->loaded != NULL) return true;
  const char *why = dlerror();
  snprintf(b->reason, REASON, "does not load: %.200s", why != NULL ? why : "unknown");
  return false;
}

/* Reads the object's bytes for the store. What fails here is nobody's loss. */
static void keep_object(build *b) {
  struct stat s;
  FILE *f = b->of->cache != NULL ? fopen(b->object, "r") : NULL;
  size_t size = f != NULL && fstat(fileno(f), &s) == 0 ? (size_t)s.st_size : 0;
  b->bytes = size ? mem_alloc(size) : NULL;
  b->size = b->bytes != NULL && fread(b->bytes, 1, size, f) == size ? size : 0;
  if (f != NULL) fclose(f);
}

/* Everything that needs the arena, which is not used while there is a directory. */
static void describe(build *b, common *c, arena *scratch, const lin_kernel *const *kernels,
                     int first, int last) {
  *b = (build){.of = c, .first = first, .last = last, .reason = "unknown", .lock = -1};
  str_init(&b->text, scratch);
  render_c_prelude(&b->text, last - first, kernels + first);
  for (int i = first; i < last; ++i) render_c(&b->text, kernels[i]);
  str_init(&b->key, scratch);
  if (c->cache == NULL) return;
  str_addn(&b->key, c->key.data, c->key.len);
  str_addn(&b->key, b->text.data, b->text.len);
}

static void try_store(build *b, arena *scratch) {
  size_t size = 0;
  const void *bytes =
      store_get(b->of->cache, scratch, STORE_KERNELS, b->key.data, b->key.len, &size);
  if (bytes == NULL || !open_directory(b)) return;
  b->stored = write_file(b, b->object, bytes, size) && load_object(b);
  close_directory(b);
}

static bool start(build *b) {
  if (!open_directory(b)) return false;
  if (write_file(b, b->source, b->text.data, b->text.len) && start_compiler(b)) return true;
  close_directory(b);
  return false;
}

/* False: its compiler still runs. */
static bool finish(build *b, bool wait) {
  bool ok = false;
  if (!has_ended(b, wait, &ok)) return false;
  if (ok && load_object(b)) keep_object(b);
  close_directory(b);
  return true;
}

/* Ends one of those that run, the first to be done. */
static void finish_one(build **running, int *count) {
  const struct timespec moment = {.tv_nsec = 500000};
  for (;;) {
    for (int i = 0; i < *count; ++i) {
      if (!finish(running[i], *count == 1)) continue;
      running[i] = running[--*count];
      return;
    }
    nanosleep(&moment, NULL);
  }
}

/* At most so many compilers at a time. */
static void compile_missing(build *all, int count, int most) {
  build *running[ACTIVE];
  int n = 0;
  if (most > ACTIVE) most = ACTIVE;
  for (int i = 0; i < count; ++i) {
    if (all[i].loaded != NULL) continue;
    if (n == most) finish_one(running, &n);
    if (start(&all[i])) running[n++] = &all[i];
  }
  while (n > 0) finish_one(running, &n);
}

static bool find_kernel(void *object, const char *name, backend_kernel *out) {
  if (!fork_enter()) return false;
  void *symbol = dlsym(object, name);
  fork_leave();
  if (symbol == NULL) return false;
  out->code = symbol; /* a host_code */
  return true;
}

static void cc_release(void *handle) {
  cc_code *code = handle;
  if (code == NULL) return;
  if (fork_enter()) { /* else the loader may be locked for ever */
    for (int i = 0; i < code->count; ++i) dlclose(code->object[i]);
    fork_leave();
  }
  mem_free(code);
}

static void take_result(backend_job *job, int i, const build *b) {
  backend_kernel *out = &job->out[i];
  out->error = NULL;
  if (b->loaded == NULL)
    out->error = arena_strdup(job->a, b->reason);
  else if (!find_kernel(b->loaded, out->symbol, out))
    out->error = "the compiled object lacks this kernel";
}

static void keep_all(store *cache, build *all, int count, store_entry *fresh) {
  int n = 0;
  for (int i = 0; i < count; ++i)
    if (all[i].size > 0)
      fresh[n++] = (store_entry){all[i].key.data, all[i].key.len, all[i].bytes, all[i].size};
  store_put_all(cache, STORE_KERNELS, n, fresh);
  for (int i = 0; i < count; ++i) mem_free(all[i].bytes);
}

/* Kernels without code, so many in a source. */
static void compile_in_parts(backend_job *job, common *c, arena *scratch, cc_code *code, int size) {
  int n = 0, *of = arena_array(scratch, int, job->count + 1);
  const lin_kernel **missing = arena_array(scratch, const lin_kernel *, job->count + 1);
  for (int i = 0; i < job->count; ++i) {
    if (job->out[i].code != NULL) continue;
    lin_kernel *k = arena_copy(scratch, job->kernels[i], sizeof *k);
    k->name = job->out[i].symbol;
    of[n] = i;
    missing[n++] = k;
  }
  int parts = (n + size - 1) / size;
  build *all = arena_array(scratch, build, parts + 1);
  for (int i = 0; i < parts; ++i)
    describe(&all[i], c, scratch, missing, i * size, (i + 1) * size < n ? (i + 1) * size : n);
  for (int i = 0; i < parts && c->cache != NULL; ++i) {
    try_store(&all[i], scratch);
    if (all[i].loaded != NULL) code->object[code->count++] = all[i].loaded;
  }
  store_entry *fresh = arena_array(scratch, store_entry, parts + 1);
  compile_missing(all, parts, job->threads);
  keep_all(c->cache, all, parts, fresh);
  for (int i = 0; i < parts; ++i) {
    if (!all[i].stored && all[i].loaded != NULL) code->object[code->count++] = all[i].loaded;
    job->cached = job->cached && all[i].stored;
  }
  for (int i = 0; i < parts; ++i)
    for (int j = all[i].first; j < all[i].last; ++j) take_result(job, of[j], &all[i]);
}

static void compile_all(backend_job *job, arena *scratch, cc_code *code) {
  common c = {.target = job->target, .cache = job->cache};
  int share = (job->count + job->threads - 1) / job->threads;
  int size = c.cache != NULL || share < 1 ? 1 : share;
  set_flags(&c);
  str_init(&c.key, scratch);
  if (c.cache != NULL) make_common_key(&c.key, c.target);
  job->cached = true;
  for (int i = 0; i < job->count; ++i) job->out[i].scratch = job->kernels[i]->scratch_bytes;
  compile_in_parts(job, &c, scratch, code, size);
  if (size > 1) compile_in_parts(job, &c, scratch, code, 1);
}

static void *cc_compile(void *device, backend_job *job) {
  diag *d = job->d;
  (void)device;
  cc_code *code = mem_alloc(sizeof *code + 2 * (size_t)job->count * sizeof code->object[0]);
  if (code == NULL) diag_fail(d, WN_ERR_NOMEM, "out of memory while compiling kernels");
  code->count = 0;
  arena scratch;
  arena_init(&scratch, d);
  wn_status st;
  DIAG_TRY(d, st) { compile_all(job, &scratch, code); }
  DIAG_END(d, st)
  arena_release(&scratch);
  if (st == WN_OK) return code;
  cc_release(code);
  diag_fail(d, st, "out of memory while compiling kernels");
}

const backend backend_cc = {
    HOST_BACKEND(host_open, host_launch, host_blocks),
    .name = "cpu:cc",
    .compiler = "the system's C compiler",
    .isas = machine_cpu_isas,
    .compile = cc_compile,
    .release = cc_release,
    .abandon = cc_abandon,
};
