# Sourced by ./run and ./check. configure FOLDER [cmake options]; build FOLDER [targets]: quiet when there is nothing to
# do; on a terminal a line of progress, elsewhere one line when work starts; the compiler's words only on failure.

generator() { if command -v ninja >/dev/null 2>&1; then echo Ninja; else echo 'Unix Makefiles'; fi; }

configure() {
  folder=$1
  shift
  options="-G $(generator) $*"
  if [ -f "$folder/.options" ]; then
    [ "$(cat "$folder/.options")" = "$options" ] && [ -f "$folder/CMakeCache.txt" ] && return 0
    rm -rf "$folder/CMakeFiles" "$folder/CMakeCache.txt"
  fi
  mkdir -p "$folder"
  if ! cmake -S "$root" -B "$folder" -G "$(generator)" "$@" >"$folder/configure.log" 2>&1; then
    cat "$folder/configure.log" >&2
    rm -f "$folder/CMakeCache.txt" "$folder/.options"
    return 1
  fi
  printf '%s' "$options" >"$folder/.options"
}

# Steps look like "[12/96] Building ..." (ninja) or "[ 12%] Building ..." (make).
progress() {
  started=
  while IFS= read -r line; do
    case $line in
      *"Re-checking globbed"* | *"[100%] Built"* | *"%] Built target"*) ;;
      \[*\]*)
        if [ -t 2 ]; then
          printf '\r\033[K%s: %.100s' "$self" "${line##*"$root"/}" >&2
        elif [ -z "$started" ]; then
          say "building in ${1#"$root"/}"
        fi
        started=1
        ;;
    esac
  done
  if [ -n "$started" ] && [ -t 2 ]; then printf '\r\033[K' >&2; fi
}

build() {
  folder=$1
  shift
  targets=
  [ $# -gt 0 ] && targets="--target $*"
  rm -f "$folder/.failed"
  # shellcheck disable=SC2086
  { NINJA_STATUS='[%f/%t] ' cmake --build "$folder" $jobs $targets ${keep_going:+-- $keep_going} 2>&1 ||
    echo failed >"$folder/.failed"; } | tee "$folder/build.log" | progress "$folder"
  [ ! -f "$folder/.failed" ] && return 0
  # Errors with the lines that follow them; the warnings around them are in the log.
  grep -A 4 -E -e '(error|undefined reference|multiple definition|No rule|Error [0-9])' "$folder/build.log" |
    grep -v -e '^: &&' -e '^/[^ ]* -' -e '^\[' -e '^ninja:' | cut -c 1-300 | head -n 40 >&2
  return 1
}

# make, unlike ninja, uses one core unless told otherwise
jobs=
command -v ninja >/dev/null 2>&1 || jobs="--parallel $(nproc 2>/dev/null || echo 2)"

# Two at once would build in one folder: the second waits.
lock() {
  mkdir -p "$root/build"
  if command -v flock >/dev/null 2>&1; then
    exec 9>"$root/build/.lock"
    flock 9
  fi
}
unlock() { exec 9>&-; }
