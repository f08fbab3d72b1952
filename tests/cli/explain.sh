#!/bin/sh
# explain: what is shown, in which order, what is measured and what is only predicted, and the figures as JSON.
. tests/cli/support/cases.sh
reference=mb1ic16ih32oc16kh3ph1
section() { sed -n "/^--- $1/,/^--- [^$(printf %.1s "$1")]/p" out; } # section NAME: its lines, and the heading after it

run 0 'explain' explain $reference --plan old --runs 1
for pass in program choices kernel tensor lower recognise winograd apply linearise; do says out "--- $pass: "; done
says out 'conv 2-D, 16 -> 16 channels, 3x3'
says out 'REDUCE_AXIS f32 ADD'
says out 'BUFFERIZE f32 "result0"'
says out 'kernel 0 (prepare)'
says out 'store m'
that 'C of not four kernels' test "$(grep -c '^void [rE]_[0-9_n]*(void ' out)" -eq 4
that 'not four kernels' test "$(grep -c '^--- kernel: [rE]_[0-9_n]* computes' out)" -eq 4
says out '3 kernels a run and 1 once, 4 buffers'
says out 'plan old: x=global,g=global,m=global,o=global;t='
lacks out "$(printf '\033')"
that 'the sections are out of order' test "$(grep -o '^--- [a-z]*' out | uniq | tr -d '\n-')" = \
  ' program choices kernel tensor lower recognise winograd apply linearise'
end
run 0 'the loops of a kernel are a tree' explain $reference --plan fused --isa generic --no-run
that 'no loop in a loop' test "$(section kernel | grep -c '^    [ ]*\(loop\|unroll\|vector\) ')" -ge 4
that 'no sum' test "$(section kernel | grep -c '^ *reduce loop c ')" -ge 1
that 'x does not hang under a loop' test "$(section kernel | grep -c '^   [ ]*store x$')" -eq 1
says out ' FLOPs a byte'
says out 'bound by '
end

# Measured, predicted, or neither.
run 0 'the plan is measured' explain $reference --plan old --runs 1
says out ' measured, '
says out ' predicted, at least '
that 'choices are measured' test -z "$(section choices | sed -n '/measured/p')"
end
run 0 'nothing is run' explain $reference --plan old --no-run
lacks out ' measured, '
says out 'time of a run in µs: '
end
run 0 'the interpreter is not timed' explain $small --plan old --backend interp
lacks out ' measured, '
says out 'those of machine code, not of the interpreter'
end
run 0 'a device that is not here is explained' explain $small --plan old --backend metal
says out ' predicted, at least '
if [ "$(uname)" != Darwin ]; then
  lacks out ' measured, '
  says out 'there is no such device here'
  says out 'kernel void '
fi
end
run 0 'each choice is measured' explain $small --plan old --measure --runs 1
that 'not measured' test -n "$(section choices | sed -n '/measured/p')"
for change in x=inline x=reg x=local g=inline g=reg g=local m=inline m=reg m=local o=inline o=reg o=local direct; do
  that "$change is not there" test -n "$(section choices | grep -E " $change( |\$)")"
done
says out ' wino='
lacks out ' x=global '
says out 'the same program as now'
end
run 0 'what is refused has its reason' explain $small --plan old --no-run
that 'no reason' test -n "$(section choices | grep -E '  refused: .{20}')"
end
run 0 'limits that were not measured' explain $small --no-run --no-cache
says out 'guessed limits of the machine: `winnow devices --measure` measures them'
end
run 0 'a kernel that is too long is said to be' explain $reference --plan fused --max-lines 50 --no-run
says out 'in the interpreter: '
says out 'would be interpreted: '
end

# Near misses.
run 0 'what is no convolution' explain mb1ic4ih4oc4kh1 --runs 1
says out 'declined, no overlapping window'
lacks out '--- choices'
end
run 2 'a plan for what is none shows how far it came' explain mb1ic4ih4oc4kh1 --plan old
says err 'nothing to rewrite: ADD over'
says out '--- lower: '
end
run 0 'no rewriting' explain $reference --plan direct --no-run
says out 'rewriting is off'
says out 'x=global,g=global,m=global,o=global;'
end
run 2 'a plan that is not' explain $reference --plan nonsense
that 'wrote to stdout' test ! -s out
end
run 1 'a fallback is an error with --strict' explain $reference --plan fused --max-lines 50 --strict
end

# Figures.
run 0 'figures' explain $reference --plan old --json --runs 1
that 'not one line' test "$(wc -l <out)" -eq 1
for key in predicted_us least_us median_us measured_limits recognised rel_l2_err; do says out "\"$key\":"; done
says out '"kernel":[{"name":"'
says out '"bound":"'
says out '"choice":[{"change":"x=inline"'
lacks out '"median_us":null,"predicted_us":null,"least_us":null'
end
if command -v python3 >/dev/null; then
  run 0 'figures of choices' explain $small --plan old --measure --runs 1 --json
  that 'they do not add up' python3 - <<'PYTHON'
import json
row = json.loads(open("out").read())
runs = [k for k in row["kernel"] if not k["prepare"]]
assert len(runs) == row["kernels"] == 3
assert abs(sum(k["predicted_us"] for k in runs) - row["predicted_us"]) < 1e-3 * row["predicted_us"]
assert abs(sum(k["least_us"] for k in runs) - row["least_us"]) < 1e-3 * row["least_us"]
for k in row["kernel"]:
    assert k["least_us"] == max(k["arithmetic_us"], k["traffic_us"])
for c in row["choice"]:
    assert (c["refused"] is None and c["fallback"] is None) == (c["median_us"] is not None), c
assert any(c["refused"] for c in row["choice"])
PYTHON
  end
fi
run 2 'running and not running' explain $small --no-run --measure
says err '--no-run and --measure exclude each other'
end
run 2 'not of other commands' conv $small --no-run
end

# On a terminal: in colour, and the summary where one ends up.
if command -v script >/dev/null && script -qec true /dev/null >/dev/null 2>&1; then
  cases=$((cases + 1))
  why=
  name='on a terminal'
  TERM=xterm script -qec "'$WINNOW' explain $small --plan old --no-run" /dev/null </dev/null >out 2>err
  says out "$(printf '\033')[1;36m--- "
  that 'the summary is not last' test "$(grep -o -e '--- [a-z]*: ' out | tail -n 1)" = '--- program: '
  end
  cases=$((cases + 1))
  why=
  name='on a terminal without colour'
  NO_COLOR=1 TERM=xterm script -qec "'$WINNOW' explain $small --plan old --no-run" /dev/null </dev/null >out 2>err
  lacks out "$(printf '\033')"
  end
fi
finish
