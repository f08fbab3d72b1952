#!/bin/sh
# Models in the place of problems: what run computes, against results worked out by hand; every kind of input and output; what is
# said of wrong ones; and that compare, explain, tune and bench work on a model. $WINNOW_MODELS makes the models.
. tests/cli/support/cases.sh
maker=${WINNOW_MODELS:?the program make_models}
case $maker in /*) ;; *) maker=$here/$maker ;; esac
"$maker" . || exit 1
WINNOW_CACHE=
export WINNOW_CACHE

one='\000\000\200\077'
two='\000\000\000\100'
three='\000\000\100\100'
floats() { # the elements of a float32 .npy in this machine's order
  tail -c "+$((1 + 128))" "$1" | od -A n -v -t f4 | tr -s ' \n' '  ' | sed 's/^ //; s/ $//'
}
values() { # FILE NUMBERS
  that "$1 is $(floats "$1"), not $2" test "$(floats "$1")" = "$2"
}
npy a.npy '<f4' False '(2, 3)' "$one$two$three$one$two$three"
npy b.npy '<f4' False '(2, 3)' "$two$two$two$three$three$three"

printf 'P6\n2 1\n255\n\377\146\000\000\063\146' >two.ppm
# --- inputs and outputs
run 0 'two inputs by place, outputs by name' run pair.onnx --input a.npy --input b.npy --output sum=s.npy --output product=p.npy
values s.npy '3 4 5 4 5 6'
values p.npy '2 4 6 3 6 9'
that 'shape' grep -a -q "'shape': (2, 3)" s.npy
says out 'sum'
says out '[2, 3]'
says out 'written: s.npy, p.npy'
that 'speaks of random numbers' test ! -s err
end
run 0 'inputs by name, in any order' run pair.onnx --input b=b.npy --input a=a.npy --output p.npy
values p.npy '3 4 5 4 5 6'
end
run 0 'one by name, the other by place' run pair.onnx --input b.npy --input a=a.npy --output product=p.npy
values p.npy '2 4 6 3 6 9'
end
run 0 'a last stage on the host' run best.onnx --input a.npy --output s.npy --output where=p.npy --repeat 2
values s.npy '3 2 3 2'
values p.npy '0 0 1 1 1 2 1 2'
that 'shape' grep -a -q "'shape': (2, 4)" p.npy
says out '[2, 4]'
says out '2 more runs'
end
run 0 'all outputs in an archive' run pair.onnx --input a.npy --input b.npy --output all.npz --save-inputs in.npz
end
run 0 'an archive as inputs, by name' run pair.onnx --input in.npz --output product=p.npy
values p.npy '2 4 6 3 6 9'
end
run 2 'an archive for one input, without it' run pair.onnx --input a=all.npz --input b=b.npy
says err 'it has 2 arrays, and none of that name'
end
if command -v python3 >/dev/null && python3 -c 'import zipfile, zlib' 2>/dev/null; then
  python3 -c 'import zipfile
z = zipfile.ZipFile("packed.npz", "w", zipfile.ZIP_DEFLATED)
z.write("a.npy", "in0.npy"); z.write("b.npy", "in1.npy"); z.write("b.npy", "out0.npy"); z.write("b.npy", "other.npy")
z.close()
assert zipfile.ZipFile("all.npz").testzip() is None
assert zipfile.ZipFile("all.npz").namelist() == ["sum.npy", "product.npy"]'
  run 0 'a packed archive, by place' run pair.onnx --input packed.npz --output product=p.npy
  values p.npy '2 4 6 3 6 9'
  says err '"other" is no input and is left out'
  lacks err out0
  end
else
  echo '# no python3: packed archives were not read'
fi
run 0 'a TensorProto' run pair.onnx --input a.pb --input b.npy --output product=p.npy
values p.npy '2 4 6 12 15 18'
end
npy d.npy '<f8' False '(2, 3)' "$(repeat 6 '\232\231\231\231\231\231\271\077')"
run 0 'float64 is rounded, and it says so' run pair.onnx --input d.npy --input b.npy
says err '6 of 6 numbers of float64 are rounded to f32'
end
npy i.npy '<i4' False '(2, 3)' "$(repeat 6 '\002\000\000\000')"
run 0 'integers as floats, without a word' run pair.onnx --input i.npy --input b.npy --output p.npy
values p.npy '4 4 4 5 5 5'
that 'warns' test ! -s err
end
npy f.npy '<f4' False '(3,)' "$one$two$three"
run 0 'whole floats as integers' run ints.onnx --input f.npy --json
says out '"name":"twice","dtype":"i64","shape":"[3]","min":2,"max":6,"mean":4'
end
npy h.npy '<f4' False '(3,)' "$one"'\000\000\000\077'"$three"
run 2 'no half as an integer' run ints.onnx --input h.npy
says err 'element 1 is 0.5, which is no i64'
end
run 0 'without inputs: random numbers' run pair.onnx --dim batch=4 --seed 3
says err 'no --input: random numbers from seed 3'
says out '[2, 4]'
end
run 0 'shapes that a model leaves open' run pair.onnx --shape a=2x5
says out '[2, 5]'
end
run 0 'another size than the file says' run classes.onnx --shape image=1x3x8x8 --input two.ppm --scale 1 --output y.npy
values y.npy '8160 4896 3264 16320'
end
run 2 'another number of channels' run classes.onnx --shape image=1x4x8x8
says err 'winnow: '
end
run 0 'JSON' run pair.onnx --input a.npy --input b.npy --repeat 3 --json
says out '"model":"pair.onnx"'
says out '"repeats":3,"median_us":'
says out '"name":"product","dtype":"f32","shape":"[2, 3]","min":2,"max":9,"mean":5'
end
run 0 'times' run pair.onnx --input a.npy --input b.npy --repeat 4
says out '4 more runs: median'
says out 'first result '
says out 'memory: arena '
end

# --- pictures: 2 x 1 pixels, of which the second is 0, 51, 102
run 0 'a picture, and one that is twice as large' run larger.onnx --input two.ppm --output y.npy --output larger=y.png
values y.npy '1 1 0 0 1 1 0 0 0.4 0.4 0.2 0.2 0.4 0.4 0.2 0.2 0 0 0.4 0.4 0 0 0.4 0.4'
that 'shape' grep -a -q "'shape': (1, 3, 2, 4)" y.npy
end
run 0 'that picture again' run larger.onnx --input y.png --output z.npy
that 'shape' grep -a -q "'shape': (1, 3, 4, 8)" z.npy
that 'another picture' test "$(floats z.npy | cut -d ' ' -f 1-8)" = '1 1 1 1 0 0 0 0'
end
run 0 'mean, std and scale by channel' run larger.onnx --input two.ppm --scale 1 --mean 255,100,0 --std 1,2,4 --output y.npy
values y.npy '0 0 -255 -255 0 0 -255 -255 1 1 -24.5 -24.5 1 1 -24.5 -24.5 0 0 25.5 25.5 0 0 25.5 25.5'
end
run 0 'channels backwards' run larger.onnx --input two.ppm --channels bgr --output y.npy
values y.npy '0 0 0.4 0.4 0 0 0.4 0.4 0.4 0.4 0.2 0.2 0.4 0.4 0.2 0.2 1 1 0 0 1 1 0 0'
end
run 0 'pixels as integers, channels last' run pixels.onnx --input two.ppm --output y.npy
values y.npy '255 102 0 0 51 102'
that 'shape' grep -a -q "'shape': (1, 1, 2, 3)" y.npy
end
run 0 'a size that is asked for' run larger.onnx --input two.ppm --shape image=1x3x1x1 --output y.npy
values y.npy '0.5 0.5 0.5 0.5 0.3 0.3 0.3 0.3 0.2 0.2 0.2 0.2'
end
run 0 'a part of it' run larger.onnx --input two.ppm --shape image=1x3x1x1 --fit crop --output y.npy
values y.npy '1 1 1 1 0.4 0.4 0.4 0.4 0 0 0 0'
end
run 0 'all of it, on black' run pixels.onnx --input two.ppm --shape image=1x2x2x3 --fit pad --output y.npy
values y.npy '255 102 0 0 51 102 0 0 0 0 0 0'
end

# --- labels
printf 'red\ngreen\r\nblue\nall of them\n' >labels.txt
run 0 'the best labels, best first' run classes.onnx --input two.ppm --labels labels.txt --scale 1
grep -E '^ *[0-9.]+  (red|green|blue|all)' out | sed 's/^ *[^ ]*  //' | tr '\n' ' ' >order
that "order $(cat order)" test "$(cat order)" = 'all of them red green blue '
end
run 0 'labels in JSON' run classes.onnx --input two.ppm --labels labels.txt --json
says out '"labels":[{"picture":0,"number":3,'
end
head -n 3 labels.txt >few.txt
run 2 'too few labels' run classes.onnx --input two.ppm --labels few.txt
says err 'few.txt has 3 lines, and no output has as many numbers last: "scores" [1, 4]'
end

# --- values inside
run 0 'a value inside' run classes.onnx --input two.ppm --scale 1 --dump sums --dump channels=c.npy
says out 'sums'
says out '[1, 3]'
says out 'written: c.npy'
that 'shape' grep -a -q "'shape': (1, 3, 4, 4)" c.npy
end
run 0 'by the name of its node' run classes.onnx --input two.ppm --scale 1 --dump node1=s.npy --output y.npy
says out 'sums'
that 'shape' grep -a -q "'shape': (1, 3)" s.npy
end
run 2 'no value inside' run classes.onnx --dump nothing
says err '--dump nothing: there is no value or node "nothing"'
end

# --- float64
run 0 'results in float64, and the error' run layers.onnx --exact e.npz --json
that 'no error' grep -q -E '"rel_l2_err":[0-9.]+e-0[78]' out
end

# --- the examples, which do the same through the library alone
examples=${WINNOW%/*}
if [ -x "$examples/example_upscale" ] && [ -x "$examples/example_classify" ]; then
  run 0 'the example that enlarges a picture' --version
  that 'it fails' "$examples/example_upscale" larger.onnx two.ppm big.png >said
  says said '2 x 1 pixels became 4 x 2, in big.png'
  "$WINNOW" run pixels.onnx --input big.png --output y.npy >out
  values y.npy '255 102 0 255 102 0 0 51 102 0 51 102 255 102 0 255 102 0 0 51 102 0 51 102'
  end
  run 0 'the example that classifies one' --version
  that 'it fails' "$examples/example_classify" classes.onnx two.ppm labels.txt >said
  # 8 pixels whose red is (1 - 0.485) / 0.229 and all else is below 0, which is 0
  that "$(cat said)" test "$(head -n 2 said)" = '  17.991  red
  17.991  all of them'
  that 'it reads what is no network' test "$("$examples/example_classify" nowhere.onnx two.ppm 2>&1 | grep -c nowhere)" = 1
  end
else
  echo '# the examples are not built'
fi

# --- on request, as bench --peers uses it
cases=$((cases + 1))
name='run --on-request'
why=
printf '0.001 3\n0.002 1\n' | "$WINNOW" run pair.onnx --input in.npz --threads 1 --json --on-request >out 2>err || why='it failed'
that 'not three lines' test "$(wc -l <out)" -eq 3
that 'the first is no row' grep -q '^{"model":.*"load_ms":' out
that 'not arrays of numbers' test "$(sed 1d out | grep -c -E '^\[[0-9]+\.[0-9]+(,[0-9]+\.[0-9]+)+\]$')" -eq 2
end

# --- what is wrong
refuses() {
  text=$1
  shift
  run 2 "refuses: $*" "$@"
  says err "$text"
  that 'wrote to stdout' test ! -s out
  end
}
npy wide.npy '<f4' False '(2, 3, 1)' "$one$two$three$one$two$three"
npy long.npy '<f4' False '(3, 2)' "$one$two$three$one$two$three"
refuses '--input wide.npy has shape (2, 3, 1), but input "a" of pair.onnx takes f32 [2, batch]' run pair.onnx --input wide.npy
refuses '--input long.npy has shape (3, 2), but input "a" of pair.onnx takes f32 [2, batch]' run pair.onnx --input long.npy
refuses 'pair.onnx has no input "c"; its inputs are "a", "b"' run pair.onnx --input c=a.npy
refuses 'input "b" of pair.onnx, f32 [2, 3], has no --input' run pair.onnx --input a.npy
refuses 'has its data already' run pair.onnx --input a=a.npy --input a=b.npy
refuses 'every input of pair.onnx has its data already' run pair.onnx --input a.npy --input b.npy --input b.npy
refuses '--shape a=... or --dim says what it leaves open' run pair.onnx
refuses '--shape image=... or --dim says what it leaves open' run larger.onnx
refuses 'expected NAME=SHAPE' run pair.onnx --shape a=2x
refuses 'expected NAME=SHAPE' run pair.onnx --shape a=2x-3
refuses 'pair.onnx has 2 inputs, "a", "b": expected NAME=SHAPE' run pair.onnx --shape 2x3
refuses 'has no input "c"' run pair.onnx --shape c=2x3
refuses 'is f32 [2, batch], of 2 axes' run pair.onnx --shape a=2x3x4
refuses 'leaves no dimension of that name open' run pair.onnx --dim rows=3
refuses 'expected NAME=N' run pair.onnx --dim batch
refuses 'expected NAME=N' run pair.onnx --dim batch=x
refuses 'takes f32 [2, 4]' run pair.onnx --dim batch=4 --input a.npy
refuses 'pair.onnx has no output "total"; its outputs are "sum", "product"' run pair.onnx --input in.npz --output total=t.npy
refuses 'expected a name that ends in .npy, .npz or .png' run pair.onnx --input in.npz --output t.txt
refuses 'winnow run' explain best.onnx --no-run
refuses 'best.onnx ends with an operator that is computed on the host' run best.onnx --input a.npy --exact t.npz
refuses 'is no picture' run pair.onnx --input in.npz --output t.png
refuses 'is given twice' run pair.onnx --input in.npz --output t.npy --output product=t.npy
refuses 'expected a name that ends in .npz' run pair.onnx --input in.npz --exact t.npy
refuses 'is a picture, but input "a" of pair.onnx has shape [2, -1]' run pair.onnx --input two.ppm
refuses '--mean has 2 numbers' run larger.onnx --input two.ppm --mean 1,2
refuses 'cannot open nowhere.npy' run pair.onnx --input nowhere.npy
head -c 200 layers.onnx >cut.onnx
refuses 'cut.onnx' run cut.onnx
: >empty.onnx
refuses 'empty.onnx' explain empty.onnx
refuses 'nowhere.onnx' bench nowhere.onnx
head -c 100 all.npz >cut.npz
refuses 'cut.npz: not a .npz file that can be read' run pair.onnx --input cut.npz
head -c 20 a.pb >cut.pb
refuses 'cut.pb' run pair.onnx --input cut.pb

# --- the other commands
run 0 'compare' compare layers.onnx --plan direct --plan old --plan auto --runs 3
says out 'layers.onnx  cpu'
says out '3 plans'
says out '0 wrong; errors of 1 output against float64'
says out 'µs by site'
says out 'conv2'
end
run 0 'compare with several outputs' compare pair.onnx --dim batch=64 --plan auto --runs 2
says out 'rel L2 by output'
says out 'product'
end
run 0 'compare in JSON' compare layers.onnx --plan direct --runs 2 --json
says out '"problem":"layers.onnx"'
that 'no error' grep -q -E '"rel_l2_err":[0-9.]+e-0[78]' out
end
run 0 'compare by layer' compare layers.onnx --by-layer --plan direct --plan old
for value in node0 node1 node2 node3 node4 y; do says out "$value "; done
says out 'against float64'
end
run 0 'by layer in CSV' compare layers.onnx --by-layer --csv
says out 'problem,plan,value,dtype,shape,rel_l2_err'
says out 'layers.onnx,auto,node2,f32'
end
run 0 'explain' explain layers.onnx --runs 2
says out '--- model: layers.onnx'
says out 'input "x" f32 [1, 8, 12, 12]'
says out '--- sites'
says out 'roofline'
says out '--- placements'
says out 'predicted  conv0'
lacks out '--- kernel'
end
run 0 'explain in full' explain layers.onnx --no-run --full
says out '--- kernel'
says out '--- lower'
end
printf '# models\nlayers.onnx\n  classes.onnx \n' >list.txt
run 0 'bench of a list' bench --batch list.txt --runs 2
says out 'layers.onnx'
says out 'classes.onnx'
says out 'layers.onnx: first result '
says out 'memory: arena '
that 'no weights are prepared' grep -q 'prepared weights [1-9]' out
end
refuses 'leaves no dimension of that name open' bench layers.onnx pair.onnx --dim batch=8
run 0 'memory and the first result in JSON' bench layers.onnx --runs 2 --json
number() { sed -n "s/.*\"$1\":\([0-9.e+]*\),.*/\1/p" out; }
for key in result_ms arena_bytes arena_least weight_bytes; do that "no $key" test "$(number $key | cut -d . -f 1)" -gt 0; done
that 'less than there must be' test "$(number arena_bytes)" -ge "$(number arena_least)"
that 'not the bytes of 3 filters' test "$(number weight_bytes)" -eq $((3 * 8 * 8 * 9 * 4))
[ ! -r /proc/self/status ] || that 'no peak' test "$(number own_peak_bytes)" -gt 0
end
run 0 'of a problem there is neither' bench $small --runs 2 --json
says out '"result_ms":null,"arena_bytes":null,"arena_least":null,"weight_bytes":null,"released_bytes":null,"own_peak_bytes":null'
end
WINNOW_CACHE=$PWD/cache
run 0 'tune' tune layers.onnx --seconds 1
says out 'layers.onnx'
end
run 0 'and its pick is taken' run layers.onnx --json
says out '"tuned":true'
end
run 0 'a page and a timeline' bench layers.onnx --runs 2 --html page.html --trace t.json
that 'no page' test -s page.html
says t.json 'conv1'
end
finish
