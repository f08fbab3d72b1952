/* Kernels of Metal's source run on the CPU, for fake_metal.h: what tests/metal has for single kernels, as code that is
 * loaded into this process.
 *
 * In: the source of a library. Out: a shared object, compiled as C++ with the shim of metal_stdlib. Always holds: code
 * stays loaded, since anything may still point to it. */
#ifndef TEST_RUN_KERNELS_H
#define TEST_RUN_KERNELS_H

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_metal.h"

static inline const char *run_compiler(void) {
  const char *cxx = getenv("CXX");
  return cxx != NULL && *cxx ? cxx : "c++";
}

static inline bool run_command(const char *format, const char *a, const char *b, const char *c) {
  char line[1024];
  snprintf(line, sizeof line, format, a, b, c);
  return system(line) == 0;
}

/* threadgroup variables are shared by the work items of a group, which run in one thread: static ones. */
static inline void run_write(FILE *f, const char *source) {
  static const char word[] = "\n  threadgroup ";
  const char *next;
  for (; (next = strstr(source, word)) != NULL; source = next + sizeof word - 1)
    fprintf(f, "%.*s\n  static ", (int)(next - source), source);
  fputs(source, f);
}

/* The table of kernels, and the function that the fake calls. */
static inline void run_write_table(FILE *f, const char *source) {
  static const char word[] = "\nkernel void ";
  const char *waits = strstr(source, "threadgroup_barrier") != NULL ? "true" : "false";
  fputs("\n#include \"runner.h\"\nstatic kernel_entry table[] = {\n", f);
  for (const char *at = source; (at = strstr(at, word)) != NULL;) {
    at += sizeof word - 1;
    fprintf(f, "  WN_KERNEL(%.*s, 0, %s),\n", (int)strcspn(at, "("), at, waits);
  }
  fputs(
      "};\nextern \"C\" void run_kernel(const char *name, void *const *arrays, const void *args,\n"
      "                           unsigned group, unsigned items) {\n"
      "  for (kernel_entry &k : table) {\n"
      "    if (__builtin_strcmp(k.name, name) != 0) continue;\n"
      "    k.group = int(items);\n"
      "    run_group(&k, arrays, *static_cast<const launch_args *>(args), group);\n"
      "    return;\n"
      "  }\n"
      "  abort();\n"
      "}\n",
      f);
}

/* The function run_kernel of the source, or NULL. */
static inline void *run_load(const char *source) {
  char folder[] = "/tmp/winnow-metal-XXXXXX", path[64];
  if (mkdtemp(folder) == NULL) return NULL;
  snprintf(path, sizeof path, "%s/kernels.cpp", folder);
  FILE *f = fopen(path, "w");
  if (f == NULL) return NULL;
  run_write(f, source);
  run_write_table(f, source);
  void *code = NULL;
  bool ok = fclose(f) == 0 &&
            run_command(
                "%s -std=c++17 -O1 -w -Wno-psabi -ffp-contract=off -fno-strict-aliasing -fPIC "
                "-shared -isystem " WN_SOURCE_DIR "/tests/metal/include -I" WN_SOURCE_DIR
                "/tests/metal %s -o %s/kernels.so",
                run_compiler(), path, folder);
  snprintf(path, sizeof path, "%s/kernels.so", folder);
  if (ok) code = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (code == NULL) fprintf(stderr, "%s\n", ok ? dlerror() : "the source does not compile as C++");
  run_command("rm -r %s%s%s", folder, "", "");
  return code != NULL ? dlsym(code, "run_kernel") : NULL;
}

static inline void run_group(void *code, const char *kernel, char *const *buffers,
                             const int64_t *launch_args, unsigned group, unsigned items) {
  void (*run)(const char *, char *const *, const int64_t *, unsigned, unsigned);
  memcpy(&run, &code, sizeof run);
  run(kernel, buffers, launch_args, group, items);
}

#endif
