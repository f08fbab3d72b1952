/* Sources are most of a report, and their lines are much alike, so they go in packed and the page
 * unpacks those that are looked at. All else is plain JSON. */
#include "report/html.h"

#include <math.h>

#include <cjson/cJSON.h>

#include "base/text.h"
#include "page_data.h"
#include "report/columns.h"

static const column kernel_columns[] = {
    {"name", TEXT, offsetof(report_kernel, name)},
    {"stage", TEXT, offsetof(report_kernel, stage)},
    {"loops", TEXT, offsetof(report_kernel, loops)},
    {"fallback", TEXT, offsetof(report_kernel, fallback)},
    {"source_lines", COUNT, offsetof(report_kernel, source_lines)},
    {"registers", COUNT, offsetof(report_kernel, registers)},
    {"spills", COUNT, offsetof(report_kernel, spills)},
    {"bytes", BYTES, offsetof(report_kernel, bytes)},
    {"flops", BYTES, offsetof(report_kernel, flops)},
    {"prepare", FLAG, offsetof(report_kernel, prepare)},
};

/* What --json does not have, or has no place for. */
static const column row_columns[] = {
    {"promise", REAL, offsetof(report_row, promise)},
    {"sum_promise", REAL, offsetof(report_row, sum_promise)},
    {"note", TEXT, offsetof(report_row, note)},
    {"wrong", FLAG, offsetof(report_row, wrong)},
    {"stopped", FLAG, offsetof(report_row, stopped)},
};

static const column about_columns[] = {
    {"command", TEXT, offsetof(report_set, command)},
    {"line", TEXT, offsetof(report_set, line)},
    {"date", TEXT, offsetof(report_set, date)},
    {"version", TEXT, offsetof(report_set, version)},
    {"compiler", TEXT, offsetof(report_set, compiler)},
    {"system", TEXT, offsetof(report_set, system)},
};
#define COUNT_OF(list) (sizeof(list) / sizeof *(list))

/* --- values ---------------------------------------------------------------------------------- */

/* Takes the value; false: it is NULL or could not be added. */
static bool push(cJSON *array, cJSON *value) {
  if (array != NULL && value != NULL && cJSON_AddItemToArray(array, value)) return true;
  cJSON_Delete(value);
  return false;
}

/* The same for a key of an object. */
static bool put(cJSON *object, const char *key, cJSON *value) {
  if (object != NULL && value != NULL && cJSON_AddItemToObject(object, key, value)) return true;
  cJSON_Delete(value);
  return false;
}

static cJSON *number(double v) {
  char text[32];
  if (!isfinite(v)) return cJSON_CreateNull();
  text_format(text, sizeof text, "%.6g", v);
  return cJSON_CreateRaw(text);
}

static const char *base64(arena *a, const unsigned char *bytes, size_t size) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  char *text = arena_alloc(a, (size + 2) / 3 * 4 + 1), *to = text;
  for (size_t i = 0; i < size; i += 3) {
    size_t left = size - i;
    unsigned v = (unsigned)bytes[i] << 16 | (left > 1 ? (unsigned)bytes[i + 1] << 8 : 0u) |
                 (left > 2 ? bytes[i + 2] : 0u);
    *to++ = digits[v >> 18];
    *to++ = digits[v >> 12 & 63];
    *to++ = left > 1 ? digits[v >> 6 & 63] : '=';
    *to++ = left > 2 ? digits[v & 63] : '=';
  }
  return text;
}

typedef struct page {
  const report_set *set;
  arena scratch; /* of one source */
  report_pack_fn pack;
  cJSON *root;
  VEC(const char *) sources; /* each once, in the set's arena */
} page;

/* The number of a source in the page; -1: it is not known. */
static int source_index(page *p, const char *source) {
  if (source == NULL) return -1;
  for (size_t i = 0; i < p->sources.len; ++i)
    if (p->sources.data[i] == source) return (int)i; /* texts are interned */
  vec_push(p->set->arena, &p->sources, source);
  return (int)p->sources.len - 1;
}

static bool add_kernels(page *p) {
  cJSON *list = cJSON_AddArrayToObject(p->root, "kernels");
  for (size_t i = 0; i < p->set->kernels.len; ++i) {
    const report_kernel *k = &p->set->kernels.data[i];
    cJSON *o = cJSON_CreateObject();
    if (!push(list, o) || !columns_add(o, kernel_columns, COUNT_OF(kernel_columns), k) ||
        !put(o, "source", number(source_index(p, k->source))))
      return false;
  }
  return list != NULL;
}

static bool add_sources(page *p) {
  cJSON *list = cJSON_AddArrayToObject(p->root, "sources");
  bool ok = list != NULL;
  for (size_t i = 0; ok && i < p->sources.len; ++i) {
    size_t size;
    const char *source = p->sources.data[i];
    const unsigned char *bytes = p->pack(&p->scratch, source, strlen(source), &size);
    ok = push(list, cJSON_CreateString(base64(&p->scratch, bytes, size)));
    arena_release(&p->scratch);
  }
  return ok;
}

static bool add_limits(page *p) {
  cJSON *list = cJSON_AddArrayToObject(p->root, "limits");
  bool ok = list != NULL;
  for (size_t i = 0; ok && i < p->set->limits.len; ++i) {
    const report_limits *l = &p->set->limits.data[i];
    cJSON *o = cJSON_CreateObject(), *levels;
    ok = push(list, o) && put(o, "flops", number(l->flops)) &&
         (levels = cJSON_AddArrayToObject(o, "levels")) != NULL;
    for (int j = 0; ok && j < l->levels; ++j) {
      cJSON *level = cJSON_CreateObject();
      ok = push(levels, level) &&
           cJSON_AddStringToObject(level, "name", l->level[j].name) != NULL &&
           put(level, "bytes", number(l->level[j].bytes)) &&
           put(level, "rate", number(l->level[j].rate));
    }
  }
  return ok;
}

/* A launch is [kernel, µs, site]. */
static bool add_launches(cJSON *row, const report_entry *e) {
  cJSON *list = cJSON_AddArrayToObject(row, "kernel");
  for (int i = 0; i < e->launches; ++i) {
    cJSON *pair = cJSON_CreateArray();
    if (!push(list, pair) || !push(pair, number(e->launch[i].kernel)) ||
        !push(pair, number(e->launch[i].median_us)) || !push(pair, number(e->launch[i].site)))
      return false;
  }
  return list != NULL;
}

/* Of a program of one site the row says all. */
static bool add_sites(cJSON *o, const report_row *row) {
  return row->site_count > 1 ? report_add_sites(o, row)
                             : cJSON_AddArrayToObject(o, "sites") != NULL;
}

static bool add_rows(page *p) {
  cJSON *list = cJSON_AddArrayToObject(p->root, "rows");
  for (size_t i = 0; i < p->set->entries.len; ++i) {
    const report_entry *e = &p->set->entries.data[i];
    cJSON *o = cJSON_CreateObject();
    if (!push(list, o) || !report_row_add(o, &e->row) ||
        !columns_add(o, row_columns, COUNT_OF(row_columns), &e->row) ||
        !put(o, "limits", e->limits < 0 ? cJSON_CreateNull() : number(e->limits)) ||
        !add_launches(o, e) || !add_sites(o, &e->row))
      return false;
  }
  return list != NULL;
}

/* --- the file -------------------------------------------------------------------------------- */

/* JSON inside a script element: no '<', so neither its end tag nor a comment can begin (HTML,
 * "Restrictions for contents of script elements"); '>' and '&' go too, for readers that are less
 * careful. Control characters are cJSON's to escape. */
static void put_escaped(FILE *out, const char *json) {
  for (size_t n; *json; json += n) {
    n = strcspn(json, "<>&");
    fwrite(json, 1, n, out);
    if (json[n]) fprintf(out, "\\u%04x", (unsigned)(unsigned char)json[n++]);
  }
}

static void put_page(FILE *out, const char *json) {
  static const struct {
    const char *mark;
    const unsigned char *bytes;
  } parts[] = {{"{{css}}", page_css}, {"{{data}}", NULL}, {"{{js}}", page_js}};
  const char *rest = (const char *)page_html;
  for (size_t i = 0; i < COUNT_OF(parts); ++i) {
    const char *at = strstr(rest, parts[i].mark);
    WN_CHECK(at != NULL, "page.html has no %s, or not in order", parts[i].mark);
    fwrite(rest, 1, (size_t)(at - rest), out);
    if (parts[i].bytes != NULL)
      fputs((const char *)parts[i].bytes, out);
    else
      put_escaped(out, json);
    rest = at + strlen(parts[i].mark);
  }
  fputs(rest, out);
}

static bool build(page *p) {
  return columns_add(p->root, about_columns, COUNT_OF(about_columns), p->set) && add_kernels(p) &&
         add_sources(p) && add_limits(p) && add_rows(p);
}

bool report_html(FILE *out, const report_set *set, report_pack_fn pack) {
  page p = {.set = set, .pack = pack, .root = cJSON_CreateObject()};
  volatile bool whole = false;
  wn_status status;
  arena_init(&p.scratch, set->arena->diag);
  DIAG_TRY(set->arena->diag, status) { whole = p.root != NULL && build(&p); }
  DIAG_END(set->arena->diag, status)
  char *json = status == WN_OK && whole ? json_text(p.root) : NULL;
  cJSON_Delete(p.root);
  arena_release(&p.scratch);
  if (json == NULL) return false;
  put_page(out, json);
  cJSON_free(json);
  return true;
}
