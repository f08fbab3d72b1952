#!/bin/sh
# ONNX's backend tests through winnow: backend.sh ONNX_SUITE [--update]
#
# In: the program onnx_suite, and the data that tools/onnx-env.sh has fetched. Out: TAP, a line for each case of
# expected.txt; exit status 77 where there is no data. All cases run on `cpu` and each second on `interp`, in float64;
# with a sanitizer (WINNOW_IN_PART) each fourth on one of both, and not ONNX's light models, which are large networks whose
# weights are computed. WINNOW_LONG runs all everywhere. --update writes expected.txt anew: what is right on `cpu`.
suite=$1
list=tests/onnx/expected.txt
cases=${WINNOW_ONNX_ENV:-build/onnx-env}/cases
if [ ! -d "$cases/node" ]; then
  echo "skipped: ONNX's test data is not there (tools/onnx-env.sh fetches it)"
  exit 77
fi

# The data of two cases is what onnx's own code of that version computes, and neither PyTorch nor ONNX Runtime: one
# divides by places beyond the padding, one aligns corners of a result that is 2.4 pixels wide.
pool=node/test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True
corners=node/test_resize_downsample_scales_linear_align_corners
run() {
  "$suite" --list "$list" --except "$pool" --except "$corners" "$@" "$cases/node" "$cases/pytorch-converted" "$cases/pytorch-operator" \
    "$cases/simple"
}
light() { "$suite" --list "$list" --backend cpu --seconds 600 "$@" "$cases/real"; }

if [ "$2" = --update ]; then
  run --backend cpu --update
  light --update
  exit
fi
part=$WINNOW_IN_PART
compiled=1 interpreted=2 from=0
[ -z "$part" ] || compiled=8 interpreted=8 from=4
[ -z "$WINNOW_LONG" ] || part='' compiled=1 interpreted=1 from=0
failed=0
run --backend interp --every "$interpreted" || failed=1
run --backend cpu --every "$compiled" --from $from || failed=1
[ -n "$part" ] || light || failed=1
exit $failed
