/* Man pages and completion of shells, from the tables that --help is made of.
 *
 * In: a folder. Out, in it: winnow.1 and a winnow-COMMAND.1 each, winnow (for bash), _winnow (for zsh) and winnow.fish.
 * They are made when winnow is built. */
#include <stdlib.h>
#include <string.h>

#include "cli_completion.h"
#include "flags.h"

/* Text of a line: what begins one like a request, backslashes, and hyphens that are to be copied out as such. */
static void escaped(FILE *out, const char *text, size_t n) {
  if (n > 0 && (*text == '.' || *text == '\'')) fputs("\\&", out);
  for (size_t i = 0; i < n; ++i) {
    if (text[i] == '\\')
      fputs("\\e", out);
    else if (text[i] == '-')
      fputs("\\-", out);
    else
      fputc(text[i], out);
  }
}

static void line(FILE *out, const char *text) {
  escaped(out, text, strlen(text));
  fputc('\n', out);
}

/* Lines that are filled again. */
static void paragraph(FILE *out, const char *text) {
  while (*text != '\0') {
    size_t n = strcspn(text, "\n");
    escaped(out, text, n);
    fputc('\n', out);
    text += n + (text[n] == '\n');
  }
}

static void begin(FILE *out, const char *name, const char *summary) {
  fputs(".TH ", out);
  for (const char *c = name; *c != '\0'; ++c)
    fputc(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c, out);
  fprintf(out, " 1 \"\" \"winnow %s\" \"winnow\"\n.SH NAME\n", WN_VERSION_STRING);
  escaped(out, name, strlen(name));
  fputs(" \\- ", out);
  line(out, summary);
  fputs(".SH SYNOPSIS\n", out);
}

static void flag_entry(FILE *out, const flag *f) {
  fputs(".TP\n\\fB", out);
  escaped(out, f->name, strlen(f->name));
  fputs("\\fR", out);
  if (f->value != NULL) {
    fputs(f->value[0] == '[' && f->value[1] == '=' ? "\\fI" : " \\fI", out);
    escaped(out, f->value, strlen(f->value));
    fputs("\\fR", out);
  }
  fputc('\n', out);
  char text[FLAG_HELP];
  line(out, flag_help(f, text));
}

static void topics(FILE *out) {
  for (int i = 0; i < help_topic_count; ++i) {
    fprintf(out, ".SH %s\n", help_topics[i].title);
    paragraph(out, help_topics[i].text);
  }
}

static void page_of_command(FILE *out, command c) {
  const command_text *t = &command_texts[c];
  char name[64];
  snprintf(name, sizeof name, "winnow-%s", t->name);
  begin(out, name, t->summary);
  fprintf(out, ".B winnow %s\n", t->name);
  if (*t->operands != '\0') line(out, t->operands);
  fputs("[flags]\n.SH DESCRIPTION\n", out);
  paragraph(out, t->about);
  fputs(".SH OPTIONS\n", out);
  for (int i = 0; i < flag_count; ++i)
    if (flag_is_of(&flags[i], c)) flag_entry(out, &flags[i]);
  topics(out);
  fputs(".SH SEE ALSO\n.BR winnow (1)\n", out);
}

static void main_page(FILE *out) {
  begin(out, "winnow", help_title);
  fputs(".B winnow\n[command] [problem] [flags]\n.SH DESCRIPTION\n", out);
  fputs("Without a command: a demonstration, three comparisons.\n.SH COMMANDS\n", out);
  for (int c = 0; c < CMD_COUNT; ++c) {
    fprintf(out, ".TP\n\\fB%s\\fR ", command_texts[c].name);
    line(out, command_texts[c].operands);
    line(out, command_texts[c].summary);
  }
  fputs(".SH OPTIONS\n", out);
  for (int i = 0; i < flag_count; ++i)
    if (flag_is_of(&flags[i], CMD_NONE)) flag_entry(out, &flags[i]);
  topics(out);
  fputs(".SH SEE ALSO\n", out);
  for (int c = 0; c < CMD_COUNT; ++c)
    fprintf(out, ".BR winnow\\-%s (1)%s\n", command_texts[c].name, c + 1 < CMD_COUNT ? "," : "");
}

/* --- files ------------------------------------------------------------------------------------ */

static FILE *open_page(const char *folder, const char *name) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *out = fopen(path, "w");
  if (out != NULL) return out;
  perror(path);
  exit(1);
}

static void close_page(FILE *out) {
  if (!ferror(out) && fclose(out) == 0) return;
  perror("cli_pages");
  exit(1);
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*write)(FILE *out);
  } others[] = {{"winnow.1", main_page},
                {"winnow", completion_bash},
                {"_winnow", completion_zsh},
                {"winnow.fish", completion_fish}};
  if (argc != 2) {
    fputs("usage: cli_pages FOLDER\n", stderr);
    return 2;
  }
  for (size_t i = 0; i < sizeof others / sizeof *others; ++i) {
    FILE *out = open_page(argv[1], others[i].name);
    others[i].write(out);
    close_page(out);
  }
  for (int c = 0; c < CMD_COUNT; ++c) {
    char name[64];
    snprintf(name, sizeof name, "winnow-%s.1", command_texts[c].name);
    FILE *out = open_page(argv[1], name);
    page_of_command(out, (command)c);
    close_page(out);
  }
  return 0;
}
