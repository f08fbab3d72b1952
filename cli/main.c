/* winnow COMMAND ...: a client of the public API. Data goes to stdout, everything else to stderr.
 * Exit status: 0 right, 1 a result was wrong or --strict met a fallback, 2 bad usage or input, 130 tuning was
 * interrupted. */
#include <stdlib.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "app.h"
#include "ending.h"

static void dispatch(cli *app, int argc, char *const *argv) {
  static void (*const run[CMD_COUNT])(cli *) = {
      [CMD_RUN] = command_run,         [CMD_COMPARE] = command_compare, [CMD_CONV] = command_conv,
      [CMD_BENCH] = command_bench,     [CMD_EXPLAIN] = command_explain, [CMD_TUNE] = command_tune,
      [CMD_DEVICES] = command_devices, [CMD_CACHE] = command_cache,
  };
  options_parse(&app->opt, &app->arena, argc, argv);
  if (app->opt.version)
    printf("winnow %s\n", wn_version());
  else if (app->opt.command == CMD_NONE)
    help_main(stdout);
  else if (app->opt.help)
    help_command(stdout, app->opt.command);
  else
    run[app->opt.command](app);
}

static int run_command(int argc, char *const *argv) {
  cli app;
  wn_status status;
  memset(&app, 0, sizeof app);
  diag_init(&app.diag);
  app.diag.warn = app_warn;
  app.diag.warn_user = &app;
  app.argc = argc;
  app.argv = argv;
  arena_init(&app.arena, &app.diag);
  app.out_tty = isatty(STDOUT_FILENO);
  app.err_tty = isatty(STDERR_FILENO);
  DIAG_TRY(&app.diag, status) { dispatch(&app, argc, argv); }
  DIAG_END(&app.diag, status)
  app_progress_clear(&app);
  if (status != WN_OK)
    fprintf(stderr, "winnow: %s\n%s", app.diag.message, app.detail != NULL ? app.detail : "");
  arena_release(&app.arena);
  if (status != WN_OK) return status == WN_ERR_STRICT ? 1 : 2;
  if (fflush(stdout) || ferror(stdout)) {
    perror("winnow: cannot write to standard output");
    return 2;
  }
  return app.status;
}

/* Without arguments: the reference problem in both weights modes and a ResNet layer. */
static int run_demonstration(void) {
  static char *const shows[][5] = {
      {"winnow", "compare", "mb1ic16ih32oc16kh3ph1n\"reference\"", NULL},
      {"winnow", "compare", "mb1ic16ih32oc16kh3ph1n\"reference\"", "--weights-mode=variable", NULL},
      {"winnow", "compare", "mb1ic64ih56oc64oh56kh3ph1n\"resnet:conv2\"", NULL},
  };
  int worst = 0;
  for (size_t i = 0; i < sizeof shows / sizeof *shows; ++i) {
    int argc = 0;
    while (shows[i][argc] != NULL) ++argc;
    if (i) putchar('\n');
    int status = run_command(argc, shows[i]);
    if (status > worst) worst = status;
  }
  return worst;
}

int main(int argc, char **argv) {
  ending_catch();
  cJSON_Hooks hooks = {mem_alloc, mem_free};
  cJSON_InitHooks(&hooks);
  return argc < 2 ? run_demonstration() : run_command(argc, argv);
}
