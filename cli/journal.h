/* What a long comparison has measured so far, kept in the cache on disk until the command is done, so that the same
 * command goes on after an interrupt.
 *
 * In: a key that names everything the rows depend on, and rows in records. Out: the same rows in a later process.
 * Always
 * holds: records are numbered from 0 without gaps, and each is there whole or not at all, whatever ended the process;
 * without a cache nothing is kept and nothing fails. */
#ifndef WINNOW_CLI_JOURNAL_H
#define WINNOW_CLI_JOURNAL_H

#include "job.h"
#include "store/store.h"

typedef struct journal {
  cli *app;
  store *store;
  const char *key;
  int records;
} journal;

/* What the rows depend on: data, options, plans, and the program that measures on this machine. r has its backend and
 * device. */
const char *journal_key(const job *j, const report_row *r, const plan_spec *specs, int count);

/* The key is borrowed. */
void journal_open(journal *j, cli *app, const char *key);
void journal_close(journal *j);
bool journal_is_on(const journal *j);
/* The next record's rows, in arena a: how many, or 0 where there is none or it has more than `most`. */
int journal_read(journal *j, arena *a, report_row *rows, int most);
/* Rows of the next record, by their numbers. */
void journal_write(journal *j, arena *a, const report_row *rows, const int *numbers, int count);
/* Removes all records. */
void journal_drop(journal *j);

#endif
