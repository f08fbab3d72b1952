/* A masked-out lane touches no memory: loads and stores of every dtype, number of lanes, way of moving and kind of
 * mask, whose masked-out lanes lie outside of arrays that end with a page, or begin with one, on every backend and
 * instruction set of the CPU that the machine has. What it cannot run for is compiled at least, and its assembly is
 * looked at. Under AddressSanitizer, which does not look into kernels, the system's compiler has half of them, by a seed
 * that is printed. Whole programs on such arrays: test_isas, test_random_convs. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "diff/conv_case.h"
#include "guard.h"
#include "isas.h"
#include "render/render.h"
#include "sanitized.h"
#include "unit/lin_builder.h"
#include "unit/on_host.h"

/* --- kernels ---------------------------------------------------------------------------------- */

enum { ROOM = 1024, GLOBALS = 3 };
enum { LOADED, CONSTANT, LOOP, MASKS };

typedef struct edge {
  wn_dtype dtype;
  int lanes;
  int64_t step; /* elements between lanes; 0: a vector of offsets, 3 apart */
  bool high;    /* the last lanes are kept, else the first */
  int mask;
} edge;

typedef struct edges {
  arena *arena;
  int count;
  const lin_kernel *kernel[ROOM];
  edge edge[ROOM];
} edges;

static int kept_of(const edge *e) { return e->lanes < 4 ? 1 : e->lanes / 2 + 1; }

static const char *edge_text(arena *a, const edge *e) {
  static const char *const masks[MASKS] = {"a loaded mask", "a constant mask",
                                           "a condition in a loop"};
  return arena_printf(a, "%s, %d lanes, step %lld, the %s kept under %s", wn_dtype_name(e->dtype),
                      e->lanes, (long long)e->step, e->high ? "last" : "first", masks[e->mask]);
}

/* Is the lane kept? Lanes may be iterations of a loop. */
static uint32_t condition(lin_builder *b, const edge *e, uint32_t lane, int lanes) {
  int64_t kept = kept_of(e);
  uint32_t limit = lb_splat(b, WN_I64, lanes, lb_i64(b, e->high ? e->lanes - kept - 1 : kept));
  return e->high ? lb_op2(b, OP_LT, WN_BOOL, limit, lane) : lb_op2(b, OP_LT, WN_BOOL, lane, limit);
}

/* Copies the lanes that are kept between two arrays that have their elements and no more; lane 0 is at `first`. */
static const lin_kernel *edge_kernel(arena *a, const char *name, const edge *e) {
  lin_builder b = lb_new(a, name, 1);
  int64_t kept = kept_of(e), step = e->step ? e->step : 3, size = (kept - 1) * llabs(step) + 1;
  int64_t nearest = step > 0 ? (e->high ? e->lanes - kept : 0) : (e->high ? e->lanes : kept) - 1;
  int64_t first = -step * nearest; /* that lane is at element 0 */
  int64_t in = lb_array(&b, SPACE_GLOBAL, e->dtype, size),
          out = lb_array(&b, SPACE_GLOBAL, e->dtype, size);
  b.k->arrays.data[in].written = false;
  if (e->mask == LOOP) {
    uint32_t loop = lb_loop(&b, e->lanes), stride = lb_i64(&b, step), base = lb_i64(&b, first);
    uint32_t at = lb_op(&b, OP_FMA, WN_I64, 3, loop, stride, base),
             mask = condition(&b, e, loop, 1);
    lb_store(&b, out, at, lb_load(&b, in, 1, at, 1, mask), 1, mask);
    lb_end(&b, loop);
    return b.k;
  }
  uint32_t lane = lb_iota(&b, e->lanes), at = lb_i64(&b, 0), mask;
  if (e->mask == LOADED) {
    int64_t bits = lb_array(&b, SPACE_GLOBAL, WN_BOOL, e->lanes);
    b.k->arrays.data[bits].written = false;
    mask = lb_load(&b, bits, e->lanes, at, 1, LB_NO_MASK);
  } else {
    mask = condition(&b, e, lane, e->lanes);
  }
  if (e->step == 0)
    at = lb_op2(&b, OP_MUL, WN_I64, lane, lb_splat(&b, WN_I64, e->lanes, lb_i64(&b, 3)));
  uint32_t v = lb_load(&b, in, e->lanes, at, step, mask);
  lb_shift(&b, v, first);
  lb_shift(&b, lb_store(&b, out, at, v, step, mask), first);
  return b.k;
}

static void add(edges *s, edge e) {
  const char *name = arena_printf(s->arena, "edge%d", s->count);
  const lin_kernel *k = edge_kernel(s->arena, name, &e);
  const char *broken = lin_verify(s->arena, k);
  if (broken) fail_msg("%s: %s", edge_text(s->arena, &e), broken);
  assert_true(s->count < ROOM);
  s->edge[s->count] = e;
  s->kernel[s->count++] = k;
}

/* widest: bytes of a vector. Its lanes for every dtype; shorter and longer vectors for those of 4 and 2 bytes. */
static void add_all(edges *s, int widest) {
  static const int64_t steps[] = {1, 3, -2, 0};
  const int lanes[] = {widest / 4, 2, widest / 2};
  for (int dt = 0; dt < WN_DTYPE_COUNT; ++dt)
    for (size_t k = 0; k < sizeof steps / sizeof *steps; ++k)
      for (int high = 0; high < 2; ++high) {
        for (int l = 0; l < (dt == WN_F32 || dt == WN_F16 ? 3 : 1); ++l)
          for (int mask = LOADED; mask <= CONSTANT; ++mask)
            if (mask == CONSTANT || steps[k] != 3)
              add(s, (edge){(wn_dtype)dt, lanes[l], steps[k], high, mask});
        if (steps[k] == 1) add(s, (edge){(wn_dtype)dt, 16, steps[k], high, LOOP});
      }
}

/* --- running ---------------------------------------------------------------------------------- */

typedef struct fixture {
  diag d;
  arena a;
  char *running; /* shared with the process that runs */
} fixture;

enum { RUNNING = 256 };

/* Every kept element is what it was, and nothing else is written. */
static void check_edge(fixture *f, const edges *s, int i, runtime *rt, module *m, bool at_end) {
  const lin_kernel *k = s->kernel[i];
  const edge *e = &s->edge[i];
  guard g[GLOBALS] = {{0}};
  void *args[GLOBALS] = {NULL};
  for (size_t n = 0; n < k->arrays.len; ++n) {
    const lin_array *a = &k->arrays.data[n];
    args[n] = guard_new(&g[n], (size_t)a->len * wn_dtype_size(a->dtype), at_end);
    assert_non_null(args[n]);
  }
  for (size_t n = 0; n < g[0].bytes; ++n)
    g[0].data[n] = (unsigned char)(e->dtype == WN_BOOL ? n % 2 : n % 60 + 1);
  memset(g[1].data, 0, g[1].bytes);
  for (int n = 0; n < (int)g[2].bytes; ++n)
    g[2].data[n] = e->high ? n >= e->lanes - kept_of(e) : n < kept_of(e);
  for (size_t n = 0; n < k->arrays.len; ++n) assert_true(n == 1 || guard_seal(&g[n], true));
  assert_null(launch_on_host(rt, m, i, (int)k->arrays.len, args, 0, 1));
  size_t size = wn_dtype_size(e->dtype), step = (size_t)llabs(e->step ? e->step : 3);
  for (size_t n = 0; n < g[1].bytes; ++n) {
    unsigned char want = n / size % step == 0 ? g[0].data[n] : 0;
    if (g[1].data[n] != want)
      fail_msg("%s: byte %zu is %d, not %d", f->running, n, g[1].data[n], want);
  }
  for (size_t n = 0; n < k->arrays.len; ++n) {
    if (!guard_is_clean(&g[n])) fail_msg("%s: a write past an end", f->running);
    guard_drop(&g[n]);
  }
}

static void run_all(fixture *f, const edges *s, const char *backend, const char *isa) {
  runtime *rt = runtime_create(&f->d, backend, isa, 1);
  compile_options options = {.max_lines = 1000};
  module *m = module_compile(rt, &f->d, s->count, s->kernel, &options);
  for (int i = 0; i < s->count; ++i) {
    snprintf(f->running, RUNNING, "%s --isa %s: %s", backend, isa,
             edge_text(s->arena, &s->edge[i]));
    const char *fallback = module_kernel(m, i).fallback;
    if (fallback != NULL && strcmp(backend, "interp") != 0)
      fail_msg("%s: %s", f->running, fallback);
    check_edge(f, s, i, rt, m, false);
    check_edge(f, s, i, rt, m, true);
  }
  module_destroy(m);
  runtime_destroy(rt);
}

/* In a process of its own, so that what crashes has a name. */
static void run_apart(fixture *f, const edges *s, const char *backend, const char *isa) {
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    run_all(f, s, backend, isa);
    fflush(NULL);
    _exit(0);
  }
  int status = 0;
  assert_true(child > 0 && waitpid(child, &status, 0) == child);
  if (WIFSIGNALED(status)) fail_msg("signal %d: %s", WTERMSIG(status), f->running);
  assert_int_equal(status, 0);
}

/* About half of the kernels. */
static void thin_out(edges *s, uint64_t *random) {
  int kept = 0;
  for (int i = 0; i < s->count; ++i) {
    if (kept > 0 && chance(random, 50)) continue;
    s->kernel[kept] = s->kernel[i];
    s->edge[kept++] = s->edge[i];
  }
  s->count = kept;
}

/* With `random` NULL all kernels, else about half of them. */
static void all_isas(fixture *f, const char *backend, uint64_t *random) {
  isa_list isas = machine_isas();
  for (int i = 0; i < isas.count; ++i) {
    if (i > 0 && strcmp(isas.name[i], "generic") == 0) continue; /* as the one before it */
    machine t;
    machine_of_cpu(&t, &f->d, isas.name[i]);
    edges s = {.arena = &f->a};
    add_all(&s, t.vector_bytes);
    if (random != NULL) thin_out(&s, random);
    print_message("# %s, %s: %d kernels\n", backend, isas.name[i], s.count);
    run_apart(f, &s, backend, isas.name[i]);
  }
}

static void test_llvm(void **state) { all_isas(*state, "cpu", NULL); }

static void test_system_compiler(void **state) {
  uint64_t random = in_part() ? test_seed() : 0;
  all_isas(*state, "cpu:cc", in_part() ? &random : NULL);
}

static void test_interpreter(void **state) {
  fixture *f = *state;
  edges s = {.arena = &f->a};
  add_all(&s, 16);
  run_apart(f, &s, "interp", "generic");
}

/* --- looking ---------------------------------------------------------------------------------- */

/* AVX-512 for machines that lack it: no blend of the compiler's with a vector in memory, which reads all of it. */
static void test_assembly(void **state) {
#ifndef __x86_64__
  (void)state;
  skip();
#else
  fixture *f = *state;
  machine t;
  machine_look_at(&t, &f->d, "avx512");
  edges s = {.arena = &f->a};
  for (int dt = 0; dt < WN_DTYPE_COUNT; ++dt)
    for (int l = 8; l <= 16; l *= 2)
      for (int high = 0; high < 2; ++high) {
        add(&s, (edge){(wn_dtype)dt, l, 1, high, CONSTANT});
        add(&s, (edge){(wn_dtype)dt, l, 0, high, CONSTANT});
        add(&s, (edge){(wn_dtype)dt, l, 1, high, LOOP});
      }
  char folder[] = "/tmp/winnow-guards-XXXXXX", command[512], line[256];
  assert_non_null(mkdtemp(folder));
  str text;
  str_init(&text, &f->a);
  render_c_prelude(&text, s.count, s.kernel);
  for (int i = 0; i < s.count; ++i) render_c(&text, s.kernel[i]);
  snprintf(line, sizeof line, "%s/kernels.c", folder);
  FILE *out = fopen(line, "w");
  assert_true(out != NULL && fputs(str_text(&text), out) >= 0 && fclose(out) == 0);
  int kernels = 0, blends = 0;
  snprintf(command, sizeof command,
           "exec 2>/dev/null; cc -std=gnu17 -O2 -fno-math-errno -fno-trapping-math -fwrapv "
           "-fno-strict-aliasing -w "
           "-fPIC %s -S -o - %s",
           t.cc_flags, line);
  FILE *in = popen(command, "r");
  assert_non_null(in);
  while (fgets(line, sizeof line, in)) {
    kernels += strncmp(line, "edge", 4) == 0 && strchr(line, ':') != NULL;
    bool blend = strstr(line, "blend") != NULL && strchr(line, '(') != NULL;
    if (blend) print_message("# %s", line);
    blends += blend;
  }
  int status = pclose(in);
  snprintf(line, sizeof line, "%s/kernels.c", folder);
  unlink(line);
  rmdir(folder);
  assert_int_equal(status, 0);
  assert_int_equal(kernels, s.count);
  assert_int_equal(blends, 0);
#endif
}

static int set_up(void **state) {
  static fixture f;
  diag_init(&f.d);
  arena_init(&f.a, &f.d);
  int zeros = open("/dev/zero", O_RDWR);
  f.running = mmap(NULL, RUNNING, PROT_READ | PROT_WRITE, MAP_SHARED, zeros, 0);
  close(zeros);
  *state = &f;
  return f.running == MAP_FAILED ? -1 : 0;
}

static int tear_down(void **state) {
  fixture *f = *state;
  arena_release(&f->a);
  return munmap(f->running, RUNNING);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_llvm),
      cmocka_unit_test(test_system_compiler),
      cmocka_unit_test(test_interpreter),
      cmocka_unit_test(test_assembly),
  };
  return cmocka_run_group_tests_name("guards", tests, set_up, tear_down);
}
