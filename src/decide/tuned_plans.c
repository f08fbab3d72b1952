/* Keys and values of tuned plans; see plans.h.
 *
 * A graph is named by a hash of its nodes in the order of a depth-first walk from the root: node numbers, numbers of
 * loops and slots of buffers, which other tensors of the context shift, become positions in that walk. 128 bits in two
 * halves with seeds of their own; graphs that differ get equal keys as rarely as memory fails. */
#include "decide/tuned_plans.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_TEXT = 4096 }; /* a schedule is a few hundred characters */

typedef struct naming {
  graph *g;
  arena *a;
  const bool *constant;
  map position;         /* node id -> position in the walk */
  map loops;            /* number of a RANGE -> position */
  VEC(const uop *) all; /* by position */
  uint64_t half[2];
} naming;

static void add_bytes(naming *n, const void *p, size_t size) {
  for (int i = 0; i < 2; ++i) n->half[i] = hash_bytes(p, size, n->half[i]);
}

static void add_number(naming *n, int64_t v) { add_bytes(n, &v, sizeof v); }

static void add_list(naming *n, const int_list *list) {
  add_number(n, list == NULL ? -1 : list->len);
  for (int i = 0; list != NULL && i < list->len; ++i) add_number(n, list->at[i]);
}

static void add_info(naming *n, const bufferize_info *info) {
  add_number(n, info->space);
  add_number(n, info->explicit_);
  add_number(n, info->stage);
}

/* A loop's number and a buffer's slot are left out: where else the node is read says which it is. */
static void add_argument(naming *n, const uop *u) {
  switch (op_table[u->op].arg) {
    case ARG_NONE:
      break;
    case ARG_RANGE:
      add_number(n, u->arg.j);
      break;
    case ARG_BUF:
      add_number(n, n->constant[u->arg.i]);
      add_list(n, u->arg.list);
      break;
    case ARG_LIST:
      add_list(n, u->arg.list);
      break;
    case ARG_INFO:
      add_info(n, u->arg.info);
      break;
    case ARG_INT:
    case ARG_FLOAT:
    case ARG_NUM:
    case ARG_ALU:
      add_number(n, u->arg.i);
      add_number(n, u->arg.j);
      break;
  }
}

static void add_node(naming *n, const uop *u) {
  const char *name = op_table[u->op].name;
  add_bytes(n, name, strlen(name));
  add_number(n, u->dtype);
  add_number(n, u->nsrc);
  for (int i = 0; i < u->nsrc; ++i) {
    uint64_t at = MAP_NONE;
    map_get(&n->position, u->src[i]->id, &at);
    add_number(n, (int64_t)at);
  }
  map_put(&n->position, u->id, n->all.len);
  if (u->op == OP_RANGE) map_put(&n->loops, (uint64_t)u->arg.i, n->all.len);
  vec_push(n->a, &n->all, u);
  add_argument(n, u);
}

/* Sources before users, in the order in which users name them. */
static void walk(naming *n, const uop *root) {
  VEC(const uop *) open = {0};
  uint64_t seen;
  vec_push(n->a, &open, root);
  while (open.len > 0) {
    const uop *u = open.data[open.len - 1];
    int next = 0;
    while (next < u->nsrc && map_get(&n->position, u->src[next]->id, &seen)) ++next;
    if (next < u->nsrc) {
      vec_push(n->a, &open, u->src[next]);
      continue;
    }
    --open.len;
    if (!map_get(&n->position, u->id, &seen)) add_node(n, u);
  }
}

const char *plans_key(graph *g, const uop *root, const bool *constant, const runtime *rt,
                      const wn_options *o) {
  naming n = {.g = g, .a = &g->arena, .constant = constant, .half = {0x77696e6e, 0x6f770001}};
  map_init(&n.position, n.a);
  map_init(&n.loops, n.a);
  walk(&n, root);
  str key;
  str_init(&key, n.a);
  str_printf(&key, "graph %016llx%016llx\n", (unsigned long long)n.half[0],
             (unsigned long long)n.half[1]);
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
