/* Layers taken out of a network: each has the canonical form that its value has there, whatever the layouts of what it
 * reads and stores, so what was tuned for it is found again. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "decide/tuned_plans.h"
#include "pipeline.h"
#include "program/import.h"
#include "tune/layer.h"

typedef struct network {
  wn_context *ctx;
  wn_tensor *out;
  void *result;
  float noise[1 << 16], pixels[1 << 13]; /* all weights; all images */
} network;

static const wn_options options = {.size = sizeof options, .threads = 1, .no_cache = 1};

static wn_tensor *constant(network *n, int ndim, const int64_t *shape) {
  return wn_constant(n->ctx, WN_F32, ndim, shape, n->noise);
}

static wn_tensor *conv(network *n, wn_tensor *x, int64_t k, int64_t r, int64_t groups) {
  wn_tensor *w = constant(n, 4, (int64_t[]){k, wn_shape(x)[1] / groups, r, r});
  const wn_conv_params same =
      WN_CONV_PARAMS(.pad_lo = {r / 2, r / 2}, .pad_hi = {r / 2, r / 2}, .groups = groups);
  wn_tensor *bias = constant(n, 4, (int64_t[]){1, k, 1, 1});
  return wn_map(WN_RELU, wn_zip(WN_ADD, wn_conv(x, w, &same), bias));
}

static wn_tensor *image(network *n, int64_t batch, int64_t c, int64_t h, int64_t w) {
  return wn_input(n->ctx, WN_F32, 4, (int64_t[]){batch, c, h, w}, n->pixels);
}

static wn_tensor *chain(network *n) {
  return conv(n, conv(n, conv(n, image(n, 1, 3, 20, 18), 16, 3, 1), 24, 1, 1), 8, 3, 1);
}

static wn_tensor *batch(network *n) {
  return conv(n, conv(n, conv(n, image(n, 3, 8, 9, 11), 16, 3, 1), 16, 3, 16), 8, 1, 1);
}

static wn_tensor *one_row(network *n) {
  return conv(n, conv(n, conv(n, image(n, 1, 8, 1, 30), 16, 3, 1), 32, 1, 1), 8, 3, 1);
}

static wn_tensor *residual(network *n) {
  wn_tensor *x = conv(n, image(n, 1, 3, 14, 14), 16, 3, 1);
  wn_tensor *y = conv(n, conv(n, x, 32, 1, 1), 16, 3, 1);
  return conv(n, wn_map(WN_RELU, wn_zip(WN_ADD, x, y)), 8, 1, 1);
}

/* Channels that are two loops for a while, so that no value has them last. */
static wn_tensor *shuffled(network *n) {
  wn_tensor *x = conv(n, image(n, 1, 8, 12, 12), 16, 1, 1);
  x = wn_reshape(x, 5, (int64_t[]){1, 4, 4, 12, 12});
  x = wn_reshape(wn_permute(x, (int[]){0, 2, 1, 3, 4}), 4, (int64_t[]){1, 16, 12, 12});
  return conv(n, conv(n, x, 16, 3, 16), 8, 1, 1);
}

static network *open_network(wn_tensor *(*make)(network *n)) {
  network *n = calloc(1, sizeof *n);
  assert_non_null(n);
  assert_int_equal(wn_context_create(&n->ctx), WN_OK);
  for (size_t i = 0; i < sizeof n->noise / sizeof *n->noise; ++i)
    n->noise[i] = (float)(i * 2654435761u % 1024) / 1024;
  n->out = make(n);
  if (n->out == NULL) fail_msg("%s", wn_message(n->ctx));
  n->result = calloc(1 << 16, sizeof(float));
  assert_non_null(n->result);
  return n;
}

static void close_network(network *n) {
  wn_context_destroy(n->ctx);
  free(n->result);
  free(n);
}

static const char *key_of(wn_context *ctx, const compiled_graph *p, const site_list *sites,
                          int value) {
  graph *g = (graph *)&p->graph;
  const stored_value *v = &sites->value[value];
  bool *constant = arena_array(&g->arena, bool, v->narrays + 1);
  for (int i = 0; i < v->narrays; ++i)
    constant[i] = v->array[i] >= 0 ? ctx->buffers.data[v->array[i]].constant
                                   : sites->value[~v->array[i]].constant;
  return plans_key(g, v->canonical, constant, p->rt, &options);
}

static const char *key_alone(graph *g, const layer *l) {
  compiled_graph *p;
  const site_list *sites;
  void *data = l->data;
  wn_status st = pipeline_survey(l->ctx, &l->out, &data, 1, &options, &p, &sites);
  if (st != WN_OK) fail_msg("%s", wn_message(l->ctx));
  assert_int_equal(sites->nvalues, 1);
  const char *key = arena_strdup(&g->arena, key_of(l->ctx, p, sites, 0));
  compiled_release(p);
  return key;
}

/* How many values have their channels last. */
static int check_values(network *n, compiled_graph *p, const site_list *sites) {
  graph *g = &p->graph;
  int last = 0;
  for (int v = 0; v < sites->nvalues; ++v) {
    layer l;
    if (value_is_cat(&sites->value[v])) continue;
    last += sites->value[v].layout == LAYOUT_LAST;
    layer_make(&l, g, sites, v, n->ctx);
    assert_string_equal(key_alone(g, &l), key_of(n->ctx, p, sites, v));
    layer_destroy(&l);
  }
  return last;
}

static void check_network(wn_tensor *(*make)(network *n), int least_last) {
  network *n = open_network(make);
  compiled_graph *p;
  const site_list *sites;
  volatile wn_status st = pipeline_survey(n->ctx, &n->out, &n->result, 1, &options, &p, &sites);
  if (st != WN_OK) fail_msg("%s", wn_message(n->ctx));
  DIAG_TRY(&p->diag, st) assert_true(check_values(n, p, sites) >= least_last);
  DIAG_END(&p->diag, st)
  if (st != WN_OK) fail_msg("%s", p->diag.message);
  compiled_release(p);
  close_network(n);
}

static void test_layers_of_networks(void **state) {
  (void)state;
  static wn_tensor *(*const networks[])(network *n) = {chain, batch, one_row, residual};
  for (size_t i = 0; i < sizeof networks / sizeof *networks; ++i) check_network(networks[i], 2);
  check_network(shuffled, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_layers_of_networks)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
