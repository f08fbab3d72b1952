/* `winnow cache`: where the cache on disk is, what is in it, and --clear. */
#include <sys/stat.h>

#include <cjson/cJSON.h>

#include "app.h"
#include "report/table.h"
#include "store/store.h"

typedef struct contents {
  const char *file; /* NULL: there is no cache */
  const char *why;  /* why not */
  bool exists;
  double bytes;
  const store_kind *kinds;
  int count;
} contents;

/* Looking must not make the file that is looked for. */
static contents look(cli *app) {
  contents c = {0};
  struct stat there;
  c.file = store_path(&app->arena, &c.why);
  c.exists = c.file != NULL && stat(c.file, &there) == 0;
  if (!c.exists) return c;
  c.bytes = (double)there.st_size;
  store *s = store_open(&app->diag, false);
  wn_status status;
  DIAG_TRY(&app->diag, status) { c.kinds = store_kinds(s, &app->arena, &c.count); }
  DIAG_END(&app->diag, status)
  store_close(s);
  if (status != WN_OK) diag_fail(&app->diag, status, "no memory for the list of the cache");
  return c;
}

static void print_json(cli *app, const contents *c) {
  cJSON *o = cJSON_CreateObject();
  bool ok = o != NULL &&
            (c->file != NULL ? cJSON_AddStringToObject(o, "file", c->file) != NULL
                             : cJSON_AddNullToObject(o, "file") != NULL) &&
            cJSON_AddNumberToObject(o, "bytes", c->bytes) != NULL &&
            cJSON_AddNumberToObject(o, "limit", STORE_LIMIT) != NULL;
  cJSON *kinds = ok ? cJSON_AddObjectToObject(o, "kinds") : NULL;
  ok = ok && kinds != NULL;
  for (int i = 0; ok && i < c->count; ++i) {
    cJSON *kind = cJSON_AddObjectToObject(kinds, c->kinds[i].kind);
    ok = kind != NULL &&
         cJSON_AddNumberToObject(kind, "entries", (double)c->kinds[i].entries) != NULL &&
         cJSON_AddNumberToObject(kind, "bytes", (double)c->kinds[i].bytes) != NULL;
  }
  char *text = ok ? json_text(o) : NULL;
  cJSON_Delete(o);
  if (text == NULL) diag_fail(&app->diag, WN_ERR_NOMEM, "no memory for the report");
  puts(text);
  cJSON_free(text);
}

static void print_table(cli *app, const contents *c) {
  static const table_column columns[] = {{"kind", true, BEST_NONE, 0},
                                         {"entries", false, BEST_NONE, 0},
                                         {"size", false, BEST_NONE, 0}};
  arena *a = &app->arena;
  if (c->file == NULL) {
    printf("no cache: %s\n", c->why);
    return;
  }
  if (!c->exists) {
    printf("%s: not made yet\n", c->file);
    return;
  }
  printf("%s: %s of %s\n", c->file, report_bytes(a, c->bytes), report_bytes(a, STORE_LIMIT));
  if (c->count == 0) return;
  table t;
  table_init(&t, a, columns, (int)(sizeof columns / sizeof *columns));
  for (int i = 0; i < c->count; ++i) {
    table_row *row = table_add(&t);
    row->cells[0].text = c->kinds[i].kind;
    row->cells[1].text = arena_printf(a, "%lld", (long long)c->kinds[i].entries);
    row->cells[2].text = report_bytes(a, (double)c->kinds[i].bytes);
  }
  report_style style = app_style(app);
  putchar('\n');
  table_print(&t, stdout, style.color, style.width);
}

static void clear(cli *app) {
  const char *why, *file = store_path(&app->arena, &why);
  struct stat there;
  bool exists = file != NULL && lstat(file, &there) == 0;
  if (!store_clear(&app->diag))
    diag_fail(&app->diag, WN_ERR_IO, "%s", arena_strdup(&app->arena, app->diag.message));
  if (file == NULL)
    printf("no cache: %s\n", why);
  else if (exists)
    printf("%s: removed, %s\n", file, report_bytes(&app->arena, (double)there.st_size));
  else
    printf("%s: nothing to remove\n", file);
}

void command_cache(cli *app) {
  if (app->opt.clear) {
    clear(app);
    return;
  }
  contents c = look(app);
  if (app->opt.json)
    print_json(app, &c);
  else
    print_table(app, &c);
}
