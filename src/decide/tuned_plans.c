/* Keys and values of tuned plans; see plans.h.
 *
 * A graph is named by a hash of its nodes, each made of those of its sources: from nothing that other values of the
 * graph or other tensors of the context shift. So a loop is known by its place among those that are bound with it, an
 * array by how it is read, and terms of a sum have no order, for that is their age. 128 bits in two halves with seeds of
 * their own; graphs that differ in more than which of several arrays that are read alike stands where get equal keys as
 * rarely as memory fails. */
#include "decide/tuned_plans.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ir/walk.h"

enum { MOST_TEXT = 4096 }; /* a schedule is a few hundred characters */

typedef struct naming {
  arena *a;
  const bool *constant;
  uop_order all;
  map depth; /* node id -> sums that it is in */
  map hash; /* node id -> of what it is made of; of a loop and an array to begin with: of what it is known by */
  map terms; /* node id of operands that commute and may be put in other brackets -> sum of their hashes */
  int arrays; /* there are */
} naming;

static uint64_t get(const map *m, const uop *u) {
  uint64_t value = 0;
  map_get(m, u->id, &value);
  return value;
}

static uint64_t add_number(uint64_t hash, uint64_t v) { return hash_bytes(&v, sizeof v, hash); }

static uint64_t add_list(uint64_t hash, const int_list *list) {
  hash = add_number(hash, list == NULL ? 0 : (uint64_t)list->len + 1);
  for (int i = 0; list != NULL && i < list->len; ++i)
    hash = add_number(hash, (uint64_t)list->at[i]);
  return hash;
}

static uint64_t add_argument(const naming *n, uint64_t hash, const uop *u) {
  switch (op_table[u->op].arg) {
    case ARG_NONE:
      return hash;
    case ARG_RANGE:
      return add_number(hash, (uint64_t)u->arg.j);
    case ARG_BUF:
      return add_list(add_number(hash, n->constant[u->arg.i]), u->arg.list);
    case ARG_LIST:
      return add_list(hash, u->arg.list);
    case ARG_INFO:
      hash = add_number(hash, (uint64_t)u->arg.info->space);
      hash = add_number(hash, u->arg.info->explicit_);
      return add_number(hash, (uint64_t)u->arg.info->stage);
    case ARG_INT:
    case ARG_FLOAT:
    case ARG_NUM:
    case ARG_ALU:
      return add_number(add_number(hash, (uint64_t)u->arg.i), (uint64_t)u->arg.j);
  }
  return hash;
}

/* --- sums ------------------------------------------------------------------------------------- */

static bool has_terms(const uop *u) { return op_table[u->op].flags & UOP_COMM && u->nsrc == 2; }

/* Whether a source's terms are those of the node: integers and truths may be bracketed in any way. */
static bool is_chain(const uop *u, const uop *source) {
  return source->op == u->op && source->dtype == u->dtype && !dtype_is_float(u->dtype);
}

static uint64_t terms_of(const naming *n, const uop *u) {
  uint64_t terms = 0;
  for (int i = 0; i < u->nsrc; ++i) {
    const uop *source = u->src[i];
    terms += is_chain(u, source) ? get(&n->terms, source) : add_number(1, get(&n->hash, source));
  }
  return terms;
}

/* --- nodes ------------------------------------------------------------------------------------ */

static void add_node(naming *n, const uop *u) {
  const char *name = op_table[u->op].name;
  uint64_t hash = hash_bytes(name, strlen(name), get(&n->hash, u));
  hash = add_argument(n, add_number(hash, u->dtype), u);
  if (has_terms(u)) {
    const uint64_t terms = terms_of(n, u);
    map_put(&n->terms, u->id, terms);
    hash = add_number(hash, terms);
  }
  for (int i = 0; i < u->nsrc && !has_terms(u); ++i)
    hash = add_number(hash, get(&n->hash, u->src[i]));
  map_put(&n->hash, u->id, hash);
}

static uint64_t hash_all(naming *n) {
  for (size_t i = 0; i < n->all.len; ++i) add_node(n, n->all.at[i]);
  return get(&n->hash, n->all.at[n->all.len - 1]);
}

/* In how many sums a node is: the same at all its places, or what is bound there would be read outside. */
static void find_depths(naming *n) {
  map_init(&n->depth, n->a);
  for (size_t i = n->all.len; i-- > 0;) {
    const uop *u = n->all.at[i];
    const uint64_t inside = get(&n->depth, u) + (u->op == OP_REDUCE);
    for (int k = 0; k < u->nsrc; ++k)
      if (get(&n->depth, u->src[k]) < inside) map_put(&n->depth, u->src[k]->id, inside);
  }
}

static void know_loops(naming *n, uint64_t seed) {
  for (size_t i = 0; i < n->all.len; ++i) {
    const uop *u = n->all.at[i];
    const uint64_t binder = add_number(seed, get(&n->depth, u) * 2 + (u->op == OP_REDUCE));
    if (u->op != OP_REDUCE && u->op != OP_BUFFERIZE) continue;
    for (int k = 1; k < u->nsrc; ++k)
      map_put(&n->hash, u->src[k]->id, add_number(binder, (uint64_t)k));
  }
}

/* By what was hashed before it was known. */
static void know_arrays(naming *n) {
  map known;
  map_init(&known, n->a);
  n->arrays = 0;
  for (size_t i = 0; i < n->all.len; ++i) {
    const uop *u = n->all.at[i];
    n->arrays += u->op == OP_BUFFER;
    if (u->op == OP_INDEX)
      map_put(&known, u->src[0]->id, get(&known, u->src[0]) + add_number(2, get(&n->hash, u)));
  }
  for (size_t i = 0; i < n->all.len; ++i)
    if (n->all.at[i]->op == OP_BUFFER)
      map_put(&n->hash, n->all.at[i]->id, get(&known, n->all.at[i]));
}

static uint64_t hash_graph(naming *n, uint64_t seed) {
  map_init(&n->hash, n->a);
  map_init(&n->terms, n->a);
  know_loops(n, seed);
  hash_all(n);
  know_arrays(n);
  know_loops(n, seed);
  return add_number(hash_all(n), (uint64_t)n->arrays);
}

const char *plans_key(graph *g, const uop *root, const bool *constant, const runtime *rt,
                      const wn_options *o) {
  naming n = {.a = &g->arena, .constant = constant, .all = uop_toposort(&g->arena, 1, &root)};
  find_depths(&n);
  const uint64_t half[] = {hash_graph(&n, 0x77696e6e), hash_graph(&n, 0x6f770001)};
  str key;
  str_init(&key, n.a);
  str_printf(&key, "graph %016llx%016llx\n", (unsigned long long)half[0],
             (unsigned long long)half[1]);
  str_printf(&key, "math %d, weights %s, backend %s, lines %d, memory %zu%s%s\n", (int)o->math,
             o->variable_weights ? "variable" : "constant", runtime_backend(rt), o->max_lines,
             o->max_memory, o->no_merge ? ", no merging" : "",
             o->flush_subnormals ? ", flushing" : "");
  store_add_machine(&key, runtime_machine(rt));
  return str_text(&key);
}

const char *plans_key_cold(arena *a, const char *key, bool cold) {
  return cold ? arena_printf(a, "%sweights cold\n", key) : key;
}

/* --- values ----------------------------------------------------------------------------------- */

/* "1 17250 490000 x=local,...": a format, nanoseconds, error in 1e-12, schedule; no locale writes these numbers in
 * another way. */

bool plans_get(store *s, diag *d, arena *a, const char *key, stored_plan *out) {
  size_t size;
  const char *value = store_get(s, a, STORE_PLANS, key, strlen(key), &size);
  if (value == NULL) return false;
  char *text = arena_alloc(a, size + 1), *end;
  memcpy(text, value, size);
  bool ok = size > 2 && size < MOST_TEXT && strlen(text) == size && strncmp(text, "1 ", 2) == 0;
  if (ok) {
    out->us = (double)strtoll(text + 2, &end, 10) * 1e-3;
    out->error = (double)strtoll(end, &end, 10) * 1e-12;
    ok = *end == ' ' && end[1] != '\0' && out->us > 0 && out->error >= 0;
    out->text = end + 1;
  }
  if (!ok) diag_warn(d, "a tuned plan in the cache cannot be read and is not used; tune it again");
  return ok;
}

bool plans_put(store *s, arena *a, const char *key, const stored_plan *plan) {
  const char *value = arena_printf(a, "1 %lld %lld %s", llround(plan->us * 1e3),
                                   llround(plan->error * 1e12), plan->text);
  return store_put(s, STORE_PLANS, key, strlen(key), value, strlen(value));
}
