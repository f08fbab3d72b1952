/* The instruction sets of this machine, best first, as `--isa` names them. */
#ifndef WN_TESTS_ISAS_H
#define WN_TESTS_ISAS_H

#include "backend/runtime.h"

typedef struct isa_list {
  const char *name[ISA_COUNT];
  int count;
} isa_list;

static inline isa_list machine_isas(void) {
  static const char *const all[] = {"avx512", "avx2", "neon", "sse2", "generic"};
  isa_list have = {.count = 0};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) {
    diag d;
    diag_init(&d);
    machine t;
    volatile wn_status st;
    DIAG_TRY(&d, st) { machine_of_cpu(&t, &d, all[i]); }
    DIAG_END(&d, st)
    if (st == WN_OK) have.name[have.count++] = all[i];
  }
  return have;
}

#endif
