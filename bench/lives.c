/* What it takes to place the arrays of graphs of many layers in the workspace: plan_memory alone.
 *
 *     cc -std=gnu17 -O2 -Iinclude -Isrc bench/lives.c build/libwinnow.a -lm -o lives
 *     ./lives [ARRAYS [REPETITIONS]]       1000 and 20
 *
 * A kernel makes each array; sizes are drawn, the same each time. A line of JSON for each kind of graph: the least
 * microseconds, bytes of the workspace, and these over the most bytes that are alive at once, which no plan goes below.
 * */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "nest/nest.h"

enum { BLOCK = 32, WIDTH = 1 << 16 };

typedef struct shape {
  const char *name;
  int (*reads)(int i, int n, int *from); /* arrays before i that kernel i reads; how many */
} shape;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- graphs ----------------------------------------------------------------------------------- */

static int chain(int i, int n, int *from) {
  (void)n;
  from[0] = i - 1;
  return i > 0;
}

/* Every second layer adds what the pair before it began with. */
static int residual(int i, int n, int *from) {
  int count = chain(i, n, from);
  if (i > 2 && i % 2 == 1) from[count++] = i - 3;
  return count;
}

/* Each layer of a block reads all before it. */
static int dense(int i, int n, int *from) {
  int count = chain(i, n, from);
  for (int j = i / BLOCK * BLOCK; j < i - 1; ++j) from[count++] = j;
  return count;
}

/* The second half reads the first half's arrays, last first: half of all are alive at once. */
static int hourglass(int i, int n, int *from) {
  int count = chain(i, n, from);
  if (i > n / 2 && n - i < i - 1) from[count++] = n - i;
  return count;
}

/* Branches of four layers, put together by the next. */
static int branches(int i, int n, int *from) {
  int at = i % 17, count = 1;
  if (at == 0) { /* the ends of all four */
    for (count = 0; count < 4 && i > 0; ++count) from[count] = i - 1 - 4 * count;
    return count;
  }
  from[0] = at % 4 == 1 ? i - at : i - 1;
  (void)n;
  return count;
}

static const shape shapes[] = {{"chain", chain},
                               {"residual", residual},
                               {"dense", dense},
                               {"hourglass", hourglass},
                               {"branches", branches}};

static kernel_set *draw(graph *g, const shape *s, int n, size_t *alive) {
  kernel_set *set = arena_new(&g->arena, kernel_set);
  int *from = arena_array(&g->arena, int, n + 1), *last = arena_array(&g->arena, int, n + 1);
  uint64_t seed = 1;
  for (int i = 0; i < n; ++i) {
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    array_info a = {.name = "a", .dtype = WN_F32, .role = ROLE_WORK, .user = -1};
    a.len = 1 + (int64_t)(seed >> 33) % WIDTH;
    vec_push(&g->arena, &set->arrays, a);
    nest *made = arena_new(&g->arena, nest);
    nest_store *to = &made->store[made->nstores++];
    to->array = last[i] = i;
    to->value = uop_const(g, WN_F32, 1);
    int count = s->reads(i, n, from);
    for (int r = 0; r < count; ++r) {
      const uop *b = uop_buffer(g, from[r], WN_F32, 1, &set->arrays.data[from[r]].len),
                *at = uop_int(g, 0);
      to->value = uop_add(g, to->value, uop_index(g, b, uop_bool(g, true), 1, &at));
      last[from[r]] = i;
    }
    nest_kernel k = {.nroots = 1, .root = {made}, .chunks = 1};
    vec_push(&g->arena, &set->kernels, k);
  }
  *alive = 0;
  for (int k = 0; k < n; ++k) {
    size_t bytes = 0;
    for (int i = 0; i <= k; ++i) bytes += last[i] >= k ? array_bytes(&set->arrays.data[i]) : 0;
    if (bytes > *alive) *alive = bytes;
  }
  return set;
}

int main(int argc, char **argv) {
  int n = argc > 1 ? atoi(argv[1]) : 1000, repetitions = argc > 2 ? atoi(argv[2]) : 20;
  mallopt(M_MMAP_THRESHOLD,
          1 << 30); /* the scratch of a repetition is the next one's: no page is new */
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; ++s) {
    diag d;
    graph g;
    diag_init(&d);
    graph_init(&g, &d);
    size_t alive;
    kernel_set *set = draw(&g, &shapes[s], n, &alive);
    double least = 1e9;
    for (int i = 0; i < repetitions; ++i) {
      arena scratch;
      arena_init(&scratch, &d);
      set->workspace_bytes = set->prepared_bytes = 0;
      double start = now();
      plan_memory(set, &scratch);
      double taken = now() - start;
      if (taken < least) least = taken;
      arena_release(&scratch);
    }
    printf(
        "{\"graph\":\"%s\",\"arrays\":%d,\"min_us\":%.1f,\"workspace\":%zu,\"over_alive\":%.4f}\n",
        shapes[s].name, n, least * 1e6, set->workspace_bytes,
        (double)set->workspace_bytes / (double)alive);
    graph_release(&g);
  }
  return 0;
}
