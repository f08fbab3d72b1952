/* Programs of a model: compiled for shapes and fixed values, kept, and shared between threads.
 *
 * In: shapes and values of a caller. Out: a program and arrays for it. Always holds: a program is used by one caller at
 * a time; who finds it taken gets another one that shares its code and its prepared weights, and not what the first
 * one's caller binds meanwhile; of more sets of shapes than are kept the one goes that nobody uses and that was used
 * longest ago. */
#include "onnx/graph.h"
#include "onnx/programs.h"
#include "program/program.h"
#include "tensor/tensor.h"

/* --- keys ------------------------------------------------------------------------------------- */

size_t programs_bytes(wn_dtype dtype, int ndim, const int64_t *shape) {
  size_t n = wn_dtype_size(dtype);
  for (int i = 0; i < ndim; ++i) n *= (size_t)shape[i];
  return n;
}

void programs_read_call(wn_model *m, arena *a, const wn_value *inputs, int count, call *c) {
  c->in = model_given(m, a, inputs, count);
  str key;
  str_init(&key, a);
  for (int i = 0; i < m->inputs; ++i) {
    const wn_value *v = c->in[i].size != 0 ? &c->in[i] : NULL;
    int64_t numbers[WN_MAX_DIMS + 1];
    int ndim;
    model_input_shape(m, a, i, v, &ndim, numbers + 1);
    numbers[0] = ndim;
    str_addn(&key, (const char *)numbers, sizeof *numbers * (size_t)(ndim + 1));
    if (m->needed[i] && v != NULL)
      str_addn(&key, v->data, programs_bytes(v->dtype, ndim, numbers + 1));
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

static void destroy_programs(model_programs *p) {
  while (p->idle != NULL) {
    instance *i = p->idle;
    p->idle = i->next;
    if (i->program != p->base) wn_program_destroy(i->program);
    destroy_instance(i, p->outs);
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

static size_t tensor_bytes(const wn_tensor *t) {
  return programs_bytes(wn_tensor_dtype(t), wn_ndim(t), wn_shape(t));
}

/* What the program computes: outputs of the model, then what the host reads and is not among them. outs: by the model's
 * output, NULL: computed on the host. */
static wn_tensor **list_outs(const wn_model *m, model_programs *p, arena *a,
                             wn_tensor *const *outs) {
  const int reads = (int)p->host.tensors.len;
  wn_tensor **list = arena_array(a, wn_tensor *, m->outputs + reads + 1);
  p->at = arena_array(a, int, m->outputs + 1);
  p->tensor_at = arena_array(a, int, reads + 1);
  for (int i = 0; i < m->outputs; ++i) {
    p->at[i] = outs[i] == NULL ? -1 : p->outs;
    if (outs[i] != NULL) list[p->outs++] = outs[i];
  }
  for (int i = 0; i < reads; ++i) {
    int k = 0;
    while (k < p->outs && list[k] != p->host.tensors.data[i]) ++k;
    if (k == p->outs) list[p->outs++] = p->host.tensors.data[i];
    p->tensor_at[i] = k;
  }
  p->bytes = arena_array(a, size_t, p->outs + 1);
  for (int i = 0; i < p->outs; ++i) p->bytes[i] = tensor_bytes(list[i]);
  return list;
}

static wn_value describe_output(const char *name, const wn_tensor *t, const host_end *end) {
  wn_value v = {.size = sizeof v, .name = name};
  if (t != NULL) {
    v.dtype = wn_tensor_dtype(t);
    v.ndim = wn_ndim(t);
    memcpy(v.shape, wn_shape(t), sizeof *v.shape * (size_t)v.ndim);
    v.bytes = tensor_bytes(t);
  } else {
    const host_array *r = &end->stage->out[end->result];
    v.dtype = end->dtype;
    v.ndim = r->ndim;
    memcpy(v.shape, r->shape, sizeof v.shape);
    v.bytes = (size_t)end->stage->most[end->result] * wn_dtype_size(v.dtype);
  }
  return v;
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
  host_plan_init(&p->host);
  model_build(m, ctx, given, count, outs, &p->host);
  wn_tensor **list = list_outs(m, p, a, outs);
  if (wn_compile(ctx, list, NULL, p->outs, &m->compile, &p->base) != WN_OK) diag_again(&ctx->diag);
  wn_program_info info = WN_PROGRAM_INFO(.plan = NULL);
  wn_program_get_info(p->base, &info);
  p->slot = arena_array(a, int, m->inputs + 1);
  find_slots(m, p, &info);
  p->output = arena_array(a, wn_value, m->outputs + 1);
  for (int i = 0; i < m->outputs; ++i)
    p->output[i] = describe_output(m->output[i]->name, outs[i], &p->host.end[i]);
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
  p->idle = new_instance(p, p->base, p->outs);
  if (p->idle == NULL) goto failed;
  return p;
failed:
  if (p != NULL) destroy_programs(p);
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
    destroy_programs(p);
  }
}

/* Under the lock: an instance that nobody uses. */
static instance *take_idle(model_programs *p) {
  instance *i = p->idle;
  ++p->users;
  if (i != NULL) p->idle = i->next;
  return i;
}

/* In the list, which keeps the weights that it is still to prepare from. Returns an instance of it. */
static instance *add_programs(wn_model *m, model_programs *p) {
  pthread_mutex_lock(&m->lock);
  p->next = m->first;
  m->first = p;
  ++m->programs;
  ++m->compiles;
  instance *i = take_idle(p);
  pthread_mutex_unlock(&m->lock);
  return i;
}

static model_programs *compile_with_weights(wn_model *m, const call *c, diag *d, instance **i) {
  volatile wn_status st;
  DIAG_TRY(d, st) weights_open(m, d);
  DIAG_END(d, st)
  if (st != WN_OK) return NULL;
  model_programs *p = compile_programs(m, c, d);
  if (p != NULL) *i = add_programs(m, p);
  weights_close(m);
  return p;
}

void programs_give_back(wn_model *m, model_programs *p, instance *i) {
  if (i != NULL) arenas_give_back(m, i);
  pthread_mutex_lock(&m->lock);
  if (i != NULL) {
    i->next = p->idle;
    p->idle = i;
  }
  --p->users;
  pthread_mutex_unlock(&m->lock);
  drop_surplus(m);
}

wn_status programs_take(wn_model *m, const call *c, diag *d, model_programs **programs,
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
    if (p == NULL) p = compile_with_weights(m, c, d, &i);
    pthread_mutex_unlock(&m->build);
    if (p == NULL) return d->status;
    drop_surplus(m);
  }
  if (i == NULL) {
    wn_program *other = NULL;
    wn_status st = program_share_compiled(p->base, &other);
    if (st == WN_OK && (i = new_instance(p, other, p->outs)) == NULL) st = WN_ERR_NOMEM;
    if (st != WN_OK) {
      diag_set(d, st, "%s", other == NULL ? wn_program_message(p->base) : "out of memory");
      wn_program_destroy(other);
      programs_give_back(m, p, NULL);
      return st;
    }
  }
  if (!arenas_take(m, i)) {
    programs_give_back(m, p, i);
    return diag_set(d, WN_ERR_NOMEM, "out of memory: %zu bytes of an arena",
                    p->base->compiled->set->workspace_bytes);
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
    destroy_programs(p);
  }
  arenas_release(m);
}
