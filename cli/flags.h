/* What the command line takes, as tables: commands, their flags, and what --help says beside.
 *
 * Parsing (options.c), the help of each command (help.c), the man pages and the completion of shells
 * (tools/cli_pages.c) are all made of these. Always holds: texts are at most so wide that help fits 80 columns; a flag
 * is there once for a command. */
#ifndef WINNOW_CLI_FLAGS_H
#define WINNOW_CLI_FLAGS_H

#include "options.h"

typedef enum flag_kind {
  SWITCH,
  WORD,
  PLAN,
  LIST,
  POSITIVE,
  DURATION,
  THREADS,
  SEED,
  MEMORY,
  WINO,
  MATH,
  BACKEND,
  ISA,
  WEIGHTS_MODE,
  ACT,
  LAYOUT,
  TEXTS,   /* may be given again */
  SCALE,   /* a positive number, or one divided by another */
  NUMBERS, /* one for each channel, with commas between */
  CHANNELS,
  FIT,
  PEERS, /* a switch that takes a list after '=' */
  CSV,   /* a switch; with a file where the next word ends in .csv */
} flag_kind;

/* value: what its value is called, NULL: a switch. */
typedef struct flag {
  const char *name, *value, *help; /* help: see flag_help */
  flag_kind kind;
  size_t offset;     /* of the field that it sets */
  unsigned commands; /* bits, by number */
} flag;

enum { FLAG_MOST = 96 };
extern const flag flags[];
extern const int flag_count; /* at most FLAG_MOST */

bool flag_is_of(const flag *f, command c);
bool flag_repeats(const flag *f); /* may be given again for more */
enum { FLAG_HELP = 256 };
const char *flag_help(const flag *f, char text[FLAG_HELP]); /* a line, maybe in text */
/* The words that it takes, by number from 0; NULL past the last, and where it takes anything. For people where it is a
 * part of a language: the names of plans, the usual tile sizes. */
const char *flag_word(const flag *f, command c, int i);

/* summary: a line, of the list of commands; about: some lines of --help. */
typedef struct command_text {
  const char *name, *operands, *summary, *about;
} command_text;
extern const command_text command_texts[CMD_COUNT];

/* The rest of `winnow --help`: a heading for man pages, a label for the text, the text. */
typedef struct help_topic {
  const char *title, *label, *text;
} help_topic;
extern const help_topic help_topics[];
extern const int help_topic_count;
extern const char help_title[]; /* what winnow is */

#endif
