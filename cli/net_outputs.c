/* See net_outputs.h. A name is split at the first '=' that has an output's name before it. */
#include "net_outputs.h"

#include <inttypes.h>
#include <math.h>

#include "backend/element.h"
#include "base/text.h"
#include "convert.h"
#include "file.h"
#include "net_errors.h"
#include "npz.h"
#include "report/table.h"

/* --- which ------------------------------------------------------------------------------------ */

void outputs_ask(network *n) {
  const strings *dumps = &n->app->opt.dumps;
  for (size_t i = 0; i < dumps->len; ++i) {
    const char *text = dumps->data[i], *equals = strrchr(text, '=');
    const char *name =
        equals == NULL ? text : arena_printf(n->arena, "%.*s", (int)(equals - text), text);
    wn_status status = wn_model_add_output(n->model, name);
    if (status != WN_OK)
      diag_fail(&n->app->diag, status, "--dump %s: %s", text, wn_model_message(n->model));
  }
}

static const char *names_text(job *j) {
  str s;
  str_init(&s, &j->arena);
  for (int i = 0; i < j->out_count; ++i) str_printf(&s, "%s\"%s\"", i ? ", " : "", j->out[i].name);
  return str_text(&s);
}

/* A file to write, and which output is in it. */
typedef struct target {
  const char *path;
  int output; /* -1: all of them */
} target;

/* "NAME=FILE" or "FILE", which is the first output. */
static target parse_output(job *j, const char *text) {
  for (const char *e = strchr(text, '='); e != NULL; e = strchr(e + 1, '='))
    for (int i = 0; i < j->out_count; ++i)
      if (strlen(j->out[i].name) == (size_t)(e - text) &&
          !memcmp(j->out[i].name, text, (size_t)(e - text)))
        return (target){e + 1, i};
  const char *equals = strchr(text, '=');
  if (equals != NULL && memchr(text, '/', (size_t)(equals - text)) == NULL)
    diag_fail(&j->app->diag, WN_ERR_USAGE,
              "--output %s: %s has no output \"%.*s\"; its outputs are %s", text, j->net->path,
              (int)(equals - text), text, names_text(j));
  return (target){text, text_ends(text, ".npz") ? -1 : 0};
}

typedef VEC(target) target_list;

static target_list targets_of(job *j) {
  const options *o = &j->app->opt;
  target_list all = {0};
  for (size_t i = 0; i < o->outputs.len; ++i)
    vec_push(&j->arena, &all, parse_output(j, o->outputs.data[i]));
  for (size_t i = 0; i < o->dumps.len; ++i) { /* which are the last outputs */
    const char *equals = strrchr(o->dumps.data[i], '=');
    int at = j->out_count - (int)o->dumps.len + (int)i;
    if (equals != NULL) vec_push(&j->arena, &all, ((target){equals + 1, at}));
  }
  return all;
}

/* The shape of a picture, if it is one. */
static bool is_picture(const job_output *o) {
  photo_axes at;
  if (!photo_find_axes(o->ndim, o->shape, &at) || (o->ndim == 4 && o->shape[0] != 1)) return false;
  return o->shape[at.height] >= 1 && o->shape[at.height] <= 65535 && o->shape[at.width] >= 1 &&
         o->shape[at.width] <= 65535;
}

static void check_archive(job *j, const char *flag, const char *path) {
  if (path == NULL) return;
  if (!text_ends(path, ".npz"))
    diag_fail(&j->app->diag, WN_ERR_USAGE, "%s %s: expected a name that ends in .npz", flag, path);
  file_try(&j->arena, path);
}

void outputs_check(job *j) {
  diag *d = &j->app->diag;
  check_archive(j, "--exact", j->app->opt.exact);
  check_archive(j, "--save-inputs", j->app->opt.save_inputs);
  target_list all = targets_of(j);
  for (size_t i = 0; i < all.len; ++i) {
    const target *t = &all.data[i];
    const job_output *o = &j->out[t->output < 0 ? 0 : t->output];
    bool picture = image_can_write(t->path);
    if (!picture && !text_ends(t->path, ".npy") && !text_ends(t->path, ".npz"))
      diag_fail(d, WN_ERR_USAGE, "--output %s: expected a name that ends in .npy, .npz or .png",
                t->path);
    if (picture && !is_picture(o))
      diag_fail(
          d, WN_ERR_USAGE,
          "--output %s: output \"%s\" has shape %s, which is no picture of 1, 3 or 4 channels: "
          "write a .npy",
          t->path, o->name, arena_shape(&j->arena, o->ndim, o->shape));
    for (size_t k = 0; k < i; ++k)
      if (!strcmp(t->path, all.data[k].path))
        diag_fail(d, WN_ERR_USAGE, "--output %s is given twice", t->path);
    file_try(&j->arena, t->path);
  }
}

/* --- files ------------------------------------------------------------------------------------ */

static npy_array array_of(job *j, const job_output *o) {
  return convert_to_npy(&j->arena, o->dtype, o->ndim, o->shape, o->data);
}

static void write_one(job *j, const target *t) {
  const job_output *o = &j->out[t->output < 0 ? 0 : t->output];
  if (image_can_write(t->path)) {
    photo_write(&j->arena, t->path, &j->app->opt.photo, o->ndim, o->shape,
                convert_to_f32(&j->arena, o->dtype, o->count, o->data), j->net->photo_bits);
  } else if (text_ends(t->path, ".npz")) {
    npz z = {.count = t->output < 0 ? j->out_count : 1};
    z.member = arena_array(&j->arena, npz_member, z.count + 1);
    for (int i = 0; i < z.count; ++i) {
      const job_output *one = t->output < 0 ? &j->out[i] : o;
      z.member[i] = (npz_member){one->name, array_of(j, one)};
    }
    npz_write(&j->arena, t->path, &z);
  } else {
    npy_array array = array_of(j, o);
    npy_write(&j->arena, t->path, &array);
  }
}

static npz archive_of(job *j, int count) {
  return (npz){.count = count, .member = arena_array(&j->arena, npz_member, count + 1)};
}

static void write_inputs(job *j, const char *path) {
  const network *n = j->net;
  npz z = archive_of(j, n->info.inputs);
  for (int i = 0; i < n->info.inputs; ++i) {
    const wn_value *v = &n->input[i];
    z.member[i].name = v->name;
    z.member[i].array = convert_to_npy(&j->arena, v->dtype, v->ndim, v->shape, v->data);
  }
  npz_write(&j->arena, path, &z);
}

const char *outputs_write(job *j) {
  target_list all = targets_of(j);
  const options *o = &j->app->opt;
  str s;
  str_init(&s, &j->arena);
  if (o->save_inputs != NULL) write_inputs(j, o->save_inputs);
  for (size_t i = 0; i < all.len; ++i) {
    write_one(j, &all.data[i]);
    str_printf(&s, "%s%s", i ? ", " : "", all.data[i].path);
  }
  return str_text(&s);
}

void outputs_compare(job *j, output_summary *all) {
  const char *path = j->app->opt.exact;
  if (path == NULL || j->out_count == 0) return;
  wn_context *ctx = job_context(j);
  const double **exact = arena_array(&j->arena, const double *, j->out_count);
  net_compute_exact(j, ctx, j->out_count, net_build(j->net, ctx), exact, NULL);
  if (exact[0] == NULL)
    diag_fail(&j->app->diag, WN_ERR_REFUSED, "--exact %s: there is nothing to write", path);
  npz z = archive_of(j, j->out_count);
  for (int i = 0; i < j->out_count; ++i) {
    const job_output *o = &j->out[i];
    value_error e = net_distance(o->dtype, o->count, o->data, exact[i]);
    all[i].rel_l2_err = e.special > 0 ? (double)INFINITY : e.relative_l2;
    all[i].max_abs_err = e.max_abs;
    z.member[i].name = o->name;
    z.member[i].array =
        convert_to_npy(&j->arena, WN_F64, o->ndim, o->shape, (void *)(uintptr_t)exact[i]);
  }
  npz_write(&j->arena, path, &z);
}

/* --- figures ---------------------------------------------------------------------------------- */

static output_summary summary_of(job *j, const job_output *o) {
  output_summary s = {.name = o->name,
                      .dtype = wn_dtype_name(o->dtype),
                      .shape = arena_shape(&j->arena, o->ndim, o->shape),
                      .min = INFINITY,
                      .max = -INFINITY};
  double sum = 0;
  for (int64_t i = 0; i < o->count; ++i) {
    double v = element_read(o->dtype, o->data, i);
    if (!isfinite(v)) {
      ++s.special;
      continue;
    }
    s.min = fmin(s.min, v);
    s.max = fmax(s.max, v);
    sum += v;
  }
  bool any = s.special < o->count;
  s.mean = any ? sum / (double)(o->count - s.special) : (double)NAN;
  if (!any) s.min = s.max = NAN;
  s.special_count = (double)s.special;
  s.rel_l2_err = s.max_abs_err = NAN;
  return s;
}

output_summary *outputs_summarise(job *j) {
  output_summary *all = arena_array(&j->arena, output_summary, j->out_count + 1);
  for (int i = 0; i < j->out_count; ++i) all[i] = summary_of(j, &j->out[i]);
  return all;
}

static const char *number_text(arena *a, double v) {
  char text[32];
  if (isnan(v)) return "";
  text_format(text, sizeof text, "%.5g", v);
  return arena_strdup(a, text);
}

static const char *first_text(job *j, const job_output *o) {
  enum { FIRST = 4 };
  str s;
  str_init(&s, &j->arena);
  for (int64_t i = 0; i < o->count && i < FIRST; ++i) {
    char text[32];
    text_format(text, sizeof text, "%.4g", element_read(o->dtype, o->data, i));
    str_printf(&s, "%s%s", i ? " " : "", text);
  }
  if (o->count > FIRST) str_add(&s, " ...");
  return str_text(&s);
}

void outputs_print(job *j, const output_summary *all) {
  static const table_column columns[] = {
      {"output", true, BEST_NONE, 0}, {"dtype", true, BEST_NONE, 2},
      {"shape", true, BEST_NONE, 0},  {"min", false, BEST_NONE, 0},
      {"max", false, BEST_NONE, 0},   {"mean", false, BEST_NONE, 1},
      {"first", true, BEST_NONE, 3},  {"rel L2", false, BEST_NONE, 0},
  };
  bool errors = j->app->opt.exact != NULL;
  table t;
  table_init(&t, &j->arena, columns, (int)(sizeof columns / sizeof *columns) - !errors);
  for (int i = 0; i < j->out_count; ++i) {
    const output_summary *s = &all[i];
    table_row *row = table_add(&t);
    const char *texts[] = {s->name,
                           s->dtype,
                           s->shape,
                           number_text(&j->arena, s->min),
                           number_text(&j->arena, s->max),
                           number_text(&j->arena, s->mean),
                           first_text(j, &j->out[i]),
                           number_text(&j->arena, s->rel_l2_err)};
    for (size_t c = 0; c < sizeof texts / sizeof *texts - !errors; ++c)
      row->cells[c].text = texts[c];
    if (s->special > 0)
      row->note = arena_printf(&j->arena, "%" PRId64 " of %" PRId64 " numbers are NaN or infinite",
                               s->special, j->out[i].count);
  }
  report_style style = app_style(j->app);
  table_print(&t, stdout, style.color, style.width);
}

/* --- labels ----------------------------------------------------------------------------------- */

static strings read_labels(job *j, const char *path) {
  size_t size;
  char *s = (char *)file_read(&j->arena, path, &size);
  strings all = {0};
  for (char *next; *s != '\0'; s = next) {
    size_t n = strcspn(s, "\n");
    next = s + n + (s[n] == '\n');
    if (n > 0 && s[n - 1] == '\r') s[n - 1] = '\0';
    s[n] = '\0';
    vec_push(&j->arena, &all, s);
  }
  return all;
}

/* The first output with a score for each label: an axis of as many, behind it nothing but 1, before it pictures. */
static const job_output *find_scores(job *j, const strings *labels, const char *path) {
  for (int i = 0; i < j->out_count; ++i) {
    const job_output *o = &j->out[i];
    int axis = o->ndim - 1;
    while (axis > 0 && o->shape[axis] == 1) --axis;
    if (axis >= 0 && labels->len > 0 && o->shape[axis] == (int64_t)labels->len) return o;
  }
  str s;
  str_init(&s, &j->arena);
  for (int i = 0; i < j->out_count; ++i)
    str_printf(&s, "%s\"%s\" %s", i ? ", " : "", j->out[i].name,
               arena_shape(&j->arena, j->out[i].ndim, j->out[i].shape));
  diag_fail(&j->app->diag, WN_ERR_USAGE,
            "--labels %s has %zu lines, and no output has as many numbers last: %s", path,
            labels->len, str_text(&s));
}

best_label *outputs_labels(job *j, int *count) {
  const char *path = j->app->opt.labels;
  *count = 0;
  if (path == NULL) return NULL;
  strings labels = read_labels(j, path);
  const job_output *o = find_scores(j, &labels, path);
  int64_t pictures = o->count / (int64_t)labels.len;
  best_label *best = arena_array(&j->arena, best_label, LABELS_BEST * (pictures + 1));
  for (int64_t p = 0; p < pictures; ++p) {
    best_label *mine = best + *count;
    int kept = 0;
    for (size_t i = 0; i < labels.len; ++i) {
      double v = element_read(o->dtype, o->data, p * (int64_t)labels.len + (int64_t)i);
      int at = kept;
      while (at > 0 && v > mine[at - 1].score) --at;
      if (at == LABELS_BEST || isnan(v)) continue;
      if (kept < LABELS_BEST) ++kept;
      for (int k = kept - 1; k > at; --k) mine[k] = mine[k - 1];
      mine[at] = (best_label){labels.data[i], v, (int)i, (int)p};
    }
    *count += kept;
  }
  return best;
}

void outputs_print_labels(job *j, const best_label *labels, int count) {
  bool several = count > 0 && labels[count - 1].batch > 0;
  if (count > 0) putchar('\n');
  for (int i = 0; i < count; ++i) {
    if (several) printf("%d: ", labels[i].batch);
    text_print(stdout, "%10.5g  %s\n", labels[i].score, labels[i].label);
  }
  (void)j;
}
