/* What --help prints, made of the tables of flags.c. Every text fits 80 columns, and the first a screen of 24 lines. */
#include "flags.h"

const char *command_name(command c) { return c < CMD_COUNT ? command_texts[c].name : "winnow"; }

void help_main(FILE *out) {
  fprintf(out, "winnow: %s\n", help_title);
  fputs("  winnow                    a demonstration: three comparisons\n", out);
  for (int c = 0; c < CMD_DEVICES; ++c)
    fprintf(out, "  winnow %-7s %-10s %s\n", command_texts[c].name,
            c == CMD_RUN ? "MODEL" : "PROBLEM", command_texts[c].summary);
  fprintf(out, "  winnow devices, cache     %s; %s\n", command_texts[CMD_DEVICES].summary,
          command_texts[CMD_CACHE].summary);
  fputs("  winnow COMMAND --help     the flags of a command\n", out);
  for (int i = 0; i < help_topic_count; ++i)
    fprintf(out, "%s%s", help_topics[i].label, help_topics[i].text);
}

void help_command(FILE *out, command c) {
  const command_text *t = &command_texts[c];
  fprintf(out, "winnow %s%s%s\n\n%s\n\n", t->name, *t->operands ? " " : "", t->operands, t->about);
  for (int i = 0; i < flag_count; ++i) {
    if (!flag_is_of(&flags[i], c)) continue;
    char left[40], text[FLAG_HELP];
    snprintf(left, sizeof left, "%s %s", flags[i].name,
             flags[i].value != NULL ? flags[i].value : "");
    fprintf(out, "  %-21s %s\n", left, flag_help(&flags[i], text));
  }
}
