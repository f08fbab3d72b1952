/* Reading weights; see weights.h. */
#include "winograd/weights.h"

#include <math.h>

#include "ir/walk.h"

enum { MOST_NODES = 256 };

typedef struct read_step {
  const uop *u;
  int src[3];
} read_step;

/* A list of nodes, each after its sources. */
struct weight_reader {
  const wino_weights *weights;
  int n;
  read_step step[MOST_NODES];
  double value[MOST_NODES];
};

static bool is_read(const uop *u, const wino_weights *w) {
  switch (u->op) {
    case OP_CONST:
    case OP_RANGE:
    case OP_ADD:
    case OP_SUB:
    case OP_MUL:
    case OP_DIV:
    case OP_IDIV:
    case OP_MOD:
    case OP_NEG:
    case OP_ABS:
    case OP_SQRT:
    case OP_LT:
    case OP_EQ:
    case OP_AND:
    case OP_OR:
    case OP_NOT:
    case OP_WHERE:
      return true;
    case OP_BUFFER:
      return w->known(w->user, u->arg.i);
    case OP_INDEX:
      return u->src[0]->op == OP_BUFFER && u->nsrc == 3;
    case OP_CAST:
      return dtype_is_float(u->dtype) || !dtype_is_float(u->src[0]->dtype);
    default:
      return false;
  }
}

weight_reader *weight_reader_new(graph *g, const uop *value, const wino_weights *of) {
  uop_order order = uop_toposort(&g->arena, 1, &value);
  map at;
  if (order.len > MOST_NODES) return NULL;
  weight_reader *r = arena_new(&g->arena, weight_reader);
  map_init(&at, &g->arena);
  r->weights = of;
  r->n = (int)order.len;
  for (int i = 0; i < r->n; ++i) {
    const uop *u = order.at[i];
    if (!is_read(u, of)) return NULL;
    r->step[i].u = u;
    for (int j = 0; j < u->nsrc; ++j) {
      uint64_t place = 0;
      map_get(&at, u->src[j]->id, &place);
      r->step[i].src[j] = (int)place;
    }
    map_put(&at, u->id, (uint64_t)i);
  }
  return r;
}

int weight_reader_loop(const weight_reader *r, const uop *loop) {
  int i = r->n - 1;
  while (i >= 0 && r->step[i].u != loop) --i;
  return i;
}

void weight_reader_set(weight_reader *r, int place, int64_t value) {
  if (place >= 0) r->value[place] = (double)value;
}

static double step_value(const weight_reader *r, const read_step *s) {
  double a = r->value[s->src[0]], b = r->value[s->src[1]], c = r->value[s->src[2]];
  switch (s->u->op) {
    case OP_CONST:
      return uop_const_value(s->u);
    case OP_ADD:
      return a + b;
    case OP_SUB:
      return a - b;
    case OP_MUL:
      return a * b;
    case OP_DIV:
      return a / b;
    case OP_IDIV:
      return floor(a / b);
    case OP_MOD:
      return a - b * floor(a / b);
    case OP_NEG:
      return -a;
    case OP_ABS:
      return fabs(a);
    case OP_SQRT:
      return sqrt(a);
    case OP_LT:
      return a < b;
    case OP_EQ:
      return a == b;
    case OP_AND:
      return a != 0 && b != 0;
    case OP_OR:
      return a != 0 || b != 0;
    case OP_NOT:
      return a == 0;
    case OP_WHERE:
      return a != 0 ? b : c;
    case OP_INDEX: /* elsewhere there may be nothing to read */
      return b != 0 ? r->weights->value(r->weights->user, s->u->src[0]->arg.i, (int64_t)c) : 0;
    default: /* CAST */
      return a;
  }
}

double weight_reader_value(weight_reader *r) {
  for (int i = 0; i < r->n; ++i) {
    unsigned op = r->step[i].u->op;
    if (op != OP_RANGE && op != OP_BUFFER) r->value[i] = step_value(r, &r->step[i]);
  }
  return r->value[r->n - 1];
}
