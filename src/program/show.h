/* What the passes make of a program, as text: WINNOW_DUMP=pass,... on stderr, and explain.
 *
 * In: the IR after a pass. Out: text, for whoever asks for this pass. Always holds: a pass that changed nothing is not
 * shown; in builds without NDEBUG the IR is verified whether anybody looks at it or not. */
#ifndef WN_PROGRAM_SHOW_H
#define WN_PROGRAM_SHOW_H

#include "program/program.h"

typedef struct show {
  graph *g;
  void (*write)(
      void *user,
      const char *text); /* gets every pass that changed something; NULL: only $WINNOW_DUMP asks */
  void *user;
  const uop *last; /* root that was shown */
} show;

/* A value of WINNOW_DUMP or WINNOW_TRACE that means nothing is WN_ERR_USAGE. */
void show_check_environment(diag *d);

void show_text(const show *s, const char *pass, const char *text);
void show_ir(show *s, const char *pass, int nroots, const uop *const *roots);
void show_nests(const show *s, const kernel_set *set);
void show_kernels(const show *s, const compiled_graph *p);
/* On request only: explain has the source. */
void show_assembly(const compiled_graph *p);

#endif
