/* Completion of shells, from the tables of cli/flags.h. In: a file. Out: a script that completes commands, flags, the
 * words that a flag takes, and files. */
#ifndef WINNOW_TOOLS_CLI_COMPLETION_H
#define WINNOW_TOOLS_CLI_COMPLETION_H

#include <stdio.h>

void completion_bash(FILE *out);
void completion_zsh(FILE *out);
void completion_fish(FILE *out);

#endif
