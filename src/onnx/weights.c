/* Weights of a model's file that nobody reads any more.
 *
 * In: programs that prepare what they need of the weights. Out: memory that is given back, and read from the file again
 * when something is built. Always holds: while anybody builds or compiles nothing goes; what goes is read by no run of
 * any program that the model keeps, and by none that is still to prepare. */
#include "onnx/programs.h"
#include "program/program.h"

void weights_open(wn_model *m, diag *d) {
  pthread_mutex_lock(&m->lock);
  ++m->readers;
  pthread_mutex_unlock(&m->lock);
  wn_status st;
  DIAG_TRY(d, st) hold_restore(&m->holder, d);
  DIAG_END(d, st)
  if (st != WN_OK) {
    weights_close(m);
    diag_again(d);
  }
  pthread_mutex_lock(&m->lock);
  m->released = 0;
  pthread_mutex_unlock(&m->lock);
}

void weights_close(wn_model *m) {
  pthread_mutex_lock(&m->lock);
  --m->readers;
  pthread_mutex_unlock(&m->lock);
}

typedef struct release {
  wn_model *m;
  const model_programs *of;
} release;

static bool others_read(const release *r, const void *data, size_t bytes) {
  bool any = false;
  for (const model_programs *p = r->m->first; p != NULL && !any; p = p->next)
    any = p != r->of && program_reads(p->base, data, bytes);
  return any;
}

static void drop(void *user, const void *data, size_t bytes) {
  const release *r = user;
  wn_model *m = r->m;
  pthread_mutex_lock(&m->lock);
  if (m->readers == 0 && !others_read(r, data, bytes))
    m->released += hold_drop(&m->holder, data, bytes);
  pthread_mutex_unlock(&m->lock);
}

wn_status weights_prepare(wn_model *m, const model_programs *of, wn_program *p) {
  release r = {m, of};
  return program_prepare(p, &(unread_watch){drop, &r});
}

wn_status wn_model_release_weights(wn_model *model, wn_program *program) {
  if (model == NULL) return WN_ERR_USAGE;
  wn_status st = WN_ERR_USAGE;
  const char *why = "wn_model_release_weights: there is no program";
  if (program != NULL) {
    const model_programs *of = NULL;
    pthread_mutex_lock(&model->lock);
    for (const instance *i = model->lent; i != NULL && of == NULL; i = i->next)
      if (i->program == program) of = i->of;
    pthread_mutex_unlock(&model->lock);
    st = weights_prepare(model, of, program);
    why = wn_program_message(program);
  }
  if (st == WN_OK) return st;
  pthread_mutex_lock(&model->lock);
  diag_set(&model->diag, st, "%s", why);
  pthread_mutex_unlock(&model->lock);
  return st;
}
