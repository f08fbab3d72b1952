#!/bin/sh
# The lists of docs/architecture.md, "How to add": the files that they name are there, and each file of the library that has
# the list's example in it is named, by itself or by its folder.
. tests/cli/support/cases.sh

page=$here/docs/architecture.md

# list NAME: the paragraphs from its title to the next one
list() {
  awk -v title="**$1.**" '
    /^\*\*/ || /^## / { on = 0 }
    index($0, title) == 1 { on = 1 }
    on' "$page"
}

# paths: what stands in backticks and looks like a path, a line each
paths() { tr '`' '\n' | grep -E '^(src|cli|tests|include|tools)/[A-Za-z0-9_/.]*$' | sort -u; }

# unlisted NAME PATTERN: files with the example that the list does not name, into out
unlisted() {
  list "$1" | paths >named
  (cd "$here" && grep -rlE -e "$2" src cli include) | sort | while read -r file; do
    found=
    while read -r path; do
      case $file in "$path" | "${path%/}"/*) found=yes ;; esac
    done <named
    [ -n "$found" ] || echo "$file"
  done >out
}

# follows NAME PATTERN: a list, and a regular expression for its example
follows() {
  name=$1
  cases=$((cases + 1))
  why=
  : >err
  unlisted "$1" "$2"
  that 'there is no list' test -s named
  that "$2 is nowhere" grep -rqE -e "$2" "$here/src"
  that 'files are not in the list' test ! -s out
  while read -r path; do
    [ -e "$here/$path" ] || why="$why; there is no $path"
  done <named
  end
}

follows 'An op' '(^|[^A-Z_])OP_TANH([^A-Z_]|$)'
follows 'A pass' '(^|[^a-z_])lower_tensors([^a-z_]|$)'
follows 'A plan field' '(s|plan|schedule|site\[[^]]*\])(->|\.)chains([^a-z_]|$)'
follows 'A backend' '(^|[^a-z_])backend_metal([^a-z_]|$)'

cases=$((cases + 1))
name='a file that a list does not name is found'
why=
unlisted 'A backend' '(^|[^a-z_])lower_tensors([^a-z_]|$)'
that 'it is not' grep -q '^src/lower/lower.c$' out
end
finish
