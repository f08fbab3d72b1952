/* What CPU this is.
 *
 * In: nothing, or the name of an instruction set. Out: a machine whose kernels this CPU can run.
 * Always holds: an instruction set counts only if the processor has every extension that its flags
 * name and the operating system saves its registers (__builtin_cpu_supports asks XGETBV); sizes of
 * caches are never 0. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "machine/machine.h"

#if defined(__x86_64__) || defined(__i386__)
#define CPU_X86 1
#include <cpuid.h>
#endif

#define AVX2_LLVM "+sse4.2,+popcnt,+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt,+movbe"
#define AVX2_CC   "-mavx2 -mfma -mf16c -mbmi -mbmi2 -mlzcnt -mmovbe -mpopcnt"

#ifdef CPU_X86
#define BASELINE_LLVM "x86-64"
#else
#define BASELINE_LLVM "generic"
#endif

/* By machine_isa. */
#define CPU_ISAS "sse2", "avx2", "avx512", "neon", "generic"
const char *const machine_cpu_isas[] = {CPU_ISAS, NULL};
const char *const machine_all_isas[] = {CPU_ISAS, "simt", "simdgroup", NULL};

static const machine isa_table[ISA_COUNT] = {
    [ISA_SSE2] = {.vector_bytes = 16,
                  .registers = 16,
                  .llvm_cpu = "x86-64",
                  .llvm_features = "",
                  .cc_flags = "-msse2"},
    [ISA_AVX2] = {.vector_bytes = 32,
                  .registers = 16,
                  .fma = true,
                  .llvm_cpu = "x86-64",
                  .llvm_features = AVX2_LLVM,
                  .cc_flags = AVX2_CC},
    [ISA_AVX512] = {.vector_bytes = 64,
                    .registers = 32,
                    .fma = true,
                    .llvm_cpu = "x86-64",
                    .llvm_features = AVX2_LLVM
                    ",+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl,-prefer-256-bit",
                    .cc_flags = AVX2_CC " -mavx512f -mavx512bw -mavx512cd -mavx512dq -mavx512vl"
                                        " -mprefer-vector-width=512"},
    [ISA_NEON] = {.vector_bytes = 16,
                  .registers = 32,
                  .fma = true,
                  .llvm_cpu = "generic",
                  .llvm_features = "+neon",
                  .cc_flags = ""},
    [ISA_GENERIC] = {.vector_bytes = 16,
                     .registers = 16,
                     .llvm_cpu = BASELINE_LLVM,
                     .llvm_features = "",
                     .cc_flags = ""},
    /* no CPU's: what a device with groups of work items has at least, to be looked at or interpreted */
    [ISA_SIMT] = {.vector_bytes = 16,
                  .registers = 32,
                  .fma = true,
                  .group = 256,
                  .items = 128 << 11,
                  .local_bytes = 32 << 10},
    [ISA_SIMDGROUP] = {.vector_bytes = 16,
                       .registers = 32,
                       .fma = true,
                       .group = 256,
                       .items = 128 << 11,
                       .local_bytes = 32 << 10,
                       .matrix = 8},
};

static bool isa_supported(machine_isa isa) {
#ifdef CPU_X86
  __builtin_cpu_init();
  unsigned eax, ebx, ecx = 0, edx, ecx_ext = 0;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) ecx = 0;
  if (!__get_cpuid(0x80000001, &eax, &ebx, &ecx_ext, &edx)) ecx_ext = 0;
  bool small = (ecx >> 29 & 1) && (ecx >> 22 & 1) && (ecx_ext >> 5 & 1); /* F16C, MOVBE, LZCNT */
  bool avx2 = small && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
              __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  switch (isa) {
    case ISA_SSE2:
      return __builtin_cpu_supports("sse2");
    case ISA_AVX2:
      return avx2;
    case ISA_AVX512:
      return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl");
    default:
      return isa == ISA_GENERIC;
  }
#elif defined(__aarch64__)
  return isa == ISA_NEON || isa == ISA_GENERIC;
#else
  return isa == ISA_GENERIC;
#endif
}

/* --- model, cores, caches --------------------------------------------------------------------- */

static void set_model(machine *t) {
  snprintf(t->model, sizeof t->model, "unknown CPU");
#ifdef CPU_X86
  unsigned words[12], eax, ebx, ecx, edx;
  if (!__get_cpuid(0x80000000, &eax, &ebx, &ecx, &edx) || eax < 0x80000004) return;
  for (unsigned leaf = 0; leaf < 3; ++leaf)
    if (!__get_cpuid(0x80000002 + leaf, &words[4 * leaf], &words[4 * leaf + 1],
                     &words[4 * leaf + 2], &words[4 * leaf + 3]))
      return;
  char brand[sizeof words + 1] = {0};
  memcpy(brand, words, sizeof words);
  char *start = brand;
  while (*start == ' ') ++start;
  size_t len = strlen(start);
  while (len > 0 && start[len - 1] == ' ') start[--len] = 0;
  if (len > 0) snprintf(t->model, sizeof t->model, "%s", start);
#elif defined(__aarch64__)
  snprintf(t->model, sizeof t->model, "AArch64");
#endif
}

static int count_cores(void) {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
#endif
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n > 0 ? (int)n : 1;
}

/* Data or unified cache of the level as Linux describes it, 0 if it does not. */
static size_t sysfs_cache(int level) {
  for (int index = 0; index < 8; ++index) {
    char path[96], type[32] = "";
    int have = 0;
    unsigned long kib = 0;
    static const char dir[] = "/sys/devices/system/cpu/cpu0/cache";
    snprintf(path, sizeof path, "%s/index%d/level", dir, index);
    FILE *f = fopen(path, "r");
    if (f == NULL) return 0;
    if (fscanf(f, "%d", &have) != 1) have = 0;
    fclose(f);
    snprintf(path, sizeof path, "%s/index%d/type", dir, index);
    f = fopen(path, "r");
    if (f != NULL && fscanf(f, "%31s", type) != 1) type[0] = 0;
    if (f != NULL) fclose(f);
    if (have != level || strcmp(type, "Instruction") == 0) continue;
    snprintf(path, sizeof path, "%s/index%d/size", dir, index);
    f = fopen(path, "r");
    if (f != NULL && fscanf(f, "%lu", &kib) != 1) kib = 0;
    if (f != NULL) fclose(f);
    return (size_t)kib * 1024;
  }
  return 0;
}

static size_t cache_size(int level) {
  static const size_t guess[] = {0, 32u << 10, 512u << 10, 8u << 20};
  size_t size = sysfs_cache(level);
#ifdef _SC_LEVEL1_DCACHE_SIZE
  static const int names[] = {0, _SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE,
                              _SC_LEVEL3_CACHE_SIZE};
  long asked = size ? 0 : sysconf(names[level]);
  if (asked > 0) size = (size_t)asked;
#endif
  return size ? size : guess[level];
}

/* --- choosing --------------------------------------------------------------------------------- */

static _Noreturn void refuse(diag *d, const char *isa, bool any) {
  char have[128] = "";
  for (int i = 0; i < ISA_COUNT; ++i) {
    if (!any && !isa_supported((machine_isa)i)) continue;
    size_t len = strlen(have);
    snprintf(have + len, sizeof have - len, "%s%s", len ? ", " : "", machine_all_isas[i]);
  }
  if (any) diag_fail(d, WN_ERR_USAGE, "unknown instruction set '%s'; there are %s", isa, have);
  diag_fail(d, WN_ERR_USAGE, "instruction set '%s' is not one that this machine runs; it runs %s",
            isa, have);
}

static void choose(machine *t, diag *d, const char *isa, bool any) {
  static const machine_isa best_first[] = {ISA_AVX512,  ISA_AVX2, ISA_NEON,     ISA_SSE2,
                                           ISA_GENERIC, ISA_SIMT, ISA_SIMDGROUP};
  for (size_t i = 0; i < sizeof best_first / sizeof best_first[0]; ++i) {
    machine_isa id = best_first[i];
    if (isa != NULL ? strcmp(isa, machine_all_isas[id]) != 0 : false) continue;
    if (!any && !isa_supported(id)) continue;
    *t = isa_table[id];
    t->isa = id;
    t->name = machine_all_isas[id];
    set_model(t);
    t->units = count_cores();
    t->l1 = cache_size(1);
    t->l2 = cache_size(2);
    t->l3 = cache_size(3);
    return;
  }
  refuse(d, isa != NULL ? isa : "", any);
}

void machine_of_cpu(machine *m, diag *d, const char *isa) { choose(m, d, isa, false); }

void machine_look_at(machine *m, diag *d, const char *isa) { choose(m, d, isa, true); }
