/* A graph of twins (twin.h) compiled under a plan, run, and compared with its values in float64; each
 * graph in a process of its own, so that a crash is one more failure and says what it was at. */
#ifndef WN_TESTS_DIFF_GRAPH_CASE_H
#define WN_TESTS_DIFF_GRAPH_CASE_H

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diff/twin.h"
#include "isas.h"

enum { MOST_OUTPUTS = 6, PATIENCE = 300, RUNNING = 1024 };

typedef struct outputs {
  int count;
  twin out[MOST_OUTPUTS];
} outputs;

typedef outputs (*build_fn)(twins *w);

typedef struct attempt {
  const char *name, *plan, *backend;
  const char *isa; /* NULL: one of this machine's, by seed */
  uint64_t seed;
  double tolerance;  /* relative L2 of each output */
  bool may_refuse;   /* the plan need not exist for the graph */
  bool only_plan;    /* nothing is run */
  size_t max_memory; /* 0: as much as there is */
  /* set by try_plan */
  wn_status status;
  char message[512], placement[4096];
  double error;  /* the largest */
  int in_place;  /* values that are stored over others, */
  size_t memory; /* and bytes of workspace and prepared weights */
} attempt;

/* What a graph's process and the test both see. */
typedef struct shared_text {
  char running[RUNNING];
  int ran, refused, sites;
  double worst; /* error */
} shared_text;

static inline void ignore_warning(void *user, const char *line) {
  (void)user;
  (void)line;
}

static inline int complain(const attempt *a, const char *what, double error) {
  print_message("# WRONG: %s, plan %s, backend %s, WINNOW_SEED=%" PRIu64 ": %s (%.3g)\n", a->name,
                a->plan, a->backend, a->seed, what, error);
  return 1;
}

static inline int compare_outputs(attempt *a, const outputs *o, float **y) {
  int wrong = 0;
  for (int i = 0; i < o->count; ++i) {
    double error = relative_l2(y[i], o->out[i].v, twin_count(&o->out[i]));
    a->error = fmax(a->error, error);
    if (!(error <= a->tolerance))
      wrong += complain(a, o->count > 1 && i ? "a later output is wrong" : "wrong", error);
  }
  return wrong;
}

static inline int run_twice(attempt *a, wn_program *p, const outputs *o, float **y) {
  int wrong = 0;
  for (int round = 0; round < 2 && !wrong; ++round) {
    if (wn_run(p) != WN_OK) wrong += complain(a, "does not run", 0);
    wrong += compare_outputs(a, o, y);
  }
  return wrong;
}

/* One that the backend has. */
static inline const char *isa_of(const char *backend, uint64_t seed) {
  isa_list isas = machine_isas();
  if (strncmp(backend, "opencl", 6) == 0) return seed % 2 ? "simt" : "simd";
  return isas.name[seed % (uint64_t)isas.count];
}

/* How many values are stored over others. */
static inline int count_in_place(wn_program *p, int sites) {
  int count = 0;
  for (int i = 0; i < sites; ++i) {
    wn_site_info site = WN_SITE_INFO();
    count += wn_program_get_site(p, i, &site) == WN_OK && site.in_place_of != NULL;
  }
  return count;
}

static inline int run_program(attempt *a, wn_context *ctx, arena *mem, const outputs *o) {
  wn_tensor *t[MOST_OUTPUTS];
  float *y[MOST_OUTPUTS];
  void *data[MOST_OUTPUTS];
  for (int i = 0; i < o->count; ++i) {
    t[i] = o->out[i].t;
    y[i] = arena_array(mem, float, twin_count(&o->out[i]) + 1);
    data[i] = twin_count(&o->out[i]) > 0 ? y[i] : NULL;
    memset(y[i], 0xff, sizeof(float) * (size_t)twin_count(&o->out[i]));
  }
  wn_program *p;
  const wn_options opt = WN_OPTIONS(.plan = a->plan, .backend = a->backend,
                                    .isa = a->isa != NULL ? a->isa : isa_of(a->backend, a->seed),
                                    .threads = 1 + (int)(a->seed % 3), .plan_only = a->only_plan,
                                    .no_cache = 1, .max_memory = a->max_memory);
  a->status = wn_compile(ctx, t, data, o->count, &opt, &p);
  snprintf(a->message, sizeof a->message, "%s", a->status == WN_OK ? "" : wn_message(ctx));
  if (a->status != WN_OK) {
    bool named = strcmp(a->plan, "auto") != 0 && strcmp(a->plan, "direct") != 0;
    bool fine = a->status == WN_ERR_REFUSED && a->may_refuse && named && a->message[0] != '\0';
    return fine || a->only_plan ? 0 : complain(a, a->message, (double)a->status);
  }
  wn_program_info info = WN_PROGRAM_INFO();
  int wrong = 0;
  if (wn_program_get_info(p, &info) != WN_OK) wrong += complain(a, "no information", 0);
  snprintf(a->placement, sizeof a->placement, "%s", info.placement);
  a->in_place = count_in_place(p, info.sites);
  a->memory = info.workspace_bytes + info.prepared_bytes;
  if (!a->only_plan) wrong += run_twice(a, p, o, y);
  wn_program_destroy(p);
  return wrong;
}

/* Draws the graph from the attempt's seed, compiles, runs, compares; how many things were wrong. */
static inline int try_plan(attempt *a, build_fn build) {
  diag d;
  arena mem;
  volatile wn_status st;
  volatile int wrong = 1;
  diag_init(&d);
  arena_init(&mem, &d);
  uint64_t random = a->seed;
  wn_context *ctx;
  a->error = 0;
  a->message[0] = a->placement[0] = '\0';
  if (wn_context_create(&ctx) != WN_OK) return complain(a, "no context", 0);
  wn_on_warning(ctx, ignore_warning, NULL);
  twins w = {ctx, &mem, &random};
  DIAG_TRY(&d, st) {
    outputs o = build(&w);
    wrong = run_program(a, ctx, &mem, &o);
  }
  DIAG_END(&d, st)
  if (st != WN_OK) wrong = complain(a, d.message, 0);
  wn_context_destroy(ctx);
  arena_release(&mem);
  return wrong;
}

/* What `work` gives in a process of its own, 1 where that ends otherwise; `running` is shared with it (share_text). */
static inline int in_process(const char *name, int (*work)(void *user), void *user,
                             const char *running) {
  fflush(NULL);
  pid_t child = fork();
  if (child < 0) fail();
  if (child == 0) {
    alarm(PATIENCE);
    int wrong = work(user);
    exit(wrong > 100 ? 100 : wrong);
  }
  int status;
  while (waitpid(child, &status, 0) != child) continue;
  if (WIFEXITED(status) && WEXITSTATUS(status) <= 100) return WEXITSTATUS(status);
  const char *how = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? "TOO SLOW" : "CRASH";
  print_message("# %s: %s: %s\n", how, name, running);
  return 1;
}

static inline void note_running(char *running, const attempt *a) {
  snprintf(running, RUNNING, "%s, plan %s, backend %s, WINNOW_SEED=%" PRIu64, a->name, a->plan,
           a->backend, a->seed);
}

/* Set-up and tear-down of a group of tests: its state is a shared_text. */
static inline int share_text(void **state) {
  *state =
      mmap(NULL, sizeof(shared_text), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return *state == MAP_FAILED ? -1 : 0;
}

static inline int unshare_text(void **state) { return munmap(*state, sizeof(shared_text)); }

#endif
