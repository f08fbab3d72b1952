/* One case of ONNX's backend tests: see suite_case.h. */
#include "onnx/suite_case.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "onnx/suite_values.h"

enum { MOST_VALUES = 64 }; /* inputs, or outputs */

typedef struct data_set {
  int inputs, outputs;
  wn_value input[MOST_VALUES], output[MOST_VALUES];
} data_set;

typedef struct case_state {
  const case_options *options;
  case_result *result;
  arena *a;
  diag *d;
  wn_context *context;
  const char *folder, *model_path;
  tolerance tolerance;
  bool light;
  VEC(data_set *) sets;
  VEC(uint64_t) bits; /* of the first run of a plan, output by output */
  wn_status refusal;  /* where the outcome is CASE_REFUSED */
} case_state;

static void say(case_state *c, outcome o, const char *text) {
  c->result->outcome = o;
  snprintf(c->result->text, sizeof c->result->text, "%.*s", (int)sizeof c->result->text - 1, text);
}

static bool refused(case_state *c, wn_status status, const char *line) {
  c->refusal = status;
  say(c, CASE_REFUSED, line);
  return false;
}

static void ignore_warning(void *user, const char *line) {
  (void)user;
  (void)line;
}

/* --- files ------------------------------------------------------------------------------------ */

/* "$folder/../../light/light_resnet50.onnx", and what it says of tolerances. */
static void read_light(case_state *c, const char *json_path) {
  size_t size;
  const unsigned char *text = file_read(c->a, json_path, &size);
  cJSON *json = cJSON_ParseWithLength((const char *)text, size);
  const cJSON *url = cJSON_GetObjectItem(json, "url");
  const cJSON *relative = cJSON_GetObjectItem(json, "rtol"),
              *absolute = cJSON_GetObjectItem(json, "atol");
  const char *name = cJSON_IsString(url) ? strrchr(url->valuestring, '/') : NULL;
  if (name != NULL) c->model_path = arena_printf(c->a, "%s/../../light%s", c->folder, name);
  if (cJSON_IsNumber(relative)) c->tolerance.relative = relative->valuedouble;
  if (cJSON_IsNumber(absolute)) c->tolerance.absolute = absolute->valuedouble;
  cJSON_Delete(json);
  if (name == NULL) diag_fail(c->d, WN_ERR_USAGE, "%s: names no model", json_path);
}

static void find_model(case_state *c) {
  c->model_path = arena_printf(c->a, "%s/model.onnx", c->folder);
  const char *json = arena_printf(c->a, "%s/data.json", c->folder);
  c->light = access(c->model_path, F_OK) != 0 && access(json, F_OK) == 0;
  if (c->light) read_light(c, json);
}

/* Values NAME_0.pb, NAME_1.pb, ... of a folder, as many as there are. */
static int read_values(case_state *c, const char *stem, wn_value *values, wn_model *m,
                       wn_status (*get)(wn_model *model, int index, wn_value *value)) {
  int n = 0;
  for (; n < MOST_VALUES; ++n) {
    const char *path = arena_printf(c->a, "%s_%d.pb", stem, n);
    if (access(path, F_OK) != 0) break;
    wn_value said = WN_VALUE();
    wn_dtype as = get(m, n, &said) == WN_OK ? said.dtype : WN_DTYPE_COUNT;
    values[n] = value_from_file(c->a, c->d, path, as);
  }
  return n;
}

/* The one of a light model: 0, 1/n, 2/n, ... of the input's shape. */
static data_set *made_set(case_state *c, wn_model *m) {
  data_set *s = arena_new(c->a, data_set);
  s->inputs = 1;
  s->input[0] = WN_VALUE();
  if (wn_model_get_input(m, 0, &s->input[0]) != WN_OK || s->input[0].dtype != WN_F32 ||
      s->input[0].ndim < 0)
    diag_fail(c->d, WN_ERR_USAGE, "%s: no float input of a known shape", c->model_path);
  s->input[0].name = NULL;
  value_room(&s->input[0], c->a);
  int64_t n = value_elements(&s->input[0]);
  for (int64_t i = 0; i < n; ++i) ((float *)s->input[0].data)[i] = (float)((double)i / (double)n);
  size_t stem = strlen(c->model_path) - strlen(".onnx");
  s->outputs = read_values(c, arena_printf(c->a, "%.*s_output", (int)stem, c->model_path),
                           s->output, m, wn_model_get_output);
  return s;
}

static void read_sets(case_state *c, wn_model *m) {
  for (int i = 0; !c->light; ++i) {
    const char *folder = arena_printf(c->a, "%s/test_data_set_%d", c->folder, i);
    if (access(folder, F_OK) != 0) break;
    data_set *s = arena_new(c->a, data_set);
    s->inputs =
        read_values(c, arena_printf(c->a, "%s/input", folder), s->input, m, wn_model_get_input);
    s->outputs =
        read_values(c, arena_printf(c->a, "%s/output", folder), s->output, m, wn_model_get_output);
    vec_push(c->a, &c->sets, s);
  }
  if (c->light) vec_push(c->a, &c->sets, made_set(c, m));
  for (size_t i = 0; i < c->sets.len; ++i)
    if (c->sets.data[i]->outputs == 0)
      diag_fail(c->d, WN_ERR_USAGE, "%s: no expected output", c->folder);
  if (c->sets.len == 0) diag_fail(c->d, WN_ERR_USAGE, "%s: no test_data_set_0", c->folder);
}

static void add_operators(case_state *c, int nodes, const onnx_node *node) {
  char *text = c->result->operators;
  size_t room = sizeof c->result->operators;
  for (int i = 0; i < nodes; ++i) {
    const char *word = arena_printf(c->a, " %s", node[i].op);
    const char *at = strstr(text, word);
    if (at != NULL && (at[strlen(word)] == ' ' || at[strlen(word)] == '\0')) continue;
    if (strlen(text) + strlen(word) < room) strcat(text, word);
  }
}

/* For the summary; that a model cannot be read is winnow's to say. */
static void list_operators(case_state *c) {
  diag d;
  wn_status st;
  arena a;
  diag_init(&d);
  arena_init(&a, &d);
  DIAG_TRY(&d, st) {
    size_t size;
    const unsigned char *bytes = file_read(&a, c->model_path, &size);
    const onnx_model *m = onnx_read_model(&a, &d, c->model_path, bytes, size);
    add_operators(c, m->graph.nodes, m->graph.node);
  }
  DIAG_END(&d, st)
  (void)st;
  arena_release(&a);
}

/* --- running ---------------------------------------------------------------------------------- */

static void output_differs(case_state *c, int set, int output, const char *name, const char *how) {
  const char *which = c->sets.len > 1 ? arena_printf(c->a, "data set %d, ", set) : "";
  say(c, CASE_WRONG,
      arena_printf(c->a, "%soutput %d \"%s\": %s", which, output, name == NULL ? "" : name, how));
}

/* The n-th result of a run of the plan: on the first number of threads, remembered, else the same bits. */
static bool same_bits(case_state *c, size_t n, bool first, const wn_value *v) {
  uint64_t bits = value_hash(v);
  if (first) vec_push(c->a, &c->bits, bits);
  return n < c->bits.len && c->bits.data[n] == bits;
}

/* False: something is wrong, and was said. */
static bool run_set(case_state *c, wn_model *m, int set, int threads, size_t *results) {
  const data_set *s = c->sets.data[set];
  wn_model_info info = WN_MODEL_INFO();
  wn_value got[MOST_VALUES];
  if (wn_model_get_info(m, &info) != WN_OK || info.outputs > MOST_VALUES ||
      info.outputs < s->outputs) {
    say(c, CASE_WRONG, arena_printf(c->a, "%d outputs and not %d", info.outputs, s->outputs));
    return false;
  }
  for (int i = 0; i < info.outputs; ++i) got[i] = WN_VALUE();
  wn_status st = wn_model_outputs(m, s->input, s->inputs, got);
  if (st != WN_OK) return refused(c, st, wn_model_message(m));
  const char *names[MOST_VALUES];
  for (int i = 0; i < info.outputs; ++i) {
    names[i] = got[i].name;
    got[i].name = NULL;
    value_room(&got[i], c->a);
  }
  st = wn_model_run(m, s->input, s->inputs, got, info.outputs);
  if (st != WN_OK) return refused(c, st, wn_model_message(m));
  for (int i = 0; i < s->outputs; ++i) {
    const char *how = value_differs(c->a, &got[i], &s->output[i], &c->tolerance);
    if (*how == '\0' && !same_bits(c, (*results)++, threads == 1, &got[i]))
      how = arena_printf(c->a, "other bits with %d threads than with 1", threads);
    if (*how != '\0') {
      output_differs(c, set, i, names[i], how);
      return false;
    }
  }
  return true;
}

/* False: there is nothing more to look at. */
static bool run_model(case_state *c, const char *plan, int threads) {
  wn_options compile = WN_OPTIONS(.backend = c->options->backend, .plan = plan, .threads = threads,
                                  .no_cache = c->options->no_cache);
  wn_model_options options = WN_MODEL_OPTIONS(.compile = &compile);
  wn_model *m;
  wn_status st = wn_model_load(c->context, c->model_path, &options, &m);
  if (st != WN_OK) return refused(c, st, wn_message(c->context));
  diag *d = c->d;
  volatile bool fine = true;
  DIAG_TRY(d, st) {
    size_t results = 0;
    if (c->sets.len == 0) read_sets(c, m);
    for (int i = 0; fine && i < (int)c->sets.len; ++i) fine = run_set(c, m, i, threads, &results);
  }
  DIAG_END(d, st)
  wn_model_destroy(m);
  if (st != WN_OK) diag_again(d);
  return fine;
}

/* That a plan does not exist for a graph is no fault. */
static bool no_such_plan(const case_state *c, const char *plan) {
  return c->result->outcome == CASE_REFUSED && c->refusal == WN_ERR_REFUSED && plan != NULL &&
         strcmp(plan, "auto") != 0;
}

static void run_plans(case_state *c) {
  static const char *const whatever[] = {NULL, NULL};
  const char *const *plans = c->options->all_plans ? wn_plan_names() : whatever;
  for (int i = 0; i == 0 || plans[i] != NULL; ++i) {
    c->bits.len = 0;
    for (int threads = 1; threads <= c->options->most_threads; ++threads) {
      if (run_model(c, plans[i], threads)) continue;
      if (no_such_plan(c, plans[i])) break;
      if (plans[i] != NULL) {
        const char *text = arena_strdup(c->a, c->result->text);
        say(c, c->result->outcome, arena_printf(c->a, "plan %s: %s", plans[i], text));
      }
      return;
    }
  }
  say(c, CASE_OK, "");
}

void case_run(const char *folder, const case_options *options, case_result *r) {
  diag d;
  arena a;
  wn_status st;
  struct timespec from, to;
  diag_init(&d);
  arena_init(&a, &d);
  clock_gettime(CLOCK_MONOTONIC, &from);
  case_state c = {.options = options,
                  .result = r,
                  .a = &a,
                  .d = &d,
                  .folder = folder,
                  .tolerance = {1e-3, 1e-7, options->l2}};
  if (wn_context_create(&c.context) != WN_OK) {
    say(&c, CASE_CRASH, "no context");
    return;
  }
  wn_on_warning(c.context, ignore_warning, NULL);
  DIAG_TRY(&d, st) {
    find_model(&c);
    list_operators(&c);
    run_plans(&c);
  }
  DIAG_END(&d, st)
  if (st != WN_OK) say(&c, CASE_BROKEN, d.message);
  wn_context_destroy(c.context);
  arena_release(&a);
  clock_gettime(CLOCK_MONOTONIC, &to);
  r->seconds = (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
}
