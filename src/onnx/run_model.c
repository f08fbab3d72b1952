/* Running a model: wn_model_run, and what goes with it.
 *
 * In: arrays of the caller. Out: results in them: what a program computes, and behind it what is computed on the host.
 * Always holds: calls have scratch memory and an error of their own, so that several threads can make them. */
#include "base/fpenv.h"
#include "onnx/programs.h"

static void *spare_for(instance *i, int output, size_t bytes) {
  if (i->spare[output] == NULL) i->spare[output] = mem_alloc_aligned(bytes + 1, 64);
  return i->spare[output];
}

/* The array of the program's output k: the caller's, or a spare one. */
static void *place_of(arena *a, const model_programs *p, instance *i, int k, void *theirs) {
  void *to = theirs != NULL ? theirs : spare_for(i, k, p->bytes[k]);
  if (to == NULL) diag_fail(a->diag, WN_ERR_NOMEM, "out of memory");
  return to;
}

static void check_room(arena *a, const wn_value *is, const wn_value *given) {
  if (given->data == NULL || given->bytes == 0 || given->bytes >= is->bytes) return;
  bool open = false;
  for (int k = 0; k < is->ndim; ++k) open = open || is->shape[k] < 0;
  diag_fail(a->diag, WN_ERR_USAGE, "output \"%s\" has %s%zu bytes, and there is room for %zu",
            is->name, open ? "up to " : "", is->bytes, given->bytes);
}

/* Binds what the caller has and spare arrays where there is nothing. Returns them, by output of the program. */
static void **bind_all(wn_model *m, arena *a, const model_programs *p, instance *i, const call *c,
                       wn_value *const *out) {
  const int most = m->inputs + p->outs;
  int *slot = arena_array(a, int, most + 1), count = 0;
  const void **data = arena_array(a, const void *, most + 1);
  void **to = arena_array(a, void *, p->outs + 1);
  for (int k = 0; k < m->inputs; ++k) {
    if (p->slot[k] < 0) continue;
    const wn_value *v = &c->in[k];
    if (v->size == 0 || (v->data == NULL && programs_bytes(v->dtype, v->ndim, v->shape) > 0))
      diag_fail(a->diag, WN_ERR_USAGE, "input \"%s\" has no data", m->input[k]->name);
    slot[count] = p->slot[k];
    data[count++] = v->data;
  }
  for (int k = 0; k < m->outputs; ++k) {
    if (out[k] == NULL) continue;
    check_room(a, &p->output[k], out[k]);
    if (p->at[k] >= 0) to[p->at[k]] = out[k]->data;
  }
  for (int k = 0; k < p->outs; ++k) {
    to[k] = place_of(a, p, i, k, to[k]);
    slot[count] = p->first_output + k;
    data[count++] = to[k];
  }
  wn_status st = wn_bind_many(i->program, count, slot, data);
  if (st != WN_OK) diag_fail(a->diag, st, "%s", wn_program_message(i->program));
  return to;
}

/* Where each output of the model goes: an element of the caller's list, or NULL. */
static wn_value **place_outputs(wn_model *m, arena *a, wn_value *outputs, int count) {
  wn_value **out = arena_array(a, wn_value *, m->outputs + 1);
  for (int i = 0; i < count; ++i) {
    wn_value v;
    model_value(a->diag, outputs, i, &v);
    out[model_place(m, a, true, &v, i)] = (wn_value *)((char *)outputs + (size_t)i * outputs->size);
  }
  return out;
}

static void tell_output(const wn_value *is, wn_value *to) {
  to->dtype = is->dtype;
  to->ndim = is->ndim;
  memcpy(to->shape, is->shape, sizeof is->shape);
}

/* Behind a run: what the host computes of the program's outputs, into the caller's arrays. */
static void finish_on_host(const wn_model *m, arena *a, const model_programs *p,
                           void *const *computed, wn_value *const *out) {
  if (p->host.first == NULL) return;
  void **data = arena_array(a, void *, p->host.tensors.len + 1);
  for (size_t i = 0; i < p->host.tensors.len; ++i) data[i] = computed[p->tensor_at[i]];
  host_array **results = host_run(&p->host, a, data);
  for (int k = 0; k < m->outputs; ++k) {
    const host_end *end = &p->host.end[k];
    if (out[k] == NULL || end->stage == NULL) continue;
    const host_array *r = &results[end->stage->number][end->result];
    memcpy(out[k]->shape, r->shape, sizeof r->shape);
    if (out[k]->data != NULL) host_store(r, end->dtype, out[k]->data);
  }
}

typedef struct job {
  wn_model *m;
  const wn_value *inputs;
  wn_value *outputs;
  int ninputs, noutputs;
  bool run;
  model_programs *p;
  instance *i;
} job;

static void work(job *j, arena *a) {
  call c;
  programs_read_call(j->m, a, j->inputs, j->ninputs, &c);
  wn_value **out = place_outputs(j->m, a, j->outputs, j->noutputs);
  wn_status st = programs_take(j->m, &c, a->diag, &j->p, &j->i);
  if (st != WN_OK) diag_again(a->diag);
  void **computed = NULL;
  if (j->run) {
    computed = bind_all(j->m, a, j->p, j->i, &c, out);
    if (j->m->release && !j->m->lent_graphs) st = weights_prepare(j->m, j->p, j->i->program);
    if (st == WN_OK) st = wn_run(j->i->program);
    if (st != WN_OK) diag_fail(a->diag, st, "%s", wn_program_message(j->i->program));
  }
  for (int k = 0; k < j->m->outputs; ++k) {
    if (out[k] == NULL) continue;
    tell_output(&j->p->output[k], out[k]);
    if (!j->run) out[k]->bytes = j->p->output[k].bytes;
  }
  if (j->run) finish_on_host(j->m, a, j->p, computed, out);
}

/* The model's line, which calls of several threads may write. */
static wn_status complain(wn_model *m, wn_status st, const char *line) {
  pthread_mutex_lock(&m->lock);
  diag_set(&m->diag, st, "%s", line);
  pthread_mutex_unlock(&m->lock);
  return st;
}

/* Does a job with scratch memory and an error of its own, so that several threads can. keep: leave the program
 * taken. */
static wn_status do_job(job *j, bool keep) {
  diag d;
  arena a;
  wn_status st;
  fenv_t fp;
  diag_init(&d);
  arena_init(&a, &d);
  fp_enter(&fp);
  DIAG_TRY(&d, st) work(j, &a);
  DIAG_END(&d, st)
  fp_leave(&fp);
  if (j->p != NULL && (st != WN_OK || !keep)) programs_give_back(j->m, j->p, j->i);
  if (st != WN_OK) complain(j->m, st, d.message);
  arena_release(&a);
  return st;
}

static wn_status check_lists(wn_model *m, const wn_value *in, int nin, const wn_value *out,
                             int nout) {
  bool bad = nin < 0 || nout < 0 || (nin > 0 && in == NULL) || (nout > 0 && out == NULL);
  return bad ? complain(m, WN_ERR_USAGE, "a list of inputs or outputs is NULL") : WN_OK;
}

wn_status wn_model_run(wn_model *model, const wn_value *inputs, int inputs_count, wn_value *outputs,
                       int outputs_count) {
  if (model == NULL) return WN_ERR_USAGE;
  wn_status st = check_lists(model, inputs, inputs_count, outputs, outputs_count);
  if (st != WN_OK) return st;
  job j = {model, inputs, outputs, inputs_count, outputs_count, true, NULL, NULL};
  return do_job(&j, false);
}

wn_status wn_model_outputs(wn_model *model, const wn_value *inputs, int count, wn_value *outputs) {
  if (model == NULL) return WN_ERR_USAGE;
  wn_status st = check_lists(model, inputs, count, outputs, model->outputs);
  if (st != WN_OK) return st;
  job j = {model, inputs, outputs, count, model->outputs, false, NULL, NULL};
  return do_job(&j, false);
}

wn_status wn_model_program(wn_model *model, const wn_value *inputs, int count,
                           wn_program **program) {
  if (program != NULL) *program = NULL;
  if (model == NULL) return WN_ERR_USAGE;
  if (program == NULL)
    return complain(model, WN_ERR_USAGE, "nowhere to put the program: it is NULL");
  wn_status st = check_lists(model, inputs, count, NULL, 0);
  if (st != WN_OK) return st;
  job j = {model, inputs, NULL, count, 0, false, NULL, NULL};
  st = do_job(&j, true);
  if (st != WN_OK) return st;
  pthread_mutex_lock(&model->lock);
  j.i->next = model->lent;
  model->lent = j.i;
  pthread_mutex_unlock(&model->lock);
  *program = j.i->program;
  return st;
}

void wn_model_release(wn_model *model, wn_program *program) {
  if (model == NULL || program == NULL) return;
  pthread_mutex_lock(&model->lock);
  instance **at = &model->lent;
  while (*at != NULL && (*at)->program != program) at = &(*at)->next;
  instance *i = *at;
  if (i != NULL) *at = i->next;
  pthread_mutex_unlock(&model->lock);
  if (i != NULL) programs_give_back(model, i->of, i);
}
