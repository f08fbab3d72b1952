#!/bin/sh
# Files in and out: dtypes, pipes, byte order marks, pictures of 16 bits; what a signal or a limit leaves behind.
. tests/cli/support/cases.sh
p=mb1ic1ih2iw2oc1kh1
one='\000\000\200\077'
npy unit.npy '<f4' False '(1, 1, 1, 1)' "$one"
npy want.npy '<f4' False '(1, 1, 2, 2)' '\000\000\000\000\000\000\200\077\000\000\000\100\000\000\100\100'
npy u1.npy '|u1' False '(1, 1, 2, 2)' '\000\001\002\003'
npy i8.npy '>i8' True '(1, 1, 2, 2)' '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\002\0\0\0\0\0\0\0\001\0\0\0\0\0\0\0\003'
npy b1.npy '|b1' False '(1, 1, 2, 2)' '\000\001\001\000'
npy wantb.npy '<f4' False '(1, 1, 2, 2)' "\\000\\000\\000\\000$one$one\\000\\000\\000\\000"

# same NAME WANT arguments...: the result is the data of WANT
same() {
  name=$1
  want_data=$2
  shift 2
  rm -f y.npy
  run 0 "$name" conv "$@" --weights unit.npy --output y.npy --runs 1
  tail -c 16 "$want_data" >want.data
  tail -c 16 y.npy >y.data
  that 'another result' cmp -s want.data y.data
  end
}
same 'uint8' want.npy $p --input u1.npy
same 'int64, the other byte order, Fortran order' want.npy $p --input i8.npy
same 'bool' wantb.npy $p --input b1.npy
mkfifo pipe
cat want.npy >pipe &
same 'a named pipe' want.npy $p --input pipe
cat want.npy >pipe &
same 'a named pipe that the problem comes from' want.npy --input pipe
if [ -e /dev/stdin ]; then # run gives the program no input of ours
  cases=$((cases + 1))
  name='standard input'
  why=
  rm -f y.npy
  head -c 100000 /dev/zero | cat want.npy - | head -c "$(wc -c <want.npy)" |
    "$WINNOW" conv --input /dev/stdin --weights unit.npy --output y.npy --runs 1 >out 2>err || why='failed'
  tail -c 16 y.npy >y.data
  tail -c 16 want.npy >want.data
  that 'another result' cmp -s want.data y.data
  end
fi
run 2 'a device is no file' conv $p --input /dev/zero --runs 1
says err 'not a regular file or a pipe'
end
run 2 'a pipe of nothing' conv $p --input pipe2 --runs 1
says err 'cannot open pipe2'
end

printf '\357\273\277%s\r\n# a comment\r\n\r\n%s\r\n' mb1ic2ih5oc2kh3 mb1ic1ih6oc2kh3 >batch.txt
run 0 'a list with a byte order mark and CRLF' bench --batch batch.txt --plan direct --runs 1 --csv
that 'lines' test "$(wc -l <out)" -eq 3
end

# --- pictures -----------------------------------------------------------------------------------------------------------
# 2 x 1 samples of 16 bits: 0x8000 and 0x0001, stored without compression; checksums are of no interest here.
printf '\211PNG\r\n\032\n\000\000\000\015IHDR\000\000\000\002\000\000\000\001\020\000\000\000\000\000\000\000\000' >wide.png
printf '\000\000\000\020IDAT\170\001\001\005\000\372\377\000\200\000\000\001\000\000\000\000\000\000\000\000' >>wide.png
printf '\000\000\000\000IEND\256\102\140\202' >>wide.png
run 0 'reads 16 bits' conv mb1ic1ih1iw2oc1kh1 --input wide.png --weights unit.npy --output y.npy --runs 1
printf '\200\000\000\077\200\000\200\067' >want.data # 32768 / 65535 and 1 / 65535, little-endian
tail -c 8 y.npy >y.data
that 'another result' cmp -s want.data y.data
end
run 0 'writes 16 bits where it read them' conv mb1ic1ih1iw2oc1kh1 --input wide.png --weights unit.npy --output y.png --runs 1
that 'not 16 bits' test "$(od -An -tu1 -j24 -N1 y.png | tr -d ' ')" -eq 16
end
run 0 'and reads its own' conv mb1ic1ih1iw2oc1kh1 --input y.png --weights unit.npy --output z.npy --runs 1
that 'another result' cmp -s y.npy z.npy
end
run 0 'writes 8 bits else' conv $p --input want.npy --weights unit.npy --output y.png --runs 1
that 'not 8 bits' test "$(od -An -tu1 -j24 -N1 y.png | tr -d ' ')" -eq 8
end

# --- limits and signals ----------------------------------------------------------------------------------------------------
# Nothing can be written at all: standard output and errors are pipes.
limited() { # limited NAME STATUS TEXT arguments...
  name=$1
  want=$2
  text=$3
  shift 3
  cases=$((cases + 1))
  why=
  { (ulimit -f 0 && "$WINNOW" "$@" 2>&1; echo "status $?") 2>&1; } | cat >out
  says out "status $want"
  says out "$text"
  end
}
limited 'no room for a source' 0 'runs in the interpreter: cannot write' conv $p --backend cpu:cc --no-cache --runs 1
export WINNOW_CACHE="$scratch/cache" # one that is not there yet
limited 'no room for the cache' 0 'going on without the cache' conv $p --runs 1 --seed 9
limited 'no room for a result' 2 'nothing was written' conv $p --output none.npy --runs 1
limited 'no room for a picture' 2 'nothing was written' conv $p --output none.png --runs 1
limited 'no room for a page' 2 'cannot write none.html' compare $p --plan direct --runs 1 --html none.html
limited 'no room for a trace' 2 'cannot write none.json' compare $p --plan direct --runs 1 --trace none.json
cases=$((cases + 1))
name='nothing is left of them'
why=
that 'files' test -z "$(find . -name 'none*')"
end

# A compiler that takes its time, killed in every way; the folder of its work goes away with the program.
mkdir bin tmp
printf '#!/bin/sh\n: >%s/started\nexec sleep 20\n' "$scratch" >bin/cc
chmod +x bin/cc
# killed SIGNAL: leaves the folders in tmp
killed() {
  rm -f started
  PATH=$scratch/bin:$PATH TMPDIR=$scratch/tmp "$WINNOW" conv $p --backend cpu:cc --no-cache --runs 1 >out 2>err &
  pid=$!
  tries=0
  while [ ! -e started ] && [ $tries -lt 600 ]; do sleep 0.05; tries=$((tries + 1)); done
  kill -"$1" $pid
  wait $pid 2>/dev/null
  got=$?
}
for signal in TERM HUP; do # a shell's background jobs ignore the other two
  cases=$((cases + 1))
  name="SIG$signal while a compiler runs"
  why=
  killed $signal
  that 'not ended by the signal' test "$got" -gt 128
  that 'a folder is left' test -z "$(ls tmp)"
  end
done
cases=$((cases + 1))
name='SIGKILL leaves a folder that the next run removes, and nothing else'
why=
killed KILL
that 'no folder' test "$(ls tmp | wc -l)" -eq 1
mkdir tmp/winnow-photos && : >tmp/winnow-photos/kernels.c
touch -d '1 minute ago' tmp/* 2>/dev/null || touch -t 200001010000 tmp/*
TMPDIR=$scratch/tmp "$WINNOW" conv $p --backend cpu:cc --no-cache --runs 1 >out 2>err || why='failed'
that 'not removed' test "$(ls tmp)" = winnow-photos
that 'more than that was removed' test -e tmp/winnow-photos/kernels.c
end
cases=$((cases + 1))
name='a folder in use stays'
why=
rm -f started
PATH=$scratch/bin:$PATH TMPDIR=$scratch/tmp "$WINNOW" conv $p --backend cpu:cc --no-cache --runs 1 >out 2>err &
pid=$!
tries=0
while [ ! -e started ] && [ $tries -lt 600 ]; do sleep 0.05; tries=$((tries + 1)); done
touch -d '1 minute ago' tmp/* 2>/dev/null || touch -t 200001010000 tmp/*
TMPDIR=$scratch/tmp "$WINNOW" conv $p --backend cpu:cc --no-cache --runs 1 >out 2>err || why='failed'
that 'removed' test "$(ls tmp | wc -l)" -eq 2
kill -TERM $pid
wait $pid 2>/dev/null
that 'a folder is left' test "$(ls tmp)" = winnow-photos
end
finish
