/* A compiled program as data: what the pipeline leaves behind, what runs, and what ties it to
 * its caller's arrays.
 *
 * A compile makes a `compiled`: kernels, and the launches of them as a list, in which an array
 * is a block's number and an offset. Programs over it (wn_program) say where the blocks are: the
 * caller's arrays that are bound to its slots, a workspace of its own, and prepared weights,
 * which several may share (`prepared`).
 * Always holds: a compiled is not written once its program was returned, but for text that is
 * printed when somebody asks (under its lock); a launch's arguments are addresses that were put
 * together when a block got its place, so a run does no arithmetic with them but for rounds of a
 * host loop; running allocates nothing. */
#ifndef WN_PROGRAM_PROGRAM_H
#define WN_PROGRAM_PROGRAM_H

#include <limits.h>

#include "base/fork.h"
#include "kernel/kernel.h"
#include "backend/runtime.h"
#include "store/store.h"
#include "nest/parts.h"
#include "winograd/winograd.h"

/* --- launches -------------------------------------------------------------------------------- */

/* Where an array of the kernel_set is. Blocks are numbered: the slots, then prepared weights,
 * then the workspace. */
typedef struct program_array {
  int block;      /* -1: it is local to its kernel */
  int64_t offset; /* bytes from the block's begin */
} program_array;

typedef struct launch_arg {
  int array; /* of launch_list.array */
  /* bytes between what a round of a host loop addresses and what the next one does; 0: the same */
  int64_t step;
} launch_arg;

typedef struct program_launch {
  int code;            /* kernel of the module */
  int first_arg, args; /* by slot of the kernel: in launch_list.arg */
  int64_t blocks;      /* of the grid, in each round */
} program_launch;

/* Launches [first, end) one behind the other, `count` times. Round r of a launch does its blocks
 * from r * launch.blocks on; or, where `until` is not NULL, up to until[r * (end - first) + i] of
 * launch first + i, from where the round before came to. */
typedef struct program_rounds {
  int first, end;
  int64_t count;
  const int64_t *until;
  bool side; /* none of them needs what another one makes: they are one job (count is 1) */
} program_rounds;

/* Launch i is that of kernel_set.kernels[i]. All launches are in rounds, in order; those of
 * preparing come first. */
enum { NEVER_READ = -1, READ_BY_RUNS = INT_MAX };

typedef struct launch_list {
  int count, prepare;
  program_launch *launch;
  int round_groups, prepare_groups;
  program_rounds *rounds;
  int args, most_args; /* of all launches; of the one with most */
  int side, side_args; /* launches side by side, and their arguments together, at most */
  launch_arg *arg;
  int arrays;
  program_array *array;
  int blocks; /* slots, and the two behind them */
  /* arguments by the block that they are in: those of block b from first_use[b] up to that of b + 1 */
  int *use, *first_use;
  int *
      last_read; /* by slot: the launch of preparing that reads it last; NEVER_READ; READ_BY_RUNS */
} launch_list;

static inline bool launch_list_uses(const launch_list *l, int block) {
  return l->first_use[block] < l->first_use[block + 1];
}

/* --- slots ----------------------------------------------------------------------------------- */

typedef struct program_slot {
  wn_slot_kind kind;
  const char *name; /* for wn_program_find */
  const char *text; /* for messages: input 0 "image" of shape [1, 3, 224, 224] */
  wn_dtype dtype;
  const int_list *shape;
  size_t bytes; /* 0: no array is needed, and none is looked at */
} program_slot;

/* Whether an array is missing. */
static inline bool slot_lacks(const program_slot *s, const void *data) {
  return data == NULL && s->bytes > 0;
}

typedef struct slot_list {
  int count, inputs, constants, outputs; /* in this order */
  program_slot *at;
  void **data;   /* by slot, as given to wn_compile; NULL: nothing yet */
  int *of;       /* by number of the context's buffer: its slot, -1: no output depends on it */
  bool variable; /* constants are read again by every run */
} slot_list;

/* --- what a compile makes -------------------------------------------------------------------- */

typedef struct compiled_graph {
  atomic_int holders; /* programs over it */
  fork_lock lock;     /* of text that is printed late, and of what it is allocated in */
  diag diag;
  graph graph; /* IR, while compiling; afterwards empty, unless somebody explains the program */
  arena keep;  /* all that outlives the compile */
  runtime *rt;
  store *store; /* while compiling, else NULL */
  module *module;
  kernel_set *set;         /* without the nests of its kernels once it was compiled */
  linear_kernel **kernels; /* by launch: its code with the arrays of its own */
  int ncodes;
  linear_kernel **codes; /* kernels that differ, by nest_kernel.code: what the module has */
  const char **sources;  /* of each code, once asked for */
  nest_text *nests;      /* by code: loops as text, */
  const char ***stores;  /* by launch: what stands at their ends, */
  const char **loops;    /* and both together, once asked for */
  slot_list slots;
  launch_list list;
  wn_program_info info;
  wn_site_info *sites;
  int *site_of; /* by kernel */
} compiled_graph;

/* Nothing in it yet; NULL: there is no memory. `warn` is whose warnings are taken over. */
compiled_graph *compiled_new(const diag *warn);
void compiled_release(compiled_graph *c); /* the last holder gives it back; NULL is allowed */
void compiled_close_store(compiled_graph *c);

/* Of the compiled kernel of a launch; source_lines -1 where there is no code (plan_only). */
kernel_state compiled_kernel_state(const compiled_graph *c, int index);
/* Why a kernel is one for the interpreter, NULL: none is; known before there is any code. */
const char *compiled_line_limit(const compiled_graph *c, arena *a, int max_lines);

/* --- keep.c ----------------------------------------------------------------------------------- */

/* Ends a compile: what a program needs stays, and IR goes. */
void compiled_end(compiled_graph *c);
/* A code in memory of its own; lists: of shuffles that were copied already. */
linear_kernel *keep_code(arena *keep, map *lists, const linear_kernel *of);

/* --- codes.c ---------------------------------------------------------------------------------- */

/* Linear IR of all parts; merge: equal reductions become one loop. */
void codes_make(compiled_graph *c, const part_list *parts, bool merge);
void codes_compile(compiled_graph *c, const compile_options *options);

/* --- launches.c ------------------------------------------------------------------------------ */

/* The list, from the kernel set and its linear kernels. */
void launches_make(compiled_graph *c);
/* Bytes by which a round moves an array back: whole lines, since kernels count on lines: what is
 * left over of a step shifts the round's tiles by as much, for which there is room. */
int64_t launch_shift(const launch_arg *arg, int64_t round);
/* 32 hexadecimal digits for what runs: kernels, the arrays that they get, the order. After
 * launches_make. */
const char *launches_identity(compiled_graph *c);

/* --- slots.c --------------------------------------------------------------------------------- */

/* Whether the values of a slot are read once, when weights are prepared. */
bool slot_is_prepared(const slot_list *slots, int slot);
/* NULL, or what is wrong with an array for a slot, into `line`: it is not aligned. */
const char *slot_mistake(const program_slot *s, const void *data, char *line, size_t size);
/* Do these arrays overlap, and must not? What is only read may, but for a constant with what may
 * change. */
bool slots_clash(const slot_list *slots, int a, const void *at_a, int b, const void *at_b);
/* The line of that. */
const char *slots_clash_text(const slot_list *slots, int a, int b, char *line, size_t size);
/* All arrays of data that there are, against each other and by themselves; diag_fail(WN_ERR_USAGE). */
void slots_check(const slot_list *slots, diag *d, arena *scratch);

/* --- a program ------------------------------------------------------------------------------- */

/* Prepared weights, and on a device the constants. Programs that share it have the same
 * constants bound. */
typedef struct prepared_weights {
  atomic_int holders;
  fork_lock lock; /* of whoever prepares */
  _Atomic bool done;
  void **block; /* by number: of constants on a device, and of prepared weights; NULL: not here */
  /* constants may not be there any more: there is no preparing again, and nothing else may be bound to them */
  _Atomic bool released;
} prepared_weights;

enum { PROGRAM_IDLE, PROGRAM_RUNS, PROGRAM_IS_BOUND };

struct wn_program {
  compiled_graph *compiled;
  prepared_weights *prepared;
  runtime *rt; /* compiled->rt, or one of its own with the same threads */
  diag diag;   /* what the last call that failed says */
  arena arena;
  void **bound;       /* by slot: the caller's arrays */
  void **next;        /* the same, while some are being bound */
  void **block;       /* by number: where it is; in the host's memory slots are what is bound */
  device_arg *args;   /* of all launches */
  device_arg *moved;  /* of one launch in a later round */
  module_call *calls; /* of launches side by side */
  bool in_place;      /* of its runtime's memory */
  bool lent_arena;    /* the workspace is the caller's block */
  int unbound;        /* slots */
  _Atomic int state;  /* PROGRAM_ */
  _Atomic unsigned generation; /* of forks, that the state is of */
  bool alone; /* a child process could not start the threads, and nobody was told yet */
};

/* Around running and binding. False: another thread does either, which is its caller's mistake.
 * Two that come at the same moment are not told apart: a locked instruction would cost a run more
 * than this and all that follows from it. */
static inline bool program_enter(wn_program *p, int state) {
  unsigned here = fork_generation();
  if (atomic_load_explicit(&p->generation, memory_order_relaxed) != here) {
    /* a child process: whoever ran or bound it is not here */
    atomic_store_explicit(&p->state, PROGRAM_IDLE, memory_order_relaxed);
    atomic_store_explicit(&p->generation, here, memory_order_relaxed);
  }
  if (atomic_load_explicit(&p->state, memory_order_acquire) != PROGRAM_IDLE) return false;
  atomic_store_explicit(&p->state, state, memory_order_relaxed);
  return true;
}

static inline void program_leave(wn_program *p) {
  atomic_store_explicit(&p->state, PROGRAM_IDLE, memory_order_release);
}

/* --- instance.c ------------------------------------------------------------------------------ */

/* Takes over a holder of c, whatever comes of it; bound to slots.data. has_code: it is to run.
 * NULL when memory is short, with status and line in `errors`. */
wn_program *program_create(compiled_graph *c, bool has_code, diag *errors);
/* As wn_program_share, but with what was bound when it was compiled, so that others may also bind p meanwhile. */
wn_status program_share_compiled(wn_program *p, wn_program **other);
/* Prepared weights that no other program has, to be prepared again. WN_ERR_NOMEM: it has what it
 * had, and the line is in p's diag. */
wn_status program_own_prepared(wn_program *p);
/* A block got another place: arguments that name it follow. */
void program_place(wn_program *p, int block, void *at);
/* Frees the workspace where it is the program's own. */
void program_free_arena(wn_program *p);
/* diag_fail when memory is short. */
void program_own_arena(wn_program *p);

/* Does an array overlap the caller's arena? */
bool program_in_arena(const wn_program *p, const void *data, size_t bytes);

/* --- run.c ----------------------------------------------------------------------------------- */

/* A call that is refused: the message is written in a turn, since other threads may be running
 * the program. */
wn_status program_refuse(wn_program *p, wn_status status, const char *format, ...) WN_PRINTF(3, 4);
/* Is told of arrays of constants that the program does not read any more. */
typedef struct unread_watch {
  void (*tell)(void *user, const void *data, size_t bytes);
  void *user;
} unread_watch;
/* wn_prepare, and then constants are not to be bound any more. Arrays are told of as soon as they were read; whoever
 * comes when all is prepared is told of all at once. */
wn_status program_prepare(wn_program *p, const unread_watch *watch);
/* Does it, now or in a later run, read any of these bytes as a constant? */
bool program_reads(const wn_program *p, const void *data, size_t bytes);

/* NULL, or why it cannot run at all: it was compiled with plan_only. */
const char *program_no_code(const wn_program *p);

/* Seconds of a clock that only goes forward. */
double program_now(void);

#endif
