/* The inputs of a model from the command line.
 *
 * Which input a file is for: NAME=FILE says it; of other files the first is for the first input that none names, and so
 * on; members of a .npz are by name, else in0, in1, ... or arr_0, arr_1, ... by place. What a model leaves open is then,
 * in this order, what --shape and --dim say, what the files have, the same as a dimension of the same name, 1 where it
 * is the first axis. A dimension that it does not leave open is another only by --shape. */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "convert.h"
#include "file.h"
#include "net.h"
#include "npz.h"
#include "onnx/hold.h"
#include "random.h"

enum { STREAM_INPUT = 16 }; /* of random numbers; that of input i is i more */

/* "data" */
static const char *quoted(const network *n, const wn_value *v) {
  return arena_printf(n->arena, "input \"%s\"", v->name);
}

static const char *names_text(const network *n) {
  str s;
  str_init(&s, n->arena);
  for (int i = 0; i < n->info.inputs; ++i)
    str_printf(&s, "%s\"%s\"", i ? ", " : "", n->input[i].name);
  return str_text(&s);
}

/* The input whose name is at s[0..length), or -1. */
static int find_input(const network *n, const char *s, size_t length) {
  for (int i = 0; i < n->info.inputs; ++i)
    if (strlen(n->input[i].name) == length && !memcmp(n->input[i].name, s, length)) return i;
  return -1;
}

static _Noreturn void unknown_input(const network *n, const char *flag, const char *text,
                                    size_t length) {
  diag_fail(&n->app->diag, WN_ERR_USAGE, "%s %s: %s has no input \"%.*s\"; its inputs are %s", flag,
            text, n->path, (int)length, text, names_text(n));
}

/* --- shapes ----------------------------------------------------------------------------------- */

/* "1x3x224x224" */
static int read_shape(const network *n, const char *whole, const char *s, int64_t *shape) {
  int ndim = 0;
  for (;; ++s) {
    char *end;
    long long v = *s >= '0' && *s <= '9' ? strtoll(s, &end, 10) : -1;
    if (v < 0 || v >= INT64_MAX / 16 || ndim == WN_MAX_DIMS || (*end != 'x' && *end != '\0'))
      diag_fail(&n->app->diag, WN_ERR_USAGE,
                "--shape %s: expected NAME=SHAPE, as images=1x3x224x224, of at most %d extents",
                whole, WN_MAX_DIMS);
    shape[ndim++] = v;
    s = end;
    if (*s == '\0') return ndim;
  }
}

static void set_shape(network *n, const char *text) {
  const char *equals = strrchr(text, '=');
  int at = equals != NULL ? find_input(n, text, (size_t)(equals - text)) : 0;
  if (at < 0) unknown_input(n, "--shape", text, (size_t)(equals - text));
  if (n->info.inputs == 0 || (equals == NULL && n->info.inputs > 1))
    diag_fail(&n->app->diag, WN_ERR_USAGE, "--shape %s: %s has %d inputs, %s: expected NAME=SHAPE",
              text, n->path, n->info.inputs, names_text(n));
  wn_value *v = &n->input[at];
  int64_t shape[WN_MAX_DIMS];
  int ndim = read_shape(n, text, equals != NULL ? equals + 1 : text, shape);
  if (v->ndim >= 0 && ndim != v->ndim)
    diag_fail(&n->app->diag, WN_ERR_USAGE, "--shape %s: %s is %s, of %d axes", text, quoted(n, v),
              net_text(n->arena, v), v->ndim);
  v->ndim = ndim;
  memcpy(v->shape, shape, (size_t)ndim * sizeof *shape);
}

/* Every open dimension of this name; how many there were. */
static int set_dim(network *n, const char *name, size_t length, int64_t extent) {
  int found = 0;
  for (int i = 0; i < n->info.inputs; ++i) {
    wn_value *v = &n->input[i];
    for (int k = 0; k < v->ndim; ++k) {
      if (v->dim[k] == NULL || strlen(v->dim[k]) != length || memcmp(v->dim[k], name, length) != 0)
        continue;
      ++found;
      if (v->shape[k] < 0) v->shape[k] = extent;
    }
  }
  return found;
}

static void read_dim(network *n, const char *text) {
  const char *equals = strrchr(text, '=');
  char *end = NULL;
  long long v = -1;
  if (equals != NULL && equals[1] >= '0' && equals[1] <= '9') v = strtoll(equals + 1, &end, 10);
  if (v < 0 || v >= INT64_MAX / 16 || *end != '\0')
    diag_fail(&n->app->diag, WN_ERR_USAGE, "--dim %s: expected NAME=N, as batch=1", text);
  if (set_dim(n, text, (size_t)(equals - text), v) > 0) return;
  str s;
  str_init(&s, n->arena);
  for (int i = 0; i < n->info.inputs; ++i)
    str_printf(&s, "%s%s %s", i ? ", " : "", quoted(n, &n->input[i]),
               net_text(n->arena, &n->input[i]));
  diag_fail(&n->app->diag, WN_ERR_USAGE, "--dim %s: %s leaves no dimension of that name open: %s",
            text, n->path, str_text(&s));
}

/* Of the same name, the same extent. */
static void share_dims(network *n) {
  for (int i = 0; i < n->info.inputs; ++i) {
    const wn_value *v = &n->input[i];
    for (int k = 0; k < v->ndim; ++k)
      if (v->dim[k] != NULL && v->shape[k] >= 0)
        set_dim(n, v->dim[k], strlen(v->dim[k]), v->shape[k]);
  }
}

static bool is_whole(const wn_value *v) {
  bool whole = v->ndim >= 0;
  for (int k = 0; k < v->ndim; ++k) whole = whole && v->shape[k] >= 0;
  return whole;
}

static int64_t elements(const network *n, const wn_value *v) {
  int64_t count = 1;
  for (int k = 0; k < v->ndim; ++k)
    if (__builtin_mul_overflow(count, v->shape[k], &count) || count > INT64_MAX / 16)
      diag_fail(&n->app->diag, WN_ERR_USAGE, "%s of %s would be %s: more than can be counted",
                quoted(n, v), n->path, net_text(n->arena, v));
  return count;
}

/* --- arrays ----------------------------------------------------------------------------------- */

/* what: how the array is called in messages, "--input x.npy". */
static void take_array(network *n, int at, const char *what, const npy_array *in) {
  wn_value *v = &n->input[at];
  bool fits = v->ndim < 0 || v->ndim == in->ndim;
  for (int k = 0; fits && k < v->ndim; ++k) fits = v->shape[k] < 0 || v->shape[k] == in->shape[k];
  if (!fits)
    diag_fail(&n->app->diag, WN_ERR_USAGE, "%s has shape %s, but %s of %s takes %s", what,
              npy_shape_text(n->arena, in->ndim, in->shape), quoted(n, v), n->path,
              net_text(n->arena, v));
  if (v->data != NULL)
    diag_fail(&n->app->diag, WN_ERR_USAGE, "%s is for %s, which has its data already", what,
              quoted(n, v));
  v->ndim = in->ndim;
  memcpy(v->shape, in->shape, (size_t)in->ndim * sizeof *in->shape);
  v->data = net_array(n->app, v->dtype, elements(n, v));
  size_t rounded = convert_from_npy(
      n->arena, arena_printf(n->arena, "%s for %s", what, quoted(n, v)), in, v->dtype, v->data);
  if (rounded > 0)
    diag_warn(&n->app->diag, "%s: %zu of %zu numbers of %s are rounded to %s", what, rounded,
              in->count, npy_name(in->dtype), wn_dtype_name(v->dtype));
  share_dims(n);
}

/* The input that a member of an archive is for; -1: none, -2: none, and nobody would expect it to be. */
static int input_of_member(const network *n, const char *name) {
  static const char *const prefixes[] = {"in", "arr_", "input", "input_"};
  int at = find_input(n, name, strlen(name));
  if (at >= 0) return at;
  for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; ++i) {
    size_t length = strlen(prefixes[i]);
    char *end = NULL;
    if (strncmp(name, prefixes[i], length) != 0 || name[length] < '0' || name[length] > '9')
      continue;
    long place = strtol(name + length, &end, 10);
    if (*end == '\0' && place < n->info.inputs) return (int)place;
  }
  return !strncmp(name, "out", 3) ? -2 : -1; /* of a file that has results beside the inputs */
}

/* at: the input that was named, -1: members say it. */
static void take_archive(network *n, int at, const char *path) {
  npz z;
  npz_read(&z, n->arena, path);
  if (at >= 0) {
    const npy_array *one = z.count == 1 ? &z.member[0].array : npz_find(&z, n->input[at].name);
    if (one == NULL)
      diag_fail(&n->app->diag, WN_ERR_USAGE,
                "--input %s=%s: it has %d arrays, and none of that name", n->input[at].name, path,
                z.count);
    take_array(n, at, arena_printf(n->arena, "--input %s", path), one);
    return;
  }
  int taken = 0;
  for (int i = 0; i < z.count; ++i) {
    const char *name = z.member[i].name;
    int to = input_of_member(n, name);
    if (to == -1) diag_warn(&n->app->diag, "%s: \"%s\" is no input and is left out", path, name);
    if (to < 0) continue;
    take_array(n, to, arena_printf(n->arena, "%s in %s", name, path), &z.member[i].array);
    ++taken;
  }
  if (taken == 0)
    diag_fail(&n->app->diag, WN_ERR_USAGE,
              "--input %s: no array in it is called as an input (%s) or in0, in1, ...", path,
              names_text(n));
}

/* bf16, which files of numpy do not have, as float32. */
static npy_array array_of_tensor(network *n, const char *path, const onnx_tensor *t,
                                 const void *data) {
  static const npy_dtype dtypes[] = {
      [ONNX_FLOAT] = NPY_F32,  [ONNX_UINT8] = NPY_U8,   [ONNX_INT8] = NPY_I8,
      [ONNX_UINT16] = NPY_U16, [ONNX_INT16] = NPY_I16,  [ONNX_INT32] = NPY_I32,
      [ONNX_INT64] = NPY_I64,  [ONNX_BOOL] = NPY_BOOL,  [ONNX_FLOAT16] = NPY_F16,
      [ONNX_DOUBLE] = NPY_F64, [ONNX_UINT32] = NPY_U32, [ONNX_UINT64] = NPY_U64,
  };
  bool known = t->type == ONNX_FLOAT || t->type == ONNX_BFLOAT16 ||
               (t->type > 0 && t->type < (int)(sizeof dtypes / sizeof *dtypes) &&
                dtypes[t->type] != NPY_F32);
  if (!known || t->ndim > NPY_MAX_DIMS)
    diag_fail(&n->app->diag, WN_ERR_USAGE,
              "--input %s is a tensor of %s with %d axes, expected a float, "
              "an integer or bool of at most %d",
              path, onnx_type_name(n->arena, t->type), t->ndim, NPY_MAX_DIMS);
  npy_array out = {.ndim = t->ndim, .count = (size_t)t->count};
  memcpy(out.shape, t->dims, (size_t)t->ndim * sizeof *out.shape);
  out.dtype = t->type == ONNX_BFLOAT16 ? NPY_F32 : dtypes[t->type];
  out.data = t->type == ONNX_BFLOAT16
                 ? (void *)(uintptr_t)convert_to_f32(n->arena, WN_BF16, t->count, data)
                 : arena_copy(n->arena, data, out.count * npy_size(out.dtype));
  return out;
}

/* A TensorProto, as in the test data of ONNX. */
static void take_tensor(network *n, int at, const char *path) {
  file_holder holder = {.first = NULL};
  size_t size;
  const unsigned char *bytes = file_read(n->arena, path, &size);
  npy_array in = {.ndim = 0};
  wn_status status;
  DIAG_TRY(&n->app->diag, status) {
    const onnx_tensor *t = onnx_read_tensor(n->arena, &n->app->diag, path, bytes, size);
    const void *data = onnx_tensor_elements(&holder, n->arena, &n->app->diag, NULL, t);
    in = array_of_tensor(n, path, t, data);
  }
  DIAG_END(&n->app->diag, status)
  hold_release(&holder);
  if (status != WN_OK) diag_again(&n->app->diag);
  take_array(n, at, arena_printf(n->arena, "--input %s", path), &in);
}

static void take_photo(network *n, int at, const char *path) {
  wn_value *v = &n->input[at];
  bool whole = v->dtype == WN_I32 || v->dtype == WN_I64;
  static const int64_t any[] = {1, 3, -1, -1};
  const char *what = arena_printf(n->arena, "%s of %s", quoted(n, v), n->path);
  int bits;
  npy_array in = photo_read(n->arena, path, &n->app->opt.photo, what, v->ndim < 0 ? 4 : v->ndim,
                            v->ndim < 0 ? any : v->shape, whole, &bits);
  if (bits > n->photo_bits) n->photo_bits = bits;
  take_array(n, at, arena_printf(n->arena, "--input %s", path), &in);
}

/* The first input without data that no --input names. */
static int next_input(const network *n) {
  const strings *all = &n->app->opt.inputs;
  for (int i = 0; i < n->info.inputs; ++i) {
    size_t length = strlen(n->input[i].name);
    bool named = n->input[i].data != NULL;
    for (size_t k = 0; k < all->len; ++k)
      named = named ||
              (!strncmp(all->data[k], n->input[i].name, length) && all->data[k][length] == '=');
    if (!named) return i;
  }
  return -1;
}

static void take_file(network *n, const char *text) {
  const char *equals = strchr(text, '='), *path = text;
  int at = -1;
  for (; equals != NULL && at < 0; equals = strchr(equals + 1, '=')) { /* a name may have one */
    at = find_input(n, text, (size_t)(equals - text));
    if (at >= 0) path = equals + 1;
  }
  equals = strchr(text, '=');
  if (at < 0 && equals != NULL && access(text, F_OK) != 0)
    unknown_input(n, "--input", text, (size_t)(equals - text));
  if (text_ends(path, ".npz")) {
    take_archive(n, at, path);
    return;
  }
  if (at < 0) at = next_input(n);
  if (at < 0)
    diag_fail(&n->app->diag, WN_ERR_USAGE,
              "--input %s: every input of %s has its data already (%s)", text, n->path,
              names_text(n));
  if (image_has_name(path)) {
    take_photo(n, at, path);
  } else if (text_ends(path, ".pb")) {
    take_tensor(n, at, path);
  } else {
    npy_array in;
    npy_read(&in, n->arena, path);
    take_array(n, at, arena_printf(n->arena, "--input %s", path), &in);
  }
}

/* Floats in [-1, 1); integers 0 or 1, which are indices of most things. */
static void fill_random(network *n, int at) {
  wn_value *v = &n->input[at];
  int64_t count = elements(n, v);
  v->data = net_array(n->app, v->dtype, count);
  bool floats =
      v->dtype == WN_F64 || v->dtype == WN_F32 || v->dtype == WN_F16 || v->dtype == WN_BF16;
  npy_array numbers = {.dtype = NPY_F32, .count = (size_t)count};
  numbers.data = arena_array(n->arena, float, count + 1);
  random_fill(numbers.data, (size_t)count, n->app->opt.seed, (uint64_t)(STREAM_INPUT + at));
  for (int64_t i = 0; i < count && !floats; ++i)
    ((float *)numbers.data)[i] = ((float *)numbers.data)[i] < 0 ? 0.0f : 1.0f;
  convert_from_npy(n->arena, "random numbers", &numbers, v->dtype, v->data);
}

void net_read_inputs(network *n) {
  const options *o = &n->app->opt;
  for (size_t i = 0; i < o->shapes.len; ++i) set_shape(n, o->shapes.data[i]);
  for (size_t i = 0; i < o->dims.len; ++i) read_dim(n, o->dims.data[i]);
  share_dims(n);
  for (size_t i = 0; i < o->inputs.len; ++i) take_file(n, o->inputs.data[i]);
  n->random = o->inputs.len == 0;
  for (int i = 0; i < n->info.inputs; ++i) {
    wn_value *v = &n->input[i];
    if (v->data != NULL) continue;
    if (!n->random)
      diag_fail(&n->app->diag, WN_ERR_USAGE, "%s of %s, %s, has no --input", quoted(n, v), n->path,
                net_text(n->arena, v));
    if (v->ndim > 0 && v->shape[0] < 0) v->shape[0] = 1;
    share_dims(n);
    if (!is_whole(v))
      diag_fail(
          &n->app->diag, WN_ERR_USAGE,
          "%s of %s is %s: --shape %s=... or --dim says what it leaves open, as an --input does",
          quoted(n, v), n->path, net_text(n->arena, v), v->name);
    fill_random(n, i);
  }
}
