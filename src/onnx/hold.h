/* Bytes of files that stay: a model, and the data beside it.
 *
 * In: paths. Out: bytes that live until the holder is released. Large files are mapped, so that weights are in memory
 * once; nothing ends the process when a file shrinks while it is held, and nothing is written. */
#ifndef WN_ONNX_HOLD_H
#define WN_ONNX_HOLD_H

#include "onnx/onnx_file.h"

typedef struct held_file held_file;

/* A list of held files, zero-initialised; released as a whole. Not for several threads. */
typedef struct file_holder {
  held_file *first;
} file_holder;

/* Bytes of the file at `path`, held from now on; the same file is held once. WN_ERR_IO unwinds through d, with one line
 * that names the path. */
const unsigned char *hold_file(file_holder *h, diag *d, const char *path, size_t *size);
void hold_release(file_holder *h);

/* Elements of a tensor of the model at `model_path` (NULL: it came from memory, and external data is WN_ERR_USAGE), in
 * native byte order and aligned for their type: where they are in the file if they can stay there, else a copy in the
 * arena. External data is looked for in the model's folder only, links out of it included; sizes are checked against
 * the shape. Errors unwind through d and name the tensor. Bytes of bool are 0 or 1. */
const void *onnx_tensor_elements(file_holder *h, arena *a, diag *d, const char *model_path, const onnx_tensor *t);
/* Bytes of an element of an onnx_type; 0: it has none of its own (strings, 4-bit types, unknown ones). */
size_t onnx_type_size(int type);

#endif
