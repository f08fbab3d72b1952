/* One machine: what a CPU or a device is and can do.
 *
 * In: this CPU, the name of an instruction set, or what a device tells of itself. Out: a machine, that everything which
 * picks sizes, predicts or compiles reads. Always holds: it is filled in once and passed on as it is, so that what
 * decides and what carries out see the same; limits, where they are known, are those of its own instructions. */
#ifndef WN_MACHINE_MACHINE_H
#define WN_MACHINE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"

/* --- limits (limits.h) ------------------------------------------------------------------------ */

typedef enum { LEVEL_L1, LEVEL_L2, LEVEL_L3, LEVEL_MEMORY, LEVEL_COUNT } memory_level;

enum { LIMIT_WIDTHS = 3 }; /* vectors of 16, 32 and 64 bytes */

/* What the machine can do with the instructions in use. Per second; sizes in bytes. */
typedef struct machine_limits {
  bool measured; /* false: guesses from the CPU's features */
  /* of one thread by width of its vectors; a fused multiply-add is two */
  double flops[LIMIT_WIDTHS];
  double flops_all;             /* of all threads together, widest vectors */
  size_t size[LEVEL_MEMORY];    /* of each cache: L1 and L2 of a core, L3 of all */
  double read[LEVEL_COUNT];     /* bytes, one thread */
  double read_all[LEVEL_COUNT]; /* all threads together */
  double write, write_all;      /* bytes to memory */
  double local; /* bytes read from the local memory of all groups of a device; 0 of a CPU */
  double wake;  /* seconds from a launch on all threads to its end, with nothing to do */
  int threads;  /* that "all" means */
} machine_limits;

/* --- the machine ------------------------------------------------------------------------------ */

typedef enum {
  ISA_SSE2,
  ISA_AVX2,
  ISA_AVX512,
  ISA_NEON,
  ISA_GENERIC,
  ISA_SIMT,
  ISA_SIMDGROUP,
  ISA_COUNT
} machine_isa;

typedef struct machine {
  machine_isa isa;
  /* "sse2", "avx2", "avx512", "neon", "generic"; of devices "simt", work items in groups, "simdgroup", which multiply
   * matrices as well, and "simd", one work item a group */
  const char *name;
  int vector_bytes; /* of the widest vectors: 16, 32, 64, 16, 16 */
  int registers;    /* vector registers: 16, 16, 32, 32, 16 */
  bool fma;
  /* of a CPU, for its compilers: LLVM's target machine, the system compiler's flags; else NULL */
  const char *llvm_cpu, *llvm_features, *cc_flags;
  const char *driver, *version; /* of a device, as it tells them; else NULL */
  char model[64];               /* "AMD EPYC ...", for people */
  int units;                    /* cores of a CPU that may be used, compute units of a device */
  size_t l1, l2, l3;            /* bytes; guesses of 32K, 512K, 8M where unknown */
  /* of a device whose kernels run in groups of work items, else 0 */
  int group;          /* work items in a group at most */
  int64_t items;      /* work items that fill the device */
  size_t local_bytes; /* of local arrays in a kernel at most; 0: no limit */
  int matrix; /* 32 neighbouring work items multiply f32 matrices of so many rows and columns; or 0 */
  size_t memory;                /* bytes that the device has; 0: the host's memory is meant */
  const machine_limits *limits; /* NULL: not looked up */
} machine;

/* --- cpu.c ------------------------------------------------------------------------------------ */

/* This CPU. isa NULL: its best instruction set. An unknown or unsupported one is diag_fail(WN_ERR_USAGE) listing what
 * there is. */
void machine_of_cpu(machine *m, diag *d, const char *isa);
/* The same for kernels that are looked at or interpreted, not run: any instruction set of the table. */
void machine_look_at(machine *m, diag *d, const char *isa);
/* Their names up to NULL: those of CPUs, and those that can be looked at. */
extern const char *const machine_cpu_isas[], *const machine_all_isas[];

#endif
