/* A model with the data of the command line: what `run`, and every command that takes a MODEL for a PROBLEM, work on.
 *
 * In: the path of a model and the options. Out: arrays for all inputs, and graphs in the contexts of those who ask.
 * Always holds: every input has a whole shape and an array of it: from --input (pictures, .npy, .npz, TensorProto),
 * or, where there is no --input at all, of random numbers; net_close frees everything, also after a failure half-way
 * through net_open. */
#ifndef WINNOW_CLI_NET_H
#define WINNOW_CLI_NET_H

#include "app.h"

typedef struct network {
  cli *app;
  arena *arena; /* of texts and shapes */
  const char *path;
  wn_context *ctx; /* that the model was loaded with */
  wn_model *model;
  wn_model_info info;
  wn_value *input; /* info.inputs of them; data is aligned, and the network's */
  int photo_bits;  /* of a channel of the pictures among the inputs; 0: there are none */
  bool random;     /* there was no --input */
  double load_s;   /* seconds that loading took */
} network;

/* Fails with one line that names what is wrong. */
void net_open(network *n, cli *app, arena *a, const char *path);
void net_close(network *n);
/* The last stage is computed on the host: the model is run as a whole, and has no graph. */
static inline bool net_on_host(const network *n) { return n->info.host > 0; }
/* The graph in a context, in the arena: info.outputs tensors. */
wn_tensor **net_build(const network *n, wn_context *ctx);

/* "f32 [batch, 3, -1, 224]" as a model says it, for messages. */
const char *net_text(arena *a, const wn_value *v);
/* Arrays for kernels, aligned; released with mem_free_aligned. Fails where there is no memory. */
void *net_array(cli *app, wn_dtype dtype, int64_t count);

/* --- net_inputs.c ----------------------------------------------------------------------------- */

/* Shapes of all inputs by --shape, --dim and the files of --input, and their arrays. */
void net_read_inputs(network *n);

#endif
