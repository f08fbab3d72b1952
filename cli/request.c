/* See request.h. */
#include "request.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"

enum { MOST_SAMPLES = 20000, WARM_RUNS = 2 };
#define SAMPLE_US   50.0
#define WARM_US     2e4
#define SLOW_US     1e4 /* one warm run of this length is enough */
#define MOST_SECS   3600.0
#define PATIENCE_US 8e6 /* after which a slow plan has enough samples */

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

/* µs of so many runs. */
static double run(job *j, int64_t calls) {
  const entry *e = &j->entries[0];
  double start = now_us();
  wn_status status = WN_OK;
  if (e->program == NULL) { /* the last stage is on the host */
    for (int64_t i = 0; i < calls; ++i) job_net_run(j);
    return now_us() - start;
  }
  for (int64_t i = 0; i < calls && status == WN_OK; ++i) status = wn_launch(e->program);
  if (status == WN_OK) status = wn_wait(e->program);
  if (status != WN_OK) diag_fail(&j->app->diag, status, "%s", wn_program_message(e->program));
  return now_us() - start;
}

static int measure(job *j, double secs, int least, double *samples) {
  double spent = 0, once = 0, length = fmax(SAMPLE_US, secs * 1e6 / (double)MOST_SAMPLES);
  for (int warm = 0; (warm < WARM_RUNS && once < SLOW_US) || spent < fmin(WARM_US, secs * 2e5);
       ++warm)
    spent += once = run(j, 1);
  int64_t calls = once < length ? (int64_t)ceil(length / fmax(once, 0.01)) : 1;
  int count = 0;
  for (spent = 0; count < MOST_SAMPLES; ++count) {
    if ((spent >= secs * 1e6 && count >= least) || spent > PATIENCE_US) break;
    double us = run(j, calls);
    spent += us;
    samples[count] = us / (double)calls;
    if (us < length) ++calls; /* the run that set the number was a slow one */
  }
  return count;
}

static bool read_request(const char *line, double *secs, int *least) {
  char *end;
  *secs = text_number(line, &end);
  if (end == line || !text_is_space(*end)) return false;
  const char *count = end;
  long most = strtol(count, &end, 10);
  if (end == count || end[strspn(end, " \t\r\n")]) return false;
  *least = most >= 1 && most <= MOST_SAMPLES ? (int)most : 0;
  return *secs > 0 && *secs <= MOST_SECS && *least > 0;
}

void request_serve(job *j) {
  double *samples = arena_array(&j->arena, double, MOST_SAMPLES);
  char line[128];
  fflush(stdout);
  while (fgets(line, sizeof line, stdin) != NULL) {
    double secs;
    int least;
    if (!read_request(line, &secs, &least))
      diag_fail(&j->app->diag, WN_ERR_USAGE,
                "request '%.*s': expected SECONDS LEAST, such as 0.1 5 (up to %g and %d)",
                (int)strcspn(line, "\r\n"), line, MOST_SECS, MOST_SAMPLES);
    int count = measure(j, secs, least, samples);
    for (int i = 0; i < count; ++i) text_print(stdout, "%c%.3f", i ? ',' : '[', samples[i]);
    puts("]");
    if (fflush(stdout)) return;
  }
}
