/* Linear IR -> LLVM IR: functions, loops, variables, vectors. Loads and stores are in
 * llvm_memory.c, arithmetic in llvm_math.c.
 *
 * In: a verified lin_kernel. Out: a function of the module. Always holds: a LOOP becomes a block
 * that tests at its end (its trip count is known), with a phi node for its counter and one for
 * every ACC that is set inside; an IF gets phi nodes where its two ways meet. So the function is in
 * SSA form as it is built, and no pass is needed to get there. */
#include "render/llvm_ir.h"

#include <stdio.h>
#include <string.h>

#include "render/llvm_emit.h"

/* --- the function and its arrays -------------------------------------------------------------- */

static void set_attribute(emitter *e, const char *key, const char *value) {
  LLVMAttributeRef a =
      LLVMCreateStringAttribute(e->c, key, (unsigned)strlen(key), value, (unsigned)strlen(value));
  LLVMAddAttributeAtIndex(e->fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, a);
}

static void set_flag(emitter *e, LLVMAttributeIndex at, const char *name) {
  unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
  LLVMAddAttributeAtIndex(e->fn, at, LLVMCreateEnumAttribute(e->c, kind, 0));
}

static void add_function(emitter *e) {
  LLVMTypeRef ptr = LLVMPointerTypeInContext(e->c, 0), i64 = LLVMInt64TypeInContext(e->c);
  LLVMTypeRef params[4] = {ptr, ptr, i64, i64};
  e->fn = LLVMAddFunction(e->m, e->k->name,
                          LLVMFunctionType(LLVMVoidTypeInContext(e->c), params, 4, 0));
  set_flag(e, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, "nounwind");
  /* said early, so that a register is kept for it: spilled vectors would straddle cache lines else */
  set_attribute(e, "stackrealign", "");
  if (e->t->cpu[0]) set_attribute(e, "target-cpu", e->t->cpu);
  if (e->t->features[0]) set_attribute(e, "target-features", e->t->features);
  if (e->t->x86) { /* else LLVM halves 512-bit vectors on CPUs where it thinks them slow */
    char bits[16];
    snprintf(bits, sizeof bits, "%d", e->t->vector_bytes * 8);
    set_attribute(e, "prefer-vector-width", bits);
    set_attribute(e, "min-legal-vector-width", bits);
  }
}

static void array_pointers(emitter *e) {
  const lin_kernel *k = e->k;
  LLVMTypeRef ptr = LLVMPointerTypeInContext(e->c, 0), i8 = LLVMInt8TypeInContext(e->c);
  LLVMValueRef args = LLVMGetParam(e->fn, 0), scratch = LLVMGetParam(e->fn, 1);
  LLVMValueRef none = LLVMMetadataAsValue(e->c, LLVMMDNodeInContext2(e->c, NULL, 0));
  for (size_t n = 0; n < k->arrays.len; ++n) {
    const lin_array *a = &k->arrays.data[n];
    if (a->space == SPACE_GLOBAL) {
      LLVMValueRef slot = emit_int(e, a->slot);
      e->base[n] = LLVMBuildLoad2(e->b, ptr, LLVMBuildGEP2(e->b, ptr, args, &slot, 1, ""), a->name);
      LLVMSetMetadata(e->base[n], e->md_invariant, none);
    } else if (a->space == SPACE_LOCAL) {
      LLVMValueRef at = emit_int(e, a->offset);
      e->base[n] = LLVMBuildGEP2(e->b, i8, scratch, &at, 1, a->name);
    } else {
      LLVMTypeRef type =
          LLVMArrayType(emit_mem_type(e, a->dtype, 1), (unsigned)(a->len > 0 ? a->len : 1));
      e->base[n] = LLVMBuildAlloca(e->b, type, a->name);
      LLVMSetAlignment(e->base[n], 64);
    }
  }
}

/* May two arrays share memory? Distinct global slots do where they are a pair; local ones where their bytes overlap. */
static bool may_overlap(const lin_kernel *k, size_t x, size_t y) {
  const lin_array *a = &k->arrays.data[x], *b = &k->arrays.data[y];
  if (a->space != b->space) return false;
  if (a->space == SPACE_GLOBAL) return a->slot == b->slot || lin_are_pair(k, x, y);
  int64_t end_a = a->offset + a->len * (int64_t)wn_dtype_size((wn_dtype)a->dtype);
  int64_t end_b = b->offset + b->len * (int64_t)wn_dtype_size((wn_dtype)b->dtype);
  return a->offset < end_b && b->offset < end_a;
}

static LLVMMetadataRef named_node(emitter *e, const char *name, size_t index,
                                  LLVMMetadataRef parent) {
  char text[64];
  int n = snprintf(text, sizeof text, "%.40s %zu", name, index);
  LLVMMetadataRef ops[2] = {LLVMMDStringInContext2(e->c, text, (size_t)n), parent};
  return LLVMMDNodeInContext2(e->c, ops, parent != NULL ? 2 : 1);
}

/* Each array is a scope of its own, and an access to it is said not to touch any of the others. */
static void alias_scopes(emitter *e) {
  const lin_kernel *k = e->k;
  size_t n = k->arrays.len;
  LLVMMetadataRef domain = named_node(e, k->name, 0, NULL);
  LLVMMetadataRef *scope = arena_array(e->a, LLVMMetadataRef, n + 1),
                  *others = arena_array(e->a, LLVMMetadataRef, n + 1);
  for (size_t i = 0; i < n; i++) scope[i] = named_node(e, "array", i, domain);
  for (size_t i = 0; i < n; ++i) {
    if (k->arrays.data[i].space == SPACE_REG) continue;
    size_t count = 0;
    for (size_t j = 0; j < n; ++j) {
      const lin_array *other = &k->arrays.data[j];
      if (j != i && other->space != SPACE_REG && !may_overlap(k, i, j)) others[count++] = scope[j];
    }
    e->scope[i] = LLVMMetadataAsValue(e->c, LLVMMDNodeInContext2(e->c, &scope[i], 1));
    if (count) e->noalias[i] = LLVMMetadataAsValue(e->c, LLVMMDNodeInContext2(e->c, others, count));
  }
}

/* --- control flow ----------------------------------------------------------------------------- */

typedef struct phi_of {
  uint32_t acc;
  LLVMValueRef phi, before; /* phi: of a loop, made where it begins */
} phi_of;

typedef struct block {
  VEC(phi_of) vars; /* ACCs from outside that are set inside */
  LLVMBasicBlockRef from, body, exit;
  LLVMValueRef counter;
  bool loop;
} block;

/* For each LOOP and IF, the variables set in it that were made before it. */
static block *find_blocks(arena *a, const lin_kernel *k) {
  block *blocks = arena_array(a, block, k->ins.len + 1);
  uint32_t *open = arena_array(a, uint32_t, k->ins.len + 1);
  size_t depth = 0;
  for (size_t n = 0; n < k->ins.len; ++n) {
    const lin_ins *i = &k->ins.data[n];
    if (i->op == OP_LOOP || i->op == OP_IF) open[depth++] = (uint32_t)n;
    if (i->op == OP_END) --depth;
    if (i->op != OP_ACC_SET) continue;
    for (size_t d = depth; d-- > 0 && open[d] > i->src[0];) {
      block *b = &blocks[open[d]];
      bool known = false;
      for (size_t v = 0; v < b->vars.len; ++v) known |= b->vars.data[v].acc == i->src[0];
      if (!known) vec_push(a, &b->vars, ((phi_of){.acc = i->src[0]}));
    }
  }
  return blocks;
}

static LLVMBasicBlockRef new_block(emitter *e) {
  return LLVMAppendBasicBlockInContext(e->c, e->fn, "");
}

static LLVMValueRef new_phi(emitter *e, LLVMTypeRef type, LLVMValueRef v, LLVMBasicBlockRef from) {
  LLVMValueRef phi = LLVMBuildPhi(e->b, type, "");
  LLVMAddIncoming(phi, &v, &from, 1);
  return phi;
}

static void open_if(emitter *e, block *b, LLVMValueRef condition) {
  b->from = LLVMGetInsertBlock(e->b);
  b->body = new_block(e);
  b->exit = new_block(e);
  for (size_t v = 0; v < b->vars.len; ++v) b->vars.data[v].before = e->value[b->vars.data[v].acc];
  LLVMBuildCondBr(e->b, condition, b->body, b->exit);
  LLVMPositionBuilderAtEnd(e->b, b->body);
}

static void close_if(emitter *e, block *b) {
  LLVMBasicBlockRef end = LLVMGetInsertBlock(e->b);
  LLVMBuildBr(e->b, b->exit);
  LLVMPositionBuilderAtEnd(e->b, b->exit);
  for (size_t v = 0; v < b->vars.len; ++v) {
    phi_of *p = &b->vars.data[v];
    LLVMValueRef now = e->value[p->acc];
    LLVMValueRef phi = new_phi(e, LLVMTypeOf(now), p->before, b->from);
    LLVMAddIncoming(phi, &now, &end, 1);
    e->value[p->acc] = phi;
  }
}

static LLVMValueRef open_loop(emitter *e, block *b, int64_t trips) {
  if (trips < 1) {
    open_if(e, b, LLVMConstInt(LLVMInt1TypeInContext(e->c), 0, 0));
    return emit_int(e, 0);
  }
  if (trips == 1) return emit_int(e, 0);
  b->loop = true;
  b->from = LLVMGetInsertBlock(e->b);
  b->body = new_block(e);
  LLVMBuildBr(e->b, b->body);
  LLVMPositionBuilderAtEnd(e->b, b->body);
  b->counter = new_phi(e, LLVMInt64TypeInContext(e->c), emit_int(e, 0), b->from);
  for (size_t v = 0; v < b->vars.len; ++v) {
    phi_of *p = &b->vars.data[v];
    LLVMValueRef now = e->value[p->acc];
    e->value[p->acc] = p->phi = new_phi(e, LLVMTypeOf(now), now, b->from);
  }
  return b->counter;
}

static void close_loop(emitter *e, block *b, int64_t trips) {
  if (trips < 1) close_if(e, b);
  if (!b->loop) return;
  LLVMBasicBlockRef end = LLVMGetInsertBlock(e->b);
  LLVMValueRef next = LLVMBuildNSWAdd(e->b, b->counter, emit_int(e, 1), "");
  LLVMAddIncoming(b->counter, &next, &end, 1);
  for (size_t v = 0; v < b->vars.len; ++v) {
    phi_of *p = &b->vars.data[v];
    LLVMAddIncoming(p->phi, &e->value[p->acc], &end, 1);
  }
  LLVMBasicBlockRef exit = new_block(e);
  LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntNE, next, emit_int(e, trips), ""), b->body,
                  exit);
  LLVMPositionBuilderAtEnd(e->b, exit);
}

/* --- instructions ----------------------------------------------------------------------------- */

/* Known trailing zero bits of an i64 scalar: what alignment of an access follows from. */
static uint8_t trailing_zeros(const emitter *e, const lin_ins *i) {
  const uint8_t *z = e->zeros;
  if (i->dtype != WN_I64 || i->lanes != 1) return 0;
  if (i->op == OP_CONST) return i->i == 0 ? 63 : (uint8_t)__builtin_ctzll((uint64_t)i->i);
  if (i->op == OP_LOOP && i->i <= 1) return 63;
  if (i->op == OP_ADD || i->op == OP_SUB)
    return z[i->src[0]] < z[i->src[1]] ? z[i->src[0]] : z[i->src[1]];
  if (i->op != OP_MUL) return 0;
  int sum = z[i->src[0]] + z[i->src[1]];
  return (uint8_t)(sum > 63 ? 63 : sum);
}

static LLVMValueRef constant(emitter *e, const lin_ins *i) {
  LLVMTypeRef type = emit_reg_type(e, i->dtype, i->lanes);
  return dtype_is_float(i->dtype) ? emit_splat_float(type, i->f) : emit_splat_int(type, i->i);
}

static LLVMValueRef iota(emitter *e, const lin_ins *i) {
  LLVMTypeRef type = emit_reg_type(e, i->dtype, 1);
  if (i->lanes == 1) return LLVMConstNull(type);
  LLVMValueRef all[64];
  WN_CHECK(i->lanes <= 64, "vectors of %d lanes", i->lanes);
  for (int l = 0; l < i->lanes; ++l) all[l] = LLVMConstInt(type, (unsigned long long)l, 0);
  return LLVMConstVector(all, i->lanes);
}

static LLVMValueRef shuffle(emitter *e, const lin_ins *i) {
  int pick[64];
  WN_CHECK(i->list->len <= 64, "a shuffle of %d lanes", (int)i->list->len);
  LLVMValueRef x = e->value[i->src[0]], y = i->nsrc > 1 ? e->value[i->src[1]] : NULL;
  for (int l = 0; l < i->list->len; ++l) pick[l] = (int)i->list->at[l];
  return emit_shuffle(e, x, y, i->list->len, pick);
}

static LLVMValueRef emit_instruction(emitter *e, const lin_ins *i, block *blocks,
                                     LLVMValueRef grid) {
  block *b = &blocks[i - e->k->ins.data];
  const lin_ins *opener = i->op == OP_END ? &e->k->ins.data[i->src[0]] : NULL;
  switch (i->op) {
    case OP_CONST:
      return constant(e, i);
    case OP_GRID:
      return grid;
    case OP_LOOP:
      return open_loop(e, b, i->i);
    case OP_IF:
      return open_if(e, b, e->value[i->src[0]]), NULL;
    case OP_END:
      if (opener->op == OP_LOOP)
        close_loop(e, &blocks[i->src[0]], opener->i);
      else
        close_if(e, &blocks[i->src[0]]);
      return NULL;
    case OP_LOAD:
      return emit_load(e, i);
    case OP_STORE:
      return emit_store(e, i), NULL;
    case OP_PREFETCH:
      return emit_prefetch(e, i), NULL;
    case OP_BARRIER:
      return NULL; /* a block is one thread on a CPU */
    case OP_ACC:
      return e->value[i->src[0]];
    case OP_ACC_SET:
      return e->value[i->src[0]] = e->value[i->src[1]], NULL;
    case OP_BROADCAST:
      return emit_broadcast(e, e->value[i->src[0]], i->lanes);
    case OP_IOTA:
      return iota(e, i);
    case OP_EXTRACT:
      return emit_lane(e, e->value[i->src[0]], (int)i->i);
    case OP_SHUFFLE:
      return shuffle(e, i);
    default:
      return emit_alu(e, i);
  }
}

static void find_masks_of_lanes(emitter *e) {
  const lin_ins *ins = e->k->ins.data;
  for (size_t n = 0; n < e->k->ins.len; ++n) {
    if (ins[n].op != OP_LOAD || ins[n].lanes < 2 || ins[n].nsrc < 2) continue;
    if (ins[ins[n].src[1]].op != OP_BROADCAST) e->by_lane[ins[n].i] = 1;
  }
}

/* for (grid = begin; grid < end; grid++) body */
static void emit_body(emitter *e) {
  const lin_kernel *k = e->k;
  LLVMTypeRef i64 = LLVMInt64TypeInContext(e->c);
  block *blocks = find_blocks(e->a, k);
  LLVMValueRef begin = LLVMGetParam(e->fn, 2), end = LLVMGetParam(e->fn, 3);
  LLVMBasicBlockRef head = new_block(e), exit = new_block(e);
  LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, begin, end, ""), head, exit);
  LLVMPositionBuilderAtEnd(e->b, head);
  LLVMValueRef grid = new_phi(e, i64, begin, e->entry);
  for (size_t n = 0; n < k->ins.len; ++n) {
    e->zeros[n] = trailing_zeros(e, &k->ins.data[n]);
    e->value[n] = emit_instruction(e, &k->ins.data[n], blocks, grid);
  }
  LLVMValueRef next = LLVMBuildNSWAdd(e->b, grid, emit_int(e, 1), "");
  LLVMBasicBlockRef latch = LLVMGetInsertBlock(e->b);
  LLVMAddIncoming(grid, &next, &latch, 1);
  LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntNE, next, end, ""), head, exit);
  LLVMMoveBasicBlockAfter(exit, latch);
  LLVMPositionBuilderAtEnd(e->b, exit);
  LLVMBuildRetVoid(e->b);
}

LLVMValueRef llvm_ir_add_kernel(arena *a, LLVMModuleRef module, const llvm_ir_target *t,
                                const lin_kernel *k) {
  LLVMContextRef c = LLVMGetModuleContext(module);
  emitter e = {.a = a, .k = k, .t = t, .c = c, .m = module};
  size_t arrays = k->arrays.len + 1;
  e.value = arena_array(a, LLVMValueRef, k->ins.len + 1);
  e.zeros = arena_array(a, uint8_t, k->ins.len + 1);
  e.added = emit_find_added(a, k);
  e.base = arena_array(a, LLVMValueRef, arrays);
  e.by_lane = arena_array(a, uint8_t, arrays);
  e.scope = arena_array(a, LLVMValueRef, arrays);
  e.noalias = arena_array(a, LLVMValueRef, arrays);
  e.md_scope = LLVMGetMDKindIDInContext(c, "alias.scope", 11);
  e.md_noalias = LLVMGetMDKindIDInContext(c, "noalias", 7);
  e.md_invariant = LLVMGetMDKindIDInContext(c, "invariant.load", 14);
  e.b = LLVMCreateBuilderInContext(c);
  diag *d = a->diag;
  wn_status st;
  DIAG_TRY(d, st) {
    add_function(&e);
    e.entry = new_block(&e);
    LLVMPositionBuilderAtEnd(e.b, e.entry);
    array_pointers(&e);
    alias_scopes(&e);
    find_masks_of_lanes(&e);
    emit_body(&e);
  }
  DIAG_END(d, st)
  LLVMDisposeBuilder(e.b);
  if (st != WN_OK) diag_fail(d, st, "%s", d->message);
  return e.fn;
}
