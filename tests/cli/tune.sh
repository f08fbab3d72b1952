# `winnow tune` and BEAM: what is stored and used afterwards, what is only printed, interrupts, misuse. No time is looked at.
# shellcheck disable=SC1091
. "$(dirname "$0")/support/cases.sh"
export WINNOW_CACHE="$scratch/cache"
tiny=mb1ic2ih6oc3kh3ph1
value() { # value KEY: of the last object in out
  tail -n 1 out | tr ',{}' '\n\n\n' | sed -n "s/^\"$1\":\"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" | head -n 1
}
quick='--backend interp --seconds 0.2'

# shellcheck disable=SC2086
{
run 0 'tune' tune $tiny $quick
says out "$tiny"
says out 'tuned µs'
says out 'pick'
lacks out 'not stored'
that 'something is on stderr' test ! -s err
end
run 0 'auto is tuned afterwards' bench $tiny --backend interp --runs 1 --json
that 'not tuned' test "$(value tuned)" = true
that 'the plan has another name' test "$(value plan)" = auto
end
run 0 'another problem is not' bench mb1ic2ih7oc3kh3ph1 --backend interp --runs 1 --json
that 'tuned' test "$(value tuned)" = false
end
run 0 'another maths mode is not' bench $tiny --backend interp --math fp32-fast --runs 1 --json
that 'tuned' test "$(value tuned)" = false
end
run 0 'nor without the cache' bench $tiny --backend interp --no-cache --runs 1 --json
that 'tuned' test "$(value tuned)" = false
end
printf '# list\n%s\nmb1ic2iw9oc2kw3\n' $tiny >list
run 0 'a list as JSON' tune --batch list $quick --json
that 'lines' test "$(wc -l <out)" -eq 2
that 'stored' test "$(grep -c '"stored":true' out)" -eq 2
that 'the problem' test "$(value problem)" = mb1ic2iw9oc2kw3
end
run 0 'as CSV' tune $tiny $quick --csv
that 'lines' test "$(wc -l <out)" -eq 2
that 'header' test "$(head -n 1 out | cut -d, -f1-4)" = problem,backend,isa,threads
end

export BEAM=2
run 0 'BEAM tunes first' conv mb1ic2ih8oc2kh3ph1 --backend interp --runs 1 --json
that 'not tuned' test "$(value tuned)" = true
end
run 0 'a plan that is asked for is not tuned' conv mb1ic2ih9oc2kh3ph1 --backend interp --plan direct --runs 1 --json
that 'tuned' test "$(value tuned)" = false
end
run 0 'nothing was stored for it' bench mb1ic2ih9oc2kh3ph1 --backend interp --plan auto --no-cache --runs 1 --json
that 'the pick is not a schedule' test "$(value plan)" != auto
end
BEAM=many
run 2 'BEAM that means nothing' bench $tiny
says err "BEAM 'many'"
end
unset BEAM

# A cache that cannot be, is off, or is rubbish.
WINNOW_CACHE=/proc/there-is-none
run 0 'no folder to store in' tune $tiny $quick
says out 'not stored: the cache cannot be written'
says err 'warning'
end
WINNOW_CACHE=
run 0 'the cache is off' tune $tiny $quick --json
that 'stored' test "$(value stored)" = false
says out '"not_stored":"the cache is off"'
end
WINNOW_CACHE="$scratch/rubbish"
mkdir -m 700 rubbish
for name in cache/*.db; do
  head -c 8192 /dev/urandom >"rubbish/${name##*/}" && chmod 600 "rubbish/${name##*/}"
done
run 0 'a cache of rubbish' tune $tiny $quick --json
says err 'warning'
that 'no pick' test -n "$(value pick)"
end
WINNOW_CACHE="$scratch/cache"

# An interrupt: exit status 130, one line, a table of what was measured. The list takes longer than the test waits.
i=4
while [ $i -lt 300 ]; do
  i=$((i + 1))
  echo "mb1ic2ih${i}oc2kh3ph1"
done >long
run_timeout() { timeout --foreground --preserve-status -s INT 4 "$program" "$@"; }
if command -v timeout >/dev/null 2>&1; then
  program=$WINNOW
  WINNOW=run_timeout
  run 130 'an interrupt' tune --batch long --backend interp --seconds 0.2
  says err 'winnow: interrupted: '
  that 'more than one line' test "$(wc -l <err)" -eq 1
  end
  WINNOW=$program
fi
}

run 2 'tune without a problem' tune
says err 'tune needs a problem'
end
run 2 'tune with a plan' tune $tiny --plan old
says err 'tune has no flag --plan'
end
for seconds in 0 -1 1s nan 1e9; do
  run 2 "tune for $seconds seconds" tune $tiny --seconds $seconds
  says err "--seconds '$seconds': expected seconds from 0.01"
  end
done
run 2 'direct itself falls back' tune $tiny --max-lines 10
says err 'plan direct, which others are measured against'
says err '10'
end
run 1 'and is not to' tune $tiny --max-lines 10 --strict
says err 'fell back'
end
run 2 'tune what is no problem' tune nonsense
says err 'bad problem'
end
run 0 'help' tune --help
says out '--seconds S'
says out '--candidates N'
end
finish
