/* The parser is a table of keys and one loop; defaults and checks follow in the order in which
 * benchdnn applies them (its str2desc). What a size may be: 1 to 2^31 - 1, d and p from 0. Errors
 * keep the offset of the character at fault. */
#include "base/text.h"
#include "problem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SIZE_LIMIT  INT64_C(2147483647)
#define COUNT_LIMIT (INT64_C(1) << 62)

enum { QI, QO, QK, QS, QD, QP, QUANTITIES };

static const char quantity_letter[QUANTITIES] = "ioksdp";
static const char axis_letter[PROBLEM_AXES] = "dhw";

typedef struct sizes {
  int64_t mb, groups, ic, oc;             /* -1: not given */
  int64_t axis[QUANTITIES][PROBLEM_AXES]; /* -1: not given */
  size_t at[QUANTITIES][PROBLEM_AXES];    /* where each was given */
  size_t at_groups, at_ic, at_oc, end;
} sizes;

static bool fail(problem_error *e, size_t at, const char *format, ...) {
  va_list args;
  va_start(args, format);
  text_vformat(e->message, sizeof e->message, format, args);
  va_end(args);
  e->at = at;
  return false;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

static const char *find(const char *letters, size_t n, char c) {
  return c ? memchr(letters, c, n) : NULL;
}

/* Which size does s name? Returns the key's length, 0 if none. */
static size_t find_key(const char *s, sizes *z, int64_t **value, size_t **at, bool *zero_ok) {
  *zero_ok = false;
  *at = NULL;
  if (s[0] == 'm' && s[1] == 'b') return *value = &z->mb, 2;
  if (s[0] == 'g') return *value = &z->groups, *at = &z->at_groups, 1;
  if (s[0] == 'i' && s[1] == 'c') return *value = &z->ic, *at = &z->at_ic, 2;
  if (s[0] == 'o' && s[1] == 'c') return *value = &z->oc, *at = &z->at_oc, 2;
  const char *q = find(quantity_letter, QUANTITIES, s[0]);
  const char *a = q != NULL ? find(axis_letter, PROBLEM_AXES, s[1]) : NULL;
  if (a == NULL) return 0;
  *value = &z->axis[q - quantity_letter][a - axis_letter];
  *at = &z->at[q - quantity_letter][a - axis_letter];
  *zero_ok = q - quantity_letter == QD || q - quantity_letter == QP;
  return 2;
}

static bool read_number(const char *text, size_t *i, bool zero_ok, int64_t *value,
                        problem_error *e) {
  size_t start = *i;
  if (text[start] == '-') return fail(e, start, "sizes are not negative");
  if (!is_digit(text[start])) return fail(e, start, "expected a number here");
  int64_t v = 0;
  for (; is_digit(text[*i]); ++*i) {
    v = v * 10 + (text[*i] - '0');
    if (v > SIZE_LIMIT)
      return fail(e, start, "this number is too large, the limit is %" PRId64, SIZE_LIMIT);
  }
  if (v == 0 && !zero_ok) return fail(e, start, "expected at least 1 here");
  *value = v;
  return true;
}

/* n"name" or nname, to the end of the string. */
static bool read_name(const char *text, size_t i, size_t end, problem *p, problem_error *e) {
  size_t from = i + 1, to = end;
  if (from < end && text[from] == '"') {
    ++from;
    if (to <= from || text[to - 1] != '"') return fail(e, end, "expected '\"' after the name");
    --to;
  }
  size_t n = to - from;
  if (n >= sizeof p->name) return fail(e, from, "the name is too long, the limit is 95 characters");
  memcpy(p->name, text + from, n);
  p->name[n] = 0;
  return true;
}

static bool read_sizes(const char *text, size_t begin, size_t end, sizes *z, problem *p,
                       problem_error *e) {
  for (size_t i = begin; i < end;) {
    if (text[i] == '_') {
      ++i;
      continue;
    }
    if (text[i] == 'n') return read_name(text, i, end, p, e);
    int64_t *value;
    size_t *at;
    bool zero_ok;
    size_t n = find_key(text + i, z, &value, &at, &zero_ok);
    if (!n) return fail(e, i, "expected a size such as mb, ic, oc, ih, oh, kh, sh, dh, ph or g");
    if (*value >= 0) return fail(e, i, "%.*s is given twice", (int)n, text + i);
    if (at != NULL) *at = i;
    i += n;
    if (!read_number(text, &i, zero_ok, value, e)) return false;
  }
  return true;
}

/* The axes are d h w from the first one that has an input size; later ones default to the one
 * before. */
static bool fill_axes(sizes *z, problem *p, problem_error *e) {
  int first = 0;
  while (first < PROBLEM_AXES && z->axis[QI][first] < 0) ++first;
  if (first == PROBLEM_AXES) return fail(e, z->end, "expected an input size: ih, iw or id");
  for (int q = 0; q < QUANTITIES; ++q)
    for (int a = 0; a < first; ++a)
      if (z->axis[q][a] >= 0)
        return fail(e, z->at[q][a], "%c%c is given but i%c is not", quantity_letter[q],
                    axis_letter[a], axis_letter[a]);
  p->nd = PROBLEM_AXES - first;
  for (int q = 0; q < QUANTITIES; ++q)
    for (int a = first + 1; a < PROBLEM_AXES; ++a)
      if (z->axis[q][a] < 0) z->axis[q][a] = z->axis[q][a - 1];
  for (int a = first; a < PROBLEM_AXES; ++a) {
    if (z->axis[QK][a] < 0) return fail(e, z->end, "expected a filter size: k%c", axis_letter[a]);
    int i = a - first;
    p->in[i] = z->axis[QI][a];
    p->filter[i] = z->axis[QK][a];
    p->stride[i] = z->axis[QS][a] < 0 ? 1 : z->axis[QS][a];
    p->dilation[i] = z->axis[QD][a] < 0 ? 1 : z->axis[QD][a] + 1;
  }
  return true;
}

/* Padding from the output, or the output from the padding. */
static bool fill_output(const sizes *z, problem *p, problem_error *e) {
  int first = PROBLEM_AXES - p->nd;
  for (int i = 0; i < p->nd; ++i) {
    int a = first + i;
    int64_t given_out = z->axis[QO][a], given_pad = z->axis[QP][a];
    size_t at = given_out >= 0 && z->at[QO][a] ? z->at[QO][a] : z->at[QK][a];
    int64_t span = (p->filter[i] - 1) * p->dilation[i] + 1;
    int64_t pad = given_pad >= 0 ? given_pad : 0;
    if (given_out < 0) {
      int64_t room = p->in[i] + 2 * pad - span;
      if (room < 0)
        return fail(e, at, "the filter spans %" PRId64 ", more than the padded input of %" PRId64,
                    span, p->in[i] + 2 * pad);
      p->out[i] = room / p->stride[i] + 1;
    } else {
      p->out[i] = given_out;
      if (given_out - 1 > (COUNT_LIMIT >> 1) / p->stride[i])
        return fail(e, at, "o%c is too large", axis_letter[a]);
      int64_t need = (given_out - 1) * p->stride[i] + span - p->in[i];
      if (given_pad < 0) pad = need > 0 ? need / 2 : 0;
    }
    p->pad_lo[i] = pad;
  }
  return true;
}

static bool multiply(int64_t *acc, int64_t by) {
  if (by <= 0 || *acc > COUNT_LIMIT / by) return false;
  *acc *= by;
  return true;
}

bool problem_finish(problem *p, problem_error *e) {
  if (p->ic % p->groups)
    return fail(e, 0, "ic %" PRId64 " is not a multiple of g %" PRId64, p->ic, p->groups);
  if (p->oc % p->groups)
    return fail(e, 0, "oc %" PRId64 " is not a multiple of g %" PRId64, p->oc, p->groups);
  p->in_count = p->mb;
  p->weight_count = p->oc;
  p->out_count = p->mb;
  bool ok = multiply(&p->in_count, p->ic) && multiply(&p->weight_count, p->ic / p->groups) &&
            multiply(&p->out_count, p->oc);
  for (int i = 0; i < p->nd; ++i) {
    int64_t reach = (p->out[i] - 1) * p->stride[i] + (p->filter[i] - 1) * p->dilation[i] + 1;
    p->pad_hi[i] = reach - p->in[i] - p->pad_lo[i];
    if (p->in[i] + p->pad_hi[i] <= 0)
      return fail(e, 0, "the padding of %" PRId64 " is so large that no output reads the input",
                  p->pad_lo[i]);
    if (reach > SIZE_LIMIT) return fail(e, 0, "the padded input is too large");
    ok = ok && multiply(&p->in_count, p->in[i]) && multiply(&p->weight_count, p->filter[i]) &&
         multiply(&p->out_count, p->out[i]);
  }
  p->macs = p->out_count;
  ok = ok && multiply(&p->macs, p->weight_count / p->oc);
  int64_t bytes = 8;
  ok = ok && multiply(&bytes, p->in_count) && (bytes = 8, multiply(&bytes, p->weight_count)) &&
       (bytes = 8, multiply(&bytes, p->out_count));
  return ok || fail(e, 0, "the sizes overflow: no machine holds this");
}

bool problem_parse(const char *text, problem *p, problem_error *e) {
  memset(p, 0, sizeof *p);
  memset(e, 0, sizeof *e);
  size_t begin = 0, end = strlen(text);
  while (is_blank(text[begin])) ++begin;
  while (end > begin && is_blank(text[end - 1])) --end;
  if (begin == end) return fail(e, begin, "expected a problem such as mb1ic16ih32oc16kh3ph1");
  if (end - begin >= sizeof p->text)
    return fail(e, begin + sizeof p->text - 1,
                "the problem is too long, the limit is 255 characters");
  memcpy(p->text, text + begin, end - begin);

  sizes z;
  memset(&z, 0, sizeof z);
  z.mb = z.groups = z.ic = z.oc = -1;
  for (int q = 0; q < QUANTITIES; ++q)
    for (int a = 0; a < PROBLEM_AXES; ++a) z.axis[q][a] = -1;
  const char *quote = memchr(text + begin, 'n', end - begin);
  z.end = quote != NULL ? (size_t)(quote - text) : end;
  if (!read_sizes(text, begin, end, &z, p, e)) return false;
  if (z.ic < 0) return fail(e, z.end, "expected ic, the number of input channels");
  if (z.oc < 0) return fail(e, z.end, "expected oc, the number of output channels");
  p->mb = z.mb < 0 ? 2 : z.mb;
  p->groups = z.groups < 0 ? 1 : z.groups;
  p->ic = z.ic;
  p->oc = z.oc;
  if (!fill_axes(&z, p, e) || !fill_output(&z, p, e)) return false;
  if (problem_finish(p, e)) return true;
  e->at = p->ic % p->groups ? z.at_ic : p->oc % p->groups ? z.at_oc : begin;
  return false;
}

/* Does leaving o out give the same output sizes? */
static bool output_is_derived(const problem *p) {
  for (int i = 0; i < p->nd; ++i) {
    int64_t room = p->in[i] + 2 * p->pad_lo[i] - (p->filter[i] - 1) * p->dilation[i] - 1;
    if (room < 0 || room / p->stride[i] + 1 != p->out[i]) return false;
  }
  return true;
}

/* A size is left out where its default is the same: that of the axis before, and for the first axis
 * none for i and k, 1 for s, 0 for d, and 0 for p unless o is there to derive it from. */
void problem_print(const problem *p, char *buf, size_t size) {
  size_t n = 0;
  bool derived = output_is_derived(p);
  const int64_t *lists[QUANTITIES] = {p->in, p->out, p->filter, p->stride, p->dilation, p->pad_lo};
  const int64_t first[QUANTITIES] = {-1, -1, -1, 1, 1, derived ? 0 : -1};
#define PUT(...)                                                      \
  do {                                                                \
    int w_ = text_format(buf + n, size - n, __VA_ARGS__);             \
    n = w_ < 0 || (size_t)w_ >= size - n ? size - 1 : n + (size_t)w_; \
  } while (0)
  if (p->groups != 1) PUT("g%" PRId64, p->groups);
  PUT("mb%" PRId64 "ic%" PRId64, p->mb, p->ic);
  for (int q = 0; q < QUANTITIES; ++q) {
    if (q == QO) PUT("oc%" PRId64, p->oc);
    if (q == QO && derived) continue;
    for (int i = 0; i < p->nd; ++i)
      if (lists[q][i] != (i ? lists[q][i - 1] : first[q]))
        PUT("%c%c%" PRId64, quantity_letter[q], axis_letter[PROBLEM_AXES - p->nd + i],
            lists[q][i] - (q == QD));
  }
  if (p->name[0]) PUT("n\"%s\"", p->name);
#undef PUT
}
