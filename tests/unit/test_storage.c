/* Layouts between layers: which values get them and why others do not, what plans say of them, that the choice is the
 * least price of all that could be made, and that nothing but the graph and the plan decides it. Prices are checked
 * against trying everything. Graphs are drawn from a seed; WINNOW_SEED=<seed> draws the same ones. */
#include "cores.h" /* with _GNU_SOURCE */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "diff/conv_case.h"
#include "ir/ir_text.h"
#include "plan/storage.h"
#include "unit/lowered.h"

#define LEN(a) (sizeof(a) / sizeof *(a))
enum { MOST_OUT = 2, MOST_VALUES = 24, MOST_CHOICES = 7, TEXT = 1 << 16 };

typedef struct fixture {
  wn_context *ctx;
  wn_tensor *out[MOST_OUT];
  int nout;
} fixture;

static int set_up(void **state) {
  fixture *f = calloc(1, sizeof *f);
  *state = f;
  return f == NULL ? -1 : 0;
}

static int tear_down(void **state) {
  fixture *f = *state;
  wn_context_destroy(f->ctx);
  free(f);
  return 0;
}

static void begin(fixture *f) {
  wn_context_destroy(f->ctx);
  assert_int_equal(wn_context_create(&f->ctx), WN_OK);
  f->nout = 0;
}

/* --- layers ----------------------------------------------------------------------------------- */

static wn_tensor *image(fixture *f, int64_t channels, int64_t size) {
  return wn_input(f->ctx, WN_F32, 4, (int64_t[]){1, channels, size, size}, NULL);
}

static wn_tensor *constant(fixture *f, int64_t k, int64_t c, int64_t r) {
  return wn_constant(f->ctx, WN_F32, 4, (int64_t[]){k, c, r, r}, NULL);
}

static wn_tensor *grouped(fixture *f, wn_tensor *x, int64_t k, int64_t r, int64_t groups) {
  const wn_conv_params same =
      WN_CONV_PARAMS(.pad_lo = {r / 2, r / 2}, .pad_hi = {r / 2, r / 2}, .groups = groups);
  return wn_conv(x, constant(f, k, wn_shape(x)[1] / groups, r), &same);
}

static wn_tensor *layer(fixture *f, wn_tensor *x, int64_t k, int64_t r) {
  return wn_map(WN_RELU, wn_zip(WN_ADD, grouped(f, x, k, r, 1), constant(f, 1, k, 1)));
}

static wn_tensor *depthwise(fixture *f, wn_tensor *x) {
  return wn_map(WN_RELU, grouped(f, x, wn_shape(x)[1], 3, wn_shape(x)[1]));
}

static wn_tensor *pool(wn_tensor *x) {
  wn_tensor *windows = wn_window(x, 2, (int64_t[]){2, 2}, (int64_t[]){2, 2}, NULL);
  return wn_reduce(WN_MAXIMUM, windows, (int[]){4, 5}, 2, 0);
}

static wn_tensor *joined(wn_tensor *a, wn_tensor *b) {
  return wn_concat((wn_tensor *[]){a, b}, 2, 1);
}

static wn_tensor *layer_nhwc(fixture *f, wn_tensor *x, int64_t k) {
  wn_tensor *w = wn_constant(f->ctx, WN_F32, 4, (int64_t[]){3, 3, wn_shape(x)[3], k}, NULL);
  const wn_conv_params same = WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1});
  wn_tensor *y =
      wn_conv(wn_permute(x, (int[]){0, 3, 1, 2}), wn_permute(w, (int[]){3, 2, 0, 1}), &same);
  return wn_map(WN_RELU, wn_permute(y, (int[]){0, 2, 3, 1}));
}

static void is_output(fixture *f, wn_tensor *t) {
  assert_non_null(t);
  assert_true(f->nout < MOST_OUT);
  f->out[f->nout++] = t;
}

/* --- networks --------------------------------------------------------------------------------- */

static void chain(fixture *f) {
  is_output(f, layer(f, layer(f, layer(f, image(f, 3, 24), 32, 3), 64, 1), 32, 3));
}

static void residual(fixture *f) {
  wn_tensor *x = layer(f, image(f, 3, 20), 32, 3);
  for (int i = 0; i < 2; ++i)
    x = wn_map(WN_RELU,
               wn_zip(WN_ADD, grouped(f, layer(f, layer(f, x, 16, 1), 16, 3), 32, 1, 1), x));
  is_output(f, layer(f, x, 16, 1));
}

static void concatenation(fixture *f) {
  wn_tensor *x = layer(f, image(f, 3, 16), 16, 3);
  wn_tensor *both = joined(layer(f, x, 24, 1), layer(f, x, 16, 3));
  is_output(f, layer(f, both, 16, 1));
}

static void groups(fixture *f) {
  wn_tensor *x = layer(f, image(f, 3, 16), 32, 3);
  x = wn_map(WN_RELU, grouped(f, x, 32, 3, 4));
  x = layer(f, depthwise(f, x), 48, 1);
  is_output(f, layer(f, pool(x), 16, 1));
}

/* Loops of the caller's order in front and behind. */
static void channels_last(fixture *f) {
  wn_tensor *x = wn_input(f->ctx, WN_F32, 4, (int64_t[]){1, 16, 16, 16}, NULL);
  is_output(f, layer_nhwc(f, layer_nhwc(f, x, 32), 16));
}

static void alone(fixture *f) { is_output(f, layer(f, image(f, 16, 16), 32, 3)); }

static void no_sums(fixture *f) { is_output(f, pool(wn_map(WN_TANH, pool(image(f, 16, 16))))); }

static void few(fixture *f) { is_output(f, layer(f, layer(f, image(f, 3, 16), 4, 3), 16, 3)); }

static void of_constants(fixture *f) {
  wn_tensor *bias = wn_reduce(WN_SUM, constant(f, 16, 3, 5), (int[]){1, 2, 3}, 3, 0);
  bias = wn_reshape(bias, 4, (int64_t[]){1, 16, 1, 1});
  is_output(f, wn_zip(WN_ADD, layer(f, image(f, 3, 16), 16, 3), bias));
}

static void output_of_parts(fixture *f) {
  wn_tensor *x = image(f, 3, 16);
  is_output(f, joined(layer(f, x, 16, 3), layer(f, x, 16, 1)));
}

static const struct {
  const char *name;
  void (*build)(fixture *f);
  bool any; /* a value can have its channels last */
} networks[] = {{"chain", chain, true},
                {"residual", residual, true},
                {"concatenation", concatenation, true},
                {"groups", groups, true},
                {"channels last", channels_last, false},
                {"alone", alone, false},
                {"no sums", no_sums, false},
                {"few", few, false},
                {"of constants", of_constants, false},
                {"output of parts", output_of_parts, false}};

/* --- choosing --------------------------------------------------------------------------------- */

/* plan NULL: nothing is asked for. What the sites are, or NULL and the line in the context. */
static const site_list *choose(fixture *f, const char *plan, bool device) {
  graph *g = &f->ctx->graph;
  lowered l = lower_all(f->ctx, f->nout, f->out);
  const site_list *volatile out = NULL;
  volatile wn_status st;
  DIAG_TRY(&f->ctx->diag, st) {
    site_list *sites = arena_copy(&g->arena, &l.sites, sizeof l.sites);
    plan_request asked;
    if (plan != NULL) asked = plan_parse(g, plan, sites);
    out = storage_choose(g, sites, import_describe(f->ctx, g), plan != NULL ? &asked : NULL,
                         device ? STORAGE_OF_DEVICE : STORAGE_CHEAPEST);
  }
  DIAG_END(&f->ctx->diag, st)
  assert_true(st == WN_OK || st == WN_ERR_USAGE);
  if (st != WN_OK) return NULL;
  const char *broken = ir_verify(g, out->root, UOP_EXPR);
  if (broken != NULL) fail_msg("%s", broken);
  return out;
}

static const stored_value *value_of(const site_list *l, int site) {
  return &l->value[l->at[site].value];
}

static void inner_values_have_channels_last(void **state) {
  fixture *f = *state;
  for (size_t i = 0; i < LEN(networks); ++i) {
    begin(f);
    networks[i].build(f);
    const site_list *l = choose(f, NULL, false);
    assert_non_null(l);
    for (int k = 0; k < l->n; ++k) {
      const stored_value *v = value_of(l, k);
      assert_true((v->layout == LAYOUT_CHOSEN) == (v->layout_why >= LAYOUT_OF_DEVICE));
      assert_true(v->layout_gain >= 0);
      if (v->result >= 0) assert_int_equal(v->layout_why, LAYOUT_OF_OUTPUT);
      if (v->result >= 0) continue;
      if (networks[i].any && (v->layout != LAYOUT_LAST || !(v->layout_gain > 0)))
        fail_msg("%s: site %d is not last: %s", networks[i].name, k,
                 layout_reason_name[v->layout_why]);
      if (!networks[i].any) assert_int_equal(v->layout, LAYOUT_CHOSEN);
    }
  }
}

/* --- what is refused -------------------------------------------------------------------------- */

static void refusals_say_why(void **state) {
  static const struct {
    void (*build)(fixture *f);
    bool device;
    const char *plan, *line;
  } cases[] = {
      {chain, false, "conv2{direct;layout=last}",
       "plan: conv2 cannot have layout=last: it stores an output, whose order is the caller's"},
      {of_constants, false, "sum0{global;layout=last}",
       "plan: sum0 cannot have layout=last: it is made once, of constants"},
      {no_sums, false, "sum0{global;layout=last}",
       "plan: sum0 cannot have layout=last: none of its loops is known to be channels"},
      {few, false, "conv0{direct;layout=last}",
       "plan: conv0 cannot have layout=last: it has fewer than 8 channels"},
      {channels_last, false, "conv0{direct;layout=last}",
       "plan: conv0 cannot have layout=last: its channels are last as the graph has it"},
      {output_of_parts, false, "conv0{direct;layout=last}",
       "plan: conv0 cannot have layout=last: it is stored together with what cannot, in a "
       "concatenation"},
      {chain, true, "conv0{direct;layout=last}",
       "plan: conv0 cannot have layout=last: on a device values keep the order that the graph has"},
      {concatenation, false, "product1{global;layout=last} conv2{direct;layout=given}",
       "plan: conv2 has layout=given, and what it is stored together with has another"},
  };
  fixture *f = *state;
  for (size_t i = 0; i < LEN(cases); ++i) {
    begin(f);
    cases[i].build(f);
    if (choose(f, cases[i].plan, cases[i].device) != NULL) fail_msg("%s is taken", cases[i].plan);
    assert_string_equal(wn_message(f->ctx), cases[i].line);
    char given[128];
    snprintf(given, sizeof given, "%s", cases[i].plan);
    if (strstr(given, "given") != NULL) continue;
    memcpy(strstr(given, "last"), "given", 5); /* which all have */
    strcpy(strstr(given, "given") + 5, "}");
    assert_non_null(choose(f, given, cases[i].device));
  }
}

/* Of all, it is for those that can; what is in braces is only of that. */
static void plans_are_heard(void **state) {
  fixture *f = *state;
  static const char *const words[] = {"direct;layout=given", "direct;layout=last"};
  for (size_t i = 0; i < LEN(networks); ++i) {
    begin(f);
    networks[i].build(f);
    for (int last = 0; last < 2; ++last) {
      const site_list *l = choose(f, words[last], false);
      for (int k = 0; k < l->n; ++k) {
        const stored_value *v = value_of(l, k);
        if (v->layout_why >= LAYOUT_OF_DEVICE) continue;
        assert_int_equal(v->layout_why, LAYOUT_IS_SAID);
        assert_int_equal(v->layout, last ? LAYOUT_LAST : LAYOUT_GIVEN);
      }
    }
  }
  begin(f);
  concatenation(f);
  const site_list *l = choose(f, "product1{global;layout=given}", false);
  assert_int_equal(value_of(l, 1)->layout, LAYOUT_GIVEN);
  assert_int_equal(value_of(l, 2)->layout, LAYOUT_GIVEN); /* stored together */
  assert_int_equal(value_of(l, 2)->layout_why, LAYOUT_IS_SAID);
  assert_int_equal(value_of(l, 0)->layout_why, LAYOUT_IS_CHOSEN);
  l = choose(f, "direct;layout=last conv2{direct;layout=given}", false); /* of one, of all others */
  assert_int_equal(value_of(l, 1)->layout, LAYOUT_GIVEN);
  assert_int_equal(value_of(l, 0)->layout, LAYOUT_LAST);
}

/* --- the least price -------------------------------------------------------------------------- */

static wn_tensor *draw_layer(fixture *f, uint64_t *s, wn_tensor *x, wn_tensor *y) {
  const int64_t k = 8 * between(s, 1, 4);
  const int64_t *a = wn_shape(x), *b = wn_shape(y);
  const bool fits = a[2] == b[2] && a[3] == b[3];
  switch (below(s, 9)) {
    case 0:
      return fits && a[1] == b[1] ? wn_zip(WN_ADD, layer(f, x, a[1], 1), y) : depthwise(f, x);
    case 1:
      return fits ? joined(layer(f, x, k, 1), y) : layer(f, x, k, 3);
    case 2:
      return fits && x != y ? joined(x, layer(f, y, k, 1)) : x;
    case 3:
      return a[2] >= 4 ? pool(x) : x;
    case 4:
      return depthwise(f, x);
    case 5: { /* squeezed and excited */
      wn_tensor *mean = wn_reduce(WN_SUM, x, (int[]){2, 3}, 2, 1);
      return wn_zip(WN_MUL, x, wn_map(WN_SIGMOID, grouped(f, mean, a[1], 1, 1)));
    }
    case 6:
      return wn_map(WN_TANH, x);
    default:
      return layer(f, x, k, below(s, 2) ? 3 : 1);
  }
}

static void draw_network(fixture *f, uint64_t *s) {
  wn_tensor *value[MOST_VALUES];
  int n = 0;
  value[n++] = image(f, between(s, 1, 12), 2 * between(s, 3, 12));
  value[n++] = layer(f, value[0], 8 * between(s, 1, 4), 3);
  for (int left = (int)between(s, 2, 6); left > 0; --left) {
    wn_tensor *y = draw_layer(f, s, value[n - 1], value[between(s, n > 2 ? n - 3 : 0, n - 1)]);
    assert_non_null(y);
    if (wn_shape(y)[1] <= 128) value[n++] = y;
  }
  is_output(f, wn_map(WN_RELU, value[n - 1]));
  if (chance(s, 30)) is_output(f, layer(f, value[n - 1], 8, 1));
}

/* First sites of values that can be turned by themselves: of a concatenation's parts the first. */
static int find_choices(const site_list *l, int *site) {
  int n = 0;
  for (int i = 0; i < l->n; ++i) {
    const stored_value *v = value_of(l, i);
    bool first = v->first == i && v->layout != LAYOUT_CHOSEN;
    for (int k = 0; k < i && first && v->whole > 0; ++k) first = value_of(l, k)->whole != v->whole;
    if (first && n <= MOST_CHOICES) site[n++] = i;
  }
  return n;
}

/* The price where bit i says of site[i] that its channels are last; negative: they are of one concatenation. */
static double price(fixture *f, const site_list *l, const int *site, int n, unsigned bits) {
  str plan;
  str_init(&plan, &f->ctx->graph.arena);
  for (int i = 0; i < n; ++i)
    str_printf(&plan, "%s%d{%s;layout=%s} ", site_kind_name[l->at[site[i]].kind], site[i],
               l->at[site[i]].kind == SITE_CONV ? "direct" : "global",
               bits >> i & 1 ? "last" : "given");
  const site_list *so = choose(f, str_text(&plan), false);
  if (so != NULL) return so->layout_price;
  assert_non_null(strstr(wn_message(f->ctx), "stored together with has another"));
  return -1;
}

static void choice_is_the_least(void **state) {
  fixture *f = *state;
  uint64_t s = test_seed();
  const int graphs = getenv("WINNOW_LONG") != NULL ? 300 : 25;
  int tried = 0, turned = 0, stayed = 0;
  for (int i = 0; i < graphs; ++i) {
    int site[MOST_CHOICES + 1];
    begin(f);
    draw_network(f, &s);
    const site_list *l = choose(f, NULL, false);
    const int n = find_choices(l, site);
    if (n == 0 || n > MOST_CHOICES) continue;
    unsigned now = 0;
    for (int k = 0; k < n; ++k) {
      const bool last = value_of(l, site[k])->layout == LAYOUT_LAST;
      now |= (unsigned)last << k;
      turned += last, stayed += !last;
    }
    for (unsigned bits = 0; bits < 1u << n; ++bits) {
      const double other = price(f, l, site, n, bits);
      if (other < 0) continue;
      ++tried;
      if (bits == now) assert_true(other == l->layout_price);
      if (other < l->layout_price)
        fail_msg("graph %d: layouts %x cost %g, and %x were taken for %g", i, bits, other, now,
                 l->layout_price);
    }
    for (int k = 0; k < n; ++k) { /* what is said of the gain of each */
      const double other = price(f, l, site, n, now ^ 1u << k);
      const double gain = value_of(l, site[k])->layout_gain;
      if (other >= 0 && fabs(other - l->layout_price - gain) > 1e-9 * (1 + other))
        fail_msg("graph %d: turning site %d costs %g more, not %g", i, site[k],
                 other - l->layout_price, gain);
    }
  }
  print_message("# %d layouts of graphs tried; %d values last, %d as given\n", tried, turned,
                stayed);
  assert_true(tried > 100 && turned > 10);
}

/* --- programs --------------------------------------------------------------------------------- */

/* NULL: there is no room, or nothing to rewrite. */
static wn_program *compile(fixture *f, const wn_options *o) {
  wn_program *p;
  void *data[MOST_OUT] = {NULL};
  const wn_status st = wn_compile(f->ctx, f->out, data, f->nout, o, &p);
  const bool may_refuse = o->max_memory > 0 || strstr(wn_message(f->ctx), "nothing to rewrite");
  if (st != WN_OK && (st != WN_ERR_REFUSED || !may_refuse))
    fail_msg("plan %s: %s", o->plan, wn_message(f->ctx));
  return p;
}

static wn_options planned(const char *plan) {
  return WN_OPTIONS(.backend = "interp", .isa = "avx2", .threads = 1, .plan = plan, .plan_only = 1,
                    .no_cache = 1);
}

/* The layouts of all sites, a letter each. */
static void layouts_of(wn_program *p, char *text) {
  wn_program_info info = WN_PROGRAM_INFO();
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  for (int i = 0; i < info.sites; ++i) {
    wn_site_info s = WN_SITE_INFO();
    assert_int_equal(wn_program_get_site(p, i, &s), WN_OK);
    assert_non_null(s.layout_why);
    if (s.layout == NULL) assert_true(s.layout_s == 0);
    assert_true((s.layout != NULL) == (strstr(s.plan, "layout=") != NULL));
    *text++ = s.layout == NULL ? '-' : s.layout[0];
  }
  *text = '\0';
}

static void placements_keep_layouts(void **state) {
  fixture *f = *state;
  static const char *const plans[] = {"auto", "direct;layout=last", "direct;layout=given", "fused",
                                      "old"};
  for (size_t i = 0; i < LEN(networks); ++i) {
    for (size_t k = 0; k < LEN(plans); ++k) {
      char before[64], after[64];
      begin(f);
      networks[i].build(f);
      wn_options o = planned(plans[k]);
      wn_program *p = compile(f, &o), *again;
      if (p == NULL) continue;
      wn_program_info info = WN_PROGRAM_INFO(), other = WN_PROGRAM_INFO();
      assert_int_equal(wn_program_get_info(p, &info), WN_OK);
      layouts_of(p, before);
      o.plan = info.placement;
      again = compile(f, &o);
      assert_int_equal(wn_program_get_info(again, &other), WN_OK);
      layouts_of(again, after);
      assert_string_equal(other.placement, info.placement);
      assert_string_equal(other.identity, info.identity);
      assert_string_equal(after, before);
      wn_program_destroy(again);
      wn_program_destroy(p);
    }
  }
}

/* Because nothing fits with channels last. */
static bool keeps_order_to_fit(wn_program *p) {
  wn_site_info s = WN_SITE_INFO();
  for (int i = 0; wn_program_get_site(p, i, &s) == WN_OK; ++i)
    if (strcmp(s.layout_why, "to fit") == 0) return true;
  return false;
}

/* Neither threads nor instruction sets nor what else a plan says, nor a limit of memory that something fits. */
static void choice_depends_on_the_graph(void **state) {
  fixture *f = *state;
  static const char *const isas[] = {"sse2", "avx2", "avx512", "neon"};
  static const char *const plans[] = {"auto", "direct", "old", "fused"};
  for (size_t i = 0; i < LEN(networks); ++i) {
    char first[64] = "", text[64];
    int limited = 0;
    begin(f);
    networks[i].build(f);
    for (size_t k = 0; k < LEN(isas) * LEN(plans) * 2; ++k) {
      wn_options o = planned(plans[k / LEN(isas) % LEN(plans)]);
      o.isa = isas[k % LEN(isas)];
      o.threads = 1 + (int)(k % 3);
      wn_program_info info = WN_PROGRAM_INFO();
      wn_program *p = compile(f, &o);
      if (p == NULL) continue;
      assert_int_equal(wn_program_get_info(p, &info), WN_OK);
      if (k >= LEN(isas) * LEN(plans) && info.workspace_bytes > 1) {
        o.max_memory = info.workspace_bytes - 1;
        wn_program_destroy(p);
        p = compile(f, &o);
        if (p == NULL) continue;
        ++limited;
        if (keeps_order_to_fit(p)) {
          layouts_of(p, text);
          assert_null(strchr(text, 'l'));
          wn_program_destroy(p);
          continue;
        }
      }
      layouts_of(p, text);
      if (first[0] == '\0') strcpy(first, text);
      if (strcmp(first, text) != 0)
        fail_msg("%s, plan %s on %s, %d threads: %s, not %s", networks[i].name, o.plan, o.isa,
                 o.threads, text, first);
      wn_program_destroy(p);
    }
    if (networks[i].build == residual) assert_true(limited > 0);
  }
}

static size_t least_of(const fixture *f) {
  const char *at = strstr(wn_message(f->ctx), "needs at least ");
  assert_non_null(at);
  return strtoull(at + strlen("needs at least "), NULL, 10);
}

/* What is said to be the least is enough, and a byte less is not; nor is there a gap between it and all that is wanted. */
static void limits_have_no_gaps(void **state) {
  fixture *f = *state;
  int kept = 0;
  for (size_t i = 0; i < LEN(networks); ++i) {
    begin(f);
    networks[i].build(f);
    wn_options o = planned("auto");
    wn_program_info info = WN_PROGRAM_INFO();
    wn_program *p = compile(f, &o);
    assert_int_equal(wn_program_get_info(p, &info), WN_OK);
    const size_t all = info.workspace_bytes + info.prepared_bytes;
    wn_program_destroy(p);
    o.max_memory = 1;
    p = compile(f, &o);
    wn_program_destroy(p);
    if (p != NULL) continue; /* it needs none */
    const size_t least = least_of(f);
    o.max_memory = least - 1;
    assert_null(compile(f, &o));
    assert_int_equal(least_of(f), least);
    for (size_t limit = least; limit < all; limit += (all - least) / 16 + 1) {
      o.max_memory = limit;
      p = compile(f, &o);
      if (p == NULL) fail_msg("%s: %zu of %zu to %zu bytes", networks[i].name, limit, least, all);
      assert_int_equal(wn_program_get_info(p, &info), WN_OK);
      assert_true(info.workspace_bytes + info.prepared_bytes <= limit);
      kept += keeps_order_to_fit(p);
      wn_program_destroy(p);
    }
  }
  assert_true(kept > 0);
}

/* --- what people see -------------------------------------------------------------------------- */

static void collect(void *user, const char *text) {
  char *to = user;
  const char *section = strstr(text, "--- layouts");
  if (section != NULL && strlen(text) < TEXT) strcpy(to, section);
}

static int times(const char *text, const char *word) {
  int n = 0;
  for (const char *at = text; (at = strstr(at, word)) != NULL; ++at) ++n;
  return n;
}

static void explain_lists_choices(void **state) {
  fixture *f = *state;
  static char text[TEXT];
  for (size_t i = 0; i < LEN(networks); ++i) {
    char layouts[64];
    int choices = 0;
    text[0] = '\0';
    begin(f);
    networks[i].build(f);
    const wn_options o = planned("direct");
    wn_program *p = compile(f, &o);
    layouts_of(p, layouts);
    for (const char *at = layouts; *at != '\0'; ++at) choices += *at != '-';
    wn_program_destroy(p);
    assert_int_equal(wn_explain(f->ctx, f->out, NULL, f->nout, &o, collect, text), WN_OK);
    assert_int_equal(times(text, " chosen "), choices);
    if (choices == 0) assert_string_equal(text, "");
    if (choices > 0) assert_non_null(strstr(text, "no choice, output: "));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(inner_values_have_channels_last, set_up, tear_down),
      cmocka_unit_test_setup_teardown(refusals_say_why, set_up, tear_down),
      cmocka_unit_test_setup_teardown(plans_are_heard, set_up, tear_down),
      cmocka_unit_test_setup_teardown(choice_is_the_least, set_up, tear_down),
      cmocka_unit_test_setup_teardown(placements_keep_layouts, set_up, tear_down),
      cmocka_unit_test_setup_teardown(choice_depends_on_the_graph, set_up, tear_down),
      cmocka_unit_test_setup_teardown(limits_have_no_gaps, set_up, tear_down),
      cmocka_unit_test_setup_teardown(explain_lists_choices, set_up, tear_down),
  };
  return cmocka_run_group_tests_name("storage", tests, NULL, NULL);
}
