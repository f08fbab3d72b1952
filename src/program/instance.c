/* Programs over what a compile made: their memory, and sharing it. In: a compiled and the
 * caller's arrays. Out: blocks, and the arguments of all launches with places in them. Always
 * holds: blocks of a device are touched by whose turn it is; a compiled and prepared weights go
 * with the last program that holds them. */
#include "base/fpenv.h"
#include "program/program.h"

void program_place(wn_program *p, int block, void *at) {
  const launch_list *l = &p->compiled->list;
  p->block[block] = at;
  for (int i = l->first_use[block]; i < l->first_use[block + 1]; ++i) {
    int arg = l->use[i];
    p->args[arg] = (device_arg){at, l->array[l->arg[arg].array].offset};
  }
}

/* --- blocks ---------------------------------------------------------------------------------- */

/* diag_fail when memory is short. */
static void *allocate(wn_program *p, size_t bytes, const char *what) {
  if (bytes == 0) return NULL;
  void *block = runtime_alloc(p->rt, bytes);
  if (block != NULL) return block;
  if (p->in_place) diag_fail(&p->diag, WN_ERR_NOMEM, "out of memory: %zu bytes of %s", bytes, what);
  diag_fail(&p->diag, WN_ERR_NOMEM, "%s has no %zu bytes left for %s",
            runtime_machine(p->rt)->model, bytes, what);
}

static void allocate_slot(wn_program *p, int slot, void **block) {
  const compiled_graph *c = p->compiled;
  if (launch_list_uses(&c->list, slot))
    *block = allocate(p, c->slots.at[slot].bytes, c->slots.at[slot].text);
}

/* --- prepared weights ------------------------------------------------------------------------ */

static bool is_theirs(const compiled_graph *c, int block) {
  const slot_list *s = &c->slots;
  return block == s->count ||
         (block < s->count && slot_is_prepared(s, block) && !runtime_in_place(c->rt));
}

static void release_prepared(compiled_graph *c, prepared_weights *pr) {
  if (pr == NULL || atomic_fetch_sub_explicit(&pr->holders, 1, memory_order_acq_rel) > 1) return;
  for (int i = 0; i < c->list.blocks && !runtime_is_orphan(c->rt); ++i)
    if (is_theirs(c, i)) runtime_free(c->rt, pr->block[i]);
  fork_lock_destroy(&pr->lock);
  mem_free(pr);
}

static prepared_weights *new_prepared(wn_program *p) {
  const compiled_graph *c = p->compiled;
  size_t blocks = (size_t)c->list.blocks * sizeof(void *);
  prepared_weights *pr = mem_alloc(sizeof *pr + blocks);
  if (pr == NULL) diag_fail(&p->diag, WN_ERR_NOMEM, "out of memory");
  memset(pr, 0, sizeof *pr + blocks);
  pr->block = (void **)(pr + 1);
  atomic_init(&pr->holders, 1);
  if (fork_lock_init(&pr->lock)) return pr;
  mem_free(pr);
  diag_fail(&p->diag, WN_ERR_NOMEM, "out of locks");
}

static void allocate_prepared(wn_program *p, prepared_weights *pr) {
  const compiled_graph *c = p->compiled;
  for (int i = 0; i < c->slots.count; ++i)
    if (is_theirs(c, i)) allocate_slot(p, i, &pr->block[i]);
  pr->block[c->slots.count] = allocate(p, c->set->prepared_bytes, "prepared weights");
}

static prepared_weights *make_prepared(wn_program *p) {
  prepared_weights *pr = new_prepared(p);
  volatile wn_status st;
  DIAG_TRY(&p->diag, st) allocate_prepared(p, pr);
  DIAG_END(&p->diag, st)
  if (st == WN_OK) return pr;
  release_prepared(p->compiled, pr);
  diag_again(&p->diag);
}

static void place_prepared(wn_program *p) {
  for (int i = 0; i < p->compiled->list.blocks; ++i)
    if (is_theirs(p->compiled, i)) program_place(p, i, p->prepared->block[i]);
}

wn_status program_own_prepared(wn_program *p) {
  prepared_weights *old = p->prepared;
  if (atomic_load_explicit(&old->holders, memory_order_acquire) == 1) {
    atomic_store_explicit(&old->done, false, memory_order_release);
    return WN_OK;
  }
  bool in_turn = !p->in_place;
  wn_status st;
  if (in_turn) runtime_begin(p->rt);
  DIAG_TRY(&p->diag, st) p->prepared = make_prepared(p);
  DIAG_END(&p->diag, st)
  if (st == WN_OK) {
    place_prepared(p);
    release_prepared(p->compiled, old);
  }
  if (in_turn) runtime_end(p->rt);
  return st;
}

/* --- the workspace --------------------------------------------------------------------------- */

static int workspace(const wn_program *p) { return p->compiled->slots.count + 1; }

void program_free_arena(wn_program *p) {
  if (!p->lent_arena && !runtime_is_orphan(p->rt)) runtime_free(p->rt, p->block[workspace(p)]);
  p->block[workspace(p)] = NULL;
}

void program_own_arena(wn_program *p) {
  void *block = allocate(p, p->compiled->set->workspace_bytes, "the workspace");
  program_place(p, workspace(p), block);
  p->lent_arena = false;
}

bool program_in_arena(const wn_program *p, const void *data, size_t bytes) {
  uintptr_t at = (uintptr_t)data, lent = p->lent_arena ? (uintptr_t)p->block[workspace(p)] : 0;
  return lent != 0 && at < lent + p->compiled->set->workspace_bytes && lent < at + bytes;
}

/* --- a program ------------------------------------------------------------------------------- */

static void allocate_all(wn_program *p, prepared_weights *shared) {
  const compiled_graph *c = p->compiled;
  const slot_list *s = &c->slots;
  if (shared != NULL) {
    atomic_fetch_add_explicit(&shared->holders, 1, memory_order_relaxed);
    p->prepared = shared;
  } else {
    p->prepared = make_prepared(p);
  }
  place_prepared(p);
  program_own_arena(p);
  for (int i = 0; i < s->count; ++i) {
    void *block = p->bound[i];
    if (is_theirs(c, i)) continue;
    if (!p->in_place) allocate_slot(p, i, &block);
    program_place(p, i, block);
  }
}

/* Threads of one's own are taken by one program at a time; those that are shared, and a device,
 * take turns anyhow. */
static void choose_runtime(wn_program *p, bool shares) {
  compiled_graph *c = p->compiled;
  bool own = shares && runtime_in_place(c->rt) && runtime_threads(c->rt) == 1;
  p->rt = own ? runtime_create_like(&p->diag, c->rt) : c->rt;
  if (own) runtime_reserve(p->rt, &p->diag, c->module);
}

static void allocate_in_turn(wn_program *p, prepared_weights *shared, bool shares) {
  volatile bool in_turn = shares && !p->in_place;
  volatile wn_status st;
  if (in_turn) runtime_begin(p->rt);
  DIAG_TRY(&p->diag, st) allocate_all(p, shared);
  DIAG_END(&p->diag, st)
  if (in_turn) runtime_end(p->rt);
  if (st != WN_OK) diag_again(&p->diag);
}

static void set_up(wn_program *p, void *const *bound, bool shares, prepared_weights *shared,
                   bool runs) {
  const launch_list *l = &p->compiled->list;
  int slots = p->compiled->slots.count;
  p->bound = arena_array(&p->arena, void *, slots + 1);
  p->next = arena_array(&p->arena, void *, slots + 1);
  for (int i = 0; i < slots; ++i) {
    const program_slot *s = &p->compiled->slots.at[i];
    bool unbound = shares && s->kind == WN_SLOT_OUTPUT;
    p->bound[i] = unbound ? NULL : bound[i];
    p->unbound += slot_lacks(s, p->bound[i]);
  }
  choose_runtime(p, shares);
  p->in_place = runtime_in_place(p->rt);
  if (!runs) return;
  p->block = arena_array(&p->arena, void *, l->blocks + 1);
  p->args = arena_array(&p->arena, device_arg, l->args + 1);
  p->moved = arena_array(&p->arena, device_arg, l->most_args + 1);
  p->calls = arena_array(&p->arena, module_call, l->side + 1);
  allocate_in_turn(p, shared, shares);
}

/* of: whose code and prepared weights it shares, NULL: the first one. bound: what it is bound to, but for outputs. */
static wn_program *make(compiled_graph *c, wn_program *of, void *const *bound, bool runs,
                        diag *errors) {
  wn_program *p = mem_alloc(sizeof *p);
  if (p == NULL) {
    compiled_release(c);
    diag_set(errors, WN_ERR_NOMEM, "out of memory");
    return NULL;
  }
  memset(p, 0, sizeof *p);
  p->compiled = c;
  diag_init(&p->diag);
  p->diag.warn = c->diag.warn;
  p->diag.warn_user = c->diag.warn_user;
  arena_init(&p->arena, &p->diag);
  atomic_init(&p->generation, fork_generation());
  wn_status st;
  DIAG_TRY(&p->diag, st)
  set_up(p, bound, of != NULL, of != NULL ? of->prepared : NULL, runs);
  DIAG_END(&p->diag, st)
  if (st == WN_OK) return p;
  diag_set(errors, st, "%s", p->diag.message);
  wn_program_destroy(p);
  return NULL;
}

wn_program *program_create(compiled_graph *c, bool runs, diag *errors) {
  return make(c, NULL, c->slots.data, runs, errors);
}

static wn_status share(wn_program *p, void *const *bound, wn_program **other) {
  if (program_no_code(p) != NULL) return program_refuse(p, WN_ERR_USAGE, "%s", program_no_code(p));
  if (runtime_is_orphan(p->rt))
    return program_refuse(p, WN_ERR_DEVICE, "wn_program_share: no device works in a child process");
  diag errors;
  diag_init(&errors);
  atomic_fetch_add_explicit(&p->compiled->holders, 1, memory_order_relaxed);
  fenv_t fp;
  fp_enter(&fp);
  *other = make(p->compiled, p, bound, true, &errors);
  fp_leave(&fp);
  return *other != NULL ? WN_OK : program_refuse(p, errors.status, "%s", errors.message);
}

wn_status wn_program_share(wn_program *p, wn_program **other) {
  if (other != NULL) *other = NULL;
  if (p == NULL) return WN_ERR_USAGE;
  if (other == NULL)
    return program_refuse(p, WN_ERR_USAGE, "wn_program_share has nowhere to put the program");
  return share(p, p->bound, other);
}

wn_status program_share_compiled(wn_program *p, wn_program **other) {
  *other = NULL;
  return share(p, p->compiled->slots.data, other);
}

static void free_blocks(wn_program *p) {
  const compiled_graph *c = p->compiled;
  for (int i = 0; i < c->list.blocks && p->block != NULL; ++i) {
    bool own = i < c->slots.count && !p->in_place && !is_theirs(c, i);
    if (own && !runtime_is_orphan(p->rt)) runtime_free(p->rt, p->block[i]);
  }
  if (p->block != NULL) program_free_arena(p);
  release_prepared(p->compiled, p->prepared);
}

void wn_program_destroy(wn_program *p) {
  if (p == NULL) return;
  compiled_graph *c = p->compiled;
  if (p->rt != NULL) {
    bool in_turn = p->block != NULL && !p->in_place && !runtime_is_orphan(p->rt);
    if (in_turn) runtime_begin(p->rt);
    if (in_turn) (void)runtime_finish(p->rt); /* what fails here has nobody left to tell */
    free_blocks(p);
    if (in_turn) runtime_end(p->rt);
    if (p->rt != c->rt) runtime_destroy(p->rt);
  }
  arena_release(&p->arena);
  mem_free(p);
  compiled_release(c);
}
