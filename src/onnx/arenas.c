/* Arenas of a model's programs.
 *
 * In: a program that a caller takes. Out: memory for what is between its kernels, which the next one may have when it
 * is given back. Always holds: as many arenas as programs were taken at once, none twice at a time, none smaller than
 * what its program needs; programs of a device, which have memory of their own, get none. */
#include "onnx/programs.h"
#include "program/program.h"

/* The least that is large enough, else the largest; NULL: there is none. The lock is held. */
static model_arena *find(wn_model *m, size_t need) {
  model_arena **best = NULL;
  for (model_arena **at = &m->arenas; *at != NULL; at = &(*at)->next) {
    bool enough = (*at)->size >= need, had = best != NULL && (*best)->size >= need;
    bool smaller = best == NULL || (*at)->size < (*best)->size;
    if (best == NULL || (enough ? !had || smaller : !had && !smaller)) best = at;
  }
  model_arena *a = best != NULL ? *best : NULL;
  if (a != NULL) *best = a->next;
  return a;
}

static bool grow(model_arena *a, size_t need) {
  mem_free_aligned(a->bytes);
  a->size = 0;
  a->bytes = mem_alloc_aligned_unset(need, WN_ARENA_ALIGNMENT);
  if (a->bytes != NULL) a->size = need;
  return a->bytes != NULL;
}

static void put(wn_model *m, model_arena *a) {
  pthread_mutex_lock(&m->lock);
  a->next = m->arenas;
  m->arenas = a;
  pthread_mutex_unlock(&m->lock);
}

bool arenas_take(wn_model *m, instance *i) {
  size_t need = i->program->compiled->set->workspace_bytes;
  if (m->own_arenas || need == 0 || !i->program->in_place || i->program->block == NULL) return true;
  pthread_mutex_lock(&m->lock);
  model_arena *a = find(m, need);
  pthread_mutex_unlock(&m->lock);
  if (a == NULL) {
    a = mem_alloc(sizeof *a);
    if (a == NULL) return false;
    *a = (model_arena){0};
  }
  if ((a->size < need && !grow(a, need)) || wn_bind_arena(i->program, a->bytes, a->size) != WN_OK) {
    put(m, a);
    return false;
  }
  i->arena = a;
  return true;
}

void arenas_give_back(wn_model *m, instance *i) {
  if (i->arena != NULL) put(m, i->arena);
  i->arena = NULL;
}

void arenas_release(wn_model *m) {
  while (m->arenas != NULL) {
    model_arena *a = m->arenas;
    m->arenas = a->next;
    mem_free_aligned(a->bytes);
    mem_free(a);
  }
}
