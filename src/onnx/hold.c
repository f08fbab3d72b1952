/* See hold.h. Elements of raw data stand where protobuf has put them, mostly not aligned: in a file that is held they
 * are moved a few bytes to the front, over the tag and the length of their field, which have been read. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "onnx/hold.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Some bytes of a file: elements that were moved to the front, or that are not there. */
typedef struct held_piece {
  struct held_piece *next;
  size_t at, size; /* in held_file.bytes */
  size_t shift;    /* they are so much further on in the file */
} held_piece;

struct held_file {
  held_file *next;
  struct stat st;
  unsigned char *bytes;
  size_t size;
  bool has_messages; /* else only data of tensors */
  held_piece *moved, *dropped;
  char path[]; /* as it was asked for */
};

struct held_copy {
  held_copy *next;
  _Alignas(16) unsigned char bytes[];
};

enum { ALIGN = 4096, FIRST_PIECE = 1 << 20, MOST_AT_ONCE = 1 << 30, SHORTER = -1 };

/* --- reading ----------------------------------------------------------------------------------- */

/* Fills f up to `room` bytes or the end; 0 or errno. */
static int read_some(int fd, held_file *f, size_t room) {
  while (f->size < room) {
    size_t want = room - f->size < MOST_AT_ONCE ? room - f->size : MOST_AT_ONCE;
    ssize_t n = read(fd, f->bytes + f->size, want);
    if (n == 0) break;
    if (n < 0 && errno != EINTR) return errno;
    if (n > 0) f->size += (size_t)n;
  }
  return 0;
}

static int read_pipe(int fd, held_file *f) {
  size_t room = FIRST_PIECE, most = mem_physical();
  f->bytes = mem_alloc_aligned_unset(room, ALIGN);
  int error = f->bytes != NULL ? read_some(fd, f, room) : ENOMEM;
  while (error == 0 && f->size == room) {
    unsigned char *more = room < most / 2 ? mem_alloc_aligned_unset(room * 2, ALIGN) : NULL;
    if (more == NULL) return ENOMEM;
    memcpy(more, f->bytes, room);
    mem_free_aligned(f->bytes);
    f->bytes = more;
    room *= 2;
    error = read_some(fd, f, room);
  }
  return error;
}

static int read_regular(int fd, held_file *f) {
  if (f->st.st_size < 0 || (uint64_t)f->st.st_size > SIZE_MAX / 2) return ENOMEM;
  size_t size = (size_t)f->st.st_size;
  f->bytes = mem_alloc_aligned_unset(size, ALIGN);
  if (f->bytes == NULL) return ENOMEM;
  int error = read_some(fd, f, size);
  return error == 0 && f->size < size ? SHORTER : error;
}

static void free_pieces(held_piece *p) {
  while (p != NULL) {
    held_piece *next = p->next;
    mem_free(p);
    p = next;
  }
}

static void free_file(held_file *f) {
  for (const held_piece *p = f->dropped; p != NULL; p = p->next)
    mem_take(f->bytes + p->at, p->size);
  free_pieces(f->dropped);
  free_pieces(f->moved);
  mem_free_aligned(f->bytes);
  mem_free(f);
}

void hold_release(file_holder *h) {
  while (h->first != NULL) {
    held_file *f = h->first;
    h->first = f->next;
    free_file(f);
  }
  while (h->copies != NULL) {
    held_copy *c = h->copies;
    h->copies = c->next;
    mem_free(c);
  }
}

/* Is the file that is held the one that is there now? A pipe's other figures change as it is read. */
static bool is_held(const held_file *f, const struct stat *st) {
  if (f->st.st_dev != st->st_dev || f->st.st_ino != st->st_ino) return false;
  if (!S_ISREG(st->st_mode)) return !S_ISREG(f->st.st_mode);
  return f->st.st_size == st->st_size && f->st.st_mtim.tv_sec == st->st_mtim.tv_sec &&
         f->st.st_mtim.tv_nsec == st->st_mtim.tv_nsec;
}

static held_file *find_file(const file_holder *h, const struct stat *st) {
  held_file *f = h->first;
  while (f != NULL && !is_held(f, st)) f = f->next;
  return f;
}

static held_file *find_path(const file_holder *h, const char *path) {
  held_file *f = h->first;
  while (f != NULL && strcmp(f->path, path) != 0) f = f->next;
  return f;
}

/* Reads what fd is open for, and closes it. `path` is for errors and find_path. */
static held_file *read_file(file_holder *h, diag *d, int fd, const char *path, bool regular) {
  struct stat st;
  int error = fd < 0 || fstat(fd, &st) != 0 ? errno : 0;
  bool readable = error == 0 && (S_ISREG(st.st_mode) ||
                                 (!regular && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))));
  held_file *f = error == 0 && readable ? find_file(h, &st) : NULL;
  if (f == NULL && readable) {
    f = mem_alloc(sizeof *f + strlen(path) + 1);
    if (f != NULL) {
      *f = (held_file){.st = st};
      memcpy(f->path, path, strlen(path) + 1);
      error = S_ISREG(st.st_mode) ? read_regular(fd, f) : read_pipe(fd, f);
      if (error != 0) free_file(f);
    } else {
      error = ENOMEM;
    }
    if (error == 0) {
      f->next = h->first;
      h->first = f;
    }
  }
  if (fd >= 0) close(fd);
  if (error == ENOMEM) diag_fail(d, WN_ERR_NOMEM, "no memory for %.700s", path);
  if (error == SHORTER)
    diag_fail(d, WN_ERR_IO, "cannot read %.700s: it became shorter meanwhile", path);
  if (error != 0) diag_fail(d, WN_ERR_IO, "cannot read %.700s: %s", path, strerror(error));
  if (!readable)
    diag_fail(d, WN_ERR_IO, "cannot read %.700s: not a regular file%s", path,
              regular ? "" : " or a pipe");
  return f;
}

const unsigned char *hold_file(file_holder *h, diag *d, const char *path, size_t *size) {
  struct stat st;
  /* a named pipe is not opened again, which would wait for somebody to write */
  held_file *f = stat(path, &st) == 0 ? find_file(h, &st) : NULL;
  if (f == NULL) f = read_file(h, d, open(path, O_RDONLY | O_CLOEXEC), path, false);
  f->has_messages = true;
  *size = f->size;
  return f->bytes;
}

/* --- bytes that go and come back --------------------------------------------------------------- */

static held_file *file_with(const file_holder *h, const unsigned char *at) {
  held_file *f = h->first;
  while (f != NULL && (at < f->bytes || at >= f->bytes + f->size)) f = f->next;
  return f;
}

static bool add_piece(held_piece **list, size_t at, size_t size, size_t shift) {
  held_piece *p = mem_alloc(sizeof *p);
  if (p == NULL) return false;
  *p = (held_piece){*list, at, size, shift};
  *list = p;
  return true;
}

/* How far elements were moved; those of one tensor begin at `at`. */
static size_t shift_of(const held_file *f, size_t at) {
  const held_piece *p = f->moved;
  while (p != NULL && p->at != at) p = p->next;
  return p != NULL ? p->shift : 0;
}

static bool is_dropped(const held_file *f, size_t at) {
  const held_piece *p = f->dropped;
  while (p != NULL && (at < p->at || at >= p->at + p->size)) p = p->next;
  return p != NULL;
}

size_t hold_drop(file_holder *h, const void *elements, size_t bytes) {
  held_file *f = file_with(h, elements);
  if (f == NULL || !S_ISREG(f->st.st_mode)) return 0;
  size_t at = (size_t)((const unsigned char *)elements - f->bytes);
  if (bytes > f->size - at || !add_piece(&f->dropped, at, bytes, shift_of(f, at))) return 0;
  held_piece *p = f->dropped;
  f->dropped = p->next;
  unsigned char *first;
  p->size = is_dropped(f, at + bytes / 2) ? 0 : mem_drop(f->bytes + at, bytes, &first);
  if (p->size == 0) {
    mem_free(p);
    return 0;
  }
  p->at = (size_t)(first - f->bytes);
  f->dropped = p;
  return p->size;
}

/* 0 or errno; SHORTER: the file has no such bytes any more. */
static int read_piece(int fd, unsigned char *to, size_t size, size_t at) {
  while (size > 0) {
    ssize_t n = pread(fd, to, size < MOST_AT_ONCE ? size : MOST_AT_ONCE, (off_t)at);
    if (n == 0) return SHORTER;
    if (n < 0 && errno != EINTR) return errno;
    if (n < 0) continue;
    to += n;
    at += (size_t)n;
    size -= (size_t)n;
  }
  return 0;
}

static void restore_file(held_file *f, diag *d) {
  struct stat st;
  int fd = open(f->path, O_RDONLY | O_CLOEXEC), error = fd < 0 || fstat(fd, &st) != 0 ? errno : 0;
  bool same = error == 0 && is_held(f, &st);
  while (same && error == 0 && f->dropped != NULL) {
    held_piece *p = f->dropped;
    mem_take(f->bytes + p->at, p->size);
    error = read_piece(fd, f->bytes + p->at, p->size, p->at + p->shift);
    if (error != 0) break;
    f->dropped = p->next;
    mem_free(p);
  }
  if (fd >= 0) close(fd);
  if (error == 0 && same) return;
  diag_fail(d, WN_ERR_IO,
            "%.600s is read again for weights that were released, and %s: load the model again",
            f->path, error > 0 ? strerror(error) : "is not what it was when the model was loaded");
}

void hold_restore(file_holder *h, diag *d) {
  for (held_file *f = h->first; f != NULL; f = f->next)
    if (f->dropped != NULL) restore_file(f, d);
}

/* --- external data ----------------------------------------------------------------------------- */

/* The tensor whose elements are asked for. */
typedef struct wanted {
  file_holder *h;
  arena *a;
  diag *d;
  const char *model; /* path */
  const onnx_tensor *t;
  size_t bytes;
} wanted;

static _Noreturn void refuse(const wanted *w, wn_status status, const char *format, ...)
    WN_PRINTF(3, 4);
static _Noreturn void refuse(const wanted *w, wn_status status, const char *format, ...) {
  str reason;
  va_list args;
  str_init(&reason, w->a);
  va_start(args, format);
  str_vprintf(&reason, format, args);
  va_end(args);
  const char *name =
      *w->t->name ? arena_printf(w->a, "tensor '%.80s'", w->t->name) : "a tensor without a name";
  diag_fail(w->d, status, "%.300s%s%s: %s", w->model != NULL ? w->model : "",
            w->model != NULL ? ": " : "", name, str_text(&reason));
}

/* A path that is written to go down only, whatever links are on it. */
static bool goes_down(const char *path) {
  if (*path == '/' || *path == '\0') return false;
  for (const char *part = path; part != NULL; part = strchr(part, '/')) {
    if (*part == '/') ++part;
    size_t n = strcspn(part, "/");
    if (n == 2 && part[0] == '.' && part[1] == '.') return false;
  }
  return true;
}

/* The folder of a path, with its slash; "" where it has none. */
static char *folder_of(arena *a, const char *path) {
  const char *slash = strrchr(path, '/');
  size_t n = slash != NULL ? (size_t)(slash - path) + 1 : 0;
  char *folder = arena_alloc(a, n + 1);
  if (n > 0) memcpy(folder, path, n);
  return folder;
}

/* Is the file at `real`, a path without links, in the folder of `of`, or of what `of` links to? */
static bool is_beside(const wanted *w, const char *real, const char *of) {
  char resolved[PATH_MAX];
  const char *folder = folder_of(w->a, of);
  const char *const paths[] = {*folder ? folder : ".", of};
  for (int i = 0; i < 2; ++i) {
    if (realpath(paths[i], resolved) == NULL) continue;
    const char *base =
        i == 0 ? arena_printf(w->a, "%s%s", resolved, strcmp(resolved, "/") != 0 ? "/" : "")
               : folder_of(w->a, resolved);
    if (strncmp(real, base, strlen(base)) == 0) return true;
  }
  return false;
}

/* The file of external data, held. */
static const held_file *data_file(const wanted *w) {
  char real[PATH_MAX];
  const char *location = w->t->location;
  if (w->model == NULL)
    refuse(w, WN_ERR_USAGE,
           "its data is in the file '%.200s', and a model from memory has no folder", location);
  if (!goes_down(location))
    refuse(w, WN_ERR_USAGE, "its data is in '%.200s', expected a path inside the model's folder",
           location);
  const char *path = arena_printf(w->a, "%s%s", folder_of(w->a, w->model), location);
  held_file *f = find_path(w->h, path);
  if (f == NULL) {
    if (realpath(path, real) == NULL)
      refuse(w, WN_ERR_IO, "its data is in '%.200s', which is not there: %s", location,
             strerror(errno));
    if (!is_beside(w, real, w->model))
      refuse(w, WN_ERR_USAGE, "its data is in '%.200s', a link out of the model's folder",
             location);
    int fd = open(real, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    f = read_file(w->h, w->d, fd, path, true);
  }
  if (f->has_messages)
    refuse(w, WN_ERR_USAGE, "its data is in '%.200s', which is the model itself", location);
  return f;
}

static const unsigned char *external_data(const wanted *w) {
  const onnx_tensor *t = w->t;
  if (t->length != 0 && t->length != w->bytes)
    refuse(w, WN_ERR_USAGE, "its data in '%.200s' has %llu bytes, %zu fit %s%s", t->location,
           (unsigned long long)t->length, w->bytes, onnx_type_name(w->a, t->type),
           arena_shape(w->a, t->ndim < 8 ? t->ndim : 8, t->dims));
  const held_file *f = data_file(w);
  if (t->offset > f->size || w->bytes > f->size - t->offset)
    refuse(w, WN_ERR_USAGE, "its data are %zu bytes from %llu on of '%.200s', which has %zu",
           w->bytes, (unsigned long long)t->offset, t->location, f->size);
  return f->bytes + t->offset;
}

/* --- elements ---------------------------------------------------------------------------------- */

/* Bytes of the numbers that an element is made of. */
static size_t unit_of(int type) {
  size_t size = onnx_type_size(type);
  return type == ONNX_COMPLEX64 || type == ONNX_COMPLEX128 ? size / 2 : size;
}

static bool are_bools(const unsigned char *p, size_t n) {
  unsigned char all = 0;
  for (size_t i = 0; i < n; ++i) all |= p[i];
  return all < 2;
}

/* Raw data in a held file is moved to where its type is aligned, if the tag and the length before it are as long; NULL:
 * it cannot be. */
static const unsigned char *move(const wanted *w, size_t shift) {
  const unsigned char *raw = w->t->raw;
  size_t before = 1; /* the tag; of the length, at least */
  for (size_t n = w->bytes; n > 0; n >>= 7) ++before;
  held_file *f = file_with(w->h, raw);
  if (f == NULL || shift > before) return NULL;
  size_t at = (size_t)(raw - f->bytes) - shift;
  if (!add_piece(&f->moved, at, w->bytes, shift)) return NULL;
  return memmove(f->bytes + at, raw, w->bytes);
}

static const unsigned char *copy(const wanted *w, const unsigned char *from, bool swap) {
  size_t unit = unit_of(w->t->type);
  held_copy *c = mem_alloc(sizeof *c + w->bytes);
  if (c == NULL) refuse(w, WN_ERR_NOMEM, "no memory for its elements");
  c->next = w->h->copies;
  w->h->copies = c;
  unsigned char *to = memcpy(c->bytes, from, w->bytes);
  for (size_t i = 0; swap && i + unit <= w->bytes; i += unit) {
    for (size_t low = i, high = i + unit - 1; low < high; ++low, --high) {
      unsigned char byte = to[low];
      to[low] = to[high];
      to[high] = byte;
    }
  }
  for (size_t i = 0; w->t->type == ONNX_BOOL && i < w->bytes; ++i) to[i] = to[i] != 0;
  return to;
}

/* Little-endian bytes as elements of this machine. */
static const unsigned char *settle(const wanted *w, const unsigned char *from) {
  size_t unit = unit_of(w->t->type), shift = (uintptr_t)from % unit;
  bool swap = __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ && unit > 1;
  if (swap || (w->t->type == ONNX_BOOL && !are_bools(from, w->bytes))) return copy(w, from, swap);
  if (shift == 0) return from;
  const unsigned char *moved = w->t->raw != NULL ? move(w, shift) : NULL;
  return moved != NULL ? moved : copy(w, from, false);
}

const void *onnx_tensor_elements(file_holder *h, arena *a, diag *d, const char *model_path,
                                 const onnx_tensor *t) {
  static const _Alignas(16) char none[1];
  wanted w = {.h = h, .a = a, .d = d, .model = model_path, .t = t};
  size_t size = onnx_type_size(t->type);
  if (*t->place != NULL) return *t->place;
  if (size == 0)
    refuse(&w, WN_ERR_USAGE, "elements of %s are not supported", onnx_type_name(a, t->type));
  if (__builtin_mul_overflow((uint64_t)t->count, size, &w.bytes))
    refuse(&w, WN_ERR_USAGE, "it has more elements than memory can have");
  if (t->typed != NULL)
    *t->place = t->typed;
  else if (w.bytes == 0)
    *t->place = none;
  else
    *t->place = settle(&w, t->raw != NULL ? t->raw : external_data(&w));
  return *t->place;
}
