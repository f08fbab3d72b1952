/* Kernels as the bytes of a key. In: linear kernels. Out: their canonical form; see kernel_key.h.
 *
 * Always holds: every field has its length before it or a fixed one, so different kernels cannot
 * run into the same bytes; pointers are followed, never written; texts for people (name, stage,
 * loops, names of arrays) and figures about the kernel are left out, since no code depends on them. */
#include "store/kernel_key.h"

#include "base/map.h"

#include "source_hash.h" /* WN_SOURCE_HASH, made by the build */

static void add_int(str *key, int64_t v) { str_addn(key, (const char *)&v, sizeof v); }

static void add_array(str *key, const lin_array *a) {
  const int64_t fields[] = {a->dtype,  a->space, a->len,     a->slot,
                            a->offset, a->read,  a->written, a->aligned};
  str_addn(key, (const char *)fields, sizeof fields);
}

static void add_instruction(str *key, const lin_ins *ins) {
  const uint8_t head[] = {ins->op,
                          ins->dtype,
                          (uint8_t)(ins->lanes & 0xff),
                          (uint8_t)(ins->lanes >> 8),
                          ins->nsrc,
                          ins->whole,
                          ins->transposed,
                          ins->matrix};
  str_addn(key, (const char *)head, sizeof head);
  str_addn(key, (const char *)ins->src, ins->nsrc * sizeof ins->src[0]);
  add_int(key, ins->disp);
  add_int(key, ins->i);
  if (op_table[ins->op].arg != ARG_LIST) {
    add_int(key, ins->j); /* or the bits of f */
    return;
  }
  add_int(key, ins->list->len);
  for (int i = 0; i < ins->list->len; ++i) add_int(key, ins->list->at[i]);
}

void kernel_key_add(str *key, const lin_kernel *k) {
  const int64_t head[] = {k->grid,
                          (int64_t)k->scratch_bytes,
                          k->once,
                          (int64_t)k->arrays.len,
                          (int64_t)k->ins.len,
                          k->group,
                          k->narrow,
                          (int64_t)k->pairs.len};
  str_printf(key, "%s\n", WN_SOURCE_HASH);
  str_addn(key, (const char *)head, sizeof head);
  for (size_t i = 0; i < k->arrays.len; ++i) add_array(key, &k->arrays.data[i]);
  for (size_t i = 0; i < k->pairs.len; ++i) {
    add_int(key, k->pairs.data[i].stored);
    add_int(key, k->pairs.data[i].read);
  }
  for (size_t i = 0; i < k->ins.len; ++i) add_instruction(key, &k->ins.data[i]);
}

const char *kernel_symbol(arena *a, const str *key) {
  return arena_printf(a, "wn_%016llx%016llx",
                      (unsigned long long)hash_bytes(key->data, key->len, 0x6b657931),
                      (unsigned long long)hash_bytes(key->data, key->len, 0x6b657932));
}
