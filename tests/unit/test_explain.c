/* Explaining and predicting: every kernel and every choice is there once, the parts of a prediction add up to it,
 * programs that are said to be the same are, and what is declined has its reason. Nothing here depends on what the
 * machine is. */
#include "cores.h" /* with _GNU_SOURCE */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "explain/explain.h"
#include "sanitized.h"

#define SHAPE(...) \
  (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) { __VA_ARGS__ }
#define LEN(a) (sizeof(a) / sizeof *(a))

/* --- graphs; nothing is run, so none has data ------------------------------------------------- */

static const wn_conv_params same = {
    .size = sizeof(wn_conv_params), .pad_lo = {1, 1}, .pad_hi = {1, 1}};

static wn_tensor *plain(wn_context *ctx) {
  wn_tensor *x = wn_input(ctx, WN_F32, SHAPE(1, 8, 20, 20), NULL);
  return wn_conv(x, wn_constant(ctx, WN_F32, SHAPE(12, 8, 3, 3), NULL), &same);
}

static wn_tensor *batch_of_groups(wn_context *ctx) {
  wn_tensor *x = wn_input(ctx, WN_F32, SHAPE(3, 8, 9, 14), NULL);
  const wn_conv_params p = WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1}, .groups = 2);
  return wn_conv(x, wn_constant(ctx, WN_F32, SHAPE(6, 4, 3, 3), NULL), &p);
}

static wn_tensor *with_epilogue(wn_context *ctx) {
  wn_tensor *b = wn_constant(ctx, WN_F32, SHAPE(1, 12, 1, 1), NULL);
  return wn_map(WN_RELU, wn_zip(WN_ADD, plain(ctx), b));
}

static wn_tensor *two_layers(wn_context *ctx) {
  wn_tensor *w = wn_constant(ctx, WN_F32, SHAPE(7, 12, 3, 3), NULL);
  return wn_conv(with_epilogue(ctx), w, &same);
}

static wn_tensor *matmul(wn_context *ctx) {
  wn_tensor *a = wn_input(ctx, WN_F32, SHAPE(12, 8), NULL);
  return wn_matmul(a, wn_input(ctx, WN_F32, SHAPE(8, 10), NULL));
}

static wn_tensor *largest(wn_context *ctx) { /* a convolution but for its sum */
  wn_tensor *x = wn_input(ctx, WN_F32, SHAPE(4, 12, 12), NULL);
  wn_tensor *w = wn_input(ctx, WN_F32, SHAPE(4, 1, 1, 3, 3), NULL);
  x = wn_window(x, 2, (int64_t[]){3, 3}, NULL, NULL);
  return wn_reduce(WN_MAXIMUM, wn_zip(WN_MUL, x, w), (int[]){0, 3, 4}, 3, 0);
}

static wn_tensor *unshared(wn_context *ctx) { /* a filter of its own for every place */
  wn_tensor *x = wn_input(ctx, WN_F32, SHAPE(4, 12, 12), NULL);
  wn_tensor *w = wn_input(ctx, WN_F32, SHAPE(4, 10, 10, 3, 3), NULL);
  x = wn_window(x, 2, (int64_t[]){3, 3}, NULL, NULL);
  return wn_reduce(WN_SUM, wn_zip(WN_MUL, x, w), (int[]){0, 3, 4}, 3, 0);
}

static wn_tensor *pooling(wn_context *ctx) {
  wn_tensor *x = wn_input(ctx, WN_F32, SHAPE(4, 12, 12), NULL);
  return wn_reduce(WN_SUM, wn_window(x, 2, (int64_t[]){3, 3}, NULL, NULL), (int[]){3, 4}, 2, 0);
}

static wn_tensor *two_branches(wn_context *ctx) {
  wn_tensor *x = wn_input(ctx, WN_F32, SHAPE(1, 8, 20, 20), NULL), *part[2];
  for (int i = 0; i < 2; ++i)
    part[i] = wn_conv(x, wn_constant(ctx, WN_F32, SHAPE(6 + i, 8, 3, 3), NULL), &same);
  return wn_concat(part, 2, 1);
}

/* conv0, product1, sum2, conv3, conv4, map5: a layer, a 1x1 one, a pooling, two that stay direct, and what moves */
static wn_tensor *of_all_kinds(wn_context *ctx) {
  wn_tensor *x = wn_map(WN_RELU, plain(ctx)), *w[3];
  w[0] = wn_constant(ctx, WN_F32, SHAPE(16, 12, 1, 1), NULL);
  w[1] = wn_constant(ctx, WN_F32, SHAPE(16, 1, 3, 3), NULL);
  w[2] = wn_constant(ctx, WN_F32, SHAPE(16, 16, 3, 3), NULL);
  const wn_conv_params depthwise = WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1}, .groups = 16);
  const wn_conv_params strided =
      WN_CONV_PARAMS(.pad_lo = {1, 1}, .pad_hi = {1, 1}, .stride = {2, 2});
  x = wn_map(WN_RELU, wn_conv(x, w[0], NULL));
  x = wn_reduce(WN_MAXIMUM, wn_window(x, 2, (int64_t[]){2, 2}, NULL, NULL), (int[]){4, 5}, 2, 0);
  x = wn_map(WN_RELU, wn_conv(x, w[1], &depthwise));
  return wn_map(WN_RELU, wn_conv(x, w[2], &strided));
}

typedef wn_tensor *(*build_fn)(wn_context *);

static wn_options with_plan(const char *plan) {
  return WN_OPTIONS(.plan = plan, .backend = "interp", .isa = "generic", .threads = 1,
                    .no_cache = 1);
}

typedef struct subject {
  wn_context *ctx;
  wn_tensor *y;
  explanation e;
} subject;

static void open_with(subject *s, build_fn build, const wn_options *o) {
  assert_int_equal(wn_context_create(&s->ctx), WN_OK);
  s->y = build(s->ctx);
  if (explain_open(s->ctx, &s->y, NULL, 1, o, false, NULL, NULL, &s->e) != WN_OK)
    fail_msg("%s", wn_message(s->ctx));
}

static void open_plan(subject *s, build_fn build, const char *plan) {
  wn_options o = with_plan(plan);
  open_with(s, build, &o);
}

static void close_subject(subject *s) {
  explain_close(&s->e);
  wn_context_destroy(s->ctx);
}

/* --- predictions ------------------------------------------------------------------------------ */

static void check_sums(build_fn build, const char *plan, int variable) {
  wn_options o = with_plan(plan);
  o.variable_weights = variable;
  subject s;
  open_with(&s, build, &o);
  double predicted = 0, least = 0;
  for (int i = 0; i < s.e.nkernels; ++i) {
    const explained_kernel *k = &s.e.kernel[i];
    assert_true(isnan(k->measured_us));
    assert_true(k->least_us == fmax(k->arithmetic_us, k->traffic_us));
    if (k->prepare) {
      assert_true(isnan(k->predicted_us));
      continue;
    }
    if (isfinite(k->predicted_us)) predicted += k->predicted_us;
    least += k->least_us;
  }
  if (!(fabs(predicted - s.e.predicted_us) <= 1e-9 * predicted))
    fail_msg("plan %s: kernels %g us, all %g us", plan, predicted, s.e.predicted_us);
  assert_true(fabs(least - s.e.least_us) <= 1e-9 * least);
  close_subject(&s);
}

/* All in the long tier; else a plan has constant or variable weights by turns of the graphs, in part on one of them. */
static bool is_summed(size_t plan, size_t build, int variable) {
  if (getenv("WINNOW_LONG") != NULL) return true;
  return (plan + build) % 2 == (size_t)variable && (!in_part() || plan % 3 == build);
}

static void test_kernels_add_up(void **state) {
  (void)state;
  static const build_fn builds[] = {plain, batch_of_groups, with_epilogue};
  for (size_t b = 0; b < LEN(builds); ++b) {
    const char *const *plans = wn_plan_names();
    for (size_t i = 0; plans[i] != NULL; ++i)
      for (int variable = 0; variable < 2; ++variable)
        if (is_summed(i, b, variable)) check_sums(builds[b], plans[i], variable);
  }
  check_sums(two_layers, "x=global,g=global,m=global,o=global;wino=2", 0);
  check_sums(two_layers, "x=local,g=global,m=local,o=global;wino=2", 1);
}

static void test_kernels_by_stage(void **state) {
  (void)state;
  subject s;
  open_plan(&s, with_epilogue, "x=global,g=global,m=global,o=global;wino=4");
  assert_int_equal(s.e.nkernels, 4);
  static const char *const stages[] = {"g", "x", "m", "result0"};
  for (int i = 0; i < 4; ++i) {
    assert_string_equal(s.e.kernel[i].info.stage, stages[i]);
    assert_true(isnan(s.e.kernel[i].predicted_us) == (i == 0));
  }
  close_subject(&s);
  open_plan(&s, two_layers, "direct"); /* each kernel knows the site that it is of */
  assert_true(s.e.predicted_us > 0);
  assert_true(s.e.kernel[s.e.nkernels - 1].predicted_us > 0);
  close_subject(&s);
  open_plan(&s, matmul, "auto");
  assert_true(isnan(s.e.predicted_us));
  assert_int_equal(s.e.nchoices, 0);
  close_subject(&s);
}

/* A plan without code: what explain learns of its choices. */
static void test_plan_only(void **state) {
  (void)state;
  wn_context *ctx;
  wn_program *p, *same_plan;
  wn_kernel_info k = WN_KERNEL_INFO();
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *y = plain(ctx);
  wn_options o = with_plan("old");
  o.plan_only = 1;
  assert_int_equal(wn_compile(ctx, &y, NULL, 1, &o, &p), WN_OK); /* nor data */
  wn_program_info info = WN_PROGRAM_INFO(), again = WN_PROGRAM_INFO();
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  assert_true(info.predicted_s > 0);
  assert_int_equal(info.kernels, 3);
  assert_int_equal(wn_program_get_kernel(p, 1, &k), WN_OK);
  assert_non_null(strstr(k.source, k.name));
  assert_memory_equal(k.nest, "grid ", 5);
  assert_int_equal(wn_run(p), WN_ERR_USAGE);
  o.plan = info.placement; /* it may be given as a plan, and is the same one */
  assert_int_equal(wn_compile(ctx, &y, NULL, 1, &o, &same_plan), WN_OK);
  assert_int_equal(wn_program_get_info(same_plan, &again), WN_OK);
  assert_string_equal(again.placement, info.placement);
  assert_string_equal(again.identity, info.identity);
  assert_true(again.predicted_s == info.predicted_s);
  wn_program_destroy(p);
  wn_program_destroy(same_plan);
  o.plan = "x=global,g=local,m=global,o=global";
  assert_int_equal(wn_compile(ctx, &y, NULL, 1, &o, &p), WN_ERR_REFUSED);
  assert_non_null(strstr(wn_message(ctx), "kernel g+m"));
  wn_context_destroy(ctx);
}

/* --- choices ---------------------------------------------------------------------------------- */

static const explained_choice *find(const explanation *e, const char *change) {
  for (int i = 0; i < e->nchoices; ++i)
    if (strcmp(e->choice[i].change, change) == 0) return &e->choice[i];
  return NULL;
}

/* The sources of all kernels, one after the other. */
static char *sources_of(const char *plan) {
  static float x[8 * 400], w[12 * 72], y[12 * 400];
  wn_context *ctx;
  wn_program *p;
  wn_program_info info = WN_PROGRAM_INFO();
  void *out = y;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *image = wn_input(ctx, WN_F32, SHAPE(1, 8, 20, 20), x);
  wn_tensor *t = wn_conv(image, wn_constant(ctx, WN_F32, SHAPE(12, 8, 3, 3), w), &same);
  const wn_options o = with_plan(plan);
  if (wn_compile(ctx, &t, &out, 1, &o, &p) != WN_OK) fail_msg("%s: %s", plan, wn_message(ctx));
  assert_int_equal(wn_program_get_info(p, &info), WN_OK);
  char *all = calloc(1, 1 << 20);
  assert_non_null(all);
  for (int i = 0; i < info.kernels + info.prepare_kernels; ++i) {
    wn_kernel_info k = WN_KERNEL_INFO();
    assert_int_equal(wn_program_get_kernel(p, i, &k), WN_OK);
    assert_true(strlen(all) + strlen(k.source) < 1 << 20);
    strcat(all, k.source);
  }
  wn_program_destroy(p);
  wn_context_destroy(ctx);
  return all;
}

/* own: the sources of the plan whose choices these are. */
static void check_same(subject *s, const explained_choice *c, const char *own) {
  const explained_choice *other = find(&s->e, c->same_as ? c->same_as : "");
  char *mine = sources_of(c->plan), *theirs = other ? sources_of(other->plan) : NULL;
  bool equal = strcmp(mine, theirs ? theirs : own) == 0;
  if (equal != (c->same_as != NULL)) fail_msg("%s is said to be %s", c->plan, c->same_as);
  free(mine);
  free(theirs);
}

static void check_choices(const char *plan) {
  static const char *const spaces[] = {"inline", "reg", "local", "global"};
  subject s;
  open_plan(&s, plain, plan);
  const char *own = s.e.info.placement;
  char *own_sources = sources_of(own);
  int places = 0;
  for (int stage = 0; stage < 4; ++stage) {
    for (int i = 0; i < 4; ++i) {
      char change[16];
      snprintf(change, sizeof change, "%c=%s", "xgmo"[stage], spaces[i]);
      const explained_choice *c = find(&s.e, change);
      if (strstr(own, change) != NULL) assert_null(c);
      places += c != NULL;
    }
  }
  assert_int_equal(places, 12);
  assert_non_null(find(&s.e, "direct"));
  int tiles = 0;
  for (int i = 0; i < s.e.nchoices; ++i) {
    const explained_choice *c = &s.e.choice[i];
    tiles += strncmp(c->change, "wino=", 5) == 0;
    for (int j = 0; j < i; ++j) assert_string_not_equal(c->change, s.e.choice[j].change);
    assert_true(isnan(c->measured_us));
    if (c->refused != NULL || c->fallback != NULL) assert_true(isnan(c->predicted_us));
    assert_true(isnan(c->workspace_bytes) == (c->refused != NULL));
    if (c->refused == NULL) check_same(&s, c, own_sources);
  }
  assert_int_equal(tiles, 1);
  free(own_sources);
  close_subject(&s);
}

static void test_choices(void **state) {
  (void)state;
  static const char *const plans[] = {
      "old", "fused", "one", "split",
      "x=local@t0,g=global,m=local@k0,o=global;t=10.5,k=8.4;wino=3"};
  for (size_t i = 0; i < LEN(plans); i += in_part() ? 2 : 1) check_choices(plans[i]);
}

/* What a size meant goes where it would mean something else: a block is no register tile. */
static void test_sizes_follow(void **state) {
  (void)state;
  subject s;
  open_plan(&s, plain, "x=local,g=global,m=local,o=global;t=10.5,k=8.4;wino=3");
  assert_string_equal(find(&s.e, "x=global")->plan,
                      "x=global,g=global,m=local,o=global;t=10.5,k=8.4;wino=3x3");
  assert_string_equal(find(&s.e, "m=inline")->plan,
                      "x=local,g=global,m=inline,o=global;t=10.5,k=4;wino=3x3");
  close_subject(&s);
  open_plan(&s, plain, "x=local,g=global,m=global,o=global;t=10.5,k=4;wino=3");
  assert_string_equal(find(&s.e, "x=global")->plan,
                      "x=global,g=global,m=global,o=global;t=5,k=4;wino=3x3");
  assert_string_equal(find(&s.e, "m=local")->plan,
                      "x=local,g=global,m=local,o=global;t=10.5;wino=3x3");
  close_subject(&s);
  open_plan(&s, plain, "x=global,g=global,m=global,o=global;wino=3;chunk=14");
  assert_non_null(strstr(find(&s.e, "o=inline")->plan, "chunk=14"));
  assert_null(strstr(find(&s.e, "x=local")->plan, "chunk"));
  close_subject(&s);
  open_plan(&s, plain, "x=local,g=global,m=local,o=global;v=k;wino=3");
  assert_non_null(strstr(find(&s.e, "x=global")->plan, "v=k"));
  assert_null(strstr(find(&s.e, "x=inline")->plan, "v="));
  assert_null(find(&s.e, "x=inline")->refused);
  close_subject(&s);
}

/* `direct` is set beside the best that rewrites, each of its own kind. */
static void test_beside_direct(void **state) {
  (void)state;
  subject s;
  open_plan(&s, plain, "direct");
  assert_true(s.e.nchoices >= 2);
  for (int i = 0; i < s.e.nchoices; ++i) {
    assert_string_equal(s.e.choice[i].change, s.e.choice[i].plan);
    assert_non_null(strstr(s.e.choice[i].plan, "wino="));
    assert_true(i == 0 || s.e.choice[i].predicted_us >= s.e.choice[i - 1].predicted_us);
  }
  close_subject(&s);
}

/* --- text ------------------------------------------------------------------------------------- */

typedef struct sections {
  char order[1024], summary[8192];
  int warnings;
} sections;

static void take_section(void *user, const char *text) {
  sections *s = user;
  assert_memory_equal(text, "--- ", 4);
  size_t n = strcspn(text + 4, ":"), all = strlen(text);
  assert_memory_equal(text + all - 1, "\n", 1);
  assert_true(strlen(s->order) + n + 2 < sizeof s->order);
  strncat(s->order, text + 4, n);
  strcat(s->order, " ");
  if (strncmp(text, "--- program", 11) == 0) snprintf(s->summary, sizeof s->summary, "%s", text);
}

static void count_warning(void *user, const char *line) {
  (void)line;
  ((sections *)user)->warnings++;
}

static void explain_text(build_fn build, const wn_options *o, sections *s) {
  wn_context *ctx;
  memset(s, 0, sizeof *s);
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_on_warning(ctx, count_warning, s);
  wn_tensor *y = build(ctx);
  assert_int_equal(wn_explain(ctx, &y, NULL, 1, o, take_section, s), WN_OK);
  wn_context_destroy(ctx);
}

static void test_sections(void **state) {
  (void)state;
  sections *s = malloc(sizeof *s);
  assert_non_null(s);
  wn_options o = with_plan("fused");
  explain_text(plain, &o, s);
  assert_string_equal(s->order,
                      "tensor lower recognise winograd apply linearise linearise kernel "
                      "kernel choices program ");
  assert_non_null(strstr(s->summary, "predicted"));
  assert_non_null(strstr(s->summary, "by guessed limits of the machine"));
  assert_null(strstr(s->summary, " measured,"));
  /* one warning for each kernel of the program, none for those of its choices */
  o.backend = "cpu:cc";
  o.isa = NULL;
  o.max_lines = 10;
  explain_text(plain, &o, s);
  assert_int_equal(s->warnings, 2);
  assert_non_null(strstr(s->summary, "in the interpreter: "));
  free(s);
}

static void test_near_misses(void **state) {
  (void)state;
  static const struct {
    build_fn build;
    const char *why;
  } cases[] = {
      {largest, "declined, not a sum of products: a MAX reduction"},
      {unshared, "declined, output loop "},
      {pooling, "declined, a sum of one operand: no weights"},
      {matmul, "declined, no overlapping window"},
      {plain, "conv 2-D, 8 -> 12 channels, 3x3, window loops"},
  };
  sections *s = malloc(sizeof *s);
  assert_non_null(s);
  const wn_options o = with_plan("auto");
  for (size_t i = 0; i < LEN(cases); ++i) {
    explain_text(cases[i].build, &o, s);
    if (strstr(s->summary, cases[i].why) == NULL) fail_msg("no '%s': %s", cases[i].why, s->summary);
  }
  free(s);
}

/* Who runs beside whom, and why: predicted where threads gain, and said whatever that is worth. */
static void test_side_by_side(void **state) {
  (void)state;
  subject s;
  open_plan(&s, two_branches, "direct");
  assert_null(explain_text_sides(&s.e)); /* one thread */
  close_subject(&s);
  open_plan(&s, two_branches, "conv0{direct;side=3} conv1{direct;side=3}");
  const char *text = explain_text_sides(&s.e);
  assert_non_null(text);
  assert_non_null(strstr(text, "--- side by side: "));
  assert_non_null(strstr(text, "said    side=3: conv0 conv1\n"));
  close_subject(&s);
  pretended_cores = 4;
  wn_options o = with_plan("direct;t=8,k=16"); /* a block or two each */
  o.threads = 4;
  open_with(&s, two_branches, &o);
  text = explain_text_sides(&s.e);
  assert_non_null(text);
  assert_non_null(strstr(text, "chosen  side=1: conv0 conv1\n"));
  double in_turn = 0, together = 0;
  const char *row = strstr(text, "  sites\n");
  assert_non_null(row);
  assert_int_equal(sscanf(row + 8, "%lf %lf", &in_turn, &together), 2);
  assert_true(0 < together && together < in_turn);
  close_subject(&s);
}

/* --- reasons ---------------------------------------------------------------------------------- */

static wn_site_info site_of(build_fn build, const wn_options *o, int site, wn_context **ctx) {
  wn_program *p;
  wn_site_info s = WN_SITE_INFO();
  assert_int_equal(wn_context_create(ctx), WN_OK);
  wn_tensor *y = build(*ctx);
  if (wn_compile(*ctx, &y, NULL, 1, o, &p) != WN_OK) fail_msg("%s", wn_message(*ctx));
  assert_int_equal(wn_program_get_site(p, site, &s), WN_OK);
  s.name = NULL; /* texts go with the program */
  s.plan_why = s.plan_why != NULL && strcmp(s.plan_why, "said") == 0 ? "said" : "not said";
  wn_program_destroy(p);
  return s;
}

/* Compiled with the other plan, the site is predicted to take what was said that it would. */
static void check_price(build_fn build, const wn_options *o, const wn_site_info *site, int number,
                        const char *plan, double seconds) {
  char text[512];
  wn_context *ctx;
  wn_options with = *o;
  snprintf(text, sizeof text, "%s{%s}", site->label, plan);
  with.plan = text;
  const wn_site_info other = site_of(build, &with, number, &ctx);
  assert_string_equal(other.plan_why, "said");
  if (!(fabs(other.predicted_s - seconds) <= 1e-9 * seconds))
    fail_msg("%s takes %g s and not %g", text, other.predicted_s, seconds);
  wn_context_destroy(ctx);
}

static int check_reasons(build_fn build, const wn_options *o, const char *const *why) {
  wn_context *ctx;
  wn_program *p;
  int priced = 0;
  assert_int_equal(wn_context_create(&ctx), WN_OK);
  wn_tensor *y = build(ctx);
  assert_int_equal(wn_compile(ctx, &y, NULL, 1, o, &p), WN_OK);
  wn_site_info s = WN_SITE_INFO();
  int i = 0;
  for (; wn_program_get_site(p, i, &s) == WN_OK; ++i) {
    assert_non_null(why[i]);
    if (strncmp(s.plan_why, why[i], strlen(why[i])) != 0)
      fail_msg("%s: %s, not %s", s.label, s.plan_why, why[i]);
    assert_true((s.other != NULL) == (s.other_s > 0));
    if (s.direct_s > 0) check_price(build, o, &s, i, "direct", s.direct_s);
    if (s.other != NULL) check_price(build, o, &s, i, s.other, s.other_s);
    priced += (s.direct_s > 0) + (s.other != NULL);
  }
  assert_null(why[i]);
  wn_program_destroy(p);
  wn_context_destroy(ctx);
  return priced;
}

static void test_reasons(void **state) {
  (void)state;
  static const char *const chosen[] = {"predicted",
                                       "no overlapping window",
                                       "not a sum of products: a MAX reduction",
                                       "predicted",
                                       "predicted",
                                       NULL};
  static const char *const said[] = {
      "said", "no overlapping window", "not a sum of products: a MAX reduction", "said", "said",
      NULL};
  static const char *const strict[] = {
      "fp32-strict never is", "no overlapping window", "not a sum of products: a MAX reduction",
      "fp32-strict never is", "fp32-strict never is",  NULL};
  wn_options o = WN_OPTIONS(.backend = "interp", .isa = "avx2", .no_cache = 1, .plan_only = 1);
  for (o.threads = 1; o.threads <= 2; ++o.threads) {
    o.plan = NULL;
    o.math = WN_MATH_FP32;
    assert_true(check_reasons(of_all_kinds, &o, chosen) >= 5);
    o.math = WN_MATH_FP32_STRICT;
    assert_int_equal(check_reasons(of_all_kinds, &o, strict), 0);
    o.math = WN_MATH_FP32;
    o.plan = "old";
    assert_int_equal(check_reasons(of_all_kinds, &o, said), 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_kernels_add_up), cmocka_unit_test(test_kernels_by_stage),
      cmocka_unit_test(test_plan_only),      cmocka_unit_test(test_choices),
      cmocka_unit_test(test_sizes_follow),   cmocka_unit_test(test_beside_direct),
      cmocka_unit_test(test_sections),       cmocka_unit_test(test_near_misses),
      cmocka_unit_test(test_side_by_side),   cmocka_unit_test(test_reasons),
  };
  unsetenv("WINO");
  return cmocka_run_group_tests_name("explain", tests, NULL, NULL);
}
