/* Showing passes; see show.h. */
#include "program/show.h"

#include <stdio.h>
#include <stdlib.h>

#include "ir/ir_text.h"

static const struct {
  const char *name, *what;
} passes[] = {
    {"tensor", "what was asked for, in whole arrays"},
    {"clean", "changes of layout cancelled, and factors of sums in their constant weights"},
    {"lower", "movement has become index arithmetic over ranges"},
    {"simplify", "the same, simplified"},
    {"recognise", "convolutions, told by their index arithmetic alone"},
    {"winograd", "each convolution as input, filter and output transforms around a product"},
    {"apply", "the schedule applied: arrays, and the loops of each kernel"},
    {"linearise", "one kernel, an operation a line"},
    {"assembly", "one kernel in machine code"},
};
enum { PASSES = sizeof passes / sizeof passes[0] };

/* Is the word among the names of a list with commas? */
static bool is_listed(const char *list, const char *word) {
  size_t n = strlen(word);
  for (const char *at = list; at != NULL;
       at = strchr(at, ',') != NULL ? strchr(at, ',') + 1 : NULL) {
    if (strncmp(at, word, n) == 0 && (at[n] == ',' || at[n] == '\0')) return true;
  }
  return false;
}

static bool dump_wanted(const char *pass) {
  const char *list = getenv("WINNOW_DUMP");
  return list != NULL && (is_listed(list, pass) || is_listed(list, "all"));
}

static void check_dump(diag *d, const char *list) {
  for (const char *at = list; at != NULL;
       at = strchr(at, ',') != NULL ? strchr(at, ',') + 1 : NULL) {
    int n = (int)strcspn(at, ","), known = 0;
    while (known < PASSES &&
           (strncmp(passes[known].name, at, (size_t)n) != 0 || passes[known].name[n] != '\0'))
      ++known;
    if (known < PASSES || (n == 3 && strncmp(at, "all", 3) == 0)) continue;
    char names[128] = "";
    for (int i = 0; i < PASSES; ++i) {
      size_t len = strlen(names);
      snprintf(names + len, sizeof names - len, "%s%s", i ? ", " : "", passes[i].name);
    }
    diag_fail(d, WN_ERR_USAGE, "WINNOW_DUMP: there is no pass '%.*s'; expected all, or some of %s",
              n < 80 ? n : 80, at, names);
  }
}

void show_check_environment(diag *d) {
  const char *dump = getenv("WINNOW_DUMP"), *trace = getenv("WINNOW_TRACE");
  if (dump != NULL && *dump) check_dump(d, dump);
  if (trace != NULL && *trace && strcmp(trace, "0") != 0 && strcmp(trace, "1") != 0) {
    diag_fail(d, WN_ERR_USAGE, "WINNOW_TRACE '%.80s': expected 1 (each rule as it is applied) or 0",
              trace);
  }
}

void show_text(const show *s, const char *pass, const char *text) {
  if (dump_wanted(pass)) fprintf(stderr, "--- %s\n%s\n", pass, text);
  if (s->write == NULL) return;
  const char *what = "";
  for (int i = 0; i < PASSES; ++i) {
    if (strcmp(passes[i].name, pass) == 0) what = passes[i].what;
  }
  s->write(s->user, arena_printf(&s->g->arena, "--- %s: %s\n%s\n", pass, what, text));
}

static bool showing(const show *s, const char *pass) {
  return s->write != NULL || dump_wanted(pass);
}

#ifndef NDEBUG
static bool is_of_tensors(const char *pass) {
  return strcmp(pass, "tensor") == 0 || strcmp(pass, "clean") == 0;
}
#endif

void show_ir(show *s, const char *pass, int nroots, const uop *const *roots) {
#ifndef NDEBUG
  for (int i = 0; i < nroots; ++i) {
    const char *broken = ir_verify(s->g, roots[i], is_of_tensors(pass) ? UOP_TENSOR : UOP_EXPR);
    WN_CHECK(broken == NULL, "after %s: %s", pass, broken);
  }
#endif
  bool changed = roots[0] != s->last;
  s->last = roots[0];
  if (!changed || !showing(s, pass)) return;
  str text;
  str_init(&text, &s->g->arena);
  ir_print(s->g, &text, nroots, roots);
  show_text(s, pass, str_text(&text));
}

void show_nests(const show *s, const kernel_set *set) {
  if (!showing(s, "apply")) return;
  str text;
  str_init(&text, &s->g->arena);
  nest_print(s->g, &text, set);
  show_text(s, "apply", str_text(&text));
}

void show_assembly(const compiled_graph *p) {
  for (int i = 0; dump_wanted("assembly") && i < p->ncodes; ++i) {
    const char *text = p->module != NULL ? module_assembly(p->module, i) : NULL; /* only planned */
    fprintf(stderr, "--- assembly of %s\n%s\n", p->codes[i]->lin.name,
            text != NULL ? text : "none: the kernel is not machine code");
  }
}

void show_kernels(const show *s, const compiled_graph *p) {
  if (!showing(s, "linearise")) return;
  for (int i = 0; i < p->ncodes; ++i) {
    str text;
    str_init(&text, &s->g->arena);
    lin_print(&text, &p->codes[i]->lin);
    show_text(s, "linearise", str_text(&text));
  }
}
