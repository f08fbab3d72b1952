/* Compiling, for what wants to see more of it than wn_compile shows.
 *
 * In: what wn_compile takes, and who watches. Out: a program. Always holds: a program that was watched is for looking
 * at, not for running: its data may have been NULL. */
#ifndef WN_PIPELINE_H
#define WN_PIPELINE_H

#include "decide/forecast.h"
#include "program/program.h"

typedef struct pipeline_watch {
  void (*write)(void *user, const char *text); /* every pass that changed something; may be NULL */
  void *user;
  forecast *forecast; /* what the cost model says, in the program's arena */
} pipeline_watch;

/* A caller's options, of another version of the header or NULL, as this version's: what all others here take. */
wn_status pipeline_options(wn_context *ctx, const wn_options *given, wn_options *options);

/* watch NULL: wn_compile. */
wn_status pipeline_compile(wn_context *ctx, wn_tensor *const *outs, void *const *data, int count,
                           const wn_options *options, const pipeline_watch *watch,
                           wn_program **program);

/* All that comes before there is a plan: a runtime and nothing else, and the sites, for what measures on the caller's
 * data. WN_OK, or a status with its line in the context and *program NULL. */
wn_status pipeline_survey(wn_context *ctx, wn_tensor *const *outs, void *const *data, int count,
                          const wn_options *options, compiled_graph **program,
                          const site_list **sites);

#endif
