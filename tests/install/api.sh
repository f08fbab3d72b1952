#!/bin/sh
# api.sh LIBRARY ABI: the shared library exports the names of src/winnow.symbols, no more and no less, and on a 64-bit
# target public structs and constants are those of install/abi.txt, which only grows: a field or constant that is there
# keeps its place and its value. WINNOW_GOLDEN=update writes it again.
library=$1
abi=$2
cd "$(dirname "$0")/../.." || exit 2
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
golden=tests/install/abi.txt
status=0

"$abi" >"$tmp/abi" || { tail -n 1 "$tmp/abi"; exit 1; }
if [ "$(getconf LONG_BIT)" = 64 ]; then
  [ "$WINNOW_GOLDEN" = update ] && cp "$tmp/abi" "$golden"
  diff "$golden" "$tmp/abi" >"$tmp/diff" || {
    echo "the binary interface is not that of $golden (WINNOW_GOLDEN=update sh tests/install/api.sh LIBRARY ABI):"
    cat "$tmp/diff"
    status=1
  }
fi

command -v nm >/dev/null 2>&1 || { echo 'no nm'; [ $status -eq 0 ] && exit 77; exit $status; }
nm -D --defined-only "$library" | awk '{ print $NF }' | sed 's/@.*//' |
  grep -v -e '^_init$' -e '^_fini$' -e '^__bss_start$' -e '^_edata$' -e '^_end$' | LC_ALL=C sort >"$tmp/names"
diff src/winnow.symbols "$tmp/names" >"$tmp/diff" || {
  echo 'the library does not export what src/winnow.symbols lists (<: it should; >: it should not):'
  cat "$tmp/diff"
  status=1
}
exit $status
