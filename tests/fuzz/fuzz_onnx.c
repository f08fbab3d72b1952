/* Any bytes are a model, or an error of usage; of a model every text can be read to its end, every list to its length,
 * and the elements of every tensor that are in the bytes. */
#include <stdint.h>
#include <stdlib.h>

#include "onnx/hold.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile size_t sink;

typedef struct walk {
  diag d;
  arena a;
  file_holder files;
} walk;

static void see_text(const char *text) { sink += strlen(text); }

static void see_texts(const char *const *text, int n) {
  for (int i = 0; i < n; ++i) see_text(text[i]);
}

static void see_tensor(walk *w, const onnx_tensor *t) {
  see_text(t->name);
  see_text(onnx_type_name(&w->a, t->type));
  if ((t->raw != NULL) + (t->typed != NULL) + (t->location != NULL) > 1) abort();
  if (t->count < 0) abort();
  for (int i = 0; i < t->ndim; ++i)
    if (t->dims[i] < 0) abort();
  if (t->location != NULL || onnx_type_size(t->type) == 0) return;
  const unsigned char *bytes = onnx_tensor_elements(&w->files, &w->a, &w->d, NULL, t);
  size_t n = (size_t)t->count * onnx_type_size(t->type);
  for (size_t i = 0; i < n; ++i) sink += bytes[i];
}

static void see_values(const onnx_value_info *v, int n) {
  for (int i = 0; i < n; ++i) {
    see_text(v[i].name);
    for (int k = 0; k < v[i].ndim; ++k)
      if (v[i].dims[k].value < -1) abort();
  }
}

static void see_graph(walk *w, const onnx_graph *g);

static void see_attribute(walk *w, const onnx_attribute *a) {
  see_text(a->name);
  see_text(a->s);
  if (a->t != NULL) see_tensor(w, a->t);
  if (a->g != NULL) see_graph(w, a->g);
  if (a->kind == ONNX_ATTR_STRINGS) see_texts(a->strings, a->count);
  for (int i = 0; i < a->count; ++i) {
    if (a->kind == ONNX_ATTR_INTS) sink += (size_t)a->ints[i];
    if (a->kind == ONNX_ATTR_FLOATS) sink += a->floats[i] < 0.0f;
  }
}

static void see_nodes(walk *w, const onnx_node *node, int n) {
  for (int i = 0; i < n; ++i) {
    see_text(node[i].name), see_text(node[i].op), see_text(node[i].domain);
    see_text(node[i].overload);
    see_texts(node[i].input, node[i].inputs);
    see_texts(node[i].output, node[i].outputs);
    for (int k = 0; k < node[i].attributes; ++k) see_attribute(w, &node[i].attribute[k]);
  }
}

static void see_graph(walk *w, const onnx_graph *g) {
  see_text(g->name);
  see_nodes(w, g->node, g->nodes);
  see_values(g->input, g->inputs);
  see_values(g->output, g->outputs);
  see_values(g->info, g->infos);
  for (int i = 0; i < g->initializers; ++i) see_tensor(w, &g->initializer[i]);
}

static void see_model(walk *w, const onnx_model *m) {
  see_graph(w, &m->graph);
  see_text(m->producer);
  for (int i = 0; i < m->opsets; ++i) see_text(m->opset[i].domain);
  for (int i = 0; i < m->functions; ++i) {
    const onnx_function *f = &m->function[i];
    see_nodes(w, f->node, f->nodes);
    see_texts(f->attribute, f->attributes);
    for (int k = 0; k < f->defaults; ++k) see_attribute(w, &f->with_default[k]);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  walk w;
  wn_status status;
  memset(&w, 0, sizeof w);
  diag_init(&w.d);
  arena_init(&w.a, &w.d);
  DIAG_TRY(&w.d, status) { see_model(&w, onnx_read_model(&w.a, &w.d, "fuzz.onnx", data, size)); }
  DIAG_END(&w.d, status)
  arena_release(&w.a);
  if (status != WN_OK && (status != WN_ERR_USAGE || !w.d.message[0])) abort();
  return 0;
}
