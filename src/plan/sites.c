/* Stored values and sites; see sites.h. */
#include "plan/sites.h"

#include <stdlib.h>

#include "ir/walk.h"
#include "lower/cats.h"
#include "lower/compact.h"
#include "lower/lower.h"
#include "plan/fuse.h"
#include "rewrite/rewrite.h"
#include "rewrite/scratch.h"
#include "rewrite/transform.h"
#include "winograd/recognise.h"

const char *const site_kind_name[SITE_KINDS] = {"conv", "product", "sum", "map"};
const char *const layout_reason_name[LAYOUT_REASONS] = {
    "chosen",   "said",        "to fit",        "device",       "output",
    "constant", "no channels", "last as given", "few channels", "part"};

typedef struct finding {
  graph *g;
  arena *a; /* until all are found */
  const uop *root;
  const user_buffer *user;
  const site_list *before; /* whose numbers are kept; NULL */
  map old;                 /* by label: index in `before` + 1 */
  VEC(stored_value) values;
  VEC(graph_site) sites;
  map by_node;      /* id of a BUFFERIZE -> index of its value */
  map by_canonical; /* id of a canonical one, loops not joined -> index of the first value that has it */
  VEC(const uop *) forms; /* by value: that form; NULL: of a concatenation */
  VEC(const uop *) loop;  /* canonical loops: every extent has as many as a value needed */
  map loops;              /* extent -> index + 1 in `loop` of its first */
  VEC(int) next;          /* by index in `loop`: the next of this extent, -1 */
  map readers;            /* id of an array -> how many values read it */
  cat_places cats;
  map varying; /* id of a BUFFERIZE -> 1: not constant, if only because it is a part of what is not */
  site_list out;
} finding;

/* --- the arrays of a value -------------------------------------------------------------------- */

typedef struct array_use {
  const uop *base; /* BUFFER of the caller's, or BUFFERIZE */
  int index;       /* as in stored_value.array */
  wn_dtype dtype;
  int64_t len;
  bool constant;
  size_t met; /* position in the walk */
} array_use;

/* What tells arrays apart in equal values, whenever their nodes were made; at last the order in which they are met. */
static int by_kind(const void *a, const void *b) {
  const array_use *x = a, *y = b;
  if (x->constant != y->constant) return x->constant - y->constant;
  if (x->len != y->len) return x->len < y->len ? -1 : 1;
  if (x->dtype != y->dtype) return x->dtype < y->dtype ? -1 : 1;
  return (x->met > y->met) - (x->met < y->met);
}

static array_use use_of(const finding *f, const uop *base, size_t met) {
  array_use u = {.base = base, .met = met, .dtype = (wn_dtype)base->dtype};
  if (base->op == OP_BUFFER) {
    u.index = (int)base->arg.i;
    u.len = f->user[base->arg.i].len;
    u.constant = f->user[base->arg.i].constant;
    return u;
  }
  uint64_t at;
  bool known = map_get(&f->by_node, base->id, &at);
  WN_CHECK(known, "%s is read before it is known", base->arg.info->name);
  const stored_value *v = &f->values.data[at];
  u.index = ~(int)at;
  u.len = v->len;
  u.constant = v->constant;
  return u;
}

/* --- the canonical form ----------------------------------------------------------------------- */

typedef struct canon {
  finding *f;
  const uop **from, **to; /* its loops */
  int nloops;
  map buffer; /* id of an array's node -> its BUFFER */
  map used;   /* extent -> index + 1 of the last loop of this extent that was given out */
} canon;

/* The next canonical loop of this extent. */
static const uop *next_loop(canon *c, int64_t extent) {
  finding *f = c->f;
  uint64_t last;
  int at = -1;
  if (map_get(&c->used, (uint64_t)extent, &last))
    at = f->next.data[last - 1];
  else if (map_get(&f->loops, (uint64_t)extent, &last))
    at = (int)last - 1;
  if (at < 0) {
    at = (int)f->loop.len;
    vec_push(f->a, &f->loop, uop_range(f->g, extent, NULL));
    vec_push(f->a, &f->next, -1);
    if (map_get(&c->used, (uint64_t)extent, &last))
      f->next.data[last - 1] = at;
    else
      map_put(&f->loops, (uint64_t)extent, (uint64_t)at + 1);
  }
  map_put(&c->used, (uint64_t)extent, (uint64_t)at + 1);
  return f->loop.data[at];
}

static void add_loops(canon *c, const uop *binder) {
  for (int i = 1; i < binder->nsrc; ++i) {
    const uop *r = binder->src[i];
    bool known = false;
    for (int k = 0; k < c->nloops && !known; ++k) known = c->from[k] == r;
    if (known) continue;
    c->from[c->nloops] = r;
    c->to[c->nloops++] = next_loop(c, r->arg.j);
  }
}

/* A read of an array: of a stored value flat, as the caller's are, with the gaps that it has. */
static const uop *canonical_node(void *user, const uop *u) {
  const canon *c = user;
  graph *g = c->f->g;
  if (u->op == OP_RANGE) {
    for (int i = 0; i < c->nloops; ++i) {
      if (c->from[i] == u) return c->to[i];
    }
    return u;
  }
  if (u->op != OP_INDEX) return u;
  const uop *base = u->src[0], *buffer = map_get_ptr(&c->buffer, base->id);
  if (buffer == NULL) return u;
  if (base->op == OP_BUFFER) return uop_index(g, buffer, u->src[1], u->nsrc - 2, u->src + 2);
  const cat_place *place = cat_place_of(&c->f->cats, base);
  const uop *flat = uop_int(g, 0);
  for (int i = 0; i < base->nsrc - 1; ++i) {
    const int64_t stride = place != NULL ? place->stride[i] : uop_stride(base, i);
    flat = uop_add(g, flat, uop_muli(g, u->src[i + 2], stride));
  }
  return uop_index(g, buffer, u->src[1], 1, &flat);
}

/* Of an array between parts of another: how far its loops step; NULL where it is in one piece. */
static const int_list *gaps_of(const finding *f, const uop *b) {
  const cat_place *place = cat_place_of(&f->cats, b);
  bool gaps = false;
  for (int i = 0; place != NULL && i < b->nsrc - 1; ++i)
    gaps |= place->stride[i] != uop_stride(b, i);
  return gaps ? intern_list(f->g, b->nsrc - 1, place->stride) : NULL;
}

static const uop *canonical_of(canon *c, const uop *b, uop_order all, const array_use *use,
                               int nuse) {
  finding *f = c->f;
  graph *g = f->g;
  int most = b->nsrc;
  for (size_t i = 0; i < all.len; ++i) most += all.at[i]->op == OP_REDUCE ? all.at[i]->nsrc : 0;
  c->from = arena_array(f->a, const uop *, most);
  c->to = arena_array(f->a, const uop *, most);
  map_init(&c->buffer, f->a);
  map_init(&c->used, f->a);
  add_loops(c, b);
  for (size_t i = all.len; i-- > 0;) {
    if (all.at[i]->op == OP_REDUCE) add_loops(c, all.at[i]);
  }
  for (int i = 0; i < nuse; ++i) {
    map_put_ptr(&c->buffer, use[i].base->id, uop_buffer(g, i, use[i].dtype, 1, &use[i].len));
  }
  const uop *value = uop_transform_value(g, f->a, b->src[0], canonical_node, c);
  const bufferize_info info = {.name = "result",
                               .space = SPACE_GLOBAL,
                               .explicit_ = true,
                               .site = 0,
                               .stage = STAGE_COUNT,
                               .stride = gaps_of(f, b)};
  return simplify(g, uop_bufferize(g, value, b->nsrc - 1, c->to, info));
}

/* --- values and their sites ------------------------------------------------------------------- */

static bool is_product(const uop *u) {
  return u->op == OP_REDUCE && u->arg.i == OP_ADD && u->src[0]->op == OP_MUL;
}

static site_kind kind_of_sums(finding *f, const uop *value, stored_value *v) {
  uop_order all = uop_walk_value(f->a, value->src[0]);
  VEC(const uop *) convs = {0};
  site_kind kind = SITE_MAP;
  for (size_t i = 0; i < all.len; ++i) {
    wino_match m;
    const uop *u = all.at[i];
    if (u->op != OP_REDUCE) continue;
    if (wino_recognise(f->g, u, &m) == NULL)
      vec_push(&f->g->arena, &convs, u);
    else if (kind != SITE_PRODUCT)
      kind = is_product(u) ? SITE_PRODUCT : SITE_SUM;
  }
  v->nconvs = (int)convs.len;
  v->conv = convs.data;
  return convs.len > 0 ? SITE_CONV : kind;
}

static const uop *loop_for(void *user, int64_t extent) { return next_loop(user, extent); }

/* What is no convolution goes through as few loops as there are; but for maps that might be stored with others that read
 * the same (joins.h): with other loops they could not be. Sums would round otherwise than they do by themselves. */
static site_kind find_convs(finding *f, canon *c, stored_value *v, bool in_company) {
  site_kind kind = kind_of_sums(f, v->canonical, v);
  if (kind == SITE_CONV || (kind == SITE_MAP && in_company)) return kind;
  v->canonical = fuse_loops(f->g, f->a, v->canonical, loop_for, c);
  return kind;
}

/* Which sum of the tensor graph a convolution is: its loops were made for that. */
static const uop *const *sums_of(const canon *c, const stored_value *v) {
  graph *g = c->f->g;
  const uop **sum = arena_array(&g->arena, const uop *, v->nconvs + 1);
  for (int i = 0; i < v->nconvs; ++i) {
    for (int k = 0; k < c->nloops; ++k) {
      if (c->to[k] == v->conv[i]->src[1])
        sum[i] = map_get_ptr(&g->sums, (uint64_t)c->from[k]->arg.i);
    }
  }
  return sum;
}

/* Numbers as they were before some values were inlined or got another layout. */
static void keep_sites(finding *f, stored_value *v, const stored_value *old) {
  if (v->nconvs != old->nconvs)
    diag_fail(f->g->diag, WN_ERR_REFUSED,
              "what %s reads cannot be inlined: it would not be known as a convolution any more",
              site_text(&f->g->arena, f->before, old->first));
  v->first = old->first;
  v->nsites = old->nsites;
  v->layout = old->layout;
  v->layout_why = old->layout_why;
  v->layout_gain = old->layout_gain;
  v->channels = old->channels;
  v->before_channels = old->before_channels;
  for (int i = 0; i < v->nsites; ++i) f->sites.data[v->first + i].value = (int)f->values.len;
}

static int result_number(const char *label) {
  return (int)strtol(label + strlen("result"), NULL, 10);
}

/* Every value is a reader of the arrays in it. */
static void count_readers(finding *f, uop_order all) {
  for (size_t i = 0; i < all.len; ++i) {
    if (all.at[i]->op != OP_BUFFERIZE || is_whole(all.at[i])) continue;
    uop_order own = uop_walk_value(f->a, all.at[i]->src[0]);
    for (size_t k = 0; k < own.len; ++k)
      if (own.at[k]->op == OP_BUFFER || own.at[k]->op == OP_BUFFERIZE)
        tensor_add_readers(&f->readers, own.at[k], 1);
  }
}

static bool reads_with_others(const finding *f, const array_use *use, size_t n) {
  for (size_t i = 0; i < n; ++i)
    if (!use[i].constant && tensor_readers(&f->readers, use[i].base) > 1) return true;
  return false;
}

static void add_value(finding *f, const uop *b) {
  uint64_t known;
  uop_order all = uop_walk_value(f->a, b->src[0]);
  VEC(array_use) uses = {0};
  stored_value v = {.label = b->arg.info->name, .constant = true, .result = -1};
  for (size_t i = 0; i < all.len; ++i) {
    if (all.at[i]->op == OP_BUFFER || all.at[i]->op == OP_BUFFERIZE)
      vec_push(f->a, &uses, use_of(f, all.at[i], i));
  }
  if (uses.len > 0) qsort(uses.data, uses.len, sizeof *uses.data, by_kind);
  int *array = arena_array(&f->g->arena, int, uses.len + 1);
  for (size_t i = 0; i < uses.len; ++i) {
    array[i] = uses.data[i].index;
    v.constant &= uses.data[i].constant;
  }
  v.narrays = (int)uses.len;
  v.array = array;
  v.len = uop_elements(b);
  if (b->arg.info->explicit_) v.result = result_number(v.label);
  /* every run makes a result, so nothing that reads it is made before */
  v.constant &= v.result < 0 && !map_get(&f->varying, b->id, &known);
  canon c = {.f = f};
  v.canonical = canonical_of(&c, b, all, uses.data, v.narrays);
  v.span = uop_span(v.canonical);
  /* equal forms over arrays that are constant in one and not in the other are not alike */
  const bool company = reads_with_others(f, uses.data, uses.len);
  uint64_t key = v.canonical->id * 2 + company;
  for (size_t i = 0; i < uses.len; ++i) key = key * 31 + (uint64_t)(uses.data[i].constant + 1);
  key &= MAP_NONE >> 1;
  v.alike = (int)f->values.len;
  vec_push(f->a, &f->forms, v.canonical);
  site_kind kind = SITE_MAP;
  if (map_get(&f->by_canonical, key, &known) && f->forms.data[known] == v.canonical) {
    const stored_value *first = &f->values.data[known];
    v.alike = (int)known;
    v.canonical = first->canonical;
    v.nconvs = first->nconvs;
    v.conv = first->conv;
    kind = f->sites.data[first->first].kind;
  } else {
    map_put(&f->by_canonical, key, f->values.len);
    kind = find_convs(f, &c, &v, company);
  }
  v.sum = sums_of(&c, &v);
  uint64_t old;
  if (map_get(&f->old, (uintptr_t)v.label, &old)) {
    keep_sites(f, &v, &f->before->value[old - 1]);
  } else {
    v.first = (int)f->sites.len;
    v.nsites = v.nconvs > 0 ? v.nconvs : 1;
    for (int i = 0; i < v.nsites; ++i)
      vec_push(&f->g->arena, &f->sites, ((graph_site){.kind = kind, .value = (int)f->values.len}));
  }
  map_put(&f->by_node, b->id, f->values.len);
  vec_push(&f->g->arena, &f->values, v);
}

/* --- concatenations --------------------------------------------------------------------------- */

/* What is stored into an array that each run fills, or into the caller's, is stored by each run. */
static bool place_varies(const finding *f, const uop *b) {
  uint64_t known;
  const cat_place *place = cat_place_of(&f->cats, b);
  if (place == NULL) return b->arg.info->explicit_;
  return place->whole->arg.info->explicit_ || map_get(&f->varying, place->whole->id, &known);
}

static bool reads_varying(const finding *f, const uop *b) {
  uop_order all = uop_walk_value(f->a, b->src[0]);
  uint64_t known;
  for (size_t i = 0; i < all.len; ++i) {
    const uop *u = all.at[i];
    if (u->op == OP_BUFFER && !f->user[u->arg.i].constant) return true;
    if (u->op == OP_BUFFERIZE && map_get(&f->varying, u->id, &known)) return true;
  }
  return false;
}

/* A result varies, made by every run as it is; a part that varies makes its whole vary, and that all other parts. */
static void find_varying(finding *f, uop_order all) {
  bool more = f->cats.wholes > 0;
  while (more) {
    more = false;
    for (size_t i = 0; i < all.len; ++i) {
      const uop *u = all.at[i];
      uint64_t known;
      if (u->op != OP_BUFFERIZE || map_get(&f->varying, u->id, &known)) continue;
      if (!u->arg.info->explicit_ && !place_varies(f, u) && !reads_varying(f, u)) continue;
      map_put(&f->varying, u->id, 1);
      more = true;
    }
  }
}

static void add_cat(finding *f, const uop *b) {
  const uop *cat = b->src[0], **form = arena_array(f->a, const uop *, cat->nsrc);
  int *array = arena_array(&f->g->arena, int, cat->nsrc);
  uint64_t varies;
  stored_value v = {.label = b->arg.info->name, .result = -1, .narrays = cat->nsrc};
  for (int i = 0; i < cat->nsrc; ++i) {
    array_use part = use_of(f, cat->src[i], (size_t)i);
    array[i] = part.index;
    form[i] = uop_buffer(f->g, i, part.dtype, 1, &part.len);
  }
  v.len = uop_elements(b);
  if (b->arg.info->explicit_) v.result = result_number(v.label);
  const uop *value = uop_new(f->g, OP_CAT, (wn_dtype)cat->dtype, cat->nsrc, form, cat->arg);
  bufferize_info info = *b->arg.info;
  info.stride = gaps_of(f, b);
  v.canonical = uop_bufferize(f->g, value, b->nsrc - 1, b->src + 1, info);
  v.span = uop_span(v.canonical);
  v.array = array;
  v.constant = !map_get(&f->varying, b->id, &varies);
  v.alike = (int)f->values.len;
  map_put(&f->by_node, b->id, f->values.len);
  vec_push(f->a, &f->forms, NULL);
  vec_push(&f->g->arena, &f->values, v);
}

/* In which values' arrays others are: a whole comes after its parts. */
static void place_values(finding *f, uop_order all) {
  for (size_t i = 0; i < all.len && f->cats.wholes > 0; ++i) {
    const cat_place *place = cat_place_of(&f->cats, all.at[i]);
    uint64_t value, whole;
    if (place == NULL || !map_get(&f->by_node, all.at[i]->id, &value)) continue;
    bool known = map_get(&f->by_node, place->whole->id, &whole);
    WN_CHECK(known, "%s is a part of nothing", all.at[i]->arg.info->name);
    f->values.data[value].whole = (int)whole + 1;
    f->values.data[value].at = place->at;
  }
}

static void find_all(arena *a, void *state) {
  finding *f = state;
  f->a = a;
  map_init(&f->varying, a);
  map_init(&f->by_node, a);
  map_init(&f->by_canonical, a);
  map_init(&f->loops, a);
  map_init(&f->old, a);
  for (int i = 0; f->before != NULL && i < f->before->nvalues; ++i)
    map_put(&f->old, (uintptr_t)f->before->value[i].label, (uint64_t)i + 1);
  for (int i = 0; f->before != NULL && i < f->before->n; ++i)
    vec_push(&f->g->arena, &f->sites, f->before->at[i]);
  uop_order all = uop_toposort(a, 1, &f->root);
  cats_find(&f->cats, a, all);
  WN_CHECK(f->cats.conflicts.len == 0, "a part of a concatenation has no place");
  find_varying(f, all);
  map_init(&f->readers, a);
  count_readers(f, all);
  for (size_t i = 0; i < all.len; ++i) {
    if (is_whole(all.at[i]))
      add_cat(f, all.at[i]);
    else if (all.at[i]->op == OP_BUFFERIZE)
      add_value(f, all.at[i]);
  }
  place_values(f, all);
  f->out = (site_list){.root = f->root,
                       .nvalues = (int)f->values.len,
                       .value = f->values.data,
                       .n = (int)f->sites.len,
                       .at = f->sites.data};
}

site_list sites_of(graph *g, const uop *root, const user_buffer *user) {
  finding f = {.g = g, .root = root, .user = user};
  with_scratch(g->diag, find_all, &f);
  name_sites(g, &f.out, f.sites.data);
  return f.out;
}

const char *site_text(arena *a, const site_list *sites, int site) {
  const graph_site *s = &sites->at[site];
  if (s->name == NULL) return arena_printf(a, "%s%d", site_kind_name[s->kind], site);
  return arena_printf(a, "%s%d \"%s\"", site_kind_name[s->kind], site, s->name);
}

site_list sites_again(graph *g, const uop *root, const user_buffer *user, const site_list *before) {
  finding f = {.g = g, .root = root, .user = user, .before = before};
  with_scratch(g->diag, find_all, &f);
  f.out.layout_price = before->layout_price;
  return f.out;
}

/* --- inlining --------------------------------------------------------------------------------- */

typedef struct inlining {
  graph *g;
  arena *a;
  const site_list *all;
  const bool *inlined;
  map gone; /* label of a value without an array -> 1 */
  const uop *root;
} inlining;

static const uop *inline_read(void *user, const uop *u) {
  const inlining *in = user;
  uint64_t gone;
  if (u->op != OP_INDEX || u->src[0]->op != OP_BUFFERIZE) return u;
  const uop *b = u->src[0];
  if (!map_get(&in->gone, (uintptr_t)b->arg.info->name, &gone)) return u;
  const uop *value = uop_replace(in->g, b->src[0], b->nsrc - 1, b->src + 1, u->src + 2);
  return uop_is_int(u->src[1], 1) ? value : guard_value(in->g, value, u->src[1]);
}

static void inline_all(arena *a, void *state) {
  inlining *in = state;
  map_init(&in->gone, a);
  for (int i = 0; i < in->all->nvalues; ++i) {
    const stored_value *v = &in->all->value[i];
    if (in->inlined[v->first]) map_put(&in->gone, (uintptr_t)v->label, 1);
  }
  in->root = simplify(in->g, uop_transform(in->g, a, in->all->root, inline_read, in));
}

site_list sites_inline(graph *g, const site_list *all, const user_buffer *user,
                       const bool *inlined) {
  inlining in = {.g = g, .all = all, .inlined = inlined};
  with_scratch(g->diag, inline_all, &in);
  return sites_again(g, in.root, user, all);
}
