#!/bin/sh
# compare, bench and devices: tables, JSON, CSV, warnings and the exit status.
. tests/cli/support/cases.sh

keys='"problem" "backend" "device" "isa" "threads" "version" "math" "weights" "flush_subnormals" "plan" "placement" "wino" "tuned" "cached"
"kernels" "buffers" "workspace_bytes" "prepare_us" "median_us" "min_us" "predicted_us" "schedule_ms" "compile_ms" "source_lines"
"registers" "spills" "max_abs_err" "rel_l2_err" "rel_sum_err" "promise_missed" "gflops_effective" "gflops_executed" "roofline_share"
"fallback" "refused" "same_as" "reference_us" "prepared_bytes" "pareto"
"result_ms" "arena_bytes" "arena_least" "weight_bytes" "released_bytes" "own_peak_bytes" "kernel"'
reference=mb1ic16ih32oc16kh3ph1

value() { # value PLAN KEY: a number, string or null of that plan's row
  grep -F "\"plan\":\"$1\"" out | head -n 1 | sed 's/,"kernel":.*//' | tr ',' '\n' | sed -n "s/^\"$2\":\"*\([^\"]*\)\"*\$/\1/p"
}

run 0 'every named plan as JSON' compare $small --runs 2 --json
for plan in direct old old-2k new inline-m one x-only g-only fused split auto; do says out "\"plan\":\"$plan\""; done
that 'keys or their order' test "$(head -n 1 out | sed 's/,"kernel":\[.*/,"kernel":/' | grep -o '"[a-z0-9_]*":' | tr -d ':\n')" = \
  "$(echo "$keys" | tr -d ' \n')"
that 'keys of a kernel or their order' test -z "$(grep -o '{"name":"[^}]*}' out | sed 's/"[^":]*":"[^"]*"/"name":/; s/:[^,}]*//g' |
  grep -v -F -x '{"name","median_us","source_lines","registers","spills","bytes","flops","site"}')"
that 'not one site a row that ran' test -z "$(grep -F '"refused":null' out | grep -v '"sites":\[{"label":"conv0","kind":"conv","name":null,"shape":"\[1, 4, 9, 9\]"')"
that 'no kernel' grep -q '"kernel":\[{"name":"' out
that 'a wrong result' test -z "$(awk '/"refused":null/ && !/"max_abs_err":[0-9]/' out)"
end

# The counts that define the plans.
run 0 'kernels and buffers of the plans' compare $reference --runs 2 --json
for row in old:4 new:2 one:1 inline-m:3 x-only:3 g-only:3 fused:2 split:4; do
  plan=${row%%:*}
  buffers=${row#*:}
  that "$plan has $(value "$plan" buffers) buffers, not $buffers" test "$(value "$plan" buffers)" = "$buffers"
done
that 'direct has more than its result and packed weights' test "$(value direct buffers)" -le 2
that 'old is not three kernels and one of preparation' test "$(value old kernels)" = 3
that 'one is not one kernel' test "$(value one kernels)" = 1
for plan in direct old new one inline-m auto; do
  that "error of $plan" awk -v e="$(value $plan rel_l2_err)" 'BEGIN { exit !(e > 0 && e <= 1.2e-6) }'
done
end
run 0 'weights that vary' compare $reference --plan old --plan new --weights-mode variable --runs 2 --json
says out '"weights":"variable"'
that 'old is not four kernels' test "$(value old kernels)" = 4
that 'new is not two kernels' test "$(value new kernels)" = 2
end

run 0 'a table' compare $small --runs 2
says out 'plan'
says out '×direct'
says out '*'
lacks out "$(printf '\033')"
end

run 0 'plans in the order given' compare $small --plan new --plan direct --runs 2 --json
that 'order' test "$(grep -o '"plan":"[a-z]*"' out | tr -d '\n')" = '"plan":"new""plan":"direct"'
end
run 0 'CSV' compare $small --plan direct --plan old --runs 2 --csv
that 'columns' test "$(head -n 1 out)" = "$(echo "$keys" | tr -d '"' | tr ' \n' ',,' | sed 's/,result_ms.*//')"
that 'lines' test "$(wc -l <out)" -eq 3
end
run 0 'tile sizes' compare mb1ic4ih16oc4kh3ph1 --plan old --wino 2 --runs 2 --json
that 'not 2x2' test "$(value old wino)" = 2x2
end
run 0 'a tile size outside the promise runs and is marked' compare mb1ic8ih16oc8kh3ph1 --plan old --wino 8 --runs 2 --json
says out '"promise_missed":true'
end
run 0 'the same data for the same seed' compare $small --plan direct --seed 7 --runs 2 --json
first=$(value direct max_abs_err)
"$WINNOW" compare $small --plan direct --seed 7 --runs 2 --json >out
that 'another error' test "$(value direct max_abs_err)" = "$first"
end
run 0 'epilogue and layout' compare $small --plan direct --plan old --plan one --bias random --residual random --act relu \
  --layout nhwc --runs 2 --json
that 'refused' test "$(grep -c '"refused":null' out)" -eq 3
end
for act in sigmoid tanh gelu abs; do
  run 0 "activation $act" compare $small --plan direct --plan one --act $act --runs 2 --json
  that 'outside the promise' test "$(grep -c '"promise_missed":false' out)" -eq 2
  end
done
for p in mb1ic1iw11oc2kw3 mb1ic1ih1oc1kh3ph1 mb3ic5ih17iw23oc7kh3ph1 g2mb1ic4ih8oc4kh3sh2ph1 mb1ic2id5ih6iw7oc3kd3ph1 \
  mb1ic2ih12oc2kh3dh1ph2 mb1ic1ih10oc1oh4kh3ph0 mb1ic2ih10oc2oh12kh3ph1 mb2ic3ih9iw8oc2kh1kw7pw3; do
  run 0 "problem $p" compare $p --plan auto --plan direct --plan old --plan one --runs 1 --json
  that 'outside the promise' test -z "$(grep -F '"promise_missed":true' out)"
  end
done

# The interpreter, the line limit, strict.
run 0 'a fallback is loud' compare $small --plan inline-m --max-lines 20 --runs 1 --json
says err 'warning'
lacks out '"fallback":null'
end
run 1 'a fallback with --strict' compare $small --plan inline-m --plan old --max-lines 20 --strict --runs 1
says out 'stopped by --strict: a kernel fell back'
says out '2 plans, 2 stopped by --strict'
says out ': nothing was run'
lacks out 'refused'
end
run 1 'a fallback with --strict as JSON' compare $small --plan inline-m --max-lines 20 --strict --runs 1 --json
says out '"refused":null'
says out '"median_us":null'
lacks out '"fallback":null'
end
run 1 'conv with --strict' conv $small --plan inline-m --max-lines 20 --strict --runs 1
says err 'stopped by --strict'
end
run 1 'bench with --strict' bench $small --plan inline-m --max-lines 20 --strict --runs 1
says out 'stopped by --strict'
end
run 0 'every plan refused' compare mb1ic4ih4oc4kh1 --plan old --plan new --runs 1
says out 'nothing was run'
says out '2 plans, 2 refused'
lacks out 'wrong'
end
run 0 'a plan outside the limit is refused, not stopped' compare $small --plan old --max-memory 1K --strict --runs 1
says out '1 refused'
lacks out '--strict'
end
run 0 'the interpreter' compare $small --plan direct --plan old --backend interp --runs 1 --json
says out '"backend":"interp"'
end
run 0 'a limit of memory' compare $reference --plan old --plan one --max-memory 4K --runs 1 --json
that 'old is not refused' test "$(value old refused)" != null
end

# bench, DEBUG, devices.
printf '# two\nmb1ic3ih9oc4kh3ph1n"a"\n--skipped\nmb1ic4iw9oc4kw3n"b"\n' >two.txt
run 0 'bench of a list' bench --batch two.txt --runs 1
says out 'n"a"'
says out 'n"b"'
end
run 0 'bench as JSON' bench --batch two.txt --runs 1 --json
that 'lines' test "$(wc -l <out)" -eq 2
end
export DEBUG=3 WINO=1
run 0 'the quick test' conv $small --runs 1
says err 'GFLOP/s'
says err 'GB/s'
end
export DEBUG=4 WINO=0
run 0 'source' conv $small --runs 1
says err 'float'
end
unset DEBUG WINO
run 0 'devices' devices
says out 'cpu'
says out 'interp'
says out 'the reference, in float64'
end
run 0 'devices as JSON' devices --json
that 'lines' test "$(wc -l <out)" -ge 5 # an OpenCL device each, or why there is none
end

# All 256 combinations: each is right or has a reason.
if [ -n "${WINNOW_LONG:-}" ]; then
  run 0 'all combinations' compare $small --all --runs 1 --json
  that 'not 256 rows' test "$(wc -l <out)" -eq 256
  that 'fewer than 96 run' test "$(grep -c '"refused":null' out)" -ge 96
  that 'an inline or global one is refused' test -z "$(grep -E '"plan":"x=(inline|global),g=(inline|global),m=(inline|global),o=(inline|global)"' out | grep -v '"refused":null')"
  end
fi
finish
