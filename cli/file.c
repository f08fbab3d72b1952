/* See file.h. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ending.h"

/* What a file of a known size has, and what comes through anything else until it ends. */
enum { FIRST_PIECE = 64 << 10 };
static const size_t LARGEST_STREAM = (size_t)1 << 40;

typedef struct reader {
  FILE *f;
  const char *path;
  unsigned char *bytes; /* in the arena, with room for one more */
  size_t got, room;
} reader;

static void read_all(reader *r, arena *a) {
  r->bytes = arena_alloc(a, r->room + 1);
  while ((r->got += fread(r->bytes + r->got, 1, r->room - r->got, r->f)) == r->room) {
    int next = fgetc(r->f);
    if (next == EOF) break;
    if (r->room > LARGEST_STREAM / 2) diag_fail(a->diag, WN_ERR_IO, "%s does not end", r->path);
    unsigned char *more = arena_alloc(a, 2 * r->room + 1);
    memcpy(more, r->bytes, r->got);
    more[r->got++] = (unsigned char)next;
    r->bytes = more;
    r->room *= 2;
  }
  if (ferror(r->f)) diag_fail(a->diag, WN_ERR_IO, "cannot read %s: %s", r->path, strerror(errno));
  r->bytes[r->got] = 0;
}

/* Pipes that were read: a problem may be derived from its files before these are read for it. */
static struct stream {
  struct stream *next;
  dev_t device;
  ino_t node;
  size_t size;
  unsigned char bytes[];
} *streams;

static const struct stream *find_stream(const struct stat *st) {
  const struct stream *s = streams;
  while (s != NULL && (s->device != st->st_dev || s->node != st->st_ino)) s = s->next;
  return s;
}

static void keep_stream(const struct stat *st, const reader *r) {
  struct stream *s = mem_alloc(sizeof *s + r->got);
  if (s == NULL) return; /* it has ended, then, if it is read again */
  *s = (struct stream){.next = streams, .device = st->st_dev, .node = st->st_ino, .size = r->got};
  memcpy(s->bytes, r->bytes, r->got);
  streams = s;
}

unsigned char *file_read(arena *a, const char *path, size_t *size) {
  reader r = {.path = path, .room = FIRST_PIECE};
  struct stat st;
  /* a named pipe is not opened again, which would wait for somebody to write */
  const struct stream *before = stat(path, &st) == 0 ? find_stream(&st) : NULL;
  if (before != NULL) {
    *size = before->size;
    return memcpy(arena_alloc(a, before->size + 1), before->bytes, before->size);
  }
  r.f = fopen(path, "rb");
  if (r.f == NULL) diag_fail(a->diag, WN_ERR_IO, "cannot open %s: %s", path, strerror(errno));
  bool known = !fstat(fileno(r.f), &st);
  if (!known || (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode))) {
    fclose(r.f);
    diag_fail(a->diag, WN_ERR_IO, "cannot read %s: not a regular file or a pipe", path);
  }
  bool regular = S_ISREG(st.st_mode);
  if (regular) r.room = (size_t)st.st_size + 1; /* so that its end is seen */
  wn_status status;
  DIAG_TRY(a->diag, status) { read_all(&r, a); }
  DIAG_END(a->diag, status)
  fclose(r.f);
  if (status == WN_ERR_NOMEM) diag_fail(a->diag, status, "no memory for %s", path);
  if (status != WN_OK) diag_fail(a->diag, status, "%s", arena_strdup(a, a->diag->message));
  if (!regular) keep_stream(&st, &r);
  *size = r.got;
  return r.bytes;
}

/* A rename puts a file in the place of whatever is there: of a device, or of the link /dev/stdout. */
static void refuse_special(arena *a, const char *path) {
  struct stat st;
  char target[8] = "";
  bool special = readlink(path, target, sizeof target - 1) > 0 && !strncmp(target, "/proc/", 6);
  if (!special && stat(path, &st)) return;
  if (!special && S_ISDIR(st.st_mode))
    diag_fail(a->diag, WN_ERR_IO, "cannot write %s: it is a directory", path);
  if (special || !S_ISREG(st.st_mode))
    diag_fail(a->diag, WN_ERR_IO, "cannot write %s: it is not a regular file", path);
}

void file_create(file_writer *w, arena *a, const char *path) {
  w->path = path;
  w->stream = NULL;
  w->temporary = arena_printf(a, "%s.XXXXXX", path);
  refuse_special(a, path);
  mode_t mask = umask(0);
  umask(mask);
  int fd = ending_create(w->temporary);
  if (fd < 0) diag_fail(a->diag, WN_ERR_IO, "cannot write %.500s: %s", path, strerror(errno));
  if (fchmod(fd, 0666 & ~mask) || !(w->stream = fdopen(fd, "wb"))) {
    int error = errno;
    close(fd);
    file_abandon(w);
    diag_fail(a->diag, WN_ERR_IO, "cannot write %s: %s", path, strerror(error));
  }
}

void file_abandon(file_writer *w) {
  if (w->stream != NULL) fclose(w->stream);
  w->stream = NULL;
  unlink(w->temporary);
  ending_forget();
}

void file_try(arena *a, const char *path) {
  file_writer w;
  file_create(&w, a, path);
  file_abandon(&w);
}

static _Noreturn void failed(file_writer *w, diag *d) {
  int error = errno;
  file_abandon(w);
  diag_fail(d, WN_ERR_IO, "cannot write %s: %s; nothing was written", w->path, strerror(error));
}

void file_put(file_writer *w, diag *d, const void *bytes, size_t size) {
  if (fwrite(bytes, 1, size, w->stream) != size) failed(w, d);
}

void file_commit(file_writer *w, diag *d) {
  if (ferror(w->stream) || fflush(w->stream) || fsync(fileno(w->stream))) failed(w, d);
  FILE *f = w->stream;
  w->stream = NULL;
  if (fclose(f) || rename(w->temporary, w->path)) failed(w, d);
  ending_forget();
}
