/* See net_memory.h. Linux says in /proc what is resident; elsewhere the peak of the process is all there is. */
#include "net_memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "report/report.h"
#include "report/table.h"

void net_memory_restart(void) {
  FILE *f = fopen("/proc/self/clear_refs", "w");
  if (f == NULL) return;
  fputs("5", f);
  fclose(f);
}

/* ru_maxrss counts in bytes there, and in KiB elsewhere. */
static double peak_of_process(void) {
#if defined(__APPLE__)
  static const double unit = 1;
#else
  static const double unit = 1024;
#endif
  struct rusage used;
  return getrusage(RUSAGE_SELF, &used) == 0 ? (double)used.ru_maxrss * unit : (double)NAN;
}

/* Pages of files are those of the library and of compiled kernels: models are read into memory of their own. */
static double own_peak(void) {
  char line[256];
  double most = NAN, files = NAN;
  FILE *f = fopen("/proc/self/status", "r");
  if (f == NULL) return NAN;
  while (fgets(line, sizeof line, f) != NULL) {
    double *to = strncmp(line, "VmHWM:", 6) == 0     ? &most
                 : strncmp(line, "RssFile:", 8) == 0 ? &files
                                                     : NULL;
    if (to != NULL) *to = (double)strtol(strchr(line, ':') + 1, NULL, 10) * 1024;
  }
  fclose(f);
  return fmax(most - files, 0);
}

net_memory net_memory_read(const job *j, const entry *e) {
  wn_model_info model = WN_MODEL_INFO();
  wn_program_info program = WN_PROGRAM_INFO();
  net_memory m = {.arena_bytes = NAN,
                  .arena_least = NAN,
                  .prepared_bytes = e->row.prepared_bytes,
                  .peak_bytes = peak_of_process(),
                  .own_peak_bytes = own_peak()};
  (void)wn_model_get_info(j->net->model, &model);
  m.weight_bytes = (double)model.weight_bytes;
  m.released_bytes = (double)model.released_bytes;
  if (e->program == NULL || wn_program_get_info(e->program, &program) != WN_OK) return m;
  m.arena_bytes = (double)program.arena_bytes;
  m.arena_least = (double)program.arena_least;
  return m;
}

static const char *bytes_text(arena *a, double bytes) {
  return isfinite(bytes) ? report_bytes(a, bytes) : "-";
}

const char *net_memory_text(arena *a, const net_memory *m) {
  return arena_printf(
      a,
      "memory: arena %s, at least %s; prepared weights %s; raw weights %s, %s of them "
      "released; at most %s resident besides the library, %s of the process",
      bytes_text(a, m->arena_bytes), bytes_text(a, m->arena_least),
      bytes_text(a, m->prepared_bytes), bytes_text(a, m->weight_bytes),
      bytes_text(a, m->released_bytes), bytes_text(a, m->own_peak_bytes),
      bytes_text(a, m->peak_bytes));
}
