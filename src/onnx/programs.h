/* Programs of a model and who uses them.
 *
 * In: what a caller gives. Out: an instance of a program for it, until it is given back. Always holds: a program is
 * used by one caller at a time; see programs.c. */
#ifndef WN_ONNX_PROGRAMS_H
#define WN_ONNX_PROGRAMS_H

#include "onnx/model.h"

struct model_arena {
  model_arena *next;
  size_t size;
  void *bytes;
};

/* A program and what it needs to be run by one caller. */
struct instance {
  instance *next;
  model_programs *of;
  wn_program *program;
  model_arena *arena; /* while it is taken; NULL: its own */
  void **
      spare; /* by output of the program: where results go that the caller has no array for; NULL: nowhere yet */
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
  int outs;         /* outputs of the program: those of the model, then what the host reads */
  size_t *bytes;    /* of them */
  int *at;          /* by the model's output: which of them it is; -1: it is computed on the host */
  int *tensor_at;   /* by tensor of the host's plan: the same */
  wn_value *output; /* by the model's output: dtype, shape and bytes, the most there can be */
  host_plan host;
};

/* What a caller wants. */
typedef struct call {
  wn_value *in;       /* by the model's input; size 0: not given */
  unsigned char *key; /* of the programs for it */
  size_t key_size;
} call;

size_t programs_bytes(wn_dtype dtype, int ndim, const int64_t *shape);
/* Inputs are checked; errors unwind. */
void programs_read_call(wn_model *m, arena *a, const wn_value *inputs, int count, call *c);
/* The programs for a call, with one more user, and an instance of them; what is not there yet is compiled. An error is
 * in the caller's diag, as the model's is everyone's. */
wn_status programs_take(wn_model *m, const call *c, diag *d, model_programs **programs,
                        instance **one);
/* --- arenas.c --------------------------------------------------------------------------------- */

/* A program that was taken gets an arena, and gives it back. False: memory is short. */
bool arenas_take(wn_model *m, instance *i);
void arenas_give_back(wn_model *m, instance *i);
void arenas_release(wn_model *m);

/* i NULL: there was none. */
void programs_give_back(wn_model *m, model_programs *p, instance *i);

#endif
