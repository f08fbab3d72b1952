/* An interrupt as a request: long work asks between two steps whether to end, and says how far it came.
 *
 * In: SIGINT. Out: an answer. Always holds: without interrupt_catch nothing changes, a second SIGINT ends the program,
 * and an ignored one (nohup) stays ignored. */
#ifndef WINNOW_CLI_INTERRUPT_H
#define WINNOW_CLI_INTERRUPT_H

#include <stdbool.h>

enum { INTERRUPTED = 130 }; /* exit status: 128 + SIGINT */

void interrupt_catch(void);
bool interrupted(void);

#endif
