#!/bin/sh
# lint.sh [--fix] [BUILD [part...]]: format, include order, text that would follow the locale, warnings of both compilers,
# generated docs; all parts when none is named. Exit status 1 when something is wrong, 77 when it could not be checked. --fix formats and regenerates.
root=$(cd "$(dirname "$0")/.." && pwd) || exit 2
cd "$root" || exit 2
fix=
[ "$1" = --fix ] && fix=1 && shift
build=${1:-$root/build}
[ $# -gt 0 ] && shift
jobs=$(nproc 2>/dev/null || echo 2)
. "$root/tools/packages.sh"

sources() {
  find include src cli tests tools examples bench -name '*.[ch]' 2>/dev/null | LC_ALL=C sort
}

# One version of clang-format decides: others lay out some lines differently.
lint_format() {
  if ! command -v clang-format-19 >/dev/null 2>&1; then
    echo "no clang-format-19, so the layout was not checked"
    return 77
  fi
  if [ -n "$fix" ]; then sources | xargs clang-format-19 -i; return; fi
  sources | xargs clang-format-19 --dry-run -Werror 2>&1 | sed -n 's/:[0-9]*:[0-9]*: error:.*/: not formatted/p' |
    sort -u >"$tmp/format"
  [ ! -s "$tmp/format" ] && return 0
  head -n 30 "$tmp/format"
  echo "tools/lint.sh --fix formats"
  return 1
}

lint_order() { sources | xargs awk -f tools/include-order.awk; }

# What is linked into other people's programs, or shares its code. Tests, examples and bench are programs that set no locale.
lint_locale() {
  sources | grep -e '^src/' -e '^cli/' -e '^tools/' | LC_ALL=C xargs awk -f tools/locale.awk && return 0
  echo "src/base/text.h has what does the same in every locale"
  return 1
}

# gcc reports some things only when it optimises; clang finds all it has to say without generating code.
lint_warnings() {
  [ -f "$build/lint-flags" ] || { echo "no $build/lint-flags: configure first"; return 77; }
  llvm='^$'
  grep -q WN_HAVE_LLVM "$build/lint-flags" || llvm='/\(test_\)\{0,1\}llvm[^/]*\.[ch]$'
  opencl='^$'
  grep -q WN_HAVE_OPENCL "$build/lint-flags" || opencl='/\(test_\)\{0,1\}opencl_[^/]*\.c$\|fake/opencl\.c$'
  sources | grep '\.c$' | grep -v -e "$llvm" -e "$opencl" >"$tmp/files"
  [ -e /usr/include/cmocka.h ] || { grep -v '^tests/' "$tmp/files" >"$tmp/f"; mv "$tmp/f" "$tmp/files"; }
  wrong=0
  seen=
  if gcc --version >/dev/null 2>&1; then
    seen=1
    xargs -P "$jobs" -I{} gcc "@$build/lint-flags" -Werror -O1 -S -o /dev/null {} <"$tmp/files" >"$tmp/gcc" 2>&1 || wrong=1
    grep -e 'error:' "$tmp/gcc" | head -n 30
  fi
  if clang=$(find_clang); then
    seen=1
    xargs -P "$jobs" -n 8 "$clang" "@$build/lint-flags" -Werror -fsyntax-only <"$tmp/files" >"$tmp/clang" 2>&1 || wrong=1
    grep -e 'error:' "$tmp/clang" | head -n 30
  fi
  [ -n "$seen" ] || { echo "neither gcc nor clang"; return 77; }
  return $wrong
}

table() { # table PROGRAM PAGE SOURCE: a page that a program of the build prints
  [ -x "$build/$1" ] || { echo "no $build/$1: build first"; return 77; }
  if [ -n "$fix" ]; then "$build/$1" >"$2"; return; fi
  "$build/$1" | cmp -s - "$2" && return 0
  echo "$2 does not match $3: tools/lint.sh --fix writes it again"
  return 1
}

lint_ops() {
  table ops_table docs/ops.md src/ir/ops.def || return
  table onnx_table docs/operators.md src/onnx/operators.def
}

# docs/api.md and the names that the library may export.
lint_api() {
  for made in page:docs/api.md symbols:src/winnow.symbols; do
    file=${made#*:}
    awk -v out="${made%%:*}" -f tools/api.awk include/winnow/winnow.h >"$tmp/api" || return 1
    [ -n "$fix" ] && cp "$tmp/api" "$file"
    cmp -s "$tmp/api" "$file" && continue
    echo "$file does not match include/winnow/winnow.h: tools/lint.sh --fix writes it again"
    return 1
  done
}

tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
status=0
for part in ${*:-format order locale warnings ops api}; do
  "lint_$part"
  result=$?
  [ $result -eq 1 ] && status=1
  [ $result -ne 0 ] && [ $status -eq 0 ] && status=$result
done
exit $status
