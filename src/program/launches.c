/* The list of launches; see program.h. In: the kernels of a set in running order, their linear
 * code, the slots. Out: the list that a run walks, and its hash. Always holds: made once, at
 * compile time; every array of a launch has a block. */
#include "program/program.h"
#include "store/kernel_key.h"

enum { LINE = 64 };

int64_t launch_shift(const launch_arg *arg, int64_t round) {
  return round * arg->step / LINE * LINE;
}

/* --- arrays ---------------------------------------------------------------------------------- */

static program_array place_of(const compiled_graph *c, const array_info *a) {
  const slot_list *s = &c->slots;
  switch (a->role) {
    case ROLE_INPUT:
    case ROLE_CONSTANT:
      return (program_array){.block = s->of[a->user]};
    case ROLE_RESULT:
      return (program_array){s->inputs + s->constants + a->user, (int64_t)a->offset};
    case ROLE_PREPARED:
      return (program_array){s->count, (int64_t)a->offset};
    case ROLE_WORK:
      return (program_array){s->count + 1, (int64_t)a->offset};
    case ROLE_LOCAL:
      break;
  }
  return (program_array){.block = -1};
}

static void place_arrays(compiled_graph *c) {
  launch_list *l = &c->list;
  l->arrays = (int)c->set->arrays.len;
  l->blocks = c->slots.count + 2;
  l->array = arena_array(&c->keep, program_array, l->arrays + 1);
  for (int i = 0; i < l->arrays; ++i) l->array[i] = place_of(c, &c->set->arrays.data[i]);
}

/* --- launches -------------------------------------------------------------------------------- */

static void add_launch(compiled_graph *c, int index) {
  launch_list *l = &c->list;
  const nest_kernel *k = &c->set->kernels.data[index];
  const linear_kernel *lk = c->kernels[index];
  int n = (int)lk->args.len;
  l->launch[index] = (program_launch){.code = k->code,
                                      .first_arg = l->args,
                                      .args = n,
                                      .blocks = lk->lin.grid / (k->chunks > 1 ? k->chunks : 1)};
  for (int i = 0; i < n; ++i) {
    int array = lk->args.data[i];
    const array_info *a = &c->set->arrays.data[array];
    WN_CHECK(l->array[array].block >= 0, "kernel %s: %s is nowhere", lk->lin.name, a->name);
    l->arg[l->args++] = (launch_arg){array, a->chunk_step * (int64_t)wn_dtype_size(a->dtype)};
  }
  if (n > l->most_args) l->most_args = n;
}

/* Launches from `first` on that take turns, or are one job; false: neither. bands, sides: the next of each. */
static bool next_together(compiled_graph *c, int first, size_t *bands, size_t *sides,
                          program_rounds *out) {
  const kernel_set *s = c->set;
  if (*bands < s->bands.len && s->bands.data[*bands].first == first) {
    const band_group *b = &s->bands.data[(*bands)++];
    const size_t n = (size_t)(b->rounds * (b->end - b->first));
    const int64_t *until = arena_copy(&c->keep, b->until, n * sizeof *until);
    *out = (program_rounds){first, b->end, b->rounds, until, false};
    return true;
  }
  if (*sides == s->sides.len || s->sides.data[*sides].first != first) return false;
  *out = (program_rounds){first, s->sides.data[(*sides)++].end, 1, NULL, true};
  return true;
}

static bool begins_together(const compiled_graph *c, int launch, size_t bands, size_t sides) {
  const kernel_set *s = c->set;
  return (bands < s->bands.len && s->bands.data[bands].first == launch) ||
         (sides < s->sides.len && s->sides.data[sides].first == launch);
}

/* One behind the other, or where neighbours share a host loop, round by round; or as sides.h and bands.h say. */
static void group_launches(compiled_graph *c) {
  launch_list *l = &c->list;
  const nest_kernel *k = c->set->kernels.data;
  size_t bands = 0, sides = 0;
  for (int i = 0, end; i < l->count; i = end) {
    program_rounds *next = &l->rounds[l->round_groups++];
    if (next_together(c, i, &bands, &sides, next)) {
      end = next->end;
      continue;
    }
    bool rounds = k[i].chunks > 1;
    end = i + 1;
    while (end < l->count && k[end].prepare == k[i].prepare &&
           !begins_together(c, end, bands, sides) &&
           (rounds ? nest_same_rounds(&k[i], &k[end]) : k[end].chunks <= 1))
      ++end;
    *next = (program_rounds){i, end, rounds ? k[i].chunks : 1, NULL, false};
    if (k[i].prepare) l->prepare_groups = l->round_groups;
  }
}

/* What launches side by side need at most. */
static void measure_sides(launch_list *l) {
  for (int g = 0; g < l->round_groups; ++g) {
    const program_rounds *r = &l->rounds[g];
    int args = 0;
    for (int i = r->first; i < r->end && r->side; ++i) args += l->launch[i].args;
    if (r->side && r->end - r->first > l->side) l->side = r->end - r->first;
    if (args > l->side_args) l->side_args = args;
  }
}

static int block_of(const launch_list *l, int arg) { return l->array[l->arg[arg].array].block; }

static void list_uses(arena *a, launch_list *l) {
  l->first_use = arena_array(a, int, l->blocks + 1);
  l->use = arena_array(a, int, l->args + 1);
  int *next = arena_array(a, int, l->blocks + 1);
  for (int i = 0; i < l->args; ++i) ++l->first_use[block_of(l, i) + 1];
  for (int b = 0; b < l->blocks; ++b) l->first_use[b + 1] += next[b] = l->first_use[b];
  for (int i = 0; i < l->args; ++i) l->use[next[block_of(l, i)]++] = i;
}

static void find_last_reads(const compiled_graph *c, arena *a, launch_list *l) {
  l->last_read = arena_array(a, int, c->slots.count + 1);
  for (int i = 0; i < c->slots.count; ++i) l->last_read[i] = NEVER_READ;
  for (int i = 0; i < l->count; ++i) {
    for (int k = 0; k < l->launch[i].args; ++k) {
      int block = block_of(l, l->launch[i].first_arg + k);
      if (block < c->slots.count) l->last_read[block] = i < l->prepare ? i : READ_BY_RUNS;
    }
  }
}

void launches_make(compiled_graph *c) {
  arena *a = &c->keep;
  launch_list *l = &c->list;
  size_t args = 0;
  place_arrays(c);
  l->count = (int)c->set->kernels.len;
  for (int i = 0; i < l->count; ++i) args += c->kernels[i]->args.len;
  l->launch = arena_array(a, program_launch, l->count + 1);
  l->rounds = arena_array(a, program_rounds, l->count + 1);
  l->arg = arena_array(a, launch_arg, args + 1);
  for (int i = 0; i < l->count; ++i) add_launch(c, i);
  while (l->prepare < l->count && c->set->kernels.data[l->prepare].prepare) ++l->prepare;
  group_launches(c);
  measure_sides(l);
  list_uses(a, l);
  find_last_reads(c, a, l);
}

/* --- identity -------------------------------------------------------------------------------- */

static void add_numbers(str *key, const int64_t *numbers, size_t count) {
  str_addn(key, (const char *)numbers, count * sizeof *numbers);
}

#define ADD(key, ...) \
  add_numbers(key, (const int64_t[]){__VA_ARGS__}, sizeof(int64_t[]){__VA_ARGS__} / sizeof(int64_t))

static void add_launches(str *key, const launch_list *l) {
  ADD(key, l->count, l->prepare, l->round_groups);
  for (int i = 0; i < l->round_groups; ++i) {
    const program_rounds *of = &l->rounds[i];
    ADD(key, of->first, of->end, of->count, of->side);
    if (of->until != NULL) add_numbers(key, of->until, (size_t)(of->count * (of->end - of->first)));
  }
  for (int i = 0; i < l->count; ++i) {
    const program_launch *of = &l->launch[i];
    ADD(key, of->code, of->blocks, of->args);
    for (int k = 0; k < of->args; ++k) {
      const launch_arg *arg = &l->arg[of->first_arg + k];
      ADD(key, l->array[arg->array].block, l->array[arg->array].offset, arg->step);
    }
  }
}

const char *launches_identity(compiled_graph *c) {
  str key;
  str_init(&key, &c->graph.arena);
  ADD(&key, (int64_t)c->set->workspace_bytes, (int64_t)c->set->prepared_bytes,
      runtime_flushes(c->rt));
  for (int i = 0; i < c->ncodes; ++i) {
    const lin_kernel *k = &c->codes[i]->lin;
    kernel_key_add(&key, k);
  }
  add_launches(&key, &c->list);
  uint64_t half[2] = {hash_bytes(key.data, key.len, 0x77696e6e),
                      hash_bytes(key.data, key.len, 0x6f770002)};
  return arena_printf(&c->graph.arena, "%016llx%016llx", (unsigned long long)half[0],
                      (unsigned long long)half[1]);
}
