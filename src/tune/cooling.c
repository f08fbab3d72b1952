/* Cooling; see cooling.h. */
#include "tune/cooling.h"

enum { LINE = 64, PAGE = 4096 };
static const double MOST = 256 << 20; /* bytes */

bool cooling_make(cooling *c, const wn_context *layer, double bytes, size_t last_cache) {
  *c = (cooling){.layer = layer};
  if (bytes > 2 * (double)last_cache) bytes = 2 * (double)last_cache;
  if (bytes > MOST) bytes = MOST;
  if (bytes < (int)LINE) return true;
  c->bytes = (size_t)bytes;
  c->passing = mem_alloc_aligned(c->bytes, PAGE);
  if (c->passing == NULL) {
    c->bytes = 0;
    return false;
  }
  memset(c->passing, 1, c->bytes); /* pages that nothing was written to are one page */
  return true;
}

void cooling_end(cooling *c) {
  mem_free_aligned(c->passing);
  c->passing = NULL;
}

/* A byte of each line. */
static void read_all(const void *data, size_t bytes) {
  const volatile char *p = data;
  for (size_t i = 0; i < bytes; i += LINE) (void)p[i];
}

void cooling_pass(const cooling *c) {
  if (c->passing == NULL) return;
  read_all(c->passing, c->bytes);
  for (size_t i = 0; i < c->layer->buffers.len; ++i) {
    const tensor_buffer *b = &c->layer->buffers.data[i];
    if (!b->constant && b->data != NULL)
      read_all(b->data, (size_t)b->count * wn_dtype_size(b->dtype));
  }
}
