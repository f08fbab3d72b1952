# Sourced by the tests of the command line, with the program as $1: cases in TAP, a scratch folder that goes away.
WINNOW=${1:-${WINNOW:?the program to test}}
case $WINNOW in /*) ;; *) WINNOW=$PWD/$WINNOW ;; esac
unset DEBUG WINO BEAM WINNOW_THREADS WINNOW_ISA WINNOW_DUMP WINNOW_TRACE NO_COLOR
here=$PWD
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
cases=0
failures=0
small=mb1ic3ih9oc4kh3ph1

# run STATUS NAME arguments...: runs winnow; its words are in out and err.
run() {
  want=$1
  name=$2
  shift 2
  cases=$((cases + 1))
  why=
  "$WINNOW" "$@" >out 2>err </dev/null
  got=$?
  [ "$got" -eq "$want" ] || why="exit status $got, expected $want"
  if [ "$want" -eq 2 ] && [ "$(grep -c '^winnow: ' err)" -ne 1 ]; then why="$why; not one line 'winnow: ...'"; fi
}

# says FILE TEXT: the case fails unless the file has the text.
says() { grep -q -F -e "$2" "$1" || why="$why; $1 lacks '$2'"; }
lacks() { if grep -q -F -e "$2" "$1"; then why="$why; $1 has '$2'"; fi; }
that() { # that WHAT command...: the case fails unless the command succeeds
  what=$1
  shift
  "$@" || why="$why; $what"
}

end() {
  if [ -z "$why" ]; then
    echo "ok $cases - $name"
    return
  fi
  failures=$((failures + 1))
  echo "not ok $cases - $name: $why"
  head -n 5 out | cut -c 1-160 | sed 's/^/# out: /'
  head -n 5 err | cut -c 1-160 | sed 's/^/# err: /'
}

finish() {
  echo "1..$cases"
  [ "$failures" -eq 0 ]
  exit
}

# npy FILE DESCR FORTRAN SHAPE BYTES: a .npy file, version 1.0, with printf escapes as data.
npy() {
  header="{'descr': '$2', 'fortran_order': $3, 'shape': $4, }"
  printf '\223NUMPY\001\000\166\000%-117s\n' "$header" >"$1"
  # shellcheck disable=SC2059
  printf "$5" >>"$1"
}

# repeat N TEXT
repeat() {
  i=0
  while [ "$i" -lt "$1" ]; do
    printf '%s' "$2"
    i=$((i + 1))
  done
}
