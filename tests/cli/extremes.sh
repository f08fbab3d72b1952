#!/bin/sh
# Networks at the ends of what there is: images of one pixel and of 8,192 squared, batches of none and of 1,000, layers that Winograd
# refuses, and limits of memory from below the least that is needed to above what is wanted. $WINNOW_MODELS makes the models.
. tests/cli/support/cases.sh
maker=${WINNOW_MODELS:?the program make_models}
case $maker in /*) ;; *) maker=$here/$maker ;; esac
"$maker" . || exit 1
WINNOW_CACHE=
export WINNOW_CACHE
bytes() { sed -n "s/.*\"$1\":\([0-9]*\),.*/\1/p" out | head -n 1; }

# --- one pixel
one='\000\000\200\077'
npy pixel.npy '<f4' False '(1, 8, 1, 1)' "$(repeat 4 "$one"'\000\000\000\100')"
run 0 'one pixel through windows that are larger' run pixel.onnx --dim batch=1 --input pixel.npy --output y.npy
tail -c 32 pixel.npy >was
tail -c 32 y.npy >is
that 'it is another one' cmp -s was is
says out '[1, 8, 1, 1]'
end
run 0 'and by each plan' compare pixel.onnx --dim batch=1 --plan direct --plan fused --plan old --plan auto --runs 1
says out '0 wrong'
end
run 2 'a pooling without a position names itself' run window.onnx
says err 'node "node0" (MaxPool): a window of 2 does not fit the 1 elements of axis 2'
end
run 2 'a filter without a position names itself' run filter.onnx
says err 'node "node0" (Conv): '
says err '3 taps with dilation 1 do not fit the 1 elements'
end

# --- batches
run 0 'a batch of none is an empty result' run pixel.onnx --dim batch=0 --output y.npy --json
says out '"shape":"[0, 8, 1, 1]"'
says out '"kernels":0'
that 'shape' grep -a -q "'shape': (0, 8, 1, 1)" y.npy
end
for command in 'explain' 'bench' 'compare'; do
  run 0 "$command of a batch of none" $command pixel.onnx --dim batch=0 --runs 1
  end
done
run 2 'nothing is tuned of a batch of none' tune pixel.onnx --dim batch=0 --seconds 1
says err 'nothing is computed'
end
npy many.npy '<f4' False '(1000, 8, 1, 1)' "$(repeat 4000 "$one"'\000\000\000\100')"
run 0 'a batch of 1,000' run pixel.onnx --dim batch=1000 --input many.npy --output y.npy
tail -c 32000 many.npy >was
tail -c 32000 y.npy >is
that 'it is another one' cmp -s was is
end

# --- nothing for Winograd
run 0 'layers that are all direct: why' explain plain.onnx --no-run
says out 'predicted  conv0'
says out 'no choice, no overlapping window: no reduction loop slides along an output loop'
grep 'no overlapping window' out >why
for site in product1 product3 product4; do says why " $site"; done
that 'one of them is rewritten' test "$(sed -n '/^--- sites/,/^$/p' out | grep -c 'wino=')" -eq 0
end
run 0 'and their results' run plain.onnx --exact e.npz --json
that 'errors' grep -q -E '"rel_l2_err":[0-9.]+e-0[78]' out
end

# --- 8,192 squared: 4,294,967,296 elements between two layers
run 0 'what is larger than 32 bits can say is planned' explain large.onnx --no-run --max-memory 200G --json
that "an arena of $(bytes workspace_bytes) bytes" test "$(bytes workspace_bytes)" -ge 34359738368
that 'time' test "$(sed 's/.*"sites"://' out | grep -o '"bytes":17[0-9]*' | wc -l)" -eq 2
end
run 2 'and refused where it does not fit' explain large.onnx --no-run --max-memory 1G
that 'less than two arrays' test "$(sed -n 's/.*needs at least \([0-9]*\) bytes.*/\1/p' err)" -ge 34359738368
says err 'the limit is 1073741824 (--max-memory)'
end

# --- limits of memory
run 0 'what is wanted' explain layers.onnx --no-run --json
wanted=$(($(bytes workspace_bytes) + $(bytes prepared_bytes)))
end
run 2 'a byte is too little, and the line says what is enough' explain layers.onnx --no-run --max-memory 1
least=$(sed -n 's/.*needs at least \([0-9]*\) bytes of workspace and prepared weights.*/\1/p' err)
that 'the least is no number' test "${least:-0}" -gt 1
end
run 2 'a byte less than the least' explain layers.onnx --no-run --max-memory $((least - 1))
says err "needs at least $least bytes"
end
for limit in $least $((least + 1)) $((least + (wanted - least) / 3)) $((wanted - 1)) $wanted $((wanted + 1)); do
  run 0 "$limit bytes, of $least to $wanted" run layers.onnx --max-memory "$limit" --exact e.npz --json
  that "it takes $(bytes workspace_bytes) and $(bytes prepared_bytes)" \
    test $(($(bytes workspace_bytes) + $(bytes prepared_bytes))) -le "$limit"
  that 'errors' grep -q -E '"rel_l2_err":[0-9.]+e-0[78]' out
  end
done
that 'the last was not what is wanted' test $(($(bytes workspace_bytes) + $(bytes prepared_bytes))) -eq "$wanted"
finish
