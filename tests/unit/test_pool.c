/* The thread pool: each block once, whatever the counts; workers' numbers are theirs alone; pools of
 * equally many threads are one and stop with their last holder; turns; a child process. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "backend/pool.h"
#include "diff/conv_case.h"

enum { BLOCKS = 3000, WORKERS = 8 };

/* What a task sees: plain memory, so that a sanitizer of threads has something to look at. */
typedef struct tally {
  int times[BLOCKS];
  int64_t run_by[WORKERS]; /* private to a worker */
  atomic_int busy[WORKERS], overlaps, beyond;
  int threads;
} tally;

static void count(void *context, int worker, int64_t begin, int64_t end) {
  tally *t = context;
  if (worker < 0 || worker >= t->threads) {
    t->beyond++;
    return;
  }
  t->overlaps += atomic_fetch_add(&t->busy[worker], 1) != 0;
  for (int64_t i = begin; i < end; ++i) t->times[i]++;
  t->run_by[worker] += end - begin;
  atomic_fetch_sub(&t->busy[worker], 1);
}

static void run_and_check(pool *p, int64_t begin, int64_t end) {
  static tally t;
  memset(&t, 0, sizeof t);
  t.threads = pool_threads(p);
  pool_begin(p);
  pool_run(p, count, &t, begin, end, false);
  pool_end(p);
  int64_t run = 0;
  for (int i = 0; i < WORKERS; ++i) run += t.run_by[i];
  assert_int_equal(run, end > begin ? end - begin : 0);
  assert_int_equal(t.overlaps + t.beyond, 0);
  for (int64_t i = 0; i < BLOCKS; ++i) assert_int_equal(t.times[i], i >= begin && i < end);
}

static void test_each_block_once(void **state) {
  (void)state;
  static const int threads[] = {1, 2, 3, 5};
  for (int i = 0; i < 4; ++i) {
    pool *p = pool_acquire(threads[i]);
    assert_non_null(p);
    assert_int_equal(pool_threads(p), threads[i]);
    run_and_check(p, 0, 0);
    run_and_check(p, 7, 3);
    for (int64_t n = 1; n <= 12; ++n) run_and_check(p, 5, 5 + n);
    run_and_check(p, 1, BLOCKS);
    run_and_check(p, 0, BLOCKS - 1);
    pool_release(p);
  }
}

/* --- several ranges as one job ---------------------------------------------------------------- */

enum { SHARES = 9, LONGEST = 200 };

typedef struct range {
  tally *all; /* whose blocks this range has a part of, from `offset` on */
  int64_t offset;
  int wrong; /* blocks that are none of it */
  int64_t begin, end;
} range;

static void count_range(void *context, int worker, int64_t begin, int64_t end) {
  range *r = context;
  if (begin < r->begin || end > r->end || begin >= end) {
    r->wrong++;
    return;
  }
  count(r->all, worker, r->offset + begin - r->begin, r->offset + end - r->begin);
}

/* Each block of each range once, told by its range's own numbers, whatever blocks cost. */
static void run_ranges(pool *p, uint64_t *random, bool small) {
  static tally t;
  range r[SHARES];
  pool_share s[SHARES];
  int64_t blocks = 0;
  const int n = 1 + (int)(random[0] % SHARES);
  memset(&t, 0, sizeof t);
  t.threads = pool_threads(p);
  for (int i = 0; i < n; ++i) {
    const uint64_t drawn = next_random(random);
    const int64_t begin = (int64_t)(drawn % 50), length = (int64_t)(drawn >> 8) % LONGEST;
    r[i] = (range){&t, blocks, 0, begin, drawn >> 60 == 0 ? begin : begin + length};
    s[i] = (pool_share){.task = count_range,
                        .context = &r[i],
                        .begin = r[i].begin,
                        .end = r[i].end,
                        .cost = drawn >> 59 & 1 ? 1 + (int64_t)(drawn >> 40 & 0xfff) : 1 << 30};
    blocks += r[i].end - r[i].begin;
  }
  pool_begin(p);
  pool_run_together(p, s, n, small);
  pool_end(p);
  for (int i = 0; i < n; ++i) assert_int_equal(r[i].wrong, 0);
  assert_int_equal(t.overlaps + t.beyond, 0);
  for (int64_t i = 0; i < BLOCKS; ++i) assert_int_equal(t.times[i], i < blocks);
}

static void test_ranges_together(void **state) {
  (void)state;
  static const int threads[] = {1, 2, 3, 5};
  uint64_t random = test_seed();
  for (int i = 0; i < 4; ++i) {
    pool *p = pool_acquire(threads[i]);
    assert_non_null(p);
    for (int round = 0; round < 100; ++round) run_ranges(p, &random, round % 2 == 0);
    pool_share none = {.task = count_range, .begin = 3, .end = 3, .cost = 1};
    pool_begin(p);
    pool_run_together(p, &none, 1, false);
    pool_run_together(p, &none, 0, false);
    pool_end(p);
    pool_release(p);
  }
}

/* A range is left to one worker only as far as its share of all work goes: of costly blocks that stand first none takes
 * all, though there are few among many. */
static void note_most(void *context, int worker, int64_t begin, int64_t end) {
  (void)worker;
  _Atomic int64_t *most = context;
  int64_t now = atomic_load(most);
  while (now < end - begin && !atomic_compare_exchange_weak(most, &now, end - begin)) continue;
}

static void test_costly_blocks_are_shared(void **state) {
  (void)state;
  pool *p = pool_acquire(2);
  assert_non_null(p);
  _Atomic int64_t costly = 0, cheap = 0;
  pool_share s[] = {{.task = note_most, .context = (void *)&costly, .end = 4, .cost = 1000},
                    {.task = note_most, .context = (void *)&cheap, .end = 1000, .cost = 1}};
  pool_begin(p);
  pool_run_together(p, s, 2, false);
  pool_end(p);
  assert_int_equal(atomic_load(&costly), 1); /* 5000 in all: an eighth is less than one of these */
  assert_in_range(atomic_load(&cheap), 1, 125);
  pool_release(p);
}

/* Threads of this process, as the kernel counts them; -1 where it does not say. */
static int count_threads(void) {
  DIR *d = opendir("/proc/self/task");
  if (d == NULL) return -1;
  int n = 0;
  for (struct dirent *e; (e = readdir(d)) != NULL;) n += e->d_name[0] != '.';
  closedir(d);
  return n;
}

static void test_shared(void **state) {
  (void)state;
  int before = count_threads();
  pool *a = pool_acquire(3), *b = pool_acquire(3), *c = pool_acquire(2);
  pool *d = pool_acquire(1), *e = pool_acquire(1);
  assert_ptr_equal(a, b);
  assert_ptr_not_equal(a, c);
  assert_ptr_not_equal(d, e); /* callers of one thread do not wait for each other */
  if (before > 0) assert_int_equal(count_threads(), before + 3);
  pool_release(a);
  run_and_check(b, 0, 100);
  pool_release(d);
  pool_release(e);
  pool_release(c);
  if (before > 0) assert_int_equal(count_threads(), before + 2);
  pool_release(b);
  /* a thread that has been joined may stay listed for a moment */
  for (int i = 0; before > 0 && count_threads() != before && i < 1000; ++i)
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  if (before > 0) assert_int_equal(count_threads(), before);
  pool_release(NULL);
}

typedef struct holder {
  pthread_t thread;
  atomic_int *inside;
  int64_t *sum; /* guarded by the turn alone */
  int overlaps;
} holder;

static void add(void *context, int worker, int64_t begin, int64_t end) {
  (void)worker;
  atomic_fetch_add((_Atomic int64_t *)context, end - begin);
}

static void *hold_often(void *argument) {
  holder *h = argument;
  pool *p = pool_acquire(2);
  for (int i = 0; p != NULL && i < 40; ++i) {
    _Atomic int64_t blocks = 0;
    pool_begin(p);
    h->overlaps += atomic_fetch_add(h->inside, 1) != 0;
    pool_run(p, add, &blocks, 0, 100, false);
    *h->sum += blocks;
    atomic_fetch_sub(h->inside, 1);
    pool_end(p);
  }
  pool_release(p);
  return NULL;
}

static void test_turns(void **state) {
  (void)state;
  holder h[4];
  atomic_int inside = 0;
  int64_t sum = 0;
  for (int i = 0; i < 4; ++i) {
    h[i] = (holder){.inside = &inside, .sum = &sum};
    assert_int_equal(pthread_create(&h[i].thread, NULL, hold_often, &h[i]), 0);
  }
  for (int i = 0; i < 4; ++i) {
    pthread_join(h[i].thread, NULL);
    assert_int_equal(h[i].overlaps, 0);
  }
  assert_int_equal(sum, 4 * 40 * 100);
}

/* A child has the pools but none of their threads: they are started anew, in their place. */
static void test_child(void **state) {
  (void)state;
  pool *p = pool_acquire(2);
  run_and_check(p, 0, 50);
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    alarm(60);
    pool *mine = pool_acquire(2);
    _Atomic int64_t blocks = 0;
    pool_begin(mine);
    pool_run(mine, add, &blocks, 0, 100, false);
    pool_end(mine);
    bool ok = mine == p && blocks == 100;
    pool_release(mine);
    pool_release(p);
    _exit(ok ? 0 : 1);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  run_and_check(p, 0, 50);
  pool_release(p);
}

static void test_no_memory(void **state) {
  (void)state;
  for (int threads = 1; threads <= 2; ++threads) {
    mem_fail_at(1);
    assert_null(pool_acquire(threads));
    mem_fail_at(0);
    pool *p = pool_acquire(threads); /* nothing is left of the failure */
    assert_non_null(p);
    run_and_check(p, 0, 9);
    pool_release(p);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_each_block_once),
      cmocka_unit_test(test_ranges_together),
      cmocka_unit_test(test_costly_blocks_are_shared),
      cmocka_unit_test(test_shared),
      cmocka_unit_test(test_turns),
      cmocka_unit_test(test_child),
      cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
