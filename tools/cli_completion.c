/* See cli_completion.h. A script has a line a flag and nothing that depends on the machine where it was made. */
#include "cli_completion.h"

#include <stdbool.h>
#include <string.h>

#include "flags.h"

typedef enum what { NOTHING, SOME_TEXT, SOME_WORD, SOME_FILE, SOME_FOLDER } what;

/* What may follow a flag. */
static what value_of(const flag *f, command c) {
  if (f->value == NULL) return NOTHING;
  if (flag_word(f, c, 0) != NULL) return SOME_WORD;
  if (strstr(f->value, "FILE") != NULL) return SOME_FILE;
  return strcmp(f->value, "DIR") == 0 ? SOME_FOLDER : SOME_TEXT;
}

/* A value that need not be there. */
static bool is_optional(const flag *f) { return f->value != NULL && f->value[0] == '['; }

static bool takes_problem(command c) { return *command_texts[c].operands != '\0'; }

/* " run compare ... " */
static void commands_of_models(FILE *out) {
  fputc(' ', out);
  for (int c = 0; c < CMD_COUNT; ++c)
    if (strstr(command_texts[c].operands, "MODEL") != NULL)
      fprintf(out, "%s ", command_name((command)c));
}

static void words(FILE *out, const flag *f, command c) {
  for (int i = 0; flag_word(f, c, i) != NULL; ++i)
    fprintf(out, "%s%s", i > 0 ? " " : "", flag_word(f, c, i));
}

/* Text between single quotes, without the characters of `without` that mean something there. */
static void quoted(FILE *out, const char *text, const char *escaped) {
  for (; *text != '\0'; ++text) {
    if (*text == '\'')
      fputs("'\\''", out);
    else if (strchr(escaped, *text) != NULL)
      fprintf(out, "\\%c", *text);
    else
      fputc(*text, out);
  }
}

static void head(FILE *out, const char *first) {
  fprintf(out, "%s# Completion for winnow %s, made from its tables by tools/cli_pages.c.\n", first,
          WN_VERSION_STRING);
}

/* --- bash ------------------------------------------------------------------------------------- */

static void bash_flags(FILE *out, int c) {
  fprintf(out, "    %s) flags='", command_name((command)c));
  bool first = true;
  for (int i = 0; i < flag_count; ++i) {
    if (!flag_is_of(&flags[i], (command)c)) continue;
    fprintf(out, "%s%s", first ? "" : " ", flags[i].name);
    first = false;
  }
  fputs("' ;;\n", out);
}

/* A value that need not be there follows an = only. */
static void bash_value(FILE *out, const flag *f, command c) {
  what kind = value_of(f, c);
  if (!flag_is_of(f, c) || kind == NOTHING) return;
  fputs("    ", out);
  if (!is_optional(f)) fprintf(out, "%s:%s | ", command_name(c), f->name);
  fprintf(out, "%s:%s=) ", command_name(c), f->name);
  if (kind == SOME_WORD) {
    fputs("words='", out);
    words(out, f, c);
    fputs("' ;;\n", out);
  } else {
    const char *name = kind == SOME_FILE ? "file" : kind == SOME_FOLDER ? "directory" : "text";
    fprintf(out, "kind=%s ;;\n", name);
  }
}

/* The line is cut at blanks here: bash cuts words at = and : as well, which flags and names have in them, and puts what
 * is in COMPREPLY in the place of what is behind the last of these. */
void completion_bash(FILE *out) {
  head(out, "");
  fputs(
      "_winnow() {\n"
      "  local line=${COMP_LINE:0:COMP_POINT} current flag command flags='' words='' kind='' cut "
      "i\n"
      "  local -a before\n"
      "  local models='",
      out);
  commands_of_models(out);
  fputs(
      "'\n"
      "  current=${line##*[[:blank:]]}\n"
      "  read -ra before <<<\"${line%\"$current\"}\"\n"
      "  command=${before[1]:-}\n"
      "  flag=${before[${#before[@]} - 1]}\n"
      "  COMPREPLY=()\n"
      "  if ((${#before[@]} < 2)); then\n"
      "    mapfile -t COMPREPLY < <(compgen -W '",
      out);
  for (int c = 0; c < CMD_COUNT; ++c) fprintf(out, "%s ", command_name((command)c));
  fputs(
      "help --help --version' -- \"$current\")\n"
      "    return\n"
      "  fi\n"
      "  cut=${current%\"${current##*[=:]}\"}\n"
      "  if [[ $current == --*=* ]]; then\n"
      "    flag=${current%%=*}=\n"
      "    current=${current#*=}\n"
      "  fi\n"
      "  case $command in\n",
      out);
  for (int c = 0; c < CMD_COUNT; ++c) bash_flags(out, c);
  fputs("  esac\n  case $command:$flag in\n", out);
  for (int c = 0; c < CMD_COUNT; ++c)
    for (int i = 0; i < flag_count; ++i) bash_value(out, &flags[i], (command)c);
  fputs(
      "  esac\n"
      "  if [[ -n $words ]]; then\n"
      "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
      "  elif [[ -n $kind ]]; then\n"
      "    [[ $kind == text ]] && return\n"
      "    compopt -o filenames\n"
      "    mapfile -t COMPREPLY < <(compgen -A \"$kind\" -- \"$current\")\n"
      "  else\n"
      "    mapfile -t COMPREPLY < <(compgen -W \"$flags\" -- \"$current\")\n"
      "    if [[ $current != -* && $models == *\" $command \"* ]]; then\n"
      "      compopt -o filenames\n"
      "      mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -d -- \"$current\"\n"
      "        compgen -f -X '!*.onnx' -- \"$current\")\n"
      "    fi\n"
      "  fi\n"
      "  cut=${cut#--*=}\n"
      "  for ((i = 0; i < ${#COMPREPLY[@]}; ++i)); do COMPREPLY[i]=${COMPREPLY[i]#\"$cut\"}; done\n"
      "}\n"
      "complete -F _winnow winnow\n",
      out);
}

/* --- zsh -------------------------------------------------------------------------------------- */

static void zsh_flag(FILE *out, const flag *f, command c) {
  what kind = value_of(f, c);
  fprintf(out, "        '%s%s%s[", flag_repeats(f) ? "*" : "", f->name, kind == NOTHING ? "" : "=");
  char text[FLAG_HELP];
  quoted(out, flag_help(f, text), "[]:\\");
  fputc(']', out);
  if (kind != NOTHING) {
    fprintf(out, "%s:", is_optional(f) ? ":" : "");
    for (const char *v = f->value; *v != '\0'; ++v)
      if (strchr("[]=", *v) == NULL) fputc(*v, out);
    fputc(':', out);
  }
  if (kind == SOME_FILE) fputs("_files", out);
  if (kind == SOME_FOLDER) fputs("_files -/", out);
  if (kind == SOME_WORD) {
    fputc('(', out);
    for (int i = 0; flag_word(f, c, i) != NULL; ++i) {
      if (i > 0) fputc(' ', out);
      quoted(out, flag_word(f, c, i), ":\\");
    }
    fputc(')', out);
  }
  fputs("' \\\n", out);
}

void completion_zsh(FILE *out) {
  head(out, "#compdef winnow\n");
  fputs(
      "_winnow() {\n"
      "  local context state line\n"
      "  local -a commands\n"
      "  typeset -A opt_args\n"
      "  commands=(\n",
      out);
  for (int c = 0; c < CMD_COUNT; ++c) {
    fprintf(out, "    '%s:", command_name((command)c));
    quoted(out, command_texts[c].summary, ":\\");
    fputs("'\n", out);
  }
  fputs(
      "  )\n"
      "  _arguments -C '--help[this text]' '--version[the version]' '1:command:->command' "
      "'*::argument:->argument'\n"
      "  case $state in\n"
      "  command) _describe command commands ;;\n"
      "  argument)\n"
      "    case $words[1] in\n",
      out);
  for (int c = 0; c < CMD_COUNT; ++c) {
    fprintf(out, "    %s)\n      _arguments -s \\\n", command_name((command)c));
    for (int i = 0; i < flag_count; ++i)
      if (flag_is_of(&flags[i], (command)c)) zsh_flag(out, &flags[i], (command)c);
    fprintf(
        out, "%s      ;;\n",
        takes_problem((command)c) ? "        '*:PROBLEM or MODEL:_files -g \"*.onnx\"'\n" : "\n");
  }
  fputs("    esac ;;\n  esac\n}\n_winnow \"$@\"\n", out);
}

/* --- fish ------------------------------------------------------------------------------------- */

static void fish_flag(FILE *out, const flag *f, command c) {
  what kind = value_of(f, c);
  fprintf(out, "complete -c winnow -n '__fish_seen_subcommand_from %s' -l %s", command_name(c),
          f->name + 2);
  if (kind == SOME_FILE && !is_optional(f)) fputs(" -r -F", out);
  if (kind == SOME_FOLDER) fputs(" -x -a '(__fish_complete_directories)'", out);
  if (kind == SOME_TEXT) fputs(" -x", out);
  if (kind == SOME_WORD && !is_optional(f)) {
    fputs(" -x -a '", out);
    words(out, f, c);
    fputc('\'', out);
  }
  fputs(" -d '", out);
  char text[FLAG_HELP];
  for (const char *t = flag_help(f, text); *t != '\0'; ++t) {
    if (*t == '\'' || *t == '\\') fputc('\\', out);
    fputc(*t, out);
  }
  fputs("'\n", out);
}

void completion_fish(FILE *out) {
  head(out, "");
  fputs(
      "complete -c winnow -f\n"
      "complete -c winnow -n __fish_use_subcommand -l help -d 'this text'\n"
      "complete -c winnow -n __fish_use_subcommand -l version -d 'the version'\n",
      out);
  for (int c = 0; c < CMD_COUNT; ++c)
    fprintf(out, "complete -c winnow -n __fish_use_subcommand -a %s -d '%s'\n",
            command_name((command)c), command_texts[c].summary);
  fputs("complete -c winnow -n '__fish_seen_subcommand_from", out);
  commands_of_models(out);
  fputs("' -a '(__fish_complete_suffix .onnx)'\n", out);
  for (int c = 0; c < CMD_COUNT; ++c) {
    for (int i = 0; i < flag_count; ++i)
      if (flag_is_of(&flags[i], (command)c)) fish_flag(out, &flags[i], (command)c);
  }
}
