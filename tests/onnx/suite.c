/* onnx_suite: runs cases of ONNX's backend tests, and networks in the same form, through winnow.
 *
 *     onnx_suite [--list FILE [--update] | --all] [--backend B] [--every N [--from N]] [--jobs N] [--seconds N]
 *                [--plans] [--threads N] [--l2 BOUND] [--no-cache] [--except NAME]... [--verbose] FOLDER...
 *
 * In: folders with a model and test data (suite_case.h), or folders of such. A case is called by the last two parts of
 * its path, node/test_abs. Out: a line a case, and how many of the cases with each operator are ok. Each case runs in a
 * process of its own, so that a crash or one that never ends is that case's fault alone. The exit status is 1 where a
 * result was wrong, or a case crashed or took longer than --seconds (60).
 * --list: a file of the cases that must be ok, one a line, sorted; lines are TAP then, cases that are refused and not
 * listed are left out, and one that is not ok but listed counts as wrong too. --update writes the file, and leaves the
 * cases in it that did not run. --all: each case must be ok. --every N runs each N-th case, --from N passes over the
 * first N, --except leaves one out. --plans runs each named plan, --threads N with each number of threads up to N,
 * which must give the same bits. --l2 compares by relative L2 with results in float64. */
#include "cores.h" /* with _GNU_SOURCE: MAP_ANONYMOUS */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "onnx/suite_case.h"

typedef struct test_case {
  const char *folder, *name;
  pid_t child; /* 0: not running */
  bool listed;
} test_case;

typedef struct suite {
  arena a;
  VEC(test_case) cases;
  VEC(const char *) list; /* lines of the file */
  VEC(const char *) excepted;
  case_result *results; /* one a case, shared with child processes */
  case_options options;
  const char *list_path;
  bool update, verbose, all; /* all: as if each were listed */
  int every, from, jobs, seconds;
} suite;

/* --- which cases ------------------------------------------------------------------------------ */

static int by_text(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const test_case *)a)->name, ((const test_case *)b)->name);
}

static bool has(arena *a, const char *folder, const char *file) {
  return access(arena_printf(a, "%s/%s", folder, file), F_OK) == 0;
}

/* "node/test_abs" */
static const char *name_of(arena *a, const char *folder) {
  char *path = realpath(folder, NULL);
  const char *slash = NULL;
  for (const char *p = path; p != NULL && *p != '\0'; ++p)
    if (*p == '/' && strchr(p + 1, '/') != NULL) slash = p;
  const char *name = arena_strdup(a, slash == NULL ? folder : slash + 1);
  free(path);
  return name;
}

static void add_case(suite *s, const char *folder) {
  test_case c = {.folder = folder, .name = name_of(&s->a, folder)};
  vec_push(&s->a, &s->cases, c);
}

static bool is_case(suite *s, const char *folder) {
  return has(&s->a, folder, "model.onnx") || has(&s->a, folder, "data.json");
}

static void add_folder(suite *s, const char *folder) {
  if (is_case(s, folder)) {
    add_case(s, folder);
    return;
  }
  DIR *d = opendir(folder);
  if (d == NULL) diag_fail(s->a.diag, WN_ERR_IO, "cannot read the folder %s", folder);
  for (struct dirent *e; (e = readdir(d)) != NULL;) {
    const char *inner = arena_printf(&s->a, "%s/%s", folder, e->d_name);
    if (e->d_name[0] != '.' && is_case(s, inner)) add_case(s, inner);
  }
  closedir(d);
}

static bool is_excepted(const suite *s, const char *name) {
  for (size_t i = 0; i < s->excepted.len; ++i)
    if (strcmp(s->excepted.data[i], name) == 0) return true;
  return false;
}

static void thin_out(suite *s) {
  size_t n = 0;
  for (size_t i = (size_t)s->from; i < s->cases.len; i += (size_t)s->every)
    if (!is_excepted(s, s->cases.data[i].name)) s->cases.data[n++] = s->cases.data[i];
  s->cases.len = n;
}

static void read_list(suite *s) {
  size_t size;
  for (size_t i = 0; i < s->cases.len; ++i) s->cases.data[i].listed = s->all;
  if (s->list_path == NULL || (s->update && access(s->list_path, F_OK) != 0)) return;
  char *text = (char *)file_read(&s->a, s->list_path, &size), *rest;
  for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
    vec_push(&s->a, &s->list, line);
  for (size_t i = 0; i < s->list.len; ++i)
    if (i > 0 && strcmp(s->list.data[i - 1], s->list.data[i]) >= 0)
      diag_fail(s->a.diag, WN_ERR_USAGE, "%s: \"%s\" is not after the line before it", s->list_path,
                s->list.data[i]);
  for (size_t i = 0; i < s->cases.len && s->list.len > 0; ++i) {
    test_case *c = &s->cases.data[i];
    c->listed = bsearch(&c->name, s->list.data, s->list.len, sizeof(char *), by_text) != NULL;
  }
}

static void write_list(suite *s) {
  VEC(const char *) lines = {0};
  for (size_t i = 0; i < s->cases.len; ++i)
    if (s->results[i].outcome == CASE_OK) vec_push(&s->a, &lines, s->cases.data[i].name);
  for (size_t i = 0; i < s->list.len; ++i) { /* those that did not run stay */
    test_case key = {.name = s->list.data[i]};
    if (bsearch(&key, s->cases.data, s->cases.len, sizeof key, by_name) == NULL)
      vec_push(&s->a, &lines, s->list.data[i]);
  }
  if (lines.len > 0) qsort(lines.data, lines.len, sizeof(char *), by_text);
  file_writer w;
  file_create(&w, &s->a, s->list_path);
  for (size_t i = 0; i < lines.len; ++i) fprintf(w.stream, "%s\n", lines.data[i]);
  file_commit(&w, s->a.diag);
  printf("%zu cases in %s\n", lines.len, s->list_path);
}

/* --- running ---------------------------------------------------------------------------------- */

static void start(suite *s, size_t i) {
  test_case *c = &s->cases.data[i];
  fflush(NULL);
  c->child = fork();
  if (c->child < 0) diag_fail(s->a.diag, WN_ERR_NOMEM, "no process for %s", c->name);
  if (c->child > 0) return;
  alarm((unsigned)s->seconds);
  case_run(c->folder, &s->options, &s->results[i]);
  exit(0); /* and not _exit: a leak is found there */
}

static void crashed(case_result *r, outcome o, const char *what, int number) {
  r->outcome = o;
  snprintf(r->text, sizeof r->text, "%s %d", what, number);
}

/* Waits for one child. */
static void finish(suite *s) {
  int status;
  pid_t child = wait(&status);
  for (size_t i = 0; i < s->cases.len; ++i) {
    if (s->cases.data[i].child != child || child <= 0) continue;
    case_result *r = &s->results[i];
    s->cases.data[i].child = 0;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
      crashed(r, CASE_LATE, "not done after seconds:", s->seconds);
    else if (WIFSIGNALED(status))
      crashed(r, CASE_CRASH, "signal", WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
      crashed(r, CASE_CRASH, "exit status", WEXITSTATUS(status));
    else if (r->outcome == CASE_NOT_RUN)
      crashed(r, CASE_CRASH, "ended too soon, exit status", 0);
  }
}

static const char *const words[OUTCOMES] = {
    [CASE_NOT_RUN] = "not run", [CASE_OK] = "ok",         [CASE_WRONG] = "wrong",
    [CASE_REFUSED] = "refused", [CASE_BROKEN] = "broken", [CASE_CRASH] = "crash",
    [CASE_LATE] = "late"};

static bool is_wrong(const suite *s, size_t i) {
  outcome o = s->results[i].outcome;
  return o == CASE_WRONG || o == CASE_CRASH || o == CASE_LATE ||
         (s->cases.data[i].listed && o != CASE_OK);
}

static bool is_tap(const suite *s) { return s->all || (s->list_path != NULL && !s->update); }

/* What is not counted in TAP: refused, as expected. */
static bool is_left_out(const suite *s, size_t i) {
  return !is_wrong(s, i) && !s->cases.data[i].listed;
}

static void print_case(const suite *s, size_t i, int *number) {
  const test_case *c = &s->cases.data[i];
  const case_result *r = &s->results[i];
  bool tap = is_tap(s);
  if (tap && is_left_out(s, i)) {
    if (r->outcome == CASE_OK)
      printf("# %s passes and is not in %s: --update adds it\n", c->name, s->list_path);
    return;
  }
  if (tap) {
    printf("%s %d - %s\n", is_wrong(s, i) ? "not ok" : "ok", ++*number, c->name);
    if (is_wrong(s, i)) printf("# %s: %s\n", words[r->outcome], r->text);
    return;
  }
  printf("%-7s %s%s%s", words[r->outcome], c->name, r->text[0] == '\0' ? "" : ": ", r->text);
  if (s->verbose) printf(" (%.0f ms)", r->seconds * 1e3);
  putchar('\n');
}

static void run_all(suite *s) {
  int running = 0, number = 0;
  size_t printed = 0;
  for (size_t next = 0; printed < s->cases.len;) {
    while (running < s->jobs && next < s->cases.len) {
      start(s, next++);
      ++running;
    }
    finish(s);
    --running;
    while (printed < next && s->cases.data[printed].child == 0) print_case(s, printed++, &number);
  }
  if (is_tap(s)) printf("1..%d\n", number);
}

/* --- the summary ------------------------------------------------------------------------------ */

typedef struct operator_count {
  const char *name;
  int ok, cases;
} operator_count;

static int by_operator(const void *a, const void *b) {
  return strcmp(((const operator_count *)a)->name, ((const operator_count *)b)->name);
}

static void print_operators(suite *s) {
  VEC(operator_count) all = {0};
  for (size_t i = 0; i < s->cases.len; ++i) {
    char *rest, *text = arena_strdup(&s->a, s->results[i].operators);
    for (char *op = strtok_r(text, " ", &rest); op != NULL; op = strtok_r(NULL, " ", &rest)) {
      size_t k = 0;
      while (k < all.len && strcmp(all.data[k].name, op) != 0) ++k;
      operator_count one = {.name = op};
      if (k == all.len) vec_push(&s->a, &all, one);
      all.data[k].cases++;
      all.data[k].ok += s->results[i].outcome == CASE_OK;
    }
  }
  if (all.len > 0) qsort(all.data, all.len, sizeof all.data[0], by_operator);
  printf("# cases with an operator that are ok, of all:");
  for (size_t i = 0; i < all.len; ++i)
    printf("%s %s %d/%d", i % 8 == 0 ? "\n# " : ",", all.data[i].name, all.data[i].ok,
           all.data[i].cases);
  putchar('\n');
}

static int summarise(suite *s) {
  int count[OUTCOMES] = {0}, wrong = 0;
  double seconds = 0;
  for (size_t i = 0; i < s->cases.len; ++i) {
    count[s->results[i].outcome]++;
    wrong += is_wrong(s, i);
    seconds += s->results[i].seconds;
  }
  if (!is_tap(s) || s->verbose) print_operators(s);
  printf("# %zu cases:", s->cases.len);
  for (int o = 0; o < OUTCOMES; ++o)
    if (count[o] > 0) printf(" %d %s,", count[o], words[o]);
  printf(" %.1f s\n", seconds);
  return wrong;
}

/* --- the command line ------------------------------------------------------------------------- */

static int number_of(suite *s, const char *flag, const char *text, int least, int most) {
  char *end;
  long n = text == NULL ? -1 : strtol(text, &end, 10);
  if (text == NULL || *end != '\0' || n < least || n > most)
    diag_fail(s->a.diag, WN_ERR_USAGE, "%s: expected a number from %d to %d", flag, least, most);
  return (int)n;
}

static void read_arguments(suite *s, char **argv) {
  case_options *o = &s->options;
  for (int i = 1; argv[i] != NULL; ++i) {
    const char *flag = argv[i];
    if (strcmp(flag, "--update") == 0)
      s->update = true;
    else if (strcmp(flag, "--all") == 0)
      s->all = true;
    else if (strcmp(flag, "--verbose") == 0)
      s->verbose = true;
    else if (strcmp(flag, "--plans") == 0)
      o->all_plans = true;
    else if (strcmp(flag, "--no-cache") == 0)
      o->no_cache = true;
    else if (strncmp(flag, "--", 2) != 0)
      add_folder(s, flag);
    else if (argv[i + 1] == NULL)
      diag_fail(s->a.diag, WN_ERR_USAGE, "%s: unknown, or needs a value", flag);
    else if (strcmp(flag, "--list") == 0)
      s->list_path = argv[++i];
    else if (strcmp(flag, "--except") == 0)
      vec_push(&s->a, &s->excepted, argv[++i]);
    else if (strcmp(flag, "--backend") == 0)
      o->backend = argv[++i];
    else if (strcmp(flag, "--l2") == 0)
      o->l2 = atof(argv[++i]);
    else if (strcmp(flag, "--every") == 0)
      s->every = number_of(s, flag, argv[++i], 1, 1000);
    else if (strcmp(flag, "--from") == 0)
      s->from = number_of(s, flag, argv[++i], 0, 1000);
    else if (strcmp(flag, "--jobs") == 0)
      s->jobs = number_of(s, flag, argv[++i], 1, 64);
    else if (strcmp(flag, "--seconds") == 0)
      s->seconds = number_of(s, flag, argv[++i], 1, 36000);
    else if (strcmp(flag, "--threads") == 0)
      o->most_threads = number_of(s, flag, argv[++i], 1, 64);
    else
      diag_fail(s->a.diag, WN_ERR_USAGE, "unknown flag %s", flag);
  }
  if (s->cases.len == 0) diag_fail(s->a.diag, WN_ERR_USAGE, "no cases");
  if (s->update && s->list_path == NULL)
    diag_fail(s->a.diag, WN_ERR_USAGE, "--update needs --list FILE");
}

int main(int argc, char **argv) {
  suite s = {.every = 1, .jobs = 1, .seconds = 60, .options = {.most_threads = 1}};
  (void)argc;
  diag d;
  wn_status st;
  volatile int wrong = 0;
  diag_init(&d);
  arena_init(&s.a, &d);
  DIAG_TRY(&d, st) {
    read_arguments(&s, argv);
    qsort(s.cases.data, s.cases.len, sizeof(test_case), by_name);
    thin_out(&s);
    read_list(&s);
    s.results = mmap(NULL, sizeof(case_result) * s.cases.len, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s.results == MAP_FAILED)
      diag_fail(&d, WN_ERR_NOMEM, "no memory for %zu results", s.cases.len);
    run_all(&s);
    if (s.update) write_list(&s);
    wrong = summarise(&s);
  }
  DIAG_END(&d, st)
  if (st != WN_OK) fprintf(stderr, "onnx_suite: %s\n", d.message);
  if (s.results != NULL && s.results != MAP_FAILED)
    munmap(s.results, sizeof(case_result) * s.cases.len);
  arena_release(&s.a);
  return st != WN_OK ? 2 : wrong > 0;
}
