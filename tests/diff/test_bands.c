/* Layers that take turns: networks drawn at random, whose plans have bands= wherever they can, against float64 and
 * against the same plan without: bit for bit, on one thread and several. WINNOW_SEED=<seed> draws the same networks
 * again. */
#include "cores.h" /* with _GNU_SOURCE: MAP_ANONYMOUS */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "diff/graph_case.h"
#include "sanitized.h"

enum { LAYERS = 6, MOST_SITES = 64, TEXT = 8192, MOST_ROUNDS = 9 };

/* --- networks --------------------------------------------------------------------------------- */

static twin conv(twins *w, twin x, int64_t k, int64_t r, int64_t stride, bool depthwise) {
  wn_conv_params p = WN_CONV_PARAMS(.stride = {stride, stride});
  p.pad_lo[0] = p.pad_lo[1] = p.pad_hi[0] = p.pad_hi[1] = r / 2;
  if (depthwise) p.groups = (int)x.shape[1], k = x.shape[1];
  int64_t shape[] = {k, depthwise ? 1 : x.shape[1], r, r};
  return twin_conv(w, x, twin_leaf(w, true, 0.3, 4, shape), &p);
}

static twin biased(twins *w, twin x) {
  twin b = twin_leaf(w, true, 1, 4, (int64_t[]){1, x.shape[1], 1, 1});
  return twin_map(w, WN_RELU, twin_zip(w, WN_ADD, x, b));
}

static twin next_layer(twins *w, twin x) {
  const int64_t channels = 8 * between(w->random, 2, 4);
  switch (below(w->random, 7)) {
    case 0:
      return biased(w, conv(w, x, channels, 1, 1, false));
    case 1:
      return biased(w, conv(w, x, 0, 3, 1, true));
    case 2:
      return x.shape[2] > 12 ? biased(w, conv(w, x, channels, 3, 2, false)) : x;
    case 3:
      return x.shape[2] > 12 ? twin_pool(w, x, chance(w->random, 50), 2, 2) : x;
    case 4:
      return biased(w, twin_zip(w, WN_ADD, x, conv(w, x, x.shape[1], 3, 1, false)));
    default:
      return biased(w, conv(w, x, channels, between(w->random, 0, 3) > 0 ? 3 : 5, 1, false));
  }
}

static outputs network(twins *w) {
  int64_t shape[] = {between(w->random, 1, 2), between(w->random, 1, 16),
                     between(w->random, 24, 80), between(w->random, 8, 24)};
  twin x = twin_leaf(w, false, 1, 4, shape);
  outputs o = {.count = 0};
  for (int i = 0; i < LAYERS; ++i) {
    x = next_layer(w, x);
    if (o.count < 2 && chance(w->random, 10)) o.out[o.count++] = x;
  }
  o.out[o.count++] = biased(w, conv(w, x, 3, 3, 1, false));
  return o;
}

/* --- plans ------------------------------------------------------------------------------------ */

typedef struct made {
  wn_status status;
  char placement[TEXT], message[512];
  float *out[MOST_OUTPUTS];
} made;

static made make(wn_context *ctx, arena *a, const outputs *o, const char *plan, int threads,
                 const char *isa) {
  made m = {.status = WN_OK};
  wn_tensor *t[MOST_OUTPUTS];
  void *data[MOST_OUTPUTS];
  for (int i = 0; i < o->count; ++i) {
    t[i] = o->out[i].t;
    data[i] = m.out[i] = arena_array(a, float, twin_count(&o->out[i]) + 1);
  }
  wn_program *p;
  const wn_options opt = WN_OPTIONS(.plan = plan, .threads = threads, .isa = isa, .no_cache = 1);
  m.status = wn_compile(ctx, t, data, o->count, &opt, &p);
  snprintf(m.message, sizeof m.message, "%s", m.status == WN_OK ? "" : wn_message(ctx));
  if (m.status != WN_OK) return m;
  wn_program_info info = WN_PROGRAM_INFO();
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  snprintf(m.placement, sizeof m.placement, "%s", info.placement);
  for (int i = 0; i < 2; ++i)
    assert_int_equal(wn_run(p), WN_OK); /* nothing is left from the first */
  wn_program_destroy(p);
  return m;
}

/* The placement with `bands` at one site; "" where that has no kernel of its own. False: there is no such site. */
static bool add_bands(char *out, const char *placement, int site, int rounds) {
  const char *at = placement, *from = placement;
  for (int i = 0; i <= site && at != NULL; ++i) {
    from = strchr(i > 0 ? at : placement, '{');
    at = from != NULL ? strchr(from, '}') : NULL;
  }
  *out = '\0';
  if (at == NULL) return false;
  const char *known = strstr(from, ";bands="); /* it was chosen */
  if (known != NULL && known < at) return true;
  if (strncmp(from, "{with=", 6) == 0 || strncmp(from, "{inline", 7) == 0) return true;
  const int n = (int)(at - placement);
  assert_true(snprintf(out, TEXT, "%.*s;bands=%d%s", n, placement, rounds, at) < TEXT);
  return true;
}

static int differences(const outputs *o, const made *x, const made *y) {
  int wrong = 0;
  for (int i = 0; i < o->count; ++i)
    wrong += memcmp(x->out[i], y->out[i], sizeof(float) * (size_t)twin_count(&o->out[i])) != 0;
  return wrong;
}

static int far_off(const outputs *o, const made *x) {
  int wrong = 0;
  for (int i = 0; i < o->count; ++i)
    wrong += !(relative_l2(x->out[i], o->out[i].v, twin_count(&o->out[i])) <= 2e-5);
  return wrong;
}

/* Everything that can take turns does, one site after the other. Returns how many do. */
static int banded(wn_context *ctx, arena *a, const outputs *o, uint64_t seed) {
  const char *isa = isa_of("cpu", seed);
  const made plain = make(ctx, a, o, seed % 2 ? "direct;layout=last" : NULL, 1, isa);
  assert_int_equal(plain.status, WN_OK);
  assert_int_equal(far_off(o, &plain), 0);
  char plan[TEXT], longer[TEXT];
  snprintf(plan, sizeof plan, "%s", plain.placement);
  const int rounds = 2 + (int)(seed % MOST_ROUNDS);
  int found = 0;
  for (int site = 0; site < MOST_SITES && strchr(plan, '}') != NULL; ++site) {
    if (!add_bands(longer, plan, site, rounds)) break;
    if (*longer == '\0') continue;
    made m = make(ctx, a, o, longer, 1 + (int)((seed + (uint64_t)site) % 3), isa);
    if (m.status != WN_OK) {
      if (m.status != WN_ERR_REFUSED) fail_msg("plan %s: %s", longer, m.message);
      assert_non_null(strstr(m.message, "bands="));
      continue;
    }
    ++found;
    if (differences(o, &m, &plain) != 0) {
      print_message("# WINNOW_SEED=%" PRIu64 ", plan %s\n", seed, longer);
      fail_msg("other bits with bands");
    }
    if (strstr(m.placement, ";bands=") == NULL)
      fail_msg("plan %s is carried out as %s", longer, m.placement);
    made again = make(ctx, a, o, m.placement, 1, isa);
    assert_string_equal(again.placement, m.placement);
    snprintf(plan, sizeof plan, "%s", longer);
  }
  return found;
}

static int one_network(uint64_t seed) {
  diag d;
  arena mem;
  volatile wn_status st;
  volatile int found = 0;
  diag_init(&d);
  arena_init(&mem, &d);
  uint64_t random = seed;
  wn_context *ctx;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_on_warning(ctx, ignore_warning, NULL);
  twins w = {ctx, &mem, &random};
  DIAG_TRY(&d, st) {
    outputs o = network(&w);
    found = banded(ctx, &mem, &o, seed);
  }
  DIAG_END(&d, st)
  assert_int_equal(st, WN_OK);
  wn_context_destroy(ctx);
  arena_release(&mem);
  return found;
}

static void networks(void **state) {
  (void)state;
  const uint64_t seed = test_seed();
  const int count = getenv("WINNOW_LONG") != NULL ? 300 : in_part() ? 6 : 16;
  int found = 0;
  for (int i = 0; i < count; ++i) found += one_network(seed + (uint64_t)i);
  print_message("# %d sites take turns in %d networks\n", found, count);
  assert_true(found >= count / 2);
}

/* --- what cannot be --------------------------------------------------------------------------- */

static void refusals(void **state) {
  (void)state;
  static const struct {
    const char *plan, *line;
    wn_status status;
  } cases[] = {
      {"conv1{direct;bands=4}", "bands= needs a next kernel", WN_ERR_REFUSED}, /* the last one */
      {"conv0{direct;layout=given;bands=4}", "bands= needs a next kernel", WN_ERR_REFUSED},
      {"conv0{direct;bands=0}", "expected a number of rounds from 1 to 4096", WN_ERR_USAGE},
      {"conv0{direct;bands=5000}", "expected a number of rounds from 1 to 4096", WN_ERR_USAGE},
      {"conv0{direct;bands=x}", "expected a number of rounds from 1 to 4096", WN_ERR_USAGE},
  };
  wn_context *ctx;
  static float x[16 * 16 * 8], y[16 * 16 * 8], g[8 * 8 * 9];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
    assert_int_equal(wn_context_create(&ctx), WN_OK);
    const wn_conv_params p = WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1});
    wn_tensor *t = wn_input(ctx, WN_F32, 4, (int64_t[]){1, 8, 16, 16}, x);
    for (int l = 0; l < 2; ++l)
      t = wn_conv(t, wn_constant(ctx, WN_F32, 4, (int64_t[]){8, 8, 3, 3}, g), &p);
    void *out = y;
    wn_program *program;
    const wn_options o = WN_OPTIONS(.plan = cases[i].plan, .threads = 1, .no_cache = 1);
    assert_int_equal(wn_compile(ctx, &t, &out, 1, &o, &program), cases[i].status);
    if (strstr(wn_message(ctx), cases[i].line) == NULL) fail_msg("%s", wn_message(ctx));
    wn_context_destroy(ctx);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(networks),
      cmocka_unit_test(refusals),
  };
  return cmocka_run_group_tests_name("bands", tests, NULL, NULL);
}
