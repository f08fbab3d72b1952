// Runs kernels that were compiled as C++ thread by thread: behind them in one C++ file.
//
// In: a table of kernels, and a file of jobs: which kernel, which groups, its arrays. Out: a file
// with the arrays afterwards.
// Always holds: work items of a group run in one thread, one after the other up to a barrier, so a
// run is the same every time; groups of odd number run them in the opposite order, so that a value
// that is read without a barrier behind its store is missed in one of the two; arrays are blocks of
// exactly their size, so that the sanitizer sees what lies outside. All work items of a group must
// come by the same barriers.
#ifndef WN_TESTS_METAL_RUNNER
#define WN_TESTS_METAL_RUNNER

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <tuple>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#define WN_FIBERS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WN_FIBERS 1
#endif
#endif
#ifdef WN_FIBERS
#include <sanitizer/common_interface_defs.h>
#endif

enum { MAX_ARRAYS = 31, MAX_ITEMS = 1024, STACK = 1 << 20, LINE = 64 };

struct launch_args {
  long first, offset[MAX_ARRAYS];
};

typedef void call_fn(void *const *arrays, const launch_args &args, uint group, uint item);

struct kernel_entry {
  const char *name;
  int group;
  bool waits; // has barriers
  call_fn *call;
};

// What stands before a kernel's last three parameters are pointers to its arrays.
template <typename F, F *f, typename... P, size_t... I>
static void call_with(void *const *arrays, const launch_args &args, uint group, uint item,
                      std::tuple<P...> *, std::index_sequence<I...>) {
  typedef std::tuple<P...> all;
  typedef std::remove_reference_t<std::tuple_element_t<sizeof...(I), all>> own_args;
  f(static_cast<std::tuple_element_t<I, all>>(arrays[I])..., reinterpret_cast<own_args &>(args),
    group, item);
}
template <typename F>
struct parameters;
template <typename... P>
struct parameters<void(P...)> {
  typedef std::tuple<P...> all;
  enum { arrays = sizeof...(P) - 3 };
};
template <typename F, F *f>
static void call_kernel(void *const *arrays, const launch_args &args, uint group, uint item) {
  call_with<F, f>(arrays, args, group, item, static_cast<typename parameters<F>::all *>(nullptr),
                  std::make_index_sequence<parameters<F>::arrays>());
}
#define WN_KERNEL(NAME, GROUP, WAITS) {#NAME, GROUP, WAITS, call_kernel<decltype(NAME), NAME>}

// --- work items ----------------------------------------------------------------------------------

struct work_item {
  ucontext_t context;
  char *stack;
  void *fake;        // the sanitizer's
  const void *waits; // at the barrier behind which this code stands; null: runs or is done
  bool done;
};

static struct scheduler {
  ucontext_t context;
  void *fake;
  const void *bottom;
  size_t size;
  work_item items[MAX_ITEMS];
  int current;
  const kernel_entry *entry;
  void *const *arrays;
  const launch_args *args;
  uint group;
} turn;

static void enter_item(const void **bottom, size_t *size, void *fake) {
  (void)bottom, (void)size, (void)fake;
#ifdef WN_FIBERS
  __sanitizer_finish_switch_fiber(fake, bottom, size);
#endif
}

static void leave_to(void **fake, const void *bottom, size_t size) {
  (void)fake, (void)bottom, (void)size;
#ifdef WN_FIBERS
  __sanitizer_start_switch_fiber(fake, bottom, size);
#endif
}

__attribute__((noinline)) void metal::threadgroup_barrier(mem_flags) {
  work_item *w = &turn.items[turn.current];
  w->waits = __builtin_return_address(0);
  leave_to(&w->fake, turn.bottom, turn.size);
  swapcontext(&w->context, &turn.context);
  enter_item(&turn.bottom, &turn.size, w->fake);
}

static void item_main() {
  enter_item(&turn.bottom, &turn.size, nullptr);
  turn.entry->call(turn.arrays, *turn.args, turn.group, uint(turn.current));
  work_item *w = &turn.items[turn.current];
  w->done = true;
  leave_to(nullptr, turn.bottom, turn.size);
  swapcontext(&w->context, &turn.context);
}

static void start_item(int n) {
  work_item *w = &turn.items[n];
  if (w->stack == nullptr) {
    void *m = mmap(nullptr, STACK, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED) abort();
    w->stack = static_cast<char *>(m);
  }
  w->waits = nullptr, w->done = false;
  getcontext(&w->context);
  w->context.uc_stack.ss_sp = w->stack;
  w->context.uc_stack.ss_size = STACK;
  w->context.uc_link = nullptr;
  makecontext(&w->context, item_main, 0);
}

static void resume_item(int n) {
  work_item *w = &turn.items[n];
  turn.current = n;
  w->waits = nullptr;
  leave_to(&turn.fake, w->stack, STACK);
  swapcontext(&turn.context, &w->context);
  enter_item(nullptr, nullptr, turn.fake);
}

[[noreturn]] static void diverged(int item) {
  fprintf(stderr, "%s: group %u: work item %d does not come by the barrier of work item 0\n",
          turn.entry->name, turn.group, item);
  exit(1);
}

static void run_group_with_barriers(int items) {
  for (int n = 0; n < items; n++) start_item(n);
  bool backwards = turn.group % 2;
  do {
    for (int i = 0; i < items; i++) resume_item(backwards ? items - 1 - i : i);
    for (int i = 1; i < items; i++)
      if (turn.items[i].waits != turn.items[0].waits) diverged(i);
    backwards = !backwards;
  } while (!turn.items[0].done);
}

static void run_group(const kernel_entry *k, void *const *arrays, const launch_args &args,
                      uint group) {
  int items = k->group ? k->group : 1;
  if (!k->waits) {
    for (int n = 0; n < items; n++)
      k->call(arrays, args, group, uint(group % 2 ? items - 1 - n : n));
    return;
  }
  turn.entry = k, turn.arrays = arrays, turn.args = &args, turn.group = group;
  run_group_with_barriers(items);
}

// --- jobs ----------------------------------------------------------------------------------------

// A file of int64: kernel, groups, arrays; of each array elements, bytes of an element; then its
// bytes. The groups run in two launches, and arrays are addressed from about their middle, so that what a
// launch says of its first group and of offsets counts.
static bool read_all(FILE *f, void *p, size_t n) { return fread(p, 1, n, f) == n; }

static bool run_job(const kernel_entry *table, FILE *in, FILE *out) {
  int64_t head[3], shape[MAX_ARRAYS][2];
  char *block[MAX_ARRAYS];
  void *arrays[MAX_ARRAYS];
  launch_args args = {};
  if (!read_all(in, head, sizeof head)) return false;
  for (int i = 0; i < head[2]; i++) {
    if (!read_all(in, shape[i], sizeof shape[i])) exit(2);
    size_t bytes = size_t(shape[i][0] * shape[i][1]);
    void *m;
    if (posix_memalign(&m, LINE, bytes) != 0 || !read_all(in, m, bytes)) exit(2);
    block[i] = static_cast<char *>(m);
    args.offset[i] = -(shape[i][0] / 2 / LINE * LINE);
    arrays[i] = block[i] - args.offset[i] * shape[i][1];
  }
  const kernel_entry *k = &table[head[0]];
  for (int64_t g = 0; g < head[1]; g++) {
    args.first = g < head[1] / 2 ? 0 : head[1] / 2;
    run_group(k, arrays, args, uint(g - args.first));
  }
  for (int i = 0; i < head[2]; i++) {
    size_t bytes = size_t(shape[i][0] * shape[i][1]);
    if (fwrite(block[i], 1, bytes, out) != bytes) exit(2);
    free(block[i]);
  }
  return true;
}

static int runner_main(const kernel_entry *table, int argc, char **argv) {
  if (argc != 3) return 2;
  FILE *in = fopen(argv[1], "rb"), *out = fopen(argv[2], "wb");
  if (in == nullptr || out == nullptr) return 2;
  while (run_job(table, in, out)) continue;
  fclose(in);
  return fclose(out) == 0 ? 0 : 2;
}

#endif
