/* Sites; see sites.h. One walk meets sources first, so a convolution comes before the value that it is stored in. */
#include "schedule/sites.h"

#include "ir/walk.h"
#include "rewrite/scratch.h"
#include "rewrite/transform.h"
#include "winograd/recognise.h"

const char *const site_kind_name[SITE_KINDS] = {"conv", "product", "sum", "map"};

typedef struct numbering {
  graph *g;
  arena *a;
  VEC(graph_site) all;
  map met;  /* id of a REDUCE that the recogniser knows -> number, in the graph without numbers */
  map home; /* label of a stored value -> its number */
  site_list out;
} numbering;

static bool is_product(const uop *u) {
  return u->op == OP_REDUCE && u->arg.i == OP_ADD && u->src[0]->op == OP_MUL;
}

static int add_site(numbering *n, graph_site s) {
  vec_push(&n->g->arena, &n->all, s);
  return (int)n->all.len - 1;
}

/* The number of a stored value: of the first convolution in it, or one of its own. */
static int number_stored(numbering *n, const uop *b) {
  uop_order all = uop_walk_value(n->a, b->src[0]);
  graph_site s = {.kind = SITE_MAP, .result = b->arg.info->explicit_};
  int home = -1;
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i];
    uint64_t number;
    if (u->op != OP_REDUCE) continue;
    if (map_get(&n->met, u->id, &number)) {
      graph_site *conv = &n->all.data[number];
      if (conv->home >= 0) continue; /* another value has it too */
      if (home < 0) home = (int)number;
      conv->home = home;
      conv->result = s.result;
    } else if (s.kind != SITE_PRODUCT) {
      s.kind = is_product(u) ? SITE_PRODUCT : SITE_SUM;
    }
  }
  if (home >= 0) return home;
  home = add_site(n, s);
  n->all.data[home].home = home;
  return home;
}

static void number_all(numbering *n, const uop *root) {
  uop_order all = uop_toposort(n->a, 1, &root);
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i];
    wino_match m;
    if (u->op == OP_REDUCE && wino_recognise(n->g, u, &m) == NULL)
      map_put(&n->met, u->id, (uint64_t)add_site(n, (graph_site){.kind = SITE_CONV, .home = -1}));
    if (u->op == OP_BUFFERIZE)
      map_put(&n->home, (uintptr_t)u->arg.info->name, (uint64_t)number_stored(n, u));
  }
}

static const uop *label(void *user, const uop *u) {
  const numbering *n = user;
  uint64_t number;
  if (u->op != OP_BUFFERIZE || !map_get(&n->home, (uintptr_t)u->arg.info->name, &number)) return u;
  bufferize_info info = *u->arg.info;
  info.site = (int32_t)number;
  return uop_bufferize(n->g, u->src[0], u->nsrc - 1, u->src + 1, info);
}

/* The convolutions of a stored value in the graph with numbers: nodes over numbered values are new ones. */
static void find_convs(numbering *n, const uop *b) {
  uop_order all = uop_walk_value(n->a, b->src[0]);
  size_t next = (size_t)b->arg.info->site;
  for (size_t i = 0; i < all.len; ++i) {
    uint64_t known;
    wino_match m;
    const uop *u = all.at[i];
    if (u->op != OP_REDUCE || map_get(&n->out.numbers, u->id, &known)) continue;
    if (wino_recognise(n->g, u, &m) != NULL) continue;
    while (next < n->all.len && n->all.data[next].home != b->arg.info->site) ++next;
    WN_CHECK(next < n->all.len, "a convolution more than before in %s", b->arg.info->name);
    map_put(&n->out.numbers, u->id, next++);
  }
}

static void number_sites(arena *a, void *state) {
  numbering *n = state;
  n->a = a;
  map_init(&n->met, a);
  map_init(&n->home, a);
  number_all(n, n->out.root);
  n->out.root = simplify(n->g, uop_transform(n->g, a, n->out.root, label, n));
  uop_order all = uop_toposort(a, 1, &n->out.root);
  for (size_t i = 0; i < all.len; ++i) {
    if (all.at[i]->op == OP_BUFFERIZE) find_convs(n, all.at[i]);
  }
  n->out.n = (int)n->all.len;
  n->out.at = n->all.data;
}

site_list sites_of(graph *g, const uop *root) {
  numbering n = {.g = g, .out.root = root};
  map_init(&n.out.numbers, &g->arena);
  with_scratch(g->diag, number_sites, &n);
  return n.out;
}
