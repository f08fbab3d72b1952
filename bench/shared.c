/* shared: what several threads get out of programs that share code and weights, and what a run
 * costs besides its kernel.
 *
 *     shared [--threads N] [--processes N] [--seconds S] [--rounds N] [--channels N] [--size N]
 *
 * N threads (4) that run a program of one thread each, all made of one by wn_program_share,
 * against N processes (2) that have one each: a 3x3 convolution of --channels (32) at --size
 * (28) pixels, every program on arrays of its own. They take turns, --rounds of each (5) for
 * --seconds (1). A line of JSON: the most runs a second of both, the ratio of these, and the
 * nanoseconds of a run of one kernel that adds 16 numbers. */
#define _DEFAULT_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "winnow/winnow.h"

enum { MOST = 256 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void require(int right, const char *what) {
  if (right) return;
  fprintf(stderr, "shared: %s\n", what);
  exit(2);
}

typedef struct worker {
  pthread_t thread;
  wn_program *program;
  double end; /* by the clock */
  long runs;
} worker;

static void *run_until(void *argument) {
  worker *w = argument;
  long runs = 0;
  while (now() < w->end) {
    for (int i = 0; i < 8; ++i) wn_run(w->program);
    runs += 8;
  }
  w->runs = runs;
  return NULL;
}

/* Runs a second of n threads. */
static double run_threads(wn_program **programs, int n, double seconds) {
  static worker w[MOST];
  double start = now();
  long runs = 0;
  for (int i = 0; i < n; ++i) {
    w[i] = (worker){.program = programs[i], .end = start + seconds};
    require(pthread_create(&w[i].thread, NULL, run_until, &w[i]) == 0, "no thread to be had");
  }
  for (int i = 0; i < n; ++i) {
    pthread_join(w[i].thread, NULL);
    runs += w[i].runs;
  }
  return (double)runs / (now() - start);
}

/* The same of n processes; runs: memory that they share. */
static double run_processes(wn_program **programs, int n, double seconds, long *runs) {
  double start = now();
  long sum = 0;
  fflush(NULL);
  for (int i = 0; i < n; ++i) {
    pid_t child = fork();
    require(child >= 0, "no process to be had");
    if (child > 0) continue;
    worker w = {.program = programs[i], .end = start + seconds};
    run_until(&w);
    runs[i] = w.runs;
    _exit(0);
  }
  for (int i = 0; i < n; ++i) wait(NULL);
  for (int i = 0; i < n; ++i) sum += runs[i];
  return (double)sum / (now() - start);
}

static float *noise(size_t n) {
  static uint64_t seed = 1;
  float *p = malloc(n * sizeof *p);
  require(p != NULL, "out of memory");
  for (size_t i = 0; i < n; ++i) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    p[i] = (float)((double)(seed >> 40) / (1 << 23) - 1.0);
  }
  return p;
}

/* A convolution, and programs that share it, each on arrays of its own. */
static void make_programs(wn_context *ctx, int64_t channels, int64_t size, wn_program **programs,
                          int n) {
  size_t pixels = (size_t)(channels * size * size), taps = (size_t)(channels * channels * 9);
  wn_tensor *x = wn_input(ctx, WN_F32, 4, (int64_t[]){1, channels, size, size}, noise(pixels));
  wn_tensor *w = wn_constant(ctx, WN_F32, 4, (int64_t[]){channels, channels, 3, 3}, noise(taps));
  wn_tensor *y = wn_conv(x, w, &WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1}));
  void *data = noise(pixels);
  wn_options o = WN_OPTIONS(.threads = 1);
  require(wn_compile(ctx, &y, &data, 1, &o, &programs[0]) == WN_OK, wn_message(ctx));
  for (int i = 1; i < n; ++i) {
    require(wn_program_share(programs[0], &programs[i]) == WN_OK, "cannot be shared");
    require(wn_bind(programs[i], 0, noise(pixels)) == WN_OK &&
                wn_bind(programs[i], 2, noise(pixels)) == WN_OK,
            wn_program_message(programs[i]));
  }
  for (int i = 0; i < n; ++i) require(wn_run(programs[i]) == WN_OK, "does not run");
}

/* Least nanoseconds of a run whose kernel does next to nothing. */
static double run_ns(wn_context *ctx) {
  static const int RUNS = 1000, ROUNDS = 300;
  static float x[16], y[16];
  wn_tensor *a = wn_input(ctx, WN_F32, 1, (int64_t[]){16}, x), *t = wn_zip(WN_ADD, a, a);
  void *data = y;
  wn_program *p;
  double least = 1e9;
  require(wn_compile(ctx, &t, &data, 1, &WN_OPTIONS(.threads = 1), &p) == WN_OK, wn_message(ctx));
  for (int r = 0; r < ROUNDS; ++r) {
    double start = now();
    for (int i = 0; i < RUNS; ++i) wn_run(p);
    double taken = (now() - start) / RUNS;
    if (taken < least) least = taken;
  }
  wn_program_destroy(p);
  return least * 1e9;
}

int main(int argc, char **argv) {
  static wn_program *programs[MOST];
  int threads = 4, processes = 2, rounds = 5, channels = 32, size = 28;
  double seconds = 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    const char *value = argv[i + 1];
    if (strcmp(argv[i], "--threads") == 0) threads = atoi(value);
    if (strcmp(argv[i], "--processes") == 0) processes = atoi(value);
    if (strcmp(argv[i], "--rounds") == 0) rounds = atoi(value);
    if (strcmp(argv[i], "--channels") == 0) channels = atoi(value);
    if (strcmp(argv[i], "--size") == 0) size = atoi(value);
    if (strcmp(argv[i], "--seconds") == 0) seconds = atof(value);
  }
  int n = threads > processes ? threads : processes;
  require(processes > 0 && threads > 0 && n <= MOST, "from 1 to 256 threads and processes");
  wn_context *ctx;
  require(wn_context_create(&ctx) == WN_OK, "out of memory");
  make_programs(ctx, channels, size, programs, n);
  long *counts =
      mmap(NULL, MOST * sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  require(counts != MAP_FAILED, "out of memory");
  double by_threads = 0, by_processes = 0;
  for (int r = 0; r < rounds; ++r) {
    double t = run_threads(programs, threads, seconds);
    double p = run_processes(programs, processes, seconds, counts);
    if (t > by_threads) by_threads = t;
    if (p > by_processes) by_processes = p;
  }
  printf(
      "{\"threads\":%d,\"processes\":%d,\"threads_runs_s\":%.0f,\"processes_runs_s\":%.0f,"
      "\"ratio\":%.3f,\"run_ns\":%.1f}\n",
      threads, processes, by_threads, by_processes, by_threads / by_processes, run_ns(ctx));
  for (int i = 0; i < n; ++i) wn_program_destroy(programs[i]);
  wn_context_destroy(ctx);
  return 0;
}
