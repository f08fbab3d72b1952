#!/bin/sh
# Networks of our own against float64: networks.sh ONNX_SUITE
#
# In: the program onnx_suite, and the Python of tools/onnx-env.sh, with which tests/networks/make_networks.py writes the
# networks and what they compute. Out: TAP, a case a network and spelling; exit status 77 where there is no such Python.
# Each runs with one thread and with two, whose bits are equal. The quick tier has small ones, a few of them with every
# named plan, and with a sanitizer (WINNOW_IN_PART) each fourth. WINNOW_LONG has all of it with every named plan, and those
# of full size as well, which take minutes to make the first time.
suite=$1
env=${WINNOW_ONNX_ENV:-build/onnx-env}
folder=$env/networks
if [ ! -f "$env/.made" ]; then
  echo "skipped: there is no Python with onnx (tools/onnx-env.sh makes one)"
  exit 77
fi

# Made once for all builds, and again when the scripts change; the second of two tests at once waits.
make() {
  stamp=$folder/$1.made
  [ -f "$stamp" ] && [ -z "$(find tests/networks -name '*.py' -newer "$stamp")" ] && return 0
  rm -rf "${folder:?}/$1" "$stamp"
  # shellcheck disable=SC2086
  "$env/bin/python" -B tests/networks/make_networks.py $2 "$folder/$1" && : >"$stamp"
}
made() {
  mkdir -p "$folder"
  if command -v flock >/dev/null 2>&1; then
    exec 8>"$folder/.lock"
    flock 8
  fi
  make "$@"
  status=$?
  exec 8>&-
  return $status
}

failed=0
made small --small || { echo "not ok - networks cannot be made"; exit 1; }
small() { "$suite" --all --threads 2 --l2 5e-6 "$@" "$folder/small" || failed=1; }
if [ -n "$WINNOW_LONG" ]; then
  small --plans --seconds 600
elif [ -n "$WINNOW_IN_PART" ]; then
  small --every 4
else
  small
  small --plans --every 9
fi
if [ -n "$WINNOW_LONG" ]; then
  made full '' || { echo "not ok - networks cannot be made"; exit 1; }
  "$suite" --all --backend cpu --threads 2 --l2 5e-6 --seconds 1200 "$folder/full" || failed=1
fi
exit $failed
