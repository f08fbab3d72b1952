#!/bin/sh
# compare --all: each program once, the Pareto front, and going on after an interrupt. No time is looked at. With a
# sanitizer (WINNOW_IN_PART) those that need little memory are compiled.
# shellcheck disable=SC1091
. "$(dirname "$0")/support/cases.sh"
export WINNOW_CACHE="$scratch/cache"
tiny=mb1ic2ih6oc3kh3ph1
quick='--backend interp --runs 1 --threads 1'
count() { grep -c -F -e "$1" out; }
kept() { "$WINNOW" cache | grep -c '^ *progress'; }

# shellcheck disable=SC2086
{
run 0 'all combinations as JSON' compare $tiny --all --wino 2 $quick --json
that 'not 256 rows' test "$(wc -l <out)" -eq 256
that 'plans are not spelled out' test "$(sed 's/.*"plan":"\([^"]*\)".*/\1/' out | sort -u | grep -c '^x=[a-z]*,g=[a-z]*,m=[a-z]*,o=[a-z]*$')" -eq 256
that 'nothing is the same program' test "$(grep -c '"same_as":"x=' out)" -gt 100
that 'no row is in the front' test "$(count '"pareto":true')" -gt 0
that 'no row is outside of it' test "$(count '"pareto":false')" -gt 0
that 'a row without an answer' test "$(count '"pareto":null')" -eq 0
that 'a row that ran has no reference' test -z "$(grep -F '"refused":null' out | grep -F '"reference_us":null')"
that 'a refused row without a tile' test -z "$(grep -v -F '"refused":null' out | grep -v -F '"wino":"2x2"')"
that 'rows that share a program differ in it' test -z "$(grep -v -F '"same_as":null' out | grep -F '"kernel":[]')"
that 'something is kept' test "$(kept)" -eq 0
end
run 0 'other plans come first' compare mb1ic4ih4oc4kh1 --all --plan direct --plan auto $quick --csv
that 'not 258 rows and a header' test "$(wc -l <out)" -eq 259
that 'order' test "$(sed -n 2,3p out | grep -c -F -e ',direct,' -e ',auto,')" -eq 2
that 'columns' test "$(head -n 1 out | sed 's/.*,refused,//')" = same_as,reference_us,prepared_bytes,pareto
end
run 0 'everything refused' compare mb1ic4ih4oc4kh1 --all $quick
says out 'nothing was run'
says out '256 plans, 256 refused'
end
run 0 'a limit of memory refuses some, as a table' compare $tiny --all --wino 2 --max-memory 600 $quick
says out 'inline|reg'
says out 'the same program as another'
says out 'refused'
end
run 1 'strict' compare $tiny --all --wino 2 --max-lines 60 --runs 1 --threads 1 --strict
says out 'stopped by --strict'
end

# Killed in the middle: the rows measured until then are not measured again. It stands still while the journal is looked
# at, so it has not ended where there are batches in it: the first entry is of what is only scheduled.
again="compare mb1ic2ih9oc3kh3ph1 --all --wino 2 $quick --json"
"$WINNOW" $again >victim 2>/dev/null &
victim=$!
entries=0
tries=0
while [ "${entries:-0}" -lt 2 ] && [ ! -s victim ] && [ $tries -lt 2000 ]; do
  tries=$((tries + 1))
  kill -CONT $victim
  sleep 0.05
  kill -STOP $victim
  entries=$("$WINNOW" cache | sed -n 's/^ *progress *\([0-9]*\).*/\1/p')
done
kill -KILL $victim
wait $victim 2>/dev/null
run 0 'going on' $again
that "killed too late, with ${entries:-0} entries" test "${entries:-0}" -ge 2
says err 'went on after'
that 'not 256 rows' test "$(wc -l <out)" -eq 256
that 'a row that was not measured' test -z "$(grep -F '"refused":null' out | grep -F '"median_us":null')"
that 'something is kept after the end' test "$(kept)" -eq 0
end

# Interrupts the program once it has written rows: before that it may not be asked to be kind yet.
run_interrupted() {
  rm -f pid
  (
    until [ -s pid ] && [ -s out ]; do sleep 0.05; done
    kill -INT "$(cat pid)"
  ) &
  sh -c 'echo $$ >pid; exec "$0" "$@"' "$program" "$@"
}
{
  echo mb1ic4ih4oc4kh1 # of which rows are soon there
  i=4
  while [ $i -lt 60 ]; do
    i=$((i + 1))
    echo "mb1ic2ih${i}oc2kh3ph1"
  done
} >long
program=$WINNOW
WINNOW=run_interrupted
run 130 'an interrupt' compare --batch long --all --wino 2 $quick --json
says err 'winnow: interrupted '
end
run 130 'an interrupt without the cache' compare --batch long --all --wino 2 --no-cache $quick --json
says err 'winnow: interrupted '
end
WINNOW=$program
}
part=${WINNOW_IN_PART:+--max-memory 600}
[ -z "$WINNOW_LONG" ] || part=
# shellcheck disable=SC2086
run 0 'a front of what is compiled' compare $tiny --all --wino 2 $part --runs 1 --threads 1 --json
if "$WINNOW" devices | grep -q '^cpu '; then
  that 'no row is in the front' test "$(count '"pareto":true')" -gt 0
  that 'no row is outside of it' test "$(count '"pareto":false')" -gt 0
  that 'code came from the cache' test "$(count '"cached":true')" -eq 0
fi
end
finish
