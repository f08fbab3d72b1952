/* Bytes of files that stay: a model, and the data beside it.
 *
 * In: paths. Out: bytes that live until the holder is released. A file is read into memory once and not mapped: a mapped
 * file that is made shorter by somebody ends the process with SIGBUS, now or at the last run, and a library must not
 * handle that signal for its caller; reading costs the time to copy what is in the system's cache, 20 ms for 45 MB.
 * Always holds: nothing is written to files; weights are in memory once, as far as their types have an alignment that
 * they can be moved to where they are. */
#ifndef WN_ONNX_HOLD_H
#define WN_ONNX_HOLD_H

#include "onnx/onnx_file.h"

typedef struct held_file held_file;
typedef struct held_copy held_copy;

/* A list of held files and of elements that are no bytes of files, zero-initialised; released as a whole. Not for
 * several threads. */
typedef struct file_holder {
  held_file *first;
  held_copy *copies;
} file_holder;

/* Bytes of the file or pipe at `path`, held from now on; the same file is held once. They are read as messages before
 * onnx_tensor_elements is called, which may move raw data over the tag and the length before it. WN_ERR_IO unwinds
 * through d, with one line that names the path; WN_ERR_NOMEM, too. */
const unsigned char *hold_file(file_holder *h, diag *d, const char *path, size_t *size);
void hold_release(file_holder *h);

/* Bytes of elements that nobody reads for now go back to the system, as far as they are whole pages of a regular
 * file's. Returns how many. hold_restore reads them again, from files that must be what they were: WN_ERR_IO unwinds
 * through d. */
size_t hold_drop(file_holder *h, const void *elements, size_t bytes);
void hold_restore(file_holder *h, diag *d);

/* Elements of a tensor of the model at `model_path` (NULL: it came from memory, and external data is WN_ERR_USAGE), in
 * native byte order and aligned for their type: where they are in the file if they can be there, else a copy that the
 * holder has; asked again, at the same place. External data is in the model's folder only, links out of it are refused,
 * but for those into the folder that the model itself is a link into; sizes are checked against the shape. Errors unwind
 * through d and name the tensor. Bytes of bool are 0 or 1. The arena is for work: it may be gone when the holder, and a
 * tensor that knows its elements, are not. */
const void *onnx_tensor_elements(file_holder *h, arena *a, diag *d, const char *model_path,
                                 const onnx_tensor *t);

#endif
