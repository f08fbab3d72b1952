/* What was gathered, as sections of text; see explain.h.
 *
 * A section opens with "--- name: what it is" and ends with an empty line. Columns that differ in length stand last.
 * Times are in microseconds, with three digits. */
#include <math.h>

#include "explain/explain.h"
#include "program/program.h"
#include "report/report.h"
#include "report/table.h"

/* --- figures ---------------------------------------------------------------------------------- */

static const char *us_text(arena *a, double us) {
  return isfinite(us) ? report_figure(a, us) : "-";
}

static const char *count_text(arena *a, int count) {
  return count < 0 ? "-" : arena_printf(a, "%d", count);
}

/* "1.84 MFLOP" */
static const char *flops_text(arena *a, double flops) {
  static const char *const unit[] = {"FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP"};
  int i = 0;
  for (; flops >= 999.5 && i < 4; ++i) flops /= 1000;
  return arena_printf(a, "%.*f %s",
                      i == 0 || flops >= 99.95 ? 0
                      : flops >= 9.995         ? 1
                                               : 2,
                      flops, unit[i]);
}

static const char *intensity_text(arena *a, const wn_kernel_info *k) {
  if (!(k->bytes > 0)) return "-";
  return report_figure(a, k->flops / k->bytes);
}

static const char *whose_limits(const explanation *e) {
  return e->measured_limits ? "measured" : "guessed";
}

static const char *plural(int count) { return count == 1 ? "" : "s"; }

/* --- a kernel --------------------------------------------------------------------------------- */

static void add_indented(str *s, const char *lines, int by) {
  while (*lines != '\0') {
    size_t n = strcspn(lines, "\n");
    str_printf(s, "%*s%.*s\n", by, "", (int)n, lines);
    lines += n + (lines[n] == '\n');
  }
}

static void add_time(str *s, arena *a, const explanation *e, const explained_kernel *k) {
  str_printf(s, "  time: at least %s µs, bound by %s (arithmetic %s, bytes %s at %s limits)",
             us_text(a, k->least_us), k->bound, us_text(a, k->arithmetic_us),
             us_text(a, k->traffic_us), whose_limits(e));
  if (isfinite(k->predicted_us)) str_printf(s, ", %s predicted", us_text(a, k->predicted_us));
  if (isfinite(k->measured_us)) str_printf(s, ", %s measured", us_text(a, k->measured_us));
  str_add(s, "\n");
}

const char *explain_text_kernel(const explanation *e, int kernel) {
  arena *a = &e->program->compiled->graph.arena;
  const explained_kernel *k = &e->kernel[kernel];
  const wn_kernel_info *i = &k->info;
  str s;
  str_init(&s, a);
  str_printf(&s, "--- kernel: %s computes %s%s\n", i->name, i->stage, i->prepare ? ", once" : "");
  add_indented(&s, i->nest, 2);
  str_printf(&s, "  work: %s on %s, %s FLOPs a byte; %d lines", flops_text(a, i->flops),
             report_bytes(a, i->bytes), intensity_text(a, i), i->source_lines);
  if (i->registers >= 0)
    str_printf(&s, ", %d vector register%s", i->registers, plural(i->registers));
  if (i->spills >= 0) str_printf(&s, ", %d spill%s", i->spills, plural(i->spills));
  str_add(&s, "\n");
  if (i->fallback != NULL) str_printf(&s, "  in the interpreter: %s\n", i->fallback);
  add_time(&s, a, e, k);
  str_printf(&s, "\n%s\n", i->source);
  return str_text(&s);
}

/* --- the sites -------------------------------------------------------------------------------- */

static const char *share_text(arena *a, double share) {
  return isfinite(share) ? report_share(a, share) : "-";
}

static const char *site_label(arena *a, const report_site *s) {
  return report_site_text(a, s, REPORT_NAME_WIDTH);
}

static int widest(int width, const char *text) {
  int w = table_text_width(text);
  return w > width ? w : width;
}

/* The plan stands last, and what it is like before it: a plan can be long. */
static void add_site(str *s, arena *a, const report_site *site, int labels, int shapes) {
  const char *label = site_label(a, site);
  str_printf(
      s, "  %9s %9s %9s %8s %6s %9s  %s%*s  %s%*s  %s%s%s%s%s\n", us_text(a, site->median_us),
      us_text(a, site->predicted_us), us_text(a, site->least_us),
      share_text(a, site->least_us / site->median_us), share_text(a, site->share),
      report_bytes(a, site->bytes), label, labels - table_text_width(label), "", site->shape,
      shapes - table_text_width(site->shape), "", site->plan, site->alike != NULL ? ", as " : "",
      site->alike != NULL ? site->alike : "", site->in_place_of != NULL ? ", in place of " : "",
      site->in_place_of != NULL ? site->in_place_of : "");
}

const char *explain_text_sites(const explanation *e) {
  arena *a = &e->program->compiled->graph.arena;
  int labels = 4, shapes = 5;
  if (e->nsites < 2) return NULL;
  for (int i = 0; i < e->nsites; ++i) {
    labels = widest(labels, site_label(a, &e->site[i]));
    shapes = widest(shapes, e->site[i].shape);
  }
  str s;
  str_init(&s, a);
  str_printf(
      &s, "--- sites: what a plan says something about; µs of a run, share of what was measured\n");
  str_printf(&s, "  %9s %9s %9s %8s %6s %9s  %-*s  %-*s  plan\n", "measured", "predicted",
             "at least", "roofline", "share", "bytes", labels, "site", shapes, "shape");
  for (int i = 0; i < e->nsites; ++i) add_site(&s, a, &e->site[i], labels, shapes);
  str_add(&s, "\n");
  return str_text(&s);
}

/* --- layouts ---------------------------------------------------------------------------------- */

/* Why it has no other layout, or plan; NULL: it has. */
static const char *no_layout(const report_site *s) {
  return s->layout == NULL ? s->layout_why : NULL;
}

static const char *no_plan(const report_site *s) {
  return isfinite(s->direct_us) || isfinite(s->other_us) ? NULL : s->plan_why;
}

/* Sites without a choice, by the reason, in the order in which reasons come up. */
static void add_without_choice(str *s, arena *a, const explanation *e,
                               const char *(*reason)(const report_site *)) {
  bool *said = arena_array(a, bool, e->nsites + 1);
  for (int i = 0; i < e->nsites; ++i) {
    const char *why = reason(&e->site[i]);
    if (why == NULL || said[i]) continue;
    str_printf(s, "  no choice, %s:", why);
    for (int k = i; k < e->nsites; ++k) {
      const char *other = reason(&e->site[k]);
      if (other == NULL || strcmp(other, why) != 0) continue;
      str_printf(s, " %s", e->site[k].label);
      said[k] = true;
    }
    str_add(s, "\n");
  }
}

const char *explain_text_layouts(const explanation *e) {
  arena *a = &e->program->compiled->graph.arena;
  bool any = false;
  str s;
  str_init(&s, a);
  str_add(
      &s,
      "--- layouts: orders of what is stored between layers; µs that the other would cost more\n");
  str_printf(&s, "  %9s  %-6s  %-6s  site\n", "other", "layout", "why");
  for (int i = 0; i < e->nsites; ++i) {
    const report_site *site = &e->site[i];
    if (site->layout == NULL) continue;
    any = true;
    str_printf(&s, "  %9s  %-6s  %-6s  %s\n", us_text(a, site->layout_us), site->layout,
               site->layout_why, site_label(a, site));
  }
  if (!any) return NULL;
  add_without_choice(&s, a, e, no_layout);
  str_add(&s, "\n");
  return str_text(&s);
}

/* --- placements ------------------------------------------------------------------------------- */

static void add_placement(str *s, arena *a, const report_site *site, int reasons, int labels) {
  const char *label = site_label(a, site), *why = site->plan_why;
  str_printf(s, "  %9s %9s %9s  %s%*s  %s%*s  %s\n", us_text(a, site->predicted_us),
             us_text(a, site->direct_us), us_text(a, site->other_us), why,
             reasons - table_text_width(why), "", label, labels - table_text_width(label), "",
             site->other != NULL ? site->other : "-");
}

const char *explain_text_placements(const explanation *e) {
  arena *a = &e->program->compiled->graph.arena;
  int labels = 4, reasons = 3, rows = 0;
  if (e->nsites < 2) return NULL;
  for (int i = 0; i < e->nsites; ++i) {
    if (no_plan(&e->site[i]) != NULL) continue;
    labels = widest(labels, site_label(a, &e->site[i]));
    reasons = widest(reasons, e->site[i].plan_why);
    ++rows;
  }
  str s;
  str_init(&s, a);
  str_add(&s,
          "--- placements: why each site has its plan; µs predicted of it, of direct, and of the "
          "best other tile or placement\n");
  if (rows > 0)
    str_printf(&s, "  %9s %9s %9s  %-*s  %-*s  other\n", "now", "direct", "other", reasons, "why",
               labels, "site");
  for (int i = 0; i < e->nsites; ++i)
    if (no_plan(&e->site[i]) == NULL) add_placement(&s, a, &e->site[i], reasons, labels);
  add_without_choice(&s, a, e, no_plan);
  str_add(&s, "\n");
  return str_text(&s);
}

/* --- side by side ----------------------------------------------------------------------------- */

/* Sites with a kernel of the set, each once: kernels of a site follow each other in it. */
static void add_side_set(str *s, arena *a, const explanation *e, const side_set *of) {
  const kernel_set *set = e->program->compiled->set;
  bool *named = arena_array(a, bool, e->nsites + 1), known = of->in_turn > 0;
  str_printf(s,
             "  %9s %9s %8s  %-6s  side=%d:", us_text(a, known ? of->in_turn * 1e6 : (double)NAN),
             us_text(a, known ? of->together * 1e6 : (double)NAN),
             known ? report_share(a, 1 - of->together / of->in_turn) : "-",
             of->said ? "said" : "chosen", of->number);
  for (int k = 0; k < e->nkernels; ++k) {
    const int site = e->kernel[k].info.site;
    if (set->kernels.data[k].side != of->number || named[site]) continue;
    str_printf(s, " %s", site_label(a, &e->site[site]));
    named[site] = true;
  }
  str_add(s, "\n");
}

const char *explain_text_sides(const explanation *e) {
  arena *a = &e->program->compiled->graph.arena;
  const kernel_set *set = e->program->compiled->set;
  if (set->side_sets.len == 0) return NULL;
  str s;
  str_init(&s, a);
  str_add(
      &s,
      "--- side by side: sites whose launches are one job for all threads; µs predicted one after "
      "the other, and together\n");
  str_printf(&s, "  %9s %9s %8s  %-6s  sites\n", "in turn", "together", "saved", "why");
  for (size_t i = 0; i < set->side_sets.len; ++i) add_side_set(&s, a, e, &set->side_sets.data[i]);
  str_add(&s, "\n");
  return str_text(&s);
}

/* --- the choices ------------------------------------------------------------------------------ */

/* "29.8  1.00x", the ratio to what it is now. */
static void add_ratio(str *s, arena *a, double us, double now) {
  bool known = isfinite(us) && isfinite(now) && now > 0;
  str_printf(s, "  %9s %7s", us_text(a, us), known ? arena_printf(a, "%.2fx", us / now) : "");
}

static void add_choice(str *s, arena *a, const explanation *e, const explained_choice *c,
                       bool measured) {
  add_ratio(s, a, c->predicted_us, e->predicted_us);
  if (measured) add_ratio(s, a, c->measured_us, e->measured_us);
  str_printf(s, "  %9s  %s",
             isfinite(c->workspace_bytes) ? report_bytes(a, c->workspace_bytes) : "-", c->change);
  if (c->same_as != NULL) str_printf(s, "  the same program as %s", c->same_as);
  if (c->refused != NULL) str_printf(s, "  refused: %s", c->refused);
  if (c->fallback != NULL && c->same_as == NULL)
    str_printf(s, "  would be interpreted: %s", c->fallback);
  str_add(s, "\n");
}

const char *explain_text_choices(const explanation *e) {
  arena *a = &e->program->compiled->graph.arena;
  if (e->nchoices == 0) return NULL;
  bool measured = false;
  for (int i = 0; i < e->nchoices; ++i) measured |= isfinite(e->choice[i].measured_us);
  str s;
  str_init(&s, a);
  str_add(&s, "--- choices: one thing changed at a time; µs, and times as long as now\n");
  str_printf(&s, "  %9s %7s", "predicted", "");
  if (measured) str_printf(&s, "  %9s %7s", "measured", "");
  str_printf(&s, "  %9s  change\n", "workspace");
  const explained_choice now = {.change = EXPLAIN_NOW,
                                .predicted_us = e->predicted_us,
                                .measured_us = e->measured_us,
                                .workspace_bytes = (double)e->info.workspace_bytes};
  add_choice(&s, a, e, &now, measured);
  for (int i = 0; i < e->nchoices; ++i) add_choice(&s, a, e, &e->choice[i], measured);
  str_add(&s, "\n");
  return str_text(&s);
}

/* --- the summary ------------------------------------------------------------------------------ */

static void add_program(str *s, arena *a, const explanation *e) {
  const wn_program_info *i = &e->info;
  str_printf(s, "plan %s%s: ", i->plan,
             i->tuned > 1 ? ", tuned, some of it with weights as cold as they are not here"
             : i->tuned   ? ", tuned"
                          : "");
  if (e->brief)
    str_printf(s, "%d sites, each of which has its own\n", e->nsites);
  else
    str_printf(s, "%s\n", i->placement);
  str_printf(s, "on %s, %s, %d thread%s, %s\n", i->backend, i->isa, i->threads, plural(i->threads),
             i->device);
  str_printf(s,
             "%d kernel%s a run and %d once, %d buffers, %zu bytes of workspace (arena %s, at "
             "least %s), %s of prepared "
             "weights\n",
             i->kernels, plural(i->kernels), i->prepare_kernels, i->buffers, i->workspace_bytes,
             report_bytes(a, (double)i->arena_bytes), report_bytes(a, (double)i->arena_least),
             report_bytes(a, (double)i->prepared_bytes));
  if (i->error_bound > 0 || isfinite(e->measured_error)) {
    str_add(s, "error ");
    if (isfinite(e->measured_error))
      str_printf(s, "%.1e measured (%.1e of what was summed)", e->measured_error,
                 e->measured_sum_error);
    if (i->error_bound > 0)
      str_printf(s, "%s%.1e predicted", isfinite(e->measured_error) ? ", " : "", i->error_bound);
    str_printf(s, "%s\n", i->promise_missed ? ": over the promise" : "");
  }
}

static void add_run_time(str *s, arena *a, const explanation *e) {
  str_add(s, "time of a run in µs: ");
  if (isfinite(e->measured_us)) str_printf(s, "%s measured, ", us_text(a, e->measured_us));
  if (isfinite(e->predicted_us)) /* which is of convolutions alone */
    str_printf(s, "%s predicted%s, ", us_text(a, e->predicted_us),
               e->brief ? " of the convolutions" : "");
  str_printf(s, "at least %s by %s limits of the machine", us_text(a, e->least_us),
             whose_limits(e));
  if (isfinite(e->measured_us)) str_printf(s, " (%.0f%%)", 100 * e->least_us / e->measured_us);
  str_printf(s, "%s\n", e->measured_limits ? "" : ": `winnow devices --measure` measures them");
  if (e->reference)
    str_add(s, "predictions and limits are those of machine code, not of the interpreter\n");
  else if (!e->here)
    str_add(
        s, "there is no such device here: a typical one stands for it, and nothing was compiled\n");
}

/* What of a run is not the time of its kernels: launches, and the transfers of a device. */
static void add_rest(str *s, arena *a, const explanation *e) {
  double rest = e->measured_us;
  for (int i = 0; i < e->nkernels; ++i)
    if (!e->kernel[i].prepare) rest -= e->kernel[i].measured_us;
  if (rest > 0.05 * e->measured_us) /* less than that is noise */
    str_printf(s, "outside kernels: %s µs, %.0f%% of the run\n", us_text(a, rest),
               100 * rest / e->measured_us);
}

/* What takes longest, by what was measured or else predicted. */
static void add_slowest(str *s, const explanation *e) {
  bool measured = isfinite(e->measured_us);
  double all = 0, most = 0;
  const explained_kernel *slowest = NULL;
  for (int i = 0; i < e->nkernels; ++i) {
    const explained_kernel *k = &e->kernel[i];
    double us = measured ? k->measured_us : k->predicted_us;
    if (k->info.prepare || !isfinite(us)) continue;
    all += us;
    if (us > most) most = us, slowest = k;
  }
  if (slowest == NULL) return;
  str_printf(s, "longest: %s, %.0f%% of the kernels' time%s, %.0f%% of which its %s need%s\n",
             slowest->info.stage, 100 * most / all, measured ? "" : " predicted",
             fmin(100, 100 * slowest->least_us / most), slowest->bound,
             slowest->arithmetic_us >= slowest->traffic_us ? "s" : "");
}

static void add_kernel_table(str *s, arena *a, const explanation *e) {
  str_printf(s, "\n  %9s %9s %9s  %-10s %10s %9s %6s  kernel\n", "measured", "predicted",
             "at least", "bound by", "FLOPs/byte", "registers", "spills");
  for (int i = 0; i < e->nkernels; ++i) {
    const explained_kernel *k = &e->kernel[i];
    const wn_kernel_info *info = &k->info;
    str_printf(s, "  %9s %9s %9s  %-10s %10s %9s %6s  %s%s  %s\n", us_text(a, k->measured_us),
               us_text(a, k->predicted_us), us_text(a, k->least_us), k->bound,
               intensity_text(a, info), count_text(a, info->registers), count_text(a, info->spills),
               info->stage, info->prepare ? " (once)" : "", info->name);
    if (info->fallback != NULL) str_printf(s, "%62sin the interpreter: %s\n", "", info->fallback);
  }
}

const char *explain_text_program(const explanation *e) {
  arena *a = &e->program->compiled->graph.arena;
  str s;
  str_init(&s, a);
  str_add(&s, "--- program: what it is, and what its time goes into\n");
  add_program(&s, a, e);
  if (!e->brief) str_printf(&s, "%s\n", e->recognised);
  add_run_time(&s, a, e);
  add_slowest(&s, e);
  add_rest(&s, a, e);
  if (!e->brief) add_kernel_table(&s, a, e);
  str_add(&s, "\n");
  return str_text(&s);
}
