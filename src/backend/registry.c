/* The table of backends: a new one is a folder and a row here. */
#include "backend/registry.h"

#include <stdio.h>

extern const backend backend_cc, backend_interp, backend_opencl,
    backend_metal; /* each in its folder */
#ifdef WN_HAVE_LLVM
extern const backend backend_llvm;
#endif

/* clang-format off */
static const backend_row rows[] = {
#ifdef WN_HAVE_LLVM
    {"cpu", &backend_llvm, NULL},
#else
    {"cpu", &backend_cc, "built without LLVM: backend cpu is cpu:cc, the system's C compiler"},
#endif
    {"cpu:cc", &backend_cc, NULL},
    {"interp", &backend_interp, NULL},
    {"opencl", &backend_opencl, NULL},
    {"metal", &backend_metal, NULL},
};
/* clang-format on */
enum { ROWS = sizeof rows / sizeof *rows };

static const backend_row *added; /* by a test */

void registry_add(const backend_row *row) { added = row; }

int registry_count(void) { return ROWS + (added != NULL); }

const backend_row *registry_row(int i) { return i < ROWS ? &rows[i] : added; }

const backend_row *registry_default(void) { return &rows[0]; }

const backend *registry_reference(void) { return &backend_interp; }

const backend_row *registry_find(const char *name, const char **spec) {
  *spec = NULL;
  if (name == NULL) return registry_default();
  for (int i = 0; i < registry_count(); ++i) {
    const backend_row *row = registry_row(i);
    size_t n = strlen(row->name);
    if (strcmp(name, row->name) == 0) return row;
    if (row->backend->spec == NULL || strncmp(name, row->name, n) != 0 || name[n] != ':') continue;
    if (name[n + 1] != '\0') *spec = name + n + 1;
    return row;
  }
  return NULL;
}

const backend *registry_backend(const char *name) {
  const char *spec;
  const backend_row *row = registry_find(name, &spec);
  return row != NULL ? row->backend : NULL;
}

const backend *registry_choose(diag *d, const char *name, const char **spec) {
  const backend_row *row = registry_find(name, spec);
  char names[256];
  if (row == NULL)
    diag_fail(d, WN_ERR_USAGE, "backend '%.80s' does not exist: there are %s", name,
              registry_names(names, sizeof names, " and ", false));
  if (name != NULL && row->note != NULL) diag_warn(d, "%s", row->note);
  return row->backend;
}

const char *registry_names(char *out, size_t size, const char *last, bool specs) {
  size_t n = 0;
  out[0] = '\0';
  for (int i = 0; i < registry_count() && n < size; ++i) {
    const backend_row *row = registry_row(i);
    const char *spec = specs ? row->backend->spec : NULL;
    const char *before = i == 0 ? "" : i + 1 == registry_count() ? last : ", ";
    int more =
        snprintf(out + n, size - n, "%s%s%s%s%s", before, row->name, spec != NULL ? "[:" : "",
                 spec != NULL ? spec : "", spec != NULL ? "]" : "");
    n += more > 0 ? (size_t)more : 0;
  }
  return out;
}

bool registry_knows_isa(const backend *b, const char *isa) {
  for (int i = 0; b == NULL && i < registry_count(); ++i)
    if (registry_knows_isa(registry_row(i)->backend, isa)) return true;
  if (b == NULL) return false;
  for (const char *const *known = b->isas; *known != NULL; ++known)
    if (strcmp(*known, isa) == 0) return true;
  return false;
}

void registry_abandon(void) {
  for (int i = 0; i < ROWS; ++i)
    if (rows[i].backend->abandon != NULL) rows[i].backend->abandon();
}
