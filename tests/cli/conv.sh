#!/bin/sh
# conv on files: results against sums worked out by hand, and every way in which a file can be wrong.
. tests/cli/support/cases.sh

one='\000\000\200\077'
two='\000\000\000\100'
nine=$(repeat 9 "$one")
sixteen=$(repeat 16 "$one")
npy ones.npy '<f4' False '(1, 1, 4, 4)' "$sixteen"
npy box.npy '<f4' False '(1, 1, 3, 3)' "$nine"
npy bias.npy '<f4' False '(1,)' "$two"
npy filter2.npy '<f4' False '(1, 1, 2, 2)' "$one$two$one$two"
p=mb1ic1ih4oc1kh3ph1

floats() { # the elements of a float32 .npy in this machine's order
  tail -c "+$((1 + 128))" "$1" | od -A n -v -t f4 | tr -s ' \n' '  ' | sed 's/^ //; s/ $//'
}
bytes_of() { od -A n -v -t x1 "$1" | tr -d ' \n'; }

# Neighbours of each place of a 4x4 image of ones: 4 at corners, 6 at edges, 9 inside.
expected='4 6 6 4 6 9 9 6 6 9 9 6 4 6 6 4'
for plan in auto direct old new one inline-m; do
  run 0 "conv with $plan" conv $p --plan $plan --input ones.npy --weights box.npy --output y.npy --runs 1
  that 'not the box sums' awk -v a="$(floats y.npy)" -v b="$expected" 'BEGIN {
    n = split(a, x, " "); if (n != split(b, y, " ")) exit 1
    for (i = 1; i <= n; i++) if ((x[i] - y[i]) ^ 2 > 1e-9) exit 1 }'
  end
done
run 0 'the header of the result' conv $p --plan direct --input ones.npy --weights box.npy --output y.npy --runs 1
that 'shape' grep -a -q "'shape': (1, 1, 4, 4)" y.npy
that 'size' test "$(wc -c <y.npy)" -eq 192
says out 'result from 4 to 9'
says out 'written to y.npy'
end
run 0 'bias, residual and activation' conv $p --plan direct --input ones.npy --weights box.npy --bias bias.npy \
  --residual ones.npy --act relu --output y.npy --runs 1
that 'values' test "$(floats y.npy)" = '7 9 9 7 9 12 12 9 9 12 12 9 7 9 9 7'
end
run 0 'sizes from the files' conv --plan direct --input ones.npy --weights filter2.npy --output y.npy --runs 1
that 'shape' grep -a -q "'shape': (1, 1, 4, 4)" y.npy
end

# Two channels, last or second, are the same numbers in another order.
npy nchw.npy '<f4' False '(1, 2, 2, 2)' "$one$one$one$one$two$two$two$two"
npy nhwc.npy '<f4' False '(1, 2, 2, 2)' "$one$two$one$two$one$two$one$two"
npy w2.npy '<f4' False '(2, 2, 1, 1)' "$one$one$one$two"
run 0 'channels last' conv mb1ic2ih2oc2kh1 --layout nhwc --input nhwc.npy --weights w2.npy --output last.npy --runs 1
that 'values' test "$(floats last.npy)" = '3 5 3 5 3 5 3 5'
end
run 0 'channels second' conv mb1ic2ih2oc2kh1 --input nchw.npy --weights w2.npy --output second.npy --runs 1
that 'values' test "$(floats second.npy)" = '3 3 3 3 5 5 5 5'
end

# Other spellings of the same numbers.
npy big.npy '>f4' False '(1, 1, 4, 4)' "$(repeat 16 '\077\200\000\000')"
npy fortran.npy '<f4' True '(1, 1, 4, 4)' "$sixteen"
npy half.npy '<f2' False '(1, 1, 4, 4)' "$(repeat 16 '\000\074')"
npy double.npy '<f8' False '(1, 1, 4, 4)' "$(repeat 16 '\000\000\000\000\000\000\360\077')"
npy int.npy '<i4' False '(1, 1, 4, 4)' "$(repeat 16 '\001\000\000\000')"
conv_direct() { "$WINNOW" conv $p --plan direct --weights box.npy --runs 1 "$@" >/dev/null; }
conv_direct --input ones.npy --output want.npy
for kind in big fortran half double int; do
  run 0 "reads $kind" conv $p --plan direct --input $kind.npy --weights box.npy --output y.npy --runs 1
  that 'another result' cmp -s y.npy want.npy
  end
done

# refuses TEXT arguments...: and leaves no result, whole or half
refuses() {
  text=$1
  shift
  rm -f result.npy result.npy.*
  run 2 "refuses: $*" conv "$@" --output result.npy --runs 1
  says err "$text"
  that 'left a result' test "$(find . -name 'result.npy*' | wc -l)" -eq 0
  end
}
npy byte.npy '<c8' False '(1, 1, 4, 4)' "$sixteen$sixteen"
npy fields.npy '<f4' False '(1, 1, 5, 4)' "$(repeat 20 "$one")"
head -c 150 ones.npy >short.npy
head -c 40 ones.npy >header.npy
echo text >text.npy
: >nothing.npy
cat ones.npy text.npy >long.npy
refuses 'cannot open nowhere.npy' $p --input nowhere.npy
refuses "dtype '<c8', expected a float" $p --input byte.npy
refuses "dtype '<c8', expected a float" $p --weights byte.npy
refuses 'has shape (1, 1, 5, 4)' $p --input fields.npy
refuses 'needs (1, 1, 4, 4)' $p --input fields.npy
refuses 'needs (1, 1, 3, 3)' $p --weights ones.npy
refuses 'needs (1,)' $p --bias ones.npy
refuses 'needs (1, 1, 4, 4)' $p --residual box.npy
refuses 'truncated' $p --input short.npy
refuses 'truncated in the header' $p --input header.npy
refuses 'does not begin as one' $p --input text.npy
refuses 'does not begin as one' $p --input nothing.npy
refuses 'longer than its header says' $p --input long.npy
refuses 'not a regular file' $p --input .
refuses 'do not fit' --input nchw.npy --weights fields.npy
refuses 'picture' mb2ic1ih4oc1kh3 --input photo.png
echo 'no picture' >bad.png
refuses 'cannot read the photo bad.png' $p --input bad.png
run 2 'refuses an output in no folder' conv $p --output nowhere/y.npy --runs 1
says err 'cannot write nowhere/y.npy'
end
mkdir folder.npy
run 2 'refuses an output that is a folder' conv $p --output folder.npy --runs 1
says err 'it is a directory'
end
run 2 'refuses an output of no known kind' conv $p --output y.txt --runs 1
says err '.npy or .png'
end
run 2 'refuses a picture of five channels' conv mb1ic1ih4oc5kh3 --output y.png --runs 1
says err 'picture of 1 to 4 channels'
end
run 2 'a plan that is refused' conv mb1ic4ih4oc4kh1 --plan old --runs 1
says err 'old'
end

# What is there stays when the new result cannot be written.
mkdir locked
cp want.npy locked/y.npy
chmod 555 locked
if [ "$(id -u)" -ne 0 ]; then
  run 2 'a folder that cannot be written' conv $p --output locked/y.npy --runs 1
  that 'the old file changed' cmp -s locked/y.npy want.npy
  end
fi
chmod 755 locked
if [ -c /dev/full ]; then
  "$WINNOW" compare $p --plan direct --runs 1 --json >/dev/full 2>err
  status=$?
  cases=$((cases + 1))
  why=
  name='standard output is full'
  that "exit status $status" test $status -eq 2
  says err 'cannot write'
  end
fi

# A file that may not grow so large, as a full disk.
run_limited() { (ulimit -f 8 && "$WINNOW" conv mb1ic1ih256oc4kh1 --plan direct --output full.npy --runs 1 >out 2>err) 2>/dev/null; }
cases=$((cases + 1))
why=
name='a result larger than a file may be'
run_limited
that 'exit status' test $? -eq 2
says err 'nothing was written'
that 'left a result' test "$(find . -name 'full.npy*' | wc -l)" -eq 0
end

# A signal while the result is being written. The program is stopped at that moment, so that the signal finds it there;
# where it was quicker, the next result is larger.
# interrupted SIGNAL STATUS [PREFIX...]
interrupted() {
  signal=$1
  want=$2
  shift 2
  cases=$((cases + 1))
  why=
  name="SIG$signal while the result is written"
  seen=
  tries=0
  side=256
  while [ -z "$seen" ] && [ $tries -lt 8 ]; do
    tries=$((tries + 1))
    [ $side -ge 2048 ] || side=$((side * 2))
    rm -f cut.npy cut.npy.*
    cp want.npy cut.npy
    "$@" "$WINNOW" conv mb1ic1ih${side}oc8kh1 --plan direct --output cut.npy --runs 1 >out 2>err &
    child=$!
    while kill -0 $child 2>/dev/null; do
      for half in cut.npy.*; do
        [ -e "$half" ] && kill -STOP $child && seen=1
      done
      [ -n "$seen" ] && break
    done
    if [ -n "$seen" ] && ! ls cut.npy.* >/dev/null 2>&1; then seen=; fi # it was quicker
    [ -n "$seen" ] && kill -"$signal" $child
    kill -CONT $child 2>/dev/null
    wait $child 2>/dev/null
    got=$?
  done
  if [ -z "$seen" ]; then
    echo "ok $cases - $name # SKIP never seen while it wrote"
    return
  fi
  that "exit status $got" test $got -eq "$want"
  that 'half a result stayed' test "$(find . -name 'cut.npy.*' | wc -l)" -eq 0
  that 'the old file changed' cmp -s cut.npy want.npy
  end
}
interrupted TERM 143
interrupted HUP 129
# a shell starts what runs in the background with SIGINT ignored, and what is ignored stays so
if env --default-signal=INT true 2>/dev/null; then interrupted INT 130 env --default-signal=INT; fi
rm -f cut.npy

# Memory that is not there.
limit=2000000
if (ulimit -v $limit && "$WINNOW" --version; exit $?) >out 2>&1; then # not under AddressSanitizer
  cases=$((cases + 1))
  why=
  name='no memory'
  (ulimit -v $limit && "$WINNOW" conv mb1ic1ih30000oc1kh3ph1 --runs 1 --output large.npy) >out 2>err
  that "exit status" test $? -eq 2
  that 'not one line' test "$(grep -c '^winnow: ' err)" -eq 1
  that 'more than a line' test "$(wc -l <err)" -eq 1
  grep -q -e 'no memory' -e 'this machine has' err || why="$why; err does not say memory"
  that 'left a result' test ! -e large.npy
  end
fi

# NaN and infinity are computed, and said.
npy special.npy '<f4' False '(1, 1, 4, 4)' "\000\000\300\177$(repeat 14 "$one")\000\000\200\177"
for plan in direct one; do
  run 0 "NaN and infinity with $plan" conv $p --plan $plan --input special.npy --weights box.npy --output y.npy --runs 1
  says out 'NaN or infinite'
  says out '2 in the data'
  that 'NaN not in the result' test "$(bytes_of y.npy | grep -c -i -E 'c0(7f|ff)')" -ge 1
  end
done

run 0 'NaN and infinity in compare' compare $p --plan direct --input special.npy --weights box.npy --runs 1
says out 'NaN or infinite'
end
run 0 'NaN and infinity in bench' bench $p --plan direct --input special.npy --weights box.npy --runs 1
says out 'NaN or infinite'
end

# Photographs: a picture in, a picture out.
printf 'P5\n4 4\n255\n' >grey.pgm
printf '\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377' >>grey.pgm
npy third.npy '<f4' False '(1, 1, 1, 1)' '\000\000\000\077'
run 0 'a picture, half as bright' conv --input grey.pgm --weights third.npy --output dim.png --runs 1
that 'no PNG' test "$(head -c 4 dim.png | od -A n -t x1 | tr -d ' ')" = 89504e47
says out 'result from 0.5 to 0.5'
end
run 0 'a picture back in' conv mb1ic1ih4oc1kh1 --input dim.png --weights third.npy --output y.npy --runs 1
that 'not half of 128/255' awk -v v="$(floats y.npy | cut -d ' ' -f 1)" 'BEGIN { exit !((v - 64 / 255) ^ 2 < 1e-10) }'
end
head -c 60 dim.png >cut.png
run 2 'a picture that is cut off' conv mb1ic1ih4oc1kh1 --input cut.png --runs 1
says err 'cannot read the photo cut.png'
end
run 2 'a picture of another size' conv mb1ic1ih5oc1kh1 --input dim.png --runs 1
says err 'has 4 rows of 4'
end
finish
