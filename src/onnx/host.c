/* Stages of the host: how they are built and run. See host.h. */
#include "onnx/host.h"

#include "backend/element.h"
#include "onnx/graph.h"
#include "tensor/tensor.h"

void host_plan_init(host_plan *p) {
  *p = (host_plan){0};
  p->last = &p->first;
}

int64_t host_count(const host_array *a) {
  int64_t n = 1;
  for (int i = 0; i < a->ndim; ++i) n *= a->shape[i];
  return n;
}

/* --- building --------------------------------------------------------------------------------- */

static int plan_tensor(host_plan *p, arena *a, wn_tensor *t) {
  for (size_t i = 0; i < p->tensors.len; ++i)
    if (p->tensors.data[i] == t) return (int)i;
  vec_push(a, &p->tensors, t);
  return (int)p->tensors.len - 1;
}

static host_array array_of(const onnx_value *v) {
  host_array r = {.dtype = v->dtype, .ndim = v->ndim};
  memcpy(r.shape, v->shape, sizeof *v->shape * (size_t)v->ndim);
  return r;
}

/* The elements of a value that is known; a place of its own where it has none, since NULL is an input left out. */
static void *known_data(importer *imp, onnx_value *v) {
  union {
    const void *from;
    void *to; /* nobody writes to an input */
  } data = {value_data(imp, v)};
  return data.from != NULL ? data.to : arena_alloc(imp->a, 1);
}

static void set_input(op_call *c, host_input *in, onnx_value *v) {
  *in = (host_input){.array = array_of(v), .tensor = -1, .stage = v->stage, .result = v->result};
  if (v->stage != NULL) return;
  if (v->known)
    in->array.data = known_data(c->imp, v);
  else
    in->tensor = plan_tensor(c->imp->host, c->a, value_tensor(c->imp, v));
}

static host_array result_array(const host_result *r) {
  host_array out = {.dtype = computed_dtype(r->type), .ndim = r->ndim};
  memcpy(out.shape, r->shape, sizeof *r->shape * (size_t)r->ndim);
  return out;
}

static void compute_now(op_call *c, host_function run, const void *how, int count,
                        const host_result *results) {
  host_array *in = arena_array(c->a, host_array, c->node->inputs + 1),
             *out = arena_array(c->a, host_array, count + 1);
  for (int i = 0; i < c->node->inputs; ++i) {
    if (c->in[i] == NULL) continue;
    in[i] = array_of(c->in[i]);
    in[i].data = known_data(c->imp, c->in[i]);
  }
  for (int i = 0; i < count; ++i) out[i] = result_array(&results[i]);
  run(how, c->a, in, out);
  for (int i = 0; i < count; ++i)
    if (op_wants(c, i))
      op_result_data(c, i, results[i].type, out[i].ndim, out[i].shape, out[i].data);
}

void host_add(op_call *c, host_function run, const void *how, int count,
              const host_result *results) {
  bool known = true;
  for (int i = 0; i < c->node->inputs; ++i) known = known && (c->in[i] == NULL || c->in[i]->known);
  if (c->node->outputs > count) op_fail(c, "there is no result %d", count);
  if (known) {
    compute_now(c, run, how, count, results);
    return;
  }
  host_plan *p = c->imp->host;
  if (p == NULL)
    op_fail(c,
            "it is computed on the host, behind a program, and is no tensor; wn_model_run does it");
  host_stage *s = arena_new(c->a, host_stage);
  *s = (host_stage){.op = c->node->op,
                    .number = p->stages,
                    .run = run,
                    .how = how,
                    .inputs = c->node->inputs,
                    .outputs = count,
                    .in = arena_array(c->a, host_input, c->node->inputs + 1),
                    .out = arena_array(c->a, host_array, count + 1),
                    .most = arena_array(c->a, int64_t, count + 1)};
  for (int i = 0; i < s->inputs; ++i) {
    s->in[i] = (host_input){.tensor = -1};
    if (c->in[i] != NULL) set_input(c, &s->in[i], c->in[i]);
  }
  for (int i = 0; i < count; ++i) {
    s->out[i] = result_array(&results[i]);
    s->most[i] = results[i].most;
    if (op_wants(c, i)) op_result_host(c, i, results[i].type, s->out[i].ndim, s->out[i].shape, s);
  }
  *p->last = s;
  p->last = &s->next;
  ++p->stages;
}

const int64_t *host_shape(op_call *c, int i) {
  const onnx_value *v = op_value(c, i);
  for (int k = 0; k < v->ndim; ++k)
    if (v->shape[k] < 0)
      op_fail(c, "the shape of \"%s\", input %d, is known after a run only", v->name, i);
  return v->shape;
}

/* --- what follows ----------------------------------------------------------------------------- */

void host_store(const host_array *from, wn_dtype dtype, void *to) {
  const int64_t n = host_count(from);
  if (dtype == from->dtype) {
    if (n > 0) memcpy(to, from->data, (size_t)n * wn_dtype_size(dtype));
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    const double number = element_read(from->dtype, from->data, i);
    if (dtype == WN_F64) ((double *)to)[i] = number;
    if (dtype == WN_F32) ((float *)to)[i] = (float)number;
    if (dtype == WN_F16) ((uint16_t *)to)[i] = half_to_f16(number);
    if (dtype == WN_BF16) ((uint16_t *)to)[i] = half_to_bf16(number);
    if (dtype == WN_I32) ((int32_t *)to)[i] = (int32_t)element_read_int(from->dtype, from->data, i);
    if (dtype == WN_I64) ((int64_t *)to)[i] = element_read_int(from->dtype, from->data, i);
  }
}

static void cast_array(const void *how, arena *a, const host_array *in, host_array *out) {
  (void)how;
  memcpy(out->shape, in->shape, sizeof in->shape);
  out->data = arena_alloc(a, (size_t)host_count(in) * wn_dtype_size(out->dtype) + 1);
  host_array from = *in;
  host_store(&from, out->dtype, out->data);
}

static void follow_with_cast(op_call *c) {
  const onnx_value *v = op_value(c, 0);
  const int to = (int)op_int(c, "to", 0);
  const bool wide = to == ONNX_FLOAT || to == ONNX_DOUBLE;
  if (!wide && (dtype_is_float(v->dtype) || (to != ONNX_INT32 && to != ONNX_INT64)))
    op_fail(c,
            "on the host, behind %s, integers are cast to int32, int64, float and double, and "
            "floats to float and double",
            v->stage->op);
  host_result r = {.type = to, .ndim = v->ndim, .most = v->stage->most[v->result]};
  memcpy(r.shape, v->shape, sizeof r.shape);
  host_add(c, cast_array, NULL, 1, &r);
}

bool host_may_follow(const op_row *row) {
  return row->reads == OP_ON_HOST || strcmp(row->name, "Identity") == 0 ||
         strcmp(row->name, "Cast") == 0;
}

void host_follow(op_call *c, const op_row *row) {
  const onnx_value *v = NULL;
  for (int i = 0; i < c->node->inputs; ++i)
    if (c->in[i] != NULL && c->in[i]->stage != NULL) v = c->in[i];
  if (!host_may_follow(row)) op_fail(c, HOST_LAST_STAGE, v->name, v->stage->op);
  if (strcmp(row->name, "Cast") == 0)
    follow_with_cast(c);
  else
    row->build(c);
}

/* --- running ---------------------------------------------------------------------------------- */

host_array **host_run(const host_plan *p, arena *a, void *const *data) {
  host_array **results = arena_array(a, host_array *, p->stages + 1);
  for (const host_stage *s = p->first; s != NULL; s = s->next) {
    host_array *in = arena_array(a, host_array, s->inputs + 1);
    for (int i = 0; i < s->inputs; ++i) {
      const host_input *from = &s->in[i];
      in[i] = from->stage != NULL ? results[from->stage->number][from->result] : from->array;
      if (from->tensor >= 0) in[i].data = data[from->tensor];
    }
    results[s->number] = arena_array(a, host_array, s->outputs + 1);
    memcpy(results[s->number], s->out, sizeof(host_array) * (size_t)s->outputs);
    s->run(s->how, a, in, results[s->number]);
  }
  return results;
}
