/* What a signal that ends the process would leave behind: the unfinished file, and the folder of a C compiler's work.
 *
 * Always holds: what the caller ignores (nohup) stays ignored; the process ends by the signal, so that the shell sees
 * it. A limit on the size of files is an error of write(), for what is printed too. */
#ifndef WINNOW_CLI_ENDING_H
#define WINNOW_CLI_ENDING_H

/* For the whole process; once, in main. */
void ending_catch(void);
/* Makes a file by mkstemp's rules that is removed by such a signal, until ending_forget; one at a time. The descriptor,
 * or
 * -1 with errno set. */
int ending_create(char *temporary);
void ending_forget(void);

#endif
