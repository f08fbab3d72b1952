/* The header is read by a small scanner for exactly the dict that numpy writes: keys in any order,
 * no others. */
#include "npy.h"

#include <inttypes.h>
#include <stdio.h>

#include "file.h"

static const struct {
  const char *name, *code; /* code: descr without the byte order */
  size_t size;
} dtypes[NPY_DTYPES] = {
    [NPY_F32] = {"float32", "f4", 4}, [NPY_F64] = {"float64", "f8", 8},
    [NPY_F16] = {"float16", "f2", 2}, [NPY_I8] = {"int8", "i1", 1},
    [NPY_I16] = {"int16", "i2", 2},   [NPY_I32] = {"int32", "i4", 4},
    [NPY_I64] = {"int64", "i8", 8},   [NPY_U8] = {"uint8", "u1", 1},
    [NPY_U16] = {"uint16", "u2", 2},  [NPY_U32] = {"uint32", "u4", 4},
    [NPY_U64] = {"uint64", "u8", 8},  [NPY_BOOL] = {"bool", "b1", 1},
};

static const char expected[] = "expected a float, an integer or bool";

size_t npy_size(npy_dtype dtype) { return dtypes[dtype].size; }
const char *npy_name(npy_dtype dtype) { return dtypes[dtype].name; }

typedef struct scanner {
  arena *arena;
  const char *name, *s, *end;
} scanner;

static _Noreturn void bad(const scanner *in, const char *what) {
  diag_fail(in->arena->diag, WN_ERR_USAGE, "%s: not a .npy file that can be read: %s", in->name,
            what);
}

static void skip_blanks(scanner *in) {
  while (in->s < in->end && (*in->s == ' ' || *in->s == '\t' || *in->s == '\n')) ++in->s;
}

static bool accept(scanner *in, const char *token) {
  skip_blanks(in);
  size_t n = strlen(token);
  if ((size_t)(in->end - in->s) < n || memcmp(in->s, token, n)) return false;
  in->s += n;
  return true;
}

static void expect(scanner *in, const char *token) {
  if (!accept(in, token)) bad(in, arena_printf(in->arena, "'%s' is missing in the header", token));
}

/* 'text' or "text", no escapes; at most size - 1 characters. */
static void read_string(scanner *in, char *out, size_t size) {
  skip_blanks(in);
  if (in->s == in->end || (*in->s != '\'' && *in->s != '"'))
    bad(in, "a string is missing in the header");
  char quote = *in->s++;
  const char *close = memchr(in->s, quote, (size_t)(in->end - in->s));
  if (close == NULL || (size_t)(close - in->s) >= size)
    bad(in, "a string in the header does not end");
  size_t n = (size_t)(close - in->s);
  memcpy(out, in->s, n);
  out[n] = 0;
  in->s = close + 1;
}

static void read_shape(scanner *in, npy_array *out) {
  expect(in, "(");
  out->ndim = 0;
  while (!accept(in, ")")) {
    skip_blanks(in);
    if (out->ndim == NPY_MAX_DIMS)
      bad(in, arena_printf(in->arena, "it has more than %d dimensions", NPY_MAX_DIMS));
    int64_t v = 0;
    const char *from = in->s;
    for (; in->s < in->end && *in->s >= '0' && *in->s <= '9'; ++in->s) {
      if (v > (INT64_MAX - 9) / 10) bad(in, "a size in its shape is too large");
      v = v * 10 + (*in->s - '0');
    }
    if (in->s == from) bad(in, "its shape has something that is no size");
    if (in->s < in->end && *in->s == 'L') ++in->s; /* as Python 2 wrote it */
    out->shape[out->ndim++] = v;
    if (!accept(in, ",")) {
      expect(in, ")");
      return;
    }
  }
}

static bool big_endian_here(void) {
  const uint16_t one = 1;
  unsigned char first;
  memcpy(&first, &one, 1);
  return first == 0;
}

static void read_dtype(scanner *in, npy_array *out, bool *swap) {
  char descr[32];
  skip_blanks(in);
  if (in->s < in->end && *in->s == '[')
    diag_fail(in->arena->diag, WN_ERR_USAGE, "%s has a structured dtype, %s", in->name, expected);
  read_string(in, descr, sizeof descr);
  for (int i = 0; i < NPY_DTYPES; ++i)
    if (descr[0] && strchr(dtypes[i].size == 1 ? "<>=|" : "<>=", descr[0]) != NULL &&
        !strcmp(descr + 1, dtypes[i].code)) {
      out->dtype = (npy_dtype)i;
      *swap = descr[0] != '=' && (descr[0] == '>') != big_endian_here();
      return;
    }
  for (char *c = descr; *c; ++c)
    if (*c < ' ' || *c > '~') *c = '?';
  diag_fail(in->arena->diag, WN_ERR_USAGE, "%s has dtype '%s', %s", in->name, descr, expected);
}

static void read_dict(scanner *in, npy_array *out, bool *swap, bool *fortran) {
  enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
  int seen = 0, now;
  expect(in, "{");
  while (!accept(in, "}")) {
    char key[32];
    read_string(in, key, sizeof key);
    expect(in, ":");
    if (!strcmp(key, "descr")) {
      now = DESCR;
      read_dtype(in, out, swap);
    } else if (!strcmp(key, "fortran_order")) {
      now = ORDER;
      *fortran = accept(in, "True");
      if (!*fortran) expect(in, "False");
    } else if (!strcmp(key, "shape")) {
      now = SHAPE;
      read_shape(in, out);
    } else {
      bad(in, "its header has an unknown key");
    }
    if (seen & now) bad(in, "its header has a key twice");
    seen |= now;
    if (!accept(in, ",")) {
      expect(in, "}");
      break;
    }
  }
  if (seen != (DESCR | ORDER | SHAPE)) bad(in, "its header lacks descr, fortran_order or shape");
  skip_blanks(in);
  if (in->s != in->end) bad(in, "there is something after its header");
}

static void swap_bytes(unsigned char *p, size_t count, size_t size) {
  for (size_t i = 0; i < count; ++i, p += size)
    for (size_t lo = 0, hi = size - 1; lo < hi; ++lo, --hi) {
      unsigned char t = p[lo];
      p[lo] = p[hi];
      p[hi] = t;
    }
}

/* From the first index running fastest to the last index running fastest. */
static void from_fortran(const npy_array *out, const unsigned char *src, unsigned char *dst) {
  size_t size = npy_size(out->dtype), stride[NPY_MAX_DIMS], offset = 0;
  int64_t at[NPY_MAX_DIMS] = {0};
  for (int i = 0; i < out->ndim; ++i) stride[i] = i ? stride[i - 1] * (size_t)out->shape[i - 1] : 1;
  for (size_t n = 0; n < out->count; ++n) {
    memcpy(dst + n * size, src + offset * size, size);
    for (int i = out->ndim - 1; i >= 0; --i) {
      offset += stride[i];
      if (++at[i] < out->shape[i]) break;
      offset -= stride[i] * (size_t)out->shape[i];
      at[i] = 0;
    }
  }
}

void npy_parse(npy_array *out, arena *a, const char *name, const unsigned char *bytes,
               size_t size) {
  scanner in = {a, name, NULL, NULL};
  memset(out, 0, sizeof *out);
  if (size < 10 || memcmp(bytes, "\x93NUMPY", 6)) bad(&in, "it does not begin as one");
  if (bytes[6] < 1 || bytes[6] > 3) bad(&in, "its format version is not 1, 2 or 3");
  size_t header = bytes[6] == 1 ? 10 : 12;
  if (size < header) bad(&in, "it is truncated in the header");
  size_t length = (size_t)bytes[8] | (size_t)bytes[9] << 8;
  if (header == 12) length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
  if (length > size - header) bad(&in, "it is truncated in the header");
  in.s = (const char *)bytes + header;
  in.end = in.s + length;
  bool swap = false, fortran = false;
  read_dict(&in, out, &swap, &fortran);

  size_t elem = npy_size(out->dtype), have = size - header - length;
  out->count = 1;
  for (int i = 0; i < out->ndim; ++i)
    if (__builtin_mul_overflow(out->count, (size_t)out->shape[i], &out->count))
      bad(&in, "its shape overflows");
  if (out->count != have / elem || have % elem)
    diag_fail(a->diag, WN_ERR_USAGE,
              "%s is %s: shape %s of %s needs %zu elements, the file has %zu bytes", name,
              out->count > have / elem ? "truncated" : "longer than its header says",
              npy_shape_text(a, out->ndim, out->shape), npy_name(out->dtype), out->count, have);
  const unsigned char *src = bytes + header + length;
  out->data = arena_alloc(a, have ? have : 1);
  if (fortran && out->ndim > 1)
    from_fortran(out, src, out->data);
  else if (have)
    memcpy(out->data, src, have);
  if (swap) swap_bytes(out->data, out->count, elem);
}

void npy_read(npy_array *out, arena *a, const char *path) {
  size_t size;
  const unsigned char *bytes = file_read(a, path, &size);
  npy_parse(out, a, path, bytes, size);
}

/* IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. Exact. */
float npy_half_to_f32(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = (half >> 10) & 31u;
  uint32_t fraction = half & 1023u, bits;
  if (exponent == 31) {
    bits = sign | 0x7f800000u | fraction << 13;
  } else if (exponent) {
    bits = sign | (exponent + 112) << 23 | fraction << 13;
  } else {
    float tiny = (float)fraction * 0x1p-24f;
    return sign ? -tiny : tiny;
  }
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

static float element(npy_dtype dtype, const void *p, size_t i) {
  switch (dtype) {
    case NPY_F32:
      return ((const float *)p)[i];
    case NPY_F64:
      return (float)((const double *)p)[i];
    case NPY_F16:
      return npy_half_to_f32(((const uint16_t *)p)[i]);
    case NPY_I8:
      return ((const int8_t *)p)[i];
    case NPY_I16:
      return ((const int16_t *)p)[i];
    case NPY_I32:
      return (float)((const int32_t *)p)[i];
    case NPY_I64:
      return (float)((const int64_t *)p)[i];
    case NPY_U16:
      return ((const uint16_t *)p)[i];
    case NPY_U32:
      return (float)((const uint32_t *)p)[i];
    case NPY_U64:
      return (float)((const uint64_t *)p)[i];
    case NPY_BOOL:
      return ((const uint8_t *)p)[i] != 0;
    default:
      return ((const uint8_t *)p)[i];
  }
}

void npy_to_f32(const npy_array *in, float *dst) {
  for (size_t i = 0; i < in->count; ++i) dst[i] = element(in->dtype, in->data, i);
}

const char *npy_shape_text(arena *a, int ndim, const int64_t *shape) {
  str s;
  str_init(&s, a);
  str_add(&s, "(");
  for (int i = 0; i < ndim; ++i) str_printf(&s, "%s%" PRId64, i ? ", " : "", shape[i]);
  str_add(&s, ndim == 1 ? ",)" : ")");
  return str_text(&s);
}

const unsigned char *npy_header(arena *a, npy_dtype dtype, int ndim, const int64_t *shape,
                                size_t *size) {
  str s;
  str_init(&s, a);
  str_addn(&s, "\x93NUMPY\1\0\0\0", 10);
  str_printf(&s, "{'descr': '%c%s', 'fortran_order': False, 'shape': %s, }",
             npy_size(dtype) == 1 ? '|'
             : big_endian_here()  ? '>'
                                  : '<',
             dtypes[dtype].code, npy_shape_text(a, ndim, shape));
  while ((s.len + 1) % 64) str_add(&s, " ");
  str_add(&s, "\n");
  unsigned char *head = (unsigned char *)s.data;
  head[8] = (unsigned char)((s.len - 10) & 255);
  head[9] = (unsigned char)((s.len - 10) >> 8);
  *size = s.len;
  return head;
}

void npy_write(arena *scratch, const char *path, const npy_array *in) {
  size_t size;
  const unsigned char *head = npy_header(scratch, in->dtype, in->ndim, in->shape, &size);
  file_writer w;
  file_create(&w, scratch, path);
  file_put(&w, scratch->diag, head, size);
  if (in->count > 0) file_put(&w, scratch->diag, in->data, in->count * npy_size(in->dtype));
  file_commit(&w, scratch->diag);
}

void npy_write_f32(arena *scratch, const char *path, int ndim, const int64_t *shape,
                   const float *data) {
  npy_array all = {.dtype = NPY_F32, .ndim = ndim, .count = 1};
  for (int i = 0; i < ndim; ++i) all.count *= (size_t)(all.shape[i] = shape[i]);
  all.data = (void *)(uintptr_t)data; /* which is only read */
  npy_write(scratch, path, &all);
}
