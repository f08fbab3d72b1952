/* Reading compiled code back: what `explain` and the counts of registers and spills come from.
 *
 * In: an ELF object as code generation wrote it. Out: the instructions of one of its functions as
 * text. Always holds: the object is only read, and everything of LLVM's is released, also where
 * memory runs out on the way. */
#include "backend/llvm/llvm_backend.h"

#include <llvm-c/Core.h>
#include <llvm-c/Disassembler.h>
#include <llvm-c/Object.h>
#include <llvm-c/Target.h>
#include <pthread.h>

typedef struct reader { /* what one reading holds of LLVM */
  LLVMMemoryBufferRef bytes;
  LLVMBinaryRef object;
  LLVMSymbolIteratorRef symbol;
  LLVMSectionIteratorRef section;
  LLVMDisasmContextRef disassembler;
  char *message;
} reader;

static void release(reader *r) {
  if (r->disassembler != NULL) LLVMDisasmDispose(r->disassembler);
  if (r->section != NULL) LLVMDisposeSectionIterator(r->section);
  if (r->symbol != NULL) LLVMDisposeSymbolIterator(r->symbol);
  if (r->object != NULL) LLVMDisposeBinary(r->object);
  if (r->bytes != NULL) LLVMDisposeMemoryBuffer(r->bytes);
  if (r->message != NULL) LLVMDisposeMessage(r->message);
}

static void initialise_disassembler(void) { LLVMInitializeNativeDisassembler(); }

static void initialise_once(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, initialise_disassembler);
}

/* Leaves r->symbol and r->section at the function; false where the object has none of this name. */
static bool find_function(reader *r, const char *name) {
  r->symbol = LLVMObjectFileCopySymbolIterator(r->object);
  r->section = LLVMObjectFileCopySectionIterator(r->object);
  if (r->symbol == NULL || r->section == NULL) return false;
  for (; !LLVMObjectFileIsSymbolIteratorAtEnd(r->object, r->symbol);
       LLVMMoveToNextSymbol(r->symbol))
    if (strcmp(LLVMGetSymbolName(r->symbol), name) == 0) {
      LLVMMoveToContainingSection(r->section, r->symbol);
      return true;
    }
  return false;
}

static void print_instructions(reader *r, str *out) {
  uint64_t at = LLVMGetSymbolAddress(r->symbol) - LLVMGetSectionAddress(r->section),
           end = at + LLVMGetSymbolSize(r->symbol);
  uint8_t code[32]; /* the longest instruction has 15 bytes; LLVM asks for memory it may write */
  if (end > LLVMGetSectionSize(r->section)) return;
  const char *bytes = LLVMGetSectionContents(r->section);
  while (at < end) {
    size_t left = end - at < sizeof code ? (size_t)(end - at) : sizeof code;
    memcpy(code, bytes + at, left);
    char line[256];
    size_t n = LLVMDisasmInstruction(r->disassembler, code, left, at, line, sizeof line);
    if (n == 0) {
      str_printf(out, "\t.byte\t0x%02x\n", code[0]);
      n = 1;
    } else {
      str_printf(out, "%s\n", line);
    }
    at += n;
  }
}

static bool read_function(reader *r, const llvm_ir_target *t, const char *object, size_t size,
                          const char *name, str *out) {
  r->bytes = LLVMCreateMemoryBufferWithMemoryRange(object, size, "", 0);
  r->object = LLVMCreateBinary(r->bytes, NULL, &r->message);
  if (r->object == NULL || !find_function(r, name)) return false;
  r->disassembler =
      LLVMCreateDisasmCPUFeatures(t->triple, t->cpu, t->features, NULL, 0, NULL, NULL);
  if (r->disassembler == NULL) return false;
  print_instructions(r, out);
  return out->len > 0;
}

const char *llvm_disassemble(arena *a, const llvm_ir_target *t, const char *object, size_t size,
                             const char *function) {
  initialise_once();
  reader r = {0};
  str text;
  str_init(&text, a);
  volatile bool found = false;
  diag *d = a->diag;
  wn_status st;
  DIAG_TRY(d, st) { found = read_function(&r, t, object, size, function, &text); }
  DIAG_END(d, st)
  release(&r);
  if (st != WN_OK) diag_fail(d, st, "%s", d->message);
  return found ? str_text(&text) : NULL;
}

/* --- counting --------------------------------------------------------------------------------- */

/* Number of the vector register whose name begins here (xmm3, %ymm12, zmm0, v7.4s, q2), or -1. */
static int vector_register(const char *before, const char *s) {
  bool inside =
      (*before >= 'a' && *before <= 'z') || (*before >= '0' && *before <= '9') || *before == '_';
  if (inside) return -1;
  if ((*s == 'x' || *s == 'y' || *s == 'z') && s[1] == 'm' && s[2] == 'm')
    s += 3;
  else if (*s == 'v' || *s == 'q')
    s += 1;
  else
    return -1;
  if (*s < '0' || *s > '9') return -1;
  int n = *s++ - '0';
  if (*s >= '0' && *s <= '9') n = n * 10 + (*s++ - '0');
  return n < 32 ? n : -1;
}

static bool contains(const char *line, size_t n, const char *what) {
  size_t len = strlen(what);
  for (size_t i = 0; i + len <= n; ++i)
    if (memcmp(line + i, what, len) == 0) return true;
  return false;
}

static bool ends(const char *line, size_t n, const char *with) {
  size_t len = strlen(with);
  return n >= len && memcmp(line + n - len, with, len) == 0;
}

/* A register stored to the stack: LLVM's comment says so, or the last operand (x86), which is what
 * is written, is on it; AArch64 stores name it in brackets. */
static bool is_spill(const char *line, size_t n) {
  if (contains(line, n, "Spill")) return true;
  if (ends(line, n, "(%rsp)") || ends(line, n, "(%rbp)"))
    return contains(line, n, ", ") && contains(line, n, "mov") && !contains(line, n, "$");
  return contains(line, n, "\tst") && contains(line, n, "[sp");
}

void llvm_count_registers(const char *assembly, int *registers, int *spills) {
  uint32_t seen = 0;
  *registers = *spills = 0;
  while (*assembly) {
    size_t n = strcspn(assembly, "\n");
    for (size_t i = 1; i < n; ++i) {
      int number = vector_register(&assembly[i - 1], &assembly[i]);
      if (number >= 0) seen |= UINT32_C(1) << number;
    }
    *spills += is_spill(assembly, n);
    assembly += n + (assembly[n] == '\n');
  }
  for (; seen; seen &= seen - 1) (*registers)++;
}
