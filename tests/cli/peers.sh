#!/bin/sh
# bench --peers without any other library: what is refused, what the driver is given, what its tables say; conv --on-request, --untuned.
. tests/cli/support/cases.sh
unset WINNOW_PEERS

usage() {
  text=$1
  shift
  run 2 "refuses: $*" "$@"
  says err "$text"
  that 'wrote to stdout' test ! -s out
  end
}
usage 'no other libraries in .peers (no .peers/bin/python): tools/peers .peers installs them' bench $small --peers
usage 'no other libraries in elsewhere' bench $small --peers --peers-dir elsewhere
usage 'compare has no flag --peers' compare $small --peers
usage '--csv with a file is for bench --peers' bench $small --csv rows.csv
usage '--plot is for bench --peers' bench $small --plot bars.svg
usage '--secs is for bench --peers' bench $small --secs 1
usage '--rounds is for bench --peers' bench $small --rounds 2
usage '--peers-dir is for bench --peers' bench $small --peers-dir .
usage "--rounds '0': expected a whole number" bench $small --peers --rounds 0
for bad in 0 -1 2s . ''; do usage "--secs '$bad': expected seconds" bench $small --peers --secs "$bad"; done
usage '--plot bars.pdf: expected a name that ends in .svg or .png' bench $small --peers --plot bars.pdf
usage '--csv: cannot write nowhere/rows.csv' bench $small --peers --csv nowhere/rows.csv
usage '--plot: cannot write nowhere/bars.svg' bench $small --peers --plot nowhere/bars.svg
usage '--plan auto,fussed: there is no plan "fussed"' bench $small --peers --plan auto,fussed
usage 'there is no plan ""' bench $small --peers --plan fused,
for flags in '--bias random' '--act relu' '--layout nhwc' '--weights-mode variable' '--runs 3' '--input x.npy'; do
  # shellcheck disable=SC2086
  usage "it takes no ${flags%% *}" bench $small --peers $flags
done
usage 'conv has no flag --secs' conv $small --secs 1

# A Python that keeps what it is given.
mkdir -p fake/bin
printf '#!/bin/sh\ncat >given\necho "$1" >driver\nexit 3\n' >fake/bin/python
chmod +x fake/bin/python
WINNOW_PEERS=fake
export WINNOW_PEERS
run 3 'the driver gets every size' bench 'mb2g2ic6ih9iw8oc4kh3ph1sh2dh1n"a "b" \name"' --peers=mnn,ncnn --plan old,fused --threads 1 \
  --math fp32-fast --isa generic --max-memory 1M --csv rows.csv --secs 0.25
that 'another driver' grep -q 'peers/driver\.py$' driver
for text in '"libraries":"mnn,ncnn"' '"plans":"old,fused"' '"math":"fp32-fast"' '"threads":1' '"seconds":0.25' '"csv":"rows.csv"' \
  '"flags":["--isa","generic","--max-memory","1048576"]' '"batch":2,"groups":2,"in_channels":6,"out_channels":4' \
  '"input":[9,8],"output":[4,3],"filter":[3,3],"stride":[2,2],"dilation":[2,2],"pad_lo":[1,1]' '"print":"table"'; do
  says given "$text"
done
if command -v python3 >/dev/null; then
  that 'not JSON' python3 -c 'import json; assert json.load(open("given"))["problems"][0]["macs"] == 2 * 4 * 4 * 3 * 3 * 9'
fi
end
run 3 'models go to their own driver, with what says something of their inputs' bench a.onnx b/c.onnx --peers=mnn --threads 2 \
  --input x=p.png --shape x=1x3x8x8 --dim n=2 --channels bgr --fit pad --scale 1/2 --mean 1,2,3 --std 4 --secs 2
that 'another driver' grep -q 'peers/networks\.py$' driver
for text in '"models":["a.onnx","b/c.onnx"]' '"libraries":"mnn"' '"threads":2' '"seconds":2' \
  '"model_flags":["--input","x=p.png","--shape","x=1x3x8x8","--dim","n=2","--channels","bgr","--fit","pad","--scale","0.5","--mean","1,2,3","--std","4"]'; do
  says given "$text"
done
end
for flags in '--plot a.svg' '--runs 3' '--weights-mode variable'; do
  # shellcheck disable=SC2086
  usage "bench MODEL --peers takes no ${flags%% *}" bench a.onnx --peers $flags
done
run 2 'a bad problem, before anything starts' bench mb1icx --peers
says err 'bad problem'
end
unset WINNOW_PEERS

# Timing on request: a row, then an array of samples for each line.
cases=$((cases + 1))
name='conv --on-request'
why=
printf '0.001 3\n0.002 1\n' | "$WINNOW" conv $small --runs 1 --threads 1 --json --on-request >out 2>err || why='it failed'
that 'not three lines' test "$(wc -l <out)" -eq 3
that 'the first is no row' grep -q '^{"problem":.*"rel_l2_err":' out
that 'not arrays of numbers' test "$(sed 1d out | grep -c -E '^\[[0-9]+\.[0-9]+(,[0-9]+\.[0-9]+)+\]$')" -eq 2
that 'too few samples' test "$(sed -n 2p out | tr ',' '\n' | wc -l)" -ge 3
end
for bad in '' 'x 3' '0.1' '0 3' '0.1 0' '0.1 3 4' '1e9 1' 'nan 1'; do
  cases=$((cases + 1))
  name="refuses the request '$bad'"
  why=
  echo "$bad" | "$WINNOW" conv $small --runs 1 --json --on-request >out 2>err
  that 'not refused' test $? -eq 2
  says err "request '$bad': expected SECONDS LEAST"
  end
done

# What --peers calls untuned: the same cache, but not its tuned plans.
mkdir -m 700 cache
WINNOW_CACHE=$PWD/cache
export WINNOW_CACHE
run 0 'tuning, for the next two' tune $small --threads 1 --seconds 0.3 --candidates 2
end
run 0 'a tuned plan is used' conv $small --threads 1 --runs 1 --json
says out '"tuned":true'
end
run 0 'and not with --untuned' conv $small --threads 1 --runs 1 --json --untuned
says out '"tuned":false'
end

# The driver with none of the libraries: winnow by itself, and how to get them.
if python3 -c 'import numpy' 2>/dev/null && ! python3 -c 'import ncnn' 2>/dev/null; then
  mkdir -p alone/bin
  printf '#!/bin/sh\nexec python3 "$@"\n' >alone/bin/python
  chmod +x alone/bin/python
  run 0 'without any of them' bench $small 'mb1g3ic3iw40oc6kw5pw2sw2n"x:1d"' --peers=ncnn,onednn --peers-dir alone --threads 1 --secs 0.02 --rounds 2 \
    --plan direct,old --csv alone.csv --plot alone.svg
  says err 'ncnn is not installed'
  says err 'tools/peers alone installs it'
  that 'errors are not those of fp32' awk -F, 'NR > 1 { n += $14 > 1e-8 && $14 < 1.2e-6 } END { exit n != 4 }' alone.csv
  that 'no picture' grep -q '</svg>' alone.svg
  end
  run 0 'a name in bytes that are no text' bench "$small"n"$(printf '"\\377"')" --peers=ncnn --peers-dir alone --threads 1 --secs 0.01 --rounds 1
  says out 'direct'
  end
  run 2 'a library that nobody knows' bench $small --peers=blas --peers-dir alone
  says err "--peers=blas: there is no 'blas'; known are onednn"
  end
else
  echo '# no python3 with numpy and without ncnn: the driver is not tested'
fi

# What the tables say of made-up rows: winnow takes 100 and 200 µs.
if ! command -v python3 >/dev/null; then
  echo '# no python3: the tables are not tested'
  finish
fi
cat >rows.csv <<'END'
set,name,problem,threads,library,version,case,layout,math,median_us,min_us,samples,gflops_effective,rel_l2_err,placement,wino,isa,device
resnet,resnet:a,p1,1,winnow,1,auto,nchw,fp32,999,999,9,1,5e-07,direct,,avx2,CPU
resnet,resnet:a,p1,1,oneDNN,3,nchw,nchw,fp32,300,300,9,1,4e-07,,,,
resnet,resnet:a,p1,1,winnow,1,auto,nchw,fp32,110,100,9,1,5e-07,"x=local@t0,g=global,m=local@k0,o=global;t=28.14;wino=4x4",4x4,avx2,CPU
resnet,resnet:a,p1,1,oneDNN,3,nchw,nchw,fp32,300,300,9,1,4e-07,,,,
resnet,resnet:a,p1,1,oneDNN,3,any,native,fp32,210,200,9,1,4e-07,,,,
resnet,resnet:a,p1,1,MNN,3,default,nchw,fp32,50,50,9,1,1e-04,,,,
resnet,resnet:a,p1,1,ncnn,1,default,nchw,fp32,95,90,9,1,2e-06,,,,
resnet,resnet:a,p1,1,ncnn,1,default,native,fp32,85,80,9,1,2e-06,,,,
resnet,resnet:b,p2,1,winnow,1,auto,nchw,fp32,210,200,9,1,5e-07,direct,,avx2,CPU
resnet,resnet:b,p2,1,oneDNN,3,any,native,fp32,1610,1600,9,1,4e-07,,,,
resnet,resnet:b,p2,1,ncnn,1,default,nchw,fp32,725,720,9,1,2e-06,,,,
END
cat >tables.py <<'END'
import sys
sys.path[:0] = [sys.argv[1] + "/bench/peers", sys.argv[1] + "/bench"]
import xml.dom.minidom
import plot, rows
seen = rows.read("rows.csv")
assert len(seen) == 9, "the second run on resnet:a replaces the first"
a, b = rows.compare(seen)
assert (a.direct["min_us"], a.best["case"], a.any["layout"], a.mnn["min_us"]) == (200, "default", "native", 50)
assert [a.ratio(k) for k in ("direct", "best", "any", "mnn")] == [2, 0.9, 0.8, 0.5]
assert b.ratio("mnn") is None and b.ratio("direct") == 8
assert abs(rows.geometric_mean([c.ratio("direct") for c in (a, b)]) - 4) < 1e-9
assert rows.plan_text(a.own) == "fused F4" and rows.plan_text(b.own) == "direct"
last = rows.table(seen).splitlines()[-1].split()
assert last == ["mean", "of", "resnet", "(2)", "auto", "4.00x", "1.80x", "1.70x"], last
plot.write("bars.svg", seen)
drawn = xml.dom.minidom.parse("bars.svg")
bars = [float(r.getAttribute("width")) for r in drawn.getElementsByTagName("rect") if r.getElementsByTagName("title")]
assert len(bars) == 4 and abs(bars[0] / bars[1] - 2 / 0.9) < 0.01, bars  # direct and ncnn of a
END
cases=$((cases + 1))
name='comparisons, means and bars of made-up rows'
why=
that 'they are wrong' python3 tables.py "$here" >out 2>err
end
cases=$((cases + 1))
name='peers_table.py says what is missing, and shows losses'
why=
python3 "$here/bench/peers_table.py" --csv rows.csv --measure no --threads 1 --lists resnet >out 2>err && why='everything is there?'
says err 'something is still to be measured'
says out '| resnet (2) | untuned | 1 | 4.00x | 2.1 / 2.5 | 1.80x | 1.1 / 1.3 | **0.90x** | 0.97 | 1.70x |'
says out '| resnet:a | 100.0 | fused F4 | 5.0e-7 | 200.0 | 2.00x | ncnn default 90.00 | **0.90x** | ncnn default 80.00 | **0.80x** |'
end
cases=$((cases + 1))
name='a table of other columns is refused'
why=
printf 'a,b\n1,2\n' >other.csv
python3 "$here/bench/peers_table.py" --csv other.csv --measure no >out 2>err && why='it was taken'
says err 'other.csv is not a table of bench --peers'
end
finish
