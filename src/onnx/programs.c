/* Programs of a model: compiled for shapes and fixed values, kept, and shared between threads.
 *
 * In: arrays of the caller. Out: results in them. Always holds: a program is used by one caller at a time; who finds it
 * taken gets another one that shares its code and its prepared weights (wn_program_share); of more sets of shapes than
 * are kept the one goes that nobody uses and that was used longest ago. */
#include "base/sized.h"
#include "onnx/graph.h"
#include "onnx/model.h"
#include "tensor/tensor.h"

/* A program and what it needs to be run by one caller. */
struct instance {
  instance *next;
  model_programs *of;
  wn_program *program;
  void **spare; /* by output: where results go that nobody wants; NULL: nowhere yet */
};

struct model_programs {
  model_programs *next;
  unsigned char *key; /* extents of all inputs, and bytes of those that are fixed */
  size_t key_size;
  wn_context *ctx;
  wn_program *base;
  instance *idle;
  int users; /* instances that are taken */
  int *slot; /* by input: its slot, -1: none */
  int first_output;
  wn_value *output; /* by output: dtype and shape */
};

/* --- keys ------------------------------------------------------------------------------------- */

typedef struct call {
  wn_value *in; /* by the model's input; size 0: not given */
  unsigned char *key;
  size_t key_size;
} call;

static size_t bytes_of(wn_dtype dtype, int ndim, const int64_t *shape) {
  size_t n = wn_dtype_size(dtype);
  for (int i = 0; i < ndim; ++i) n *= (size_t)shape[i];
  return n;
}

static void read_call(wn_model *m, arena *a, const wn_value *inputs, int count, call *c) {
  diag *d = a->diag;
  c->in = arena_array(a, wn_value, m->inputs + 1);
  for (int i = 0; i < count; ++i) {
    wn_value v;
    model_value(d, inputs, i, &v);
    const int at = model_place(m, d, false, &v, i);
    if (c->in[at].size != 0)
      diag_fail(d, WN_ERR_USAGE, "input \"%s\" is given twice", m->input[at]->name);
    c->in[at] = v;
  }
  str key;
  str_init(&key, a);
  for (int i = 0; i < m->inputs; ++i) {
    const wn_value *v = c->in[i].size != 0 ? &c->in[i] : NULL;
    int64_t numbers[WN_MAX_DIMS + 1];
    int ndim;
    model_input_shape(m, d, i, v, &ndim, numbers + 1);
    numbers[0] = ndim;
    str_addn(&key, (const char *)numbers, sizeof *numbers * (size_t)(ndim + 1));
    if (!m->needed[i]) continue;
    if (v == NULL || (v->data == NULL && bytes_of(v->dtype, ndim, numbers + 1) > 0))
      diag_fail(d, WN_ERR_USAGE, "input \"%s\" decides what is compiled: its data has to be given",
                m->input[i]->name);
    str_addn(&key, v->data, bytes_of(v->dtype, ndim, numbers + 1));
  }
  c->key = (unsigned char *)key.data;
  c->key_size = key.len;
}

/* --- compiling -------------------------------------------------------------------------------- */

static void destroy_instance(instance *i, int outputs) {
  for (int k = 0; i->spare != NULL && k < outputs; ++k) mem_free_aligned(i->spare[k]);
  mem_free(i->spare);
  mem_free(i);
}

static void destroy_programs(model_programs *p, int outputs) {
  while (p->idle != NULL) {
    instance *i = p->idle;
    p->idle = i->next;
    if (i->program != p->base) wn_program_destroy(i->program);
    destroy_instance(i, outputs);
  }
  wn_program_destroy(p->base);
  wn_context_destroy(p->ctx);
  mem_free(p->key);
  mem_free(p);
}

static instance *new_instance(model_programs *of, wn_program *program, int outputs) {
  instance *i = mem_alloc(sizeof *i);
  if (i == NULL) return NULL;
  *i = (instance){
      .of = of, .program = program, .spare = mem_alloc(sizeof(void *) * (size_t)(outputs + 1))};
  if (i->spare == NULL) {
    mem_free(i);
    return NULL;
  }
  memset(i->spare, 0, sizeof(void *) * (size_t)(outputs + 1));
  return i;
}

/* Which slot of the program each input has: those that an output depends on are there, in order. */
static void find_slots(wn_model *m, model_programs *p, const wn_program_info *info) {
  int slot = 0, open = 0;
  for (int i = 0; i < m->inputs; ++i) open += !m->needed[i];
  for (int i = 0; i < m->inputs; ++i) {
    wn_slot_info s = WN_SLOT_INFO(.name = NULL);
    p->slot[i] = -1;
    if (m->needed[i] || slot >= info->inputs) continue;
    if (wn_program_get_slot(p->base, slot, &s) != WN_OK) continue;
    if (open == info->inputs || strcmp(s.name, m->input[i]->name) == 0) p->slot[i] = slot++;
  }
  p->first_output = info->inputs + info->constants;
}

static void compile_into(wn_model *m, model_programs *p, const call *c) {
  wn_context *ctx = p->ctx;
  arena *a = &ctx->graph.arena;
  wn_tensor **outs = arena_array(a, wn_tensor *, m->outputs + 1);
  wn_value *given = arena_array(a, wn_value, m->inputs + 1);
  int count = 0;
  for (int i = 0; i < m->inputs; ++i) {
    if (c->in[i].size == 0) continue;
    given[count] = c->in[i];
    given[count].name = m->input[i]->name;
    if (!m->needed[i]) given[count].data = NULL; /* is bound for each run */
    ++count;
  }
  model_build(m, ctx, given, count, outs);
  if (wn_compile(ctx, outs, NULL, m->outputs, &m->compile, &p->base) != WN_OK)
    diag_again(&ctx->diag);
  wn_program_info info = WN_PROGRAM_INFO(.plan = NULL);
  wn_program_get_info(p->base, &info);
  p->slot = arena_array(a, int, m->inputs + 1);
  p->output = arena_array(a, wn_value, m->outputs + 1);
  find_slots(m, p, &info);
  for (int i = 0; i < m->outputs; ++i) {
    wn_value *v = &p->output[i];
    *v = (wn_value){.size = sizeof *v,
                    .name = m->output[i]->name,
                    .dtype = wn_tensor_dtype(outs[i]),
                    .ndim = wn_ndim(outs[i])};
    for (int k = 0; k < v->ndim; ++k) v->shape[k] = wn_shape(outs[i])[k];
    v->bytes = bytes_of(v->dtype, v->ndim, v->shape);
  }
}

static wn_status compile_set(wn_model *m, model_programs *p, const call *c) {
  wn_status st;
  DIAG_TRY(&p->ctx->diag, st) compile_into(m, p, c);
  DIAG_END(&p->ctx->diag, st)
  return st;
}

/* A new set of programs with one instance, or NULL and an error in the caller's diag. */
static model_programs *compile_programs(wn_model *m, const call *c, diag *d) {
  model_programs *p = mem_alloc(sizeof *p);
  diag_set(d, WN_ERR_NOMEM, "out of memory");
  if (p == NULL) goto failed;
  *p = (model_programs){.key_size = c->key_size, .key = mem_alloc(c->key_size + 1)};
  if (p->key == NULL || wn_context_create(&p->ctx) != WN_OK) goto failed;
  memcpy(p->key, c->key, c->key_size);
  wn_on_warning(p->ctx, m->ctx->diag.warn, m->ctx->diag.warn_user);
  const wn_status st = compile_set(m, p, c);
  if (st != WN_OK) {
    diag_set(d, st, "%s", p->ctx->diag.message);
    goto failed;
  }
  p->idle = new_instance(p, p->base, m->outputs);
  if (p->idle == NULL) goto failed;
  return p;
failed:
  if (p != NULL) destroy_programs(p, m->outputs);
  return NULL;
}

/* --- taking and giving back ------------------------------------------------------------------- */

static model_programs *find_programs(wn_model *m, const call *c) {
  for (model_programs **at = &m->first; *at != NULL; at = &(*at)->next) {
    model_programs *p = *at;
    if (p->key_size != c->key_size || memcmp(p->key, c->key, c->key_size) != 0) continue;
    *at = p->next; /* used last: to the front */
    p->next = m->first;
    m->first = p;
    return p;
  }
  return NULL;
}

/* Under the lock: what is too much, and not in use. */
static model_programs *take_surplus(wn_model *m) {
  model_programs **oldest = NULL;
  for (model_programs **at = &m->first; *at != NULL; at = &(*at)->next)
    if ((*at)->users == 0 && at != &m->first) oldest = at;
  if (m->programs <= m->most || oldest == NULL) return NULL;
  model_programs *p = *oldest;
  *oldest = p->next;
  --m->programs;
  return p;
}

static void drop_surplus(wn_model *m) {
  for (;;) {
    pthread_mutex_lock(&m->lock);
    model_programs *p = take_surplus(m);
    pthread_mutex_unlock(&m->lock);
    if (p == NULL) return;
    destroy_programs(p, m->outputs);
  }
}

/* Under the lock: an instance that nobody uses. */
static instance *take_idle(model_programs *p) {
  instance *i = p->idle;
  ++p->users;
  if (i != NULL) p->idle = i->next;
  return i;
}

static void give_back(wn_model *m, model_programs *p, instance *i) {
  pthread_mutex_lock(&m->lock);
  if (i != NULL) {
    i->next = p->idle;
    p->idle = i;
  }
  --p->users;
  pthread_mutex_unlock(&m->lock);
  drop_surplus(m);
}

/* The programs for a call, with one more user, and an instance of them; else an error is in the caller's diag, as the
 * model's is everyone's. */
static wn_status take(wn_model *m, const call *c, diag *d, model_programs **programs,
                      instance **one) {
  pthread_mutex_lock(&m->lock);
  model_programs *p = find_programs(m, c);
  instance *i = p == NULL ? NULL : take_idle(p);
  pthread_mutex_unlock(&m->lock);
  if (p == NULL) {
    pthread_mutex_lock(&m->build);
    pthread_mutex_lock(&m->lock);
    p = find_programs(m, c); /* another thread may have been faster */
    if (p != NULL) i = take_idle(p);
    pthread_mutex_unlock(&m->lock);
    if (p == NULL && (p = compile_programs(m, c, d)) != NULL) {
      pthread_mutex_lock(&m->lock);
      p->next = m->first;
      m->first = p;
      ++m->programs;
      ++m->compiles;
      i = take_idle(p);
      pthread_mutex_unlock(&m->lock);
    }
    pthread_mutex_unlock(&m->build);
    if (p == NULL) return d->status;
    drop_surplus(m);
  }
  if (i == NULL) {
    wn_program *other = NULL;
    wn_status st = wn_program_share(p->base, &other);
    if (st == WN_OK && (i = new_instance(p, other, m->outputs)) == NULL) st = WN_ERR_NOMEM;
    if (st != WN_OK) {
      diag_set(d, st, "%s", other == NULL ? wn_program_message(p->base) : "out of memory");
      wn_program_destroy(other);
      give_back(m, p, NULL);
      return st;
    }
  }
  *programs = p;
  *one = i;
  return WN_OK;
}

void model_programs_release(wn_model *m) {
  while (m->lent != NULL) wn_model_release(m, m->lent->program);
  while (m->first != NULL) {
    model_programs *p = m->first;
    m->first = p->next;
    destroy_programs(p, m->outputs);
  }
}

/* --- running ---------------------------------------------------------------------------------- */

static void *spare_for(instance *i, int output, size_t bytes) {
  if (i->spare[output] == NULL) i->spare[output] = mem_alloc_aligned(bytes + 1, 64);
  return i->spare[output];
}

/* Binds what the caller has and spare arrays where there is nothing. */
static void bind_all(wn_model *m, arena *a, const model_programs *p, instance *i, const call *c,
                     wn_value *const *out) {
  const int most = m->inputs + m->outputs;
  int *slot = arena_array(a, int, most + 1), count = 0;
  const void **data = arena_array(a, const void *, most + 1);
  for (int k = 0; k < m->inputs; ++k) {
    if (p->slot[k] < 0) continue;
    const wn_value *v = &c->in[k];
    if (v->size == 0 || (v->data == NULL && bytes_of(v->dtype, v->ndim, v->shape) > 0))
      diag_fail(a->diag, WN_ERR_USAGE, "input \"%s\" has no data", m->input[k]->name);
    slot[count] = p->slot[k];
    data[count++] = v->data;
  }
  for (int k = 0; k < m->outputs; ++k) {
    void *to = out[k] != NULL ? out[k]->data : NULL;
    const wn_value *is = &p->output[k];
    if (to != NULL && out[k]->bytes != 0 && out[k]->bytes < is->bytes)
      diag_fail(a->diag, WN_ERR_USAGE, "output \"%s\" has %zu bytes, and there is room for %zu",
                is->name, is->bytes, out[k]->bytes);
    if (to == NULL) to = spare_for(i, k, is->bytes);
    if (to == NULL) diag_fail(a->diag, WN_ERR_NOMEM, "out of memory");
    slot[count] = p->first_output + k;
    data[count++] = to;
  }
  wn_status st = wn_bind_many(i->program, count, slot, data);
  if (st != WN_OK) diag_fail(a->diag, st, "%s", wn_program_message(i->program));
}

/* Where each output of the model goes: an element of the caller's list, or NULL. */
static wn_value **place_outputs(wn_model *m, arena *a, wn_value *outputs, int count) {
  wn_value **out = arena_array(a, wn_value *, m->outputs + 1);
  for (int i = 0; i < count; ++i) {
    wn_value v;
    model_value(a->diag, outputs, i, &v);
    out[model_place(m, a->diag, true, &v, i)] =
        (wn_value *)((char *)outputs + (size_t)i * outputs->size);
  }
  return out;
}

static void tell_output(const wn_value *is, wn_value *to) {
  to->dtype = is->dtype;
  to->ndim = is->ndim;
  memcpy(to->shape, is->shape, sizeof is->shape);
  to->bytes = is->bytes;
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
  read_call(j->m, a, j->inputs, j->ninputs, &c);
  wn_value **out = place_outputs(j->m, a, j->outputs, j->noutputs);
  wn_status st = take(j->m, &c, a->diag, &j->p, &j->i);
  if (st != WN_OK) diag_again(a->diag);
  if (j->run) {
    bind_all(j->m, a, j->p, j->i, &c, out);
    st = wn_run(j->i->program);
    if (st != WN_OK) diag_fail(a->diag, st, "%s", wn_program_message(j->i->program));
  }
  for (int k = 0; k < j->m->outputs; ++k)
    if (out[k] != NULL) tell_output(&j->p->output[k], out[k]);
}

/* The model's line, which calls of several threads may write. */
static wn_status complain(wn_model *m, wn_status st, const char *line) {
  pthread_mutex_lock(&m->lock);
  diag_set(&m->diag, st, "%s", line);
  pthread_mutex_unlock(&m->lock);
  return st;
}

/* Does a job with scratch memory and an error of its own, so that several threads can. keep: leave the program taken. */
static wn_status do_job(job *j, bool keep) {
  diag d;
  arena a;
  wn_status st;
  diag_init(&d);
  arena_init(&a, &d);
  DIAG_TRY(&d, st) work(j, &a);
  DIAG_END(&d, st)
  if (j->p != NULL && (st != WN_OK || !keep)) give_back(j->m, j->p, j->i);
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
  if (i != NULL) give_back(model, i->of, i);
}
