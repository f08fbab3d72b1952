/* Whole files: read at once, written beside and renamed, so that a name never holds half of one. */
#ifndef WINNOW_CLI_FILE_H
#define WINNOW_CLI_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/mem.h"

/* The bytes of a file or a pipe, in the arena, with a 0 after them. A pipe is read once, and has the same bytes when it
 * is named again. Fails with WN_ERR_IO. */
unsigned char *file_read(arena *a, const char *path, size_t *size);

/* Writing: file_create opens "<path>.XXXXXX"; file_commit renames it to path; file_abandon removes
 * it. A signal that ends the process in between removes it too. One file at a time. */
typedef struct file_writer {
  FILE *stream;
  const char *path; /* borrowed */
  char *temporary;
} file_writer;

void file_create(file_writer *w, arena *a, const char *path);
/* Makes and removes the file that a commit would rename: fails where `path` cannot be written. */
void file_try(arena *a, const char *path);
void file_put(file_writer *w, diag *d, const void *bytes, size_t size);
void file_commit(file_writer *w, diag *d);
void file_abandon(file_writer *w);

#endif
