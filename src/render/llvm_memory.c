/* Loads and stores of the LLVM renderer.
 *
 * In: a LOAD, STORE or PREFETCH instruction. Out: vector instructions where lanes are neighbours,
 * wide loads and shuffles where they are a small stride apart, element by element otherwise. Always
 * holds: no byte outside of the elements' own span is read, and none but the elements is written; a
 * masked-out lane reads from 64 zero bytes or writes to a sink on the stack, so that elementwise
 * code has no branches. */
#include <stdlib.h>

#include "render/llvm_emit.h"

enum { NOWHERE_BYTES = 4096 };

typedef struct access {
  const lin_ins *i;
  const lin_array *array;
  int id, lanes;
  int64_t stride;    /* elements between lanes; 0: offsets are a vector */
  uint32_t offset;   /* instruction */
  LLVMValueRef mask; /* or NULL */
  LLVMTypeRef elem;
  unsigned size, align; /* bytes of an element, known alignment of lane 0 */
} access;

static access access_of(emitter *e, const lin_ins *i, int mask_at) {
  access m = {.i = i, .id = (int)i->i, .array = &e->k->arrays.data[i->i], .offset = i->src[0]};
  m.lanes = i->op == OP_STORE ? e->k->ins.data[i->src[1]].lanes : i->op == OP_LOAD ? i->lanes : 1;
  m.stride = m.lanes == 1 ? 1 : e->k->ins.data[m.offset].lanes > 1 ? 0 : i->j;
  m.mask = i->nsrc > mask_at ? e->value[i->src[mask_at]] : NULL;
  m.elem = emit_mem_type(e, m.array->dtype, 1);
  m.size = (unsigned)wn_dtype_size((wn_dtype)m.array->dtype);
  m.align = m.size;
  bool aligned = m.array->aligned || m.array->space != SPACE_GLOBAL;
  if (aligned && m.stride != 0) {
    int zeros = e->zeros[m.offset] > 6 ? 6 : e->zeros[m.offset];
    while (i->disp & ((INT64_C(1) << zeros) - 1)) --zeros;
    m.align = m.size << zeros > 64 ? 64 : m.size << zeros;
  }
  return m;
}

static LLVMValueRef plus_elements(emitter *e, const access *m, LLVMValueRef p, int64_t plus) {
  LLVMValueRef n = emit_int(e, plus);
  return plus == 0 ? p : LLVMBuildGEP2(e->b, m->elem, p, &n, 1, "");
}

/* Address of element 0 of what the offset is without its constants; *plus: these. */
static LLVMValueRef variable_address(emitter *e, const access *m, int64_t *plus) {
  const lin_ins *ins = e->k->ins.data;
  uint32_t at = m->offset;
  *plus = m->i->disp;
  for (;;) {
    const lin_ins *o = &ins[at];
    if (o->op == OP_CONST) {
      *plus += o->i;
      return e->base[m->id];
    }
    if (o->op != OP_ADD) break;
    bool first = ins[o->src[0]].op == OP_CONST, second = ins[o->src[1]].op == OP_CONST;
    if (!first && !second) break;
    *plus += ins[o->src[second]].i;
    at = o->src[first];
  }
  return LLVMBuildGEP2(e->b, m->elem, e->base[m->id], &e->value[at], 1, "");
}

/* Address of element offset + plus. Constants are split off, so that they become displacements and
 * what is left is shared. Not inbounds: a masked-out lane may lie anywhere, and the part without
 * the constant too. */
static LLVMValueRef address(emitter *e, const access *m, int64_t plus) {
  int64_t constant;
  LLVMValueRef p = variable_address(e, m, &constant);
  return plus_elements(e, m, p, constant + plus);
}

/* What a vector of offsets counts from. */
static LLVMValueRef displaced(emitter *e, const access *m) {
  LLVMValueRef n = emit_int(e, m->i->disp);
  return m->i->disp == 0 ? e->base[m->id] : LLVMBuildGEP2(e->b, m->elem, e->base[m->id], &n, 1, "");
}

static LLVMValueRef lane_address(emitter *e, const access *m, int lane) {
  if (m->stride != 0) return address(e, m, lane * m->stride);
  LLVMValueRef n = emit_lane(e, e->value[m->offset], lane);
  return LLVMBuildGEP2(e->b, m->elem, displaced(e, m), &n, 1, "");
}

static LLVMValueRef mark(emitter *e, const access *m, LLVMValueRef v) {
  if (e->scope[m->id] != NULL) {
    LLVMSetMetadata(v, e->md_scope, e->scope[m->id]);
    if (e->noalias[m->id] != NULL) LLVMSetMetadata(v, e->md_noalias, e->noalias[m->id]);
  }
  return v;
}

static LLVMValueRef load_at(emitter *e, const access *m, LLVMTypeRef type, LLVMValueRef p,
                            unsigned align) {
  LLVMValueRef v = LLVMBuildLoad2(e->b, type, p, "");
  LLVMSetAlignment(v, align);
  if (m->array->space == SPACE_GLOBAL && !m->array->written && !lin_is_paired(e->k, (size_t)m->id))
    LLVMSetMetadata(v, e->md_invariant,
                    LLVMMetadataAsValue(e->c, LLVMMDNodeInContext2(e->c, NULL, 0)));
  return mark(e, m, v);
}

static void store_at(emitter *e, const access *m, LLVMValueRef v, LLVMValueRef p, unsigned align) {
  LLVMValueRef s = LLVMBuildStore(e->b, v, p);
  LLVMSetAlignment(s, align);
  mark(e, m, s);
}

/* Zero bytes that masked-out lanes read: the middle of a block, so that what is near it can be read too. */
static LLVMValueRef nowhere(emitter *e) {
  if (e->nowhere == NULL) {
    e->nowhere = LLVMGetNamedGlobal(e->m, "nowhere");
    if (e->nowhere != NULL) return e->nowhere;
    LLVMTypeRef type = LLVMArrayType(LLVMInt64TypeInContext(e->c), NOWHERE_BYTES / 8);
    e->nowhere = LLVMAddGlobal(e->m, type, "nowhere");
    LLVMSetInitializer(e->nowhere, LLVMConstNull(type));
    LLVMSetGlobalConstant(e->nowhere, 1);
    LLVMSetLinkage(e->nowhere, LLVMPrivateLinkage);
    LLVMSetAlignment(e->nowhere, 64);
  }
  return e->nowhere;
}

/* 64 bytes of the stack that masked-out lanes write. */
static LLVMValueRef sink(emitter *e) {
  if (e->sink == NULL) {
    LLVMBasicBlockRef here = LLVMGetInsertBlock(e->b);
    LLVMPositionBuilderBefore(e->b, LLVMGetFirstInstruction(e->entry));
    e->sink = LLVMBuildAlloca(e->b, LLVMArrayType(LLVMInt64TypeInContext(e->c), 8), "sink");
    LLVMSetAlignment(e->sink, 64);
    LLVMPositionBuilderAtEnd(e->b, here);
  }
  return e->sink;
}

/* --- loads ------------------------------------------------------------------------------------ */

/* An element, or all lanes of a vector, under one condition: the address without its constants is chosen between, so
 * that neighbours under the same condition share the choice. A masked load of none of the lanes, past the end of an array,
 * may cost a trap that the processor handles by itself. */
static LLVMValueRef load_all_or_none(emitter *e, const access *m, LLVMValueRef all) {
  int64_t plus, bytes, most = NOWHERE_BYTES / 2 - 64;
  LLVMValueRef p = variable_address(e, m, &plus), zeros = nowhere(e);
  bytes = plus * m->size;
  if (bytes > most || bytes < -most) {
    p = plus_elements(e, m, p, plus);
    plus = 0;
  }
  LLVMValueRef middle = emit_int(e, NOWHERE_BYTES / 2 / m->size);
  zeros = LLVMConstGEP2(m->elem, zeros, &middle, 1);
  p = LLVMBuildSelect(e->b, all, p, zeros, "");
  LLVMTypeRef type = m->lanes == 1 ? m->elem : emit_vec(m->elem, m->lanes);
  return load_at(e, m, type, plus_elements(e, m, p, plus), m->size);
}

/* The condition that all lanes of the mask are; NULL: it is none. Where other vectors of the array are masked by lanes,
 * rows of it are in the lanes: there are few vectors of which none is in the array, many conditions of rows, and masks
 * are cheaper than choosing. */
static LLVMValueRef same_in_all_lanes(const emitter *e, const access *m) {
  const lin_ins *mask = &e->k->ins.data[m->i->src[1]];
  return mask->op == OP_BROADCAST && !e->by_lane[m->id] ? e->value[mask->src[0]] : NULL;
}

static LLVMValueRef load_each(emitter *e, const access *m) {
  if (m->lanes == 1 && m->mask != NULL) return load_all_or_none(e, m, m->mask);
  LLVMValueRef v = LLVMGetUndef(emit_vec(m->elem, m->lanes));
  for (int l = 0; l < m->lanes; ++l) {
    LLVMValueRef p = lane_address(e, m, l);
    if (m->mask != NULL) p = LLVMBuildSelect(e->b, emit_lane(e, m->mask, l), p, nowhere(e), "");
    LLVMValueRef x = load_at(e, m, m->elem, p, m->size);
    v = m->lanes == 1 ? x : LLVMBuildInsertElement(e->b, v, x, emit_int(e, l), "");
  }
  return v;
}

static LLVMValueRef load_masked(emitter *e, const access *m) {
  LLVMTypeRef type = emit_vec(m->elem, m->lanes);
  LLVMTypeRef types[2] = {type, LLVMPointerTypeInContext(e->c, 0)};
  LLVMValueRef align = LLVMConstInt(LLVMInt32TypeInContext(e->c), m->align, 0);
  LLVMValueRef args[4] = {address(e, m, 0), align, m->mask, LLVMConstNull(type)};
  return mark(e, m, emit_intrinsic(e, "llvm.masked.load", 2, types, 4, args));
}

/* Has the target gathers and scatters that are worth it? Masks cost them nothing, while element by
 * element each lane of a mask is a compare and a select: 16 masked lanes are as fast either way,
 * and a fifth of the code. Lanes far apart and without a mask are faster one by one, but they are
 * so much more code that a kernel which runs once takes longer to compile than to run. */
static bool gathers(const emitter *e, const access *m) {
  bool far = m->stride < -8 || m->stride > 8;
  bool wanted = m->mask != NULL || m->stride == 0 || (far && e->k->once);
  return wanted && e->t->x86 && e->t->vector_bytes >= 64 && m->size >= 4 && m->lanes >= 4;
}

static LLVMValueRef lane_addresses(emitter *e, const access *m) {
  if (m->stride == 0)
    return LLVMBuildGEP2(e->b, m->elem, displaced(e, m), &e->value[m->offset], 1, "");
  LLVMValueRef step[64];
  for (int l = 0; l < m->lanes; ++l) step[l] = emit_int(e, l * m->stride);
  LLVMValueRef steps = LLVMConstVector(step, (unsigned)m->lanes);
  return LLVMBuildGEP2(e->b, m->elem, address(e, m, 0), &steps, 1, "");
}

static LLVMValueRef lane_mask(emitter *e, const access *m) {
  if (m->mask != NULL) return m->mask;
  return emit_splat_int(emit_vec(LLVMInt1TypeInContext(e->c), m->lanes), 1);
}

static LLVMValueRef load_gather(emitter *e, const access *m) {
  LLVMValueRef p = lane_addresses(e, m);
  LLVMTypeRef type = emit_vec(m->elem, m->lanes);
  LLVMTypeRef types[2] = {type, LLVMTypeOf(p)};
  LLVMValueRef align = LLVMConstInt(LLVMInt32TypeInContext(e->c), m->size, 0);
  LLVMValueRef args[4] = {p, align, lane_mask(e, m), LLVMConstNull(type)};
  return mark(e, m, emit_intrinsic(e, "llvm.masked.gather", 2, types, 4, args));
}

/* Lanes `step` apart from one pointer on: overlapping wide loads that end with the last element,
 * then for each load a shuffle that adds its elements to those so far. */
static LLVMValueRef load_strided(emitter *e, const access *m, int64_t first, int step) {
  int n = m->lanes, span = (n - 1) * step + 1, lane = 0;
  LLVMTypeRef type = emit_vec(m->elem, n);
  LLVMValueRef v = NULL;
  while (lane < n) {
    int begin = lane * step + n > span ? span - n : lane * step;
    LLVMValueRef wide = load_at(e, m, type, address(e, m, first + begin), m->size);
    int pick[64];
    for (int l = 0; l < n; ++l) {
      int from = l * step - begin;
      pick[l] = l < lane ? l : from >= 0 && from < n ? from + (v != NULL ? n : 0) : -1;
    }
    v = emit_shuffle(e, v != NULL ? v : wide, v != NULL ? wide : NULL, n, pick);
    while (lane < n && lane * step - begin < n) ++lane;
  }
  return v;
}

static LLVMValueRef reverse(emitter *e, LLVMValueRef v, int n) {
  int pick[64];
  for (int l = 0; l < n; ++l) pick[l] = n - 1 - l;
  return emit_shuffle(e, v, NULL, n, pick);
}

static LLVMValueRef load_bits(emitter *e, const access *m) {
  bool near = m->stride >= -8 && m->stride <= 8 && m->stride != 0 && m->lanes <= 64;
  if (m->mask != NULL && m->array->space == SPACE_REG) {
    access all = *m;
    all.mask = NULL;
    return LLVMBuildSelect(e->b, m->mask, load_bits(e, &all),
                           LLVMConstNull(emit_vec(m->elem, m->lanes)), "");
  }
  if (m->stride == 1 && m->lanes > 1 && m->mask != NULL) {
    LLVMValueRef all = same_in_all_lanes(e, m);
    return all != NULL ? load_all_or_none(e, m, all) : load_masked(e, m);
  }
  if (gathers(e, m)) return load_gather(e, m);
  if (m->lanes == 1 || m->mask != NULL || !near) return load_each(e, m);
  if (m->lanes <= llabs(m->stride) && m->lanes > 1)
    return load_each(e, m); /* a load an element anyway */
  if (m->stride == 1) return load_at(e, m, emit_vec(m->elem, m->lanes), address(e, m, 0), m->align);
  if (m->stride > 1) return load_strided(e, m, 0, (int)m->stride);
  return reverse(e, load_strided(e, m, (m->lanes - 1) * m->stride, (int)-m->stride), m->lanes);
}

LLVMValueRef emit_load(emitter *e, const lin_ins *i) {
  access m = access_of(e, i, 1);
  LLVMValueRef v = load_bits(e, &m);
  if (m.array->dtype == WN_F16 || m.array->dtype == WN_BF16)
    return emit_widen(e, v, m.array->dtype, m.lanes);
  if (m.array->dtype != WN_BOOL) return v;
  return LLVMBuildICmp(e->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "");
}

/* --- stores ----------------------------------------------------------------------------------- */

static void store_each(emitter *e, const access *m, LLVMValueRef v) {
  for (int l = 0; l < m->lanes; ++l) {
    LLVMValueRef p = lane_address(e, m, l);
    LLVMValueRef x = emit_lane(e, v, l);
    if (m->mask != NULL) p = LLVMBuildSelect(e->b, emit_lane(e, m->mask, l), p, sink(e), "");
    store_at(e, m, x, p, m->size);
  }
}

static void store_scatter(emitter *e, const access *m, LLVMValueRef v) {
  LLVMValueRef p = lane_addresses(e, m);
  LLVMTypeRef types[2] = {LLVMTypeOf(v), LLVMTypeOf(p)};
  LLVMValueRef align = LLVMConstInt(LLVMInt32TypeInContext(e->c), m->size, 0);
  LLVMValueRef args[4] = {v, p, align, lane_mask(e, m)};
  mark(e, m, emit_intrinsic(e, "llvm.masked.scatter", 2, types, 4, args));
}

static void store_masked(emitter *e, const access *m, LLVMValueRef v) {
  LLVMTypeRef types[2] = {LLVMTypeOf(v), LLVMPointerTypeInContext(e->c, 0)};
  LLVMValueRef align = LLVMConstInt(LLVMInt32TypeInContext(e->c), m->align, 0);
  LLVMValueRef args[4] = {v, address(e, m, 0), align, m->mask};
  mark(e, m, emit_intrinsic(e, "llvm.masked.store", 2, types, 4, args));
}

void emit_store(emitter *e, const lin_ins *i) {
  access m = access_of(e, i, 2);
  LLVMValueRef v = e->value[i->src[1]];
  if (m.array->dtype == WN_F16 || m.array->dtype == WN_BF16)
    v = emit_narrow(e, v, m.array->dtype, m.lanes);
  if (m.array->dtype == WN_BOOL) v = LLVMBuildZExt(e->b, v, emit_vec(m.elem, m.lanes), "");
  if (m.mask != NULL && m.array->space == SPACE_REG) {
    access all = m;
    all.mask = NULL;
    v = LLVMBuildSelect(e->b, m.mask, v, load_bits(e, &all), "");
    m.mask = NULL;
  }
  if (m.lanes > 1 && m.stride == -1 && m.mask == NULL) {
    store_at(e, &m, reverse(e, v, m.lanes), address(e, &m, 1 - m.lanes), m.size);
  } else if (m.stride != 1 && gathers(e, &m)) {
    store_scatter(e, &m, v);
  } else if (m.lanes == 1 || m.stride != 1) {
    store_each(e, &m, v);
  } else if (m.mask != NULL) {
    store_masked(e, &m, v);
  } else {
    store_at(e, &m, v, address(e, &m, 0), m.align);
  }
}

void emit_prefetch(emitter *e, const lin_ins *i) {
  access m = access_of(e, i, 1);
  LLVMTypeRef i32 = LLVMInt32TypeInContext(e->c), type = LLVMPointerTypeInContext(e->c, 0);
  LLVMValueRef args[4] = {address(e, &m, 0), LLVMConstInt(i32, i->j != 0, 0),
                          LLVMConstInt(i32, 2, 0), LLVMConstInt(i32, 1, 0)};
  emit_intrinsic(e, "llvm.prefetch", 1, &type, 4, args);
}
