#!/bin/sh
# ONNX's backend tests through winnow: backend.sh ONNX_SUITE [--update]
#
# In: the program onnx_suite, and the data that tools/onnx-env.sh has fetched. Out: TAP, a line for each case of
# expected.txt; exit status 77 where there is no data. The quick tier runs all cases on `interp`, which is what says
# whether an operator is right, and some on `cpu`; WINNOW_LONG all of both. --update writes expected.txt: what is ok on
# both.
suite=$1
list=tests/onnx/expected.txt
cases=${WINNOW_ONNX_ENV:-build/onnx-env}/cases
if [ ! -d "$cases/node" ]; then
  echo "skipped: ONNX's test data is not there (tools/onnx-env.sh fetches it)"
  exit 77
fi
set -- "$cases/node" "$cases/pytorch-converted" "$cases/pytorch-operator" "$cases/simple"
jobs=$(nproc 2>/dev/null || echo 2)
