/* What is read is the directory at the archive's end, which says where members lie; what stands before each of them is
 * only stepped over. See npz.h. */
#include "npz.h"

#include "file.h"
#include "pack.h"

enum { END_SIZE = 22, ENTRY_SIZE = 46, LOCAL_SIZE = 30, MOST_MEMBERS = 65535 };
enum { MOST_RATIO = 1032 }; /* of deflate: 258 bytes for 2 bits */
enum { STORED = 0, DEFLATED = 8, VERSION = 20, DATE = 0x21 /* 1980-01-01, as numpy writes it */ };
static const uint32_t LOCAL_MAGIC = 0x04034b50, ENTRY_MAGIC = 0x02014b50, END_MAGIC = 0x06054b50;

/* --- reading ---------------------------------------------------------------------------------- */

typedef struct archive {
  arena *arena;
  const char *name;
  const unsigned char *bytes;
  size_t size;
} archive;

static _Noreturn void bad(const archive *z, const char *what) {
  diag_fail(z->arena->diag, WN_ERR_USAGE, "%s: not a .npz file that can be read: %s", z->name,
            what);
}

static uint32_t u16(const unsigned char *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }
static uint32_t u32(const unsigned char *p) { return u16(p) | u16(p + 2) << 16; }

/* The end of the directory: the last 22 bytes, or before a comment of as many bytes as it says. */
static const unsigned char *find_end(const archive *z) {
  size_t most = 65535 + END_SIZE;
  for (size_t back = END_SIZE; back <= z->size && back <= most; ++back) {
    const unsigned char *p = z->bytes + z->size - back;
    if (u32(p) == END_MAGIC && u16(p + 20) == back - END_SIZE) return p;
  }
  bad(z, "it has no directory at its end (is it truncated?)");
}

typedef struct entry_info {
  uint32_t flags, method, crc, packed, size, at;
  const char *name;
} entry_info;

/* The entry at *p, which goes on to the next one. */
static entry_info read_entry(const archive *z, const unsigned char **p, const unsigned char *end) {
  const unsigned char *e = *p;
  if (end - e < ENTRY_SIZE || u32(e) != ENTRY_MAGIC) bad(z, "its directory is damaged");
  size_t name = u16(e + 28), more = name + u16(e + 30) + u16(e + 32);
  if ((size_t)(end - e) - ENTRY_SIZE < more) bad(z, "its directory is truncated");
  entry_info out = {.flags = u16(e + 8),
                    .method = u16(e + 10),
                    .crc = u32(e + 16),
                    .packed = u32(e + 20),
                    .size = u32(e + 24),
                    .at = u32(e + 42)};
  char *text = arena_alloc(z->arena, name + 1);
  memcpy(text, e + ENTRY_SIZE, name);
  for (size_t i = 0; i < name; ++i)
    if (text[i] == '\0') bad(z, "a name in its directory has a 0 byte");
  out.name = text;
  *p = e + ENTRY_SIZE + more;
  return out;
}

static const unsigned char *unpack(const archive *z, const entry_info *e) {
  if (e->packed == UINT32_MAX || e->size == UINT32_MAX || e->at == UINT32_MAX)
    bad(z, arena_printf(z->arena, "%s is of 4 GiB or more", e->name));
  if (e->flags & 1) bad(z, arena_printf(z->arena, "%s is encrypted", e->name));
  if (e->at > z->size || z->size - e->at < LOCAL_SIZE || u32(z->bytes + e->at) != LOCAL_MAGIC)
    bad(z, arena_printf(z->arena, "%s is not where its directory says", e->name));
  const unsigned char *local = z->bytes + e->at, *data;
  size_t skip = LOCAL_SIZE + (size_t)u16(local + 26) + u16(local + 28), left = z->size - e->at;
  if (left < skip || left - skip < e->packed)
    bad(z, arena_printf(z->arena, "%s is truncated", e->name));
  data = local + skip;
  if (e->method == DEFLATED) {
    bool possible = e->size / MOST_RATIO <= e->packed;
    unsigned char *to = arena_alloc(z->arena, possible ? (size_t)e->size + 1 : 1);
    if (!possible || !pack_inflate(data, e->packed, to, e->size))
      bad(z, arena_printf(z->arena, "%s does not unpack to its size", e->name));
    data = to;
  } else if (e->method != STORED || e->packed != e->size) {
    bad(z, arena_printf(z->arena, "%s is packed by method %u, expected stored or deflated", e->name,
                        (unsigned)e->method));
  }
  if (pack_crc32(0, data, e->size) != e->crc)
    bad(z, arena_printf(z->arena, "%s has a wrong checksum", e->name));
  return data;
}

/* Without the ending that members have. */
static const char *array_name(arena *a, const char *member) {
  size_t n = strlen(member);
  return n > 4 && !strcmp(member + n - 4, ".npy") ? arena_printf(a, "%.*s", (int)(n - 4), member)
                                                  : member;
}

void npz_parse(npz *out, arena *a, const char *name, const unsigned char *bytes, size_t size) {
  archive z = {a, name, bytes, size};
  if (size < END_SIZE) bad(&z, "it is shorter than any zip archive");
  const unsigned char *end = find_end(&z);
  uint32_t count = u16(end + 10), length = u32(end + 12), at = u32(end + 16);
  size_t room = (size_t)(end - bytes);
  if (u16(end + 4) != 0 || u16(end + 8) != count) bad(&z, "it is one of several files");
  if (at > room || length > room - at) bad(&z, "its directory is not where it says");
  const unsigned char *p = bytes + at, *last = p + length;
  *out = (npz){(int)count, arena_array(a, npz_member, count + 1)};
  for (int i = 0; i < out->count; ++i) {
    entry_info e = read_entry(&z, &p, last);
    npz_member *m = &out->member[i];
    m->name = array_name(a, e.name);
    npy_parse(&m->array, a, arena_printf(a, "%s, %s", name, e.name), unpack(&z, &e), e.size);
  }
}

void npz_read(npz *out, arena *a, const char *path) {
  size_t size;
  const unsigned char *bytes = file_read(a, path, &size);
  npz_parse(out, a, path, bytes, size);
}

const npy_array *npz_find(const npz *in, const char *name) {
  for (int i = 0; i < in->count; ++i)
    if (!strcmp(in->member[i].name, name)) return &in->member[i].array;
  return NULL;
}

/* --- writing ---------------------------------------------------------------------------------- */

typedef struct packing {
  const char *name;
  const unsigned char *head;
  size_t head_size, data_size;
  uint32_t crc, size, at;
} packing;

static void add16(str *s, uint32_t v) {
  const char b[2] = {(char)(v & 255), (char)(v >> 8 & 255)};
  str_addn(s, b, 2);
}

static void add32(str *s, uint32_t v) {
  add16(s, v & 65535);
  add16(s, v >> 16);
}

/* What both records of a member have: version, flags, method, time, date, checksum, sizes, length of the name. */
static void add_common(str *s, const packing *p) {
  add16(s, VERSION);
  add16(s, 0);
  add16(s, STORED);
  add16(s, 0);
  add16(s, DATE);
  add32(s, p->crc);
  add32(s, p->size);
  add32(s, p->size);
  add16(s, (uint32_t)strlen(p->name));
  add16(s, 0); /* extra field */
}

static const char *local_record(arena *a, const packing *p, size_t *size) {
  str s;
  str_init(&s, a);
  add32(&s, LOCAL_MAGIC);
  add_common(&s, p);
  str_add(&s, p->name);
  *size = s.len;
  return s.data;
}

static void add_directory(str *s, const packing *members, int count, uint32_t at) {
  for (int i = 0; i < count; ++i) {
    add32(s, ENTRY_MAGIC);
    add16(s, VERSION);
    add_common(s, &members[i]);
    add16(s, 0); /* comment */
    add16(s, 0); /* disk */
    add16(s, 0); /* attributes, inside and outside */
    add32(s, 0);
    add32(s, members[i].at);
    str_add(s, members[i].name);
  }
  uint32_t length = (uint32_t)s->len;
  add32(s, END_MAGIC);
  add16(s, 0);
  add16(s, 0);
  add16(s, (uint32_t)count);
  add16(s, (uint32_t)count);
  add32(s, length);
  add32(s, at);
  add16(s, 0);
}

/* Where each member will lie; fails where the archive would be one of zip64. Returns where the directory is. */
static uint32_t lay_out(arena *a, const char *path, const npz *in, packing *members) {
  uint64_t at = 0, names = 0;
  for (int i = 0; i < in->count; ++i) {
    const npy_array *v = &in->member[i].array;
    packing *p = &members[i];
    p->name = arena_printf(a, "%s.npy", in->member[i].name);
    p->head = npy_header(a, v->dtype, v->ndim, v->shape, &p->head_size);
    p->data_size = v->count * npy_size(v->dtype);
    uint64_t size = (uint64_t)p->head_size + p->data_size;
    names += ENTRY_SIZE + strlen(p->name);
    if (strlen(p->name) > 65535 || at + size + names + LOCAL_SIZE + END_SIZE >= UINT32_MAX)
      diag_fail(a->diag, WN_ERR_USAGE, "%s would be of 4 GiB or more: write a .npy for each", path);
    p->at = (uint32_t)at;
    p->size = (uint32_t)size;
    p->crc = pack_crc32(pack_crc32(0, p->head, p->head_size), v->data, p->data_size);
    at += LOCAL_SIZE + strlen(p->name) + size;
  }
  return (uint32_t)at;
}

void npz_write(arena *scratch, const char *path, const npz *in) {
  if (in->count > MOST_MEMBERS)
    diag_fail(scratch->diag, WN_ERR_USAGE, "%s would have more than %d arrays", path, MOST_MEMBERS);
  packing *members = arena_array(scratch, packing, in->count + 1);
  uint32_t at = lay_out(scratch, path, in, members);
  str directory;
  str_init(&directory, scratch);
  add_directory(&directory, members, in->count, at);
  const char **locals = arena_array(scratch, const char *, in->count + 1);
  size_t *sizes = arena_array(scratch, size_t, in->count + 1);
  for (int i = 0; i < in->count; ++i) locals[i] = local_record(scratch, &members[i], &sizes[i]);
  file_writer w;
  file_create(&w, scratch, path);
  for (int i = 0; i < in->count; ++i) {
    file_put(&w, scratch->diag, locals[i], sizes[i]);
    file_put(&w, scratch->diag, members[i].head, members[i].head_size);
    if (members[i].data_size > 0)
      file_put(&w, scratch->diag, in->member[i].array.data, members[i].data_size);
  }
  file_put(&w, scratch->diag, directory.data, directory.len);
  file_commit(&w, scratch->diag);
}
