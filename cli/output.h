/* The files of --html and --trace: what a command measured, kept until its end and written at once.
 *
 * In: rows as they are measured. Out: the files. Always holds: a name that cannot be written fails
 * before anything is measured, and no name ever holds half a file. */
#ifndef WINNOW_CLI_OUTPUT_H
#define WINNOW_CLI_OUTPUT_H

#include "app.h"

/* Fails with one line where a file cannot be written. Call before measuring. */
void output_open(cli *app);
/* The text where it lives as long as the command, each once; NULL where no page is wanted. */
const char *output_text(cli *app, const char *text);
/* Copies the row; nothing where no file is wanted. */
void output_add(cli *app, const report_row *row);
void output_write(cli *app);
/* The file of --trace where it is one of Metal's, FILE.gputrace, which the system writes; once, then NULL. */
const char *output_capture(cli *app);

#endif
