#!/bin/sh
# Help, version, and every kind of bad usage: exit status 2 and one clear line.
. tests/cli/support/cases.sh

run 0 'help fits a screen' --help
that 'too many lines' test "$(wc -l <out)" -le 24
that 'too wide' test -z "$(awk 'length($0) > 80' out)"
says out 'winnow compare PROBLEM'
for word in 'a demonstration' inline reg local global 'docs/architecture.md' WINNOW_DUMP WINNOW_TRACE; do says out "$word"; done
end
for command in run compare conv bench explain tune devices cache; do
  run 0 "help of $command" $command --help
  says out "winnow $command"
  says out '--help'
  that 'too wide' test -z "$(awk 'length($0) > 80' out)"
  end
done
# no help offers what its command refuses
for command in conv bench explain; do
  run 0 "$command offers one plan and one tile" $command --help
  lacks out 'again for more'
  lacks out 'all:'
  end
done
run 0 'version' --version
that 'no version' grep -q -E '^winnow [0-9]+\.[0-9]+' out
end

# usage TEXT arguments...: refused with this in its line
usage() {
  text=$1
  shift
  run 2 "refuses: $*" "$@"
  says err "$text"
  that 'wrote to stdout' test ! -s out
  end
}
usage "unknown command 'winnow'" winnow $small
usage "unknown flag '--frob'; see winnow compare --help" compare $small --frob
usage "unknown flag '-x'" compare $small -x
usage 'winnow has no flag --json' --json
usage 'conv has no flag --all' conv $small --all
usage 'devices has no flag --plan' devices --plan direct
usage 'compare needs a problem such as mb1ic16ih32oc16kh3ph1, or --batch FILE' compare
usage 'bench needs a problem such as mb1ic16ih32oc16kh3ph1, or --batch FILE' bench
usage 'conv needs a problem such as mb1ic16ih32oc16kh3ph1, or --input and --weights' conv --input x.npy
usage 'explain needs a problem' explain
usage 'explain takes one problem' explain $small $small
usage 'devices takes no operand' devices cpu
usage 'run needs a model, a file that ends in .onnx' run
usage "run takes a model, a file that ends in .onnx, not 'mb1" run $small
usage 'run takes one model' run a.onnx b.onnx
usage 'conv takes a problem; winnow run a.onnx runs a model' conv a.onnx
usage 'give one kind at a time' compare $small a.onnx
usage 'cannot' run nowhere.onnx
for flag in --bias --residual --weights; do usage "$flag says something of a problem only" bench a.onnx $flag x.npy; done
usage '--act says something of a problem only' explain a.onnx --act relu
usage '--layout says something of a problem only' tune a.onnx --layout nhwc
usage '--all says something of a problem only' compare a.onnx --all
for flag in --shape --dim --mean --std --scale; do usage "$flag says something of a model only" bench $small $flag 1; done
usage '--channels says something of a model only' bench $small --channels bgr
usage '--fit says something of a model only' bench $small --fit crop
usage '--by-layer says something of a model only' compare $small --by-layer
usage '--full says something of a model only' explain $small --full
usage '--input is given twice' conv $small --input a.npy --input b.npy
usage "--fit 'fill': expected stretch, crop or pad" run a.onnx --fit fill
usage "--channels 'grb': expected rgb or bgr" run a.onnx --channels grb
for bad in 0 -1 1/0 1/ x 1e99 nan; do usage "--scale '$bad': expected a positive number" run a.onnx --scale $bad; done
for bad in x 1, 1,,2 1,2,3,4,5 inf '1 2'; do usage "--mean '$bad': expected numbers" run a.onnx --mean "$bad"; done
for bad in 0 -1 1,0 nan; do usage "--std '$bad': expected positive numbers" run a.onnx --std "$bad"; done
for command in conv bench explain; do
  usage "--plan is given twice; $command takes one" $command $small --plan old --plan new
  usage '--wino all is for compare' $command $small --wino all
  usage "--wino '0': expected a tile size from 1 to 8; without Winograd it is --plan direct" $command $small --wino 0
  usage "--wino '9': expected a tile size" $command $small --wino 9
done
for command in compare conv bench; do
  usage '"4x4x4": tile sizes for 3 axes, and the convolutions of this graph have 2' $command $small --wino 4x4x4 --runs 1
done
usage '--flush-subnormals takes no value' conv $small --flush-subnormals=1
run 0 '--flush-subnormals is in the row' conv $small --flush-subnormals --runs 1 --json
says out '"flush_subnormals":true'
end
usage '--json and --csv exclude each other' compare $small --json --csv
usage '--json takes no value' compare $small --json=1
usage '--seed is given twice' compare $small --seed 1 --seed 2
usage '--threads needs a value' compare $small --threads
for bad in 0 9 x 4x 4x0 44 -1 ''; do usage "--wino '$bad': expected a tile size" compare $small --wino "$bad"; done
usage "--math 'fp16': expected fp32, fp32-fast or fp32-strict" compare $small --math fp16
usage "--backend 'cuda': expected cpu, cpu:cc, interp, opencl or metal" compare $small --backend cuda
usage "--layout 'hwcn': expected nchw or nhwc" conv $small --layout hwcn
usage "--act 'selu': expected" conv $small --act selu
usage "--weights-mode 'both': expected constant or variable" compare $small --weights-mode both
for bad in 0 -3 1.5 two 1025 99999999999; do usage "--threads '$bad': expected" compare $small --threads $bad; done
for bad in 0 12Q 5.5M 99999999999G; do usage "--max-memory '$bad': expected" compare $small --max-memory $bad; done
usage "--seed '-1': expected" compare $small --seed -1
usage "--runs '0': expected" compare $small --runs 0
usage "unknown plan \"nonsense\": expected direct, old" compare $small --plan nonsense
usage 'unknown plan ""' conv $small --plan ''
usage 'at column 3 ("nonsense' conv $small --plan 'x=nonsense,g=global,m=global,o=global'
usage 'expected x=, g=, m= or o= at column 9 ("g")' compare $small --plan 'x=local,g'
usage 'at column 39' bench $small --plan 'x=global,g=global,m=global,o=global;t=0'
usage 'at column 42' bench $small --plan 'x=global,g=global,m=global,o=global;wino=9'
usage 'i386' conv $small --isa i386

# setting NAME VALUE TEXT: an environment that cannot be, refused by every command and even where a flag overrides it
setting() {
  export "$1=$2"
  for line in "compare $small" "conv $small --runs 1" "bench $small --runs 1" "explain $small" devices \
    "compare $small --threads 1 --isa generic --plan direct --wino 2"; do
    # shellcheck disable=SC2086
    run 2 "refuses $1=$2: $line" $line
    says err "$1"
    says err "'$2'"
    says err "$3"
    that 'wrote to stdout' test ! -s out
    end
  done
  unset "$1"
}
setting DEBUG 6 'expected 0, 1, 2, 3, 4 or 5'
setting DEBUG yes 'expected 0, 1, 2, 3, 4 or 5'
setting WINO 5 'expected 0, 1, 2, 3, 4 or 6'
setting WINO on 'expected 0, 1, 2, 3, 4 or 6'
setting WINNOW_THREADS 0 'from 1 to 1024'
setting WINNOW_THREADS 1025 'from 1 to 1024'
setting WINNOW_THREADS many 'from 1 to 1024'
setting WINNOW_ISA i386 'expected sse2, avx2, avx512, neon, generic, simt, simdgroup or simd'
setting WINNOW_DUMP nope 'tensor, clean, lower, simplify, recognise, winograd, apply, linearise'
setting WINNOW_TRACE yes 'expected 1'
export WINNOW_DUMP=nope
run 0 'help whatever the environment' compare --help
end
unset WINNOW_DUMP
case $(uname -m) in
  x86_64) other=neon ;;
  *) other=sse2 ;;
esac
export WINNOW_ISA=$other
run 2 'devices with an instruction set of another machine' devices
says err "'$other' is not one that this machine runs"
end
unset WINNOW_ISA
export WINNOW_DUMP=recognise,apply
run 0 'WINNOW_DUMP' conv $small --runs 1
says err '--- recognise'
says err '--- apply'
lacks err '--- lower'
end
export WINNOW_DUMP=assembly
run 0 'WINNOW_DUMP of programs that are only planned' explain $small --plan old --no-run
says err 'none: the kernel is not machine code'
end
unset WINNOW_DUMP

# caret COLUMN TEXT PROBLEM: the string, and the mark under the character
caret() {
  run 2 "points into '$3'" compare "$3"
  says err "$2"
  that 'the mark is elsewhere' test "$(sed -n '3s/\^.*//p' err | wc -c)" -eq "$(($1 + 3))"
  end
}
caret 9 'expected a number' mb1ic16ihxoc16kh3
caret 2 'at least 1' mb0ic16ih32oc16kh3
caret 2 'at least 1' ic0ih32oc16kh3
caret 9 'at least 1' mb1ic16ih0oc16kh3
caret 13 'at least 1' mb1ic16ih32oc0kh3
caret 5 'not negative' mb1ic-4ih32oc16kh3
caret 2 'too large' ic99999999999999999999ih32oc16kh3
caret 18 'expected a size' mb1ic16ih32oc16kh3zz1
caret 15 'given twice' ic16ih32oc16kh3ic8
caret 11 'expected ic' ih32oc16kh3
caret 2 'not a multiple' g3ic4ih5oc3kh3
caret 0 'overflow' mb2147483647ic2147483647ih2147483647oc1kh1
usage 'TiB' compare mb1ic1ih2000000oc1kh3

usage 'cannot open nowhere.txt' bench --batch nowhere.txt
usage 'not a regular file' bench --batch .
printf '# nothing\n\n--dir=FWD_I\n' >empty.txt
usage 'empty.txt has no problem' bench --batch empty.txt
printf '# a comment\nmb1ic1ih4oc1kh3\nmb1ic1ih4oc1khh\n' >third.txt
usage 'third.txt:3: bad problem' bench --batch third.txt
finish
