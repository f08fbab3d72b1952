#!/bin/sh
# The cache on disk: filled, used, listed, cleared; and every way in which it cannot be used is one warning and no failure.
. tests/cli/support/cases.sh
WINNOW_CACHE=$scratch/cache
export WINNOW_CACHE
file=$scratch/cache/cache-1.db

conv() { # conv NAME arguments...: a convolution that must be right
  name=$1
  shift
  run 0 "$name" conv $small --plan "${plan:-direct}" --runs 1 --threads 1 "$@"
}
one_warning() {
  that 'not one warning' test "$(grep -c 'warning: ' err)" -eq 1
  says err 'going on without the cache'
  says err "$1"
}

run 0 'nothing yet' cache
says out "$file: not made yet"
that 'looking made it' test ! -e "$scratch/cache"
end
conv 'code is made' --json --output first.npy
says out '"cached":false'
end
conv 'and found' --json --output second.npy
says out '"cached":true'
that 'another result' cmp first.npy second.npy
end
# The kernels: the same lines, registers and spills, whether code is new or not.
figures() { tr ',{' '\n\n' <out | grep -E '"(registers|spills|source_lines|name|fallback)"'; }
conv 'without the cache' --json --no-cache --output third.npy
says out '"cached":false'
that 'another result' cmp first.npy third.npy
figures >new
end
conv 'as with it' --json
figures >old
that 'other figures' cmp new old
end
plan=old
conv 'another plan is other code' --json
says out '"cached":false'
plan=
end
conv 'the C compiler' --json --backend cpu:cc
says out '"cached":false'
end
conv 'the C compiler, found' --json --backend cpu:cc
says out '"cached":true'
end
run 0 'what is in it' cache
says out "$file: "
says out ' of 256 MiB'
# an entry a kernel: 2 of the first plan, 4 of old, and the 2 once more of the C compiler
that 'not eight entries' grep -q -E '^kernels +8 ' out
end
run 0 'what is in it, for programs' cache --json
says out "\"file\":\"$file\""
says out '"kinds":{"kernels":{"entries":8,"bytes":'
that 'not one line' test "$(wc -l <out)" -eq 1
end
run 0 'a folder for its user alone' cache
that 'mode' test -n "$(find "$scratch/cache" -prune -perm 700)"
end

run 0 'cleared' cache --clear
says out "$file: removed"
that 'still there' test ! -e "$file"
end
run 0 'nothing to clear' cache --clear
says out "$file: nothing to remove"
end
run 2 'no operand' cache now
says err "cache takes no operand, but 'now' was given"
end
run 2 'one or the other' cache --clear --json
says err '--json and --clear exclude each other'
end

# --- what cannot be used ------------------------------------------------------------------------------------------------

mkdir -p "$scratch/cache"
repeat 20 'no database at all. ' >"$file"
cp "$file" kept
conv 'a file that is no database' --json
one_warning "$file"
says err 'winnow cache --clear'
says out '"cached":false'
that 'the file was written' cmp "$file" kept
end
run 0 'one warning for many plans' compare $small --runs 1 --threads 1
one_warning "$file"
end
run 0 'listing it' cache
one_warning "$file"
says out "$file: "
end
run 0 'clearing it' cache --clear
that 'still there' test ! -e "$file"
end
chmod 777 "$scratch/cache"
conv 'a folder that others may write'
one_warning "$scratch/cache"
that 'used all the same' test ! -e "$file"
end
chmod 700 "$scratch/cache"

WINNOW_CACHE=/proc/none
conv 'a folder that cannot be'
one_warning /proc/none
end
WINNOW_CACHE=
conv 'turned off' --json
that 'words' test ! -s err
says out '"cached":false'
end
run 0 'said to be off' cache
says out 'no cache: WINNOW_CACHE is empty'
end
unset WINNOW_CACHE XDG_CACHE_HOME HOME
conv 'no home'
one_warning HOME
end
run 0 'no home to list' cache
says out 'no cache: '
end
run 2 'no home to clear' cache --clear
says err 'HOME'
end
HOME=$scratch/home
export HOME
conv 'at home'
that 'not there' test -e "$HOME/.cache/winnow/cache-1.db"
end
finish
