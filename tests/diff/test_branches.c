/* Launches side by side: networks with branches drawn at random, on every backend of this CPU, against float64 and bit
 * for bit against one thread, where nothing is side by side. Then sites that a plan puts side by side, and limits of
 * memory. WINNOW_SEED=<seed> draws the same networks again. */
#include "cores.h" /* with _GNU_SOURCE: MAP_ANONYMOUS */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "diff/graph_case.h"
#include "sanitized.h"

enum { BLOCKS = 3, MOST_BRANCHES = 4, TEXT = 8192 };

/* --- networks --------------------------------------------------------------------------------- */

static twin conv(twins *w, twin x, int64_t k, int64_t r, int64_t stride, bool depthwise) {
  wn_conv_params p = WN_CONV_PARAMS(.stride = {stride, stride});
  p.pad_lo[0] = p.pad_lo[1] = p.pad_hi[0] = p.pad_hi[1] = r / 2;
  if (depthwise) p.groups = (int)x.shape[1], k = x.shape[1];
  int64_t shape[] = {k, depthwise ? 1 : x.shape[1], r, r};
  twin y = twin_conv(w, x, twin_leaf(w, true, 0.3, 4, shape), &p);
  twin b = twin_leaf(w, true, 1, 4, (int64_t[]){1, y.shape[1], 1, 1});
  return twin_map(w, WN_RELU, twin_zip(w, WN_ADD, y, b));
}

/* One that keeps the image's size; k channels, unless it is depthwise. */
static twin branch(twins *w, twin x, int64_t k, bool same_channels) {
  switch (below(w->random, same_channels ? 3 : 4)) {
    case 0:
      return conv(w, x, k, 1, 1, false);
    case 1:
      return conv(w, conv(w, x, 8 * between(w->random, 1, 2), 1, 1, false), k, 3, 1, false);
    case 2:
      return conv(w, conv(w, x, 0, 3, 1, true), k, chance(w->random, 50) ? 1 : 5, 1, false);
    default:
      return conv(w, x, 0, 3, 1, true);
  }
}

/* An inception block, a residual with a projection, or branches that are added. */
static twin block(twins *w, twin x) {
  const int n = (int)between(w->random, 2, MOST_BRANCHES);
  const int64_t k = 8 * between(w->random, 1, 3);
  twin part[MOST_BRANCHES];
  if (chance(w->random, 30)) {
    twin a = conv(w, conv(w, x, k, 3, 2, false), k, 3, 1, false);
    return twin_zip(w, WN_ADD, a, conv(w, x, k, 1, 2, false));
  }
  const bool adds = chance(w->random, 25);
  for (int i = 0; i < n; ++i) part[i] = branch(w, x, k, adds);
  if (!adds) return twin_concat(w, n, part, 1);
  for (int i = 1; i < n; ++i) part[0] = twin_zip(w, WN_ADD, part[0], part[i]);
  return part[0];
}

static outputs network(twins *w) {
  const int64_t size = between(w->random, 7, 20);
  twin x = twin_leaf(w, false, 1, 4,
                     (int64_t[]){between(w->random, 1, 2), between(w->random, 3, 16), size, size});
  outputs o = {.count = 0};
  x = conv(w, x, 16, 3, 1, false);
  for (int i = 0; i < BLOCKS; ++i) {
    x = block(w, x);
    if (o.count < 2 && chance(w->random, 20)) o.out[o.count++] = x;
    if (o.count < 4 && chance(w->random, 40)) /* a head */
      o.out[o.count++] = conv(w, conv(w, x, 8, 3, 1, false), 4, 1, 1, false);
  }
  o.out[o.count++] = conv(w, x, 5, 1, 1, false);
  return o;
}

/* --- programs --------------------------------------------------------------------------------- */

typedef struct how {
  const char *backend, *isa, *plan;
  int threads;
  size_t max_memory;
} how;

typedef struct made {
  wn_status status;
  char placement[TEXT], message[512];
  size_t bytes; /* of workspace and prepared weights */
  float *out[MOST_OUTPUTS];
} made;

static made make(wn_context *ctx, arena *a, const outputs *o, how h) {
  made m = {.status = WN_OK};
  wn_tensor *t[MOST_OUTPUTS];
  void *data[MOST_OUTPUTS];
  for (int i = 0; i < o->count; ++i) {
    t[i] = o->out[i].t;
    data[i] = m.out[i] = arena_array(a, float, twin_count(&o->out[i]) + 1);
  }
  wn_program *p;
  const wn_options opt = WN_OPTIONS(.plan = h.plan, .threads = h.threads, .backend = h.backend,
                                    .isa = h.isa, .max_memory = h.max_memory, .no_cache = 1);
  m.status = wn_compile(ctx, t, data, o->count, &opt, &p);
  snprintf(m.message, sizeof m.message, "%s", m.status == WN_OK ? "" : wn_message(ctx));
  if (m.status != WN_OK) return m;
  wn_program_info info = WN_PROGRAM_INFO();
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  snprintf(m.placement, sizeof m.placement, "%s", info.placement);
  m.bytes = info.workspace_bytes + info.prepared_bytes;
  double *us = arena_array(a, double, info.kernels + 1);
  assert_int_equal(wn_run_timed(p, us), WN_OK); /* each launch by itself */
  for (int i = 0; i < info.kernels; ++i) assert_true(us[i] >= 0);
  for (int i = 0; i < o->count; ++i)
    memset(m.out[i], 0xff, sizeof(float) * (size_t)twin_count(&o->out[i]));
  for (int i = 0; i < 3; ++i) assert_int_equal(wn_run(p), WN_OK);
  wn_program_destroy(p);
  return m;
}

static bool same_bits(const outputs *o, const made *x, const made *y) {
  bool same = true;
  for (int i = 0; i < o->count && same; ++i)
    same = memcmp(x->out[i], y->out[i], sizeof(float) * (size_t)twin_count(&o->out[i])) == 0;
  return same;
}

static bool is_close(const outputs *o, const made *x) {
  bool close = true;
  for (int i = 0; i < o->count && close; ++i)
    close = relative_l2(x->out[i], o->out[i].v, twin_count(&o->out[i])) <= 2e-5;
  return close;
}

static int sets_of(const made *m) {
  int sets = 0;
  char next[32] = ";side=1";
  while (strstr(m->placement, next) != NULL) snprintf(next, sizeof next, ";side=%d", ++sets + 1);
  return sets;
}

/* --- what each network goes through ----------------------------------------------------------- */

/* The placement with side=number for one more site; false: there is no such site, or it has no kernels. */
static bool add_side(char *out, const char *placement, int site, int number) {
  const char *at = placement, *from = placement;
  for (int i = 0; i <= site && at != NULL; ++i) {
    from = strchr(i > 0 ? at : placement, '{');
    at = from != NULL ? strchr(from, '}') : NULL;
  }
  if (at == NULL || strncmp(from, "{with=", 6) == 0 || strncmp(from, "{inline", 7) == 0)
    return false;
  const char *known = strstr(from, ";side=");
  if (known != NULL && known < at) return false;
  const int n = (int)(at - placement);
  return snprintf(out, TEXT, "%.*s;side=%d%s", n, placement, number, at) < TEXT;
}

/* Two sites of the plan side by side, which may be refused. Returns whether they are. */
static bool put_beside(wn_context *ctx, arena *a, const outputs *o, how h, const made *plain,
                       uint64_t *random) {
  char one[TEXT], both[TEXT];
  if (!add_side(one, plain->placement, (int)below(random, 12), 9)) return false;
  if (!add_side(both, one, (int)below(random, 12), 9)) return false;
  h.plan = both;
  const made m = make(ctx, a, o, h);
  if (m.status != WN_OK) {
    if (m.status != WN_ERR_REFUSED || strstr(m.message, "side=9 cannot be") == NULL)
      fail_msg("plan %s: %s", both, m.message);
    return false;
  }
  if (!same_bits(o, &m, plain)) fail_msg("other bits: plan %s", both);
  h.plan = m.placement;
  const made again = make(ctx, a, o, h);
  assert_string_equal(again.placement, m.placement);
  return strstr(m.placement, ";side=9") != NULL;
}

typedef struct found {
  int sets, beside;
} found;

static void on_backend(wn_context *ctx, arena *a, const outputs *o, how h, uint64_t *random,
                       found *f) {
  const int threads = (int)between(random, 2, 4);
  h.threads = 1;
  const made one = make(ctx, a, o, h);
  if (one.status != WN_OK) fail_msg("%s: %s", h.backend, one.message);
  if (!is_close(o, &one)) fail_msg("%s on one thread: wrong, plan %s", h.backend, one.placement);
  assert_int_equal(sets_of(&one), 0);
  h.threads = threads;
  const made some = make(ctx, a, o, h);
  if (some.status != WN_OK) fail_msg("%s: %s", h.backend, some.message);
  if (!same_bits(o, &some, &one))
    fail_msg("%s on %d threads: other bits, plan %s", h.backend, threads, some.placement);
  f->sets += sets_of(&some);
  h.plan = some.placement;
  const made again = make(ctx, a, o, h);
  if (again.status != WN_OK) fail_msg("plan %s: %s", h.plan, again.message);
  assert_string_equal(again.placement, some.placement);
  assert_true(same_bits(o, &again, &one));
  h.threads = (int)between(random, 1, 3);
  f->beside += put_beside(ctx, a, o, h, &one, random);
}

/* Branches whose first results are larger than all that is left of them: in turn one of those is alive, side by side
 * all are. */
static outputs wide_branches(twins *w) {
  twin part[MOST_BRANCHES], x = twin_leaf(w, false, 1, 4, (int64_t[]){1, 8, 9, 9});
  for (int i = 0; i < MOST_BRANCHES; ++i)
    part[i] = conv(w, conv(w, x, 48, 3, 1, false), 2, 3, 1, false);
  return (outputs){1, {twin_concat(w, MOST_BRANCHES, part, 1)}};
}

/* With less memory than launches side by side need, they are not. */
static int in_limits(wn_context *ctx, arena *a, const outputs *o, uint64_t random, void *user) {
  (void)random;
  (void)user;
  how h = {.backend = "cpu", .plan = "direct;side=0", .threads = 3};
  const made alone = make(ctx, a, o, h);
  assert_int_equal(alone.status, WN_OK);
  assert_int_equal(sets_of(&alone), 0);
  h.plan = "direct";
  const made beside = make(ctx, a, o, h);
  assert_int_equal(beside.status, WN_OK);
  assert_true(sets_of(&beside) > 0 && beside.bytes > alone.bytes);
  h.max_memory = beside.bytes - 1;
  const made limited = make(ctx, a, o, h);
  assert_int_equal(limited.status, WN_OK);
  assert_true(limited.bytes == alone.bytes);
  assert_int_equal(sets_of(&limited), 0);
  assert_true(same_bits(o, &limited, &alone) && same_bits(o, &beside, &alone));
  return 0;
}

typedef int (*work_fn)(wn_context *ctx, arena *a, const outputs *o, uint64_t random, void *user);

static int with_network(uint64_t seed, outputs (*draw)(twins *w), work_fn work, void *user) {
  diag d;
  arena mem;
  volatile wn_status st;
  volatile int out = 0;
  diag_init(&d);
  arena_init(&mem, &d);
  uint64_t random = seed;
  wn_context *ctx;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_on_warning(ctx, ignore_warning, NULL);
  twins w = {ctx, &mem, &random};
  print_message("# WINNOW_SEED=%" PRIu64 "\n", seed);
  DIAG_TRY(&d, st) {
    outputs o = draw(&w);
    out = work(ctx, &mem, &o, random, user);
  }
  DIAG_END(&d, st)
  assert_int_equal(st, WN_OK);
  wn_context_destroy(ctx);
  arena_release(&mem);
  return out;
}

static int all_backends(wn_context *ctx, arena *a, const outputs *o, uint64_t random, void *user) {
  static const char *const backend[] = {"cpu", "cpu:cc", "interp"};
  for (int i = 0; i < 3; ++i) {
    const char *plan = chance(&random, 30) ? "direct" : chance(&random, 30) ? "old" : NULL;
    /* a compiler of C takes its time */
    if (i == 1 && (THREAD_SANITIZER || !chance(&random, 30))) continue;
    on_backend(ctx, a, o,
               (how){.backend = backend[i], .isa = isa_of(backend[i], random), .plan = plan},
               &random, user);
  }
  return 0;
}

static void networks(void **state) {
  (void)state;
  const uint64_t seed = test_seed();
  const int count = getenv("WINNOW_LONG") != NULL ? 200 : in_part() || THREAD_SANITIZER ? 2 : 6;
  found f = {0, 0};
  for (int i = 0; i < count; ++i) with_network(seed + (uint64_t)i, network, all_backends, &f);
  print_message("# %d sets side by side in %d networks, %d that plans said\n", f.sets, count,
                f.beside);
  assert_true(f.sets >= count);
}

static void limits(void **state) {
  (void)state;
  with_network(test_seed(), wide_branches, in_limits, NULL);
}

/* On a device launches that a plan puts side by side are queued one behind the other. */
static int on_device(wn_context *ctx, arena *a, const outputs *o, uint64_t random, void *user) {
  found *f = user;
  how h = {.backend = "opencl", .plan = "direct", .threads = 1};
  const made one = make(ctx, a, o, h);
  if (one.status == WN_ERR_DEVICE || one.status == WN_ERR_USAGE) {
    print_message("# skipped: %s\n", one.message);
    return 0;
  }
  assert_int_equal(one.status, WN_OK);
  assert_true(is_close(o, &one));
  for (int i = 0; i < 6 && f->beside == 0; ++i)
    f->beside += put_beside(ctx, a, o, h, &one, &random);
  return 0;
}

static void device(void **state) {
  (void)state;
  found f = {0, 0};
  if (THREAD_SANITIZER)
    skip(); /* the driver brings an LLVM of its own, and threads that nobody watches */
  with_network(test_seed(), network, on_device, &f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(networks),
      cmocka_unit_test(limits),
      cmocka_unit_test(device),
  };
  return cmocka_run_group_tests_name("branches", tests, NULL, NULL);
}
