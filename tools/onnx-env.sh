#!/bin/sh
# Makes the Python environment of the tests of ONNX models: tools/onnx-env.sh [FOLDER]
#
# In: python3 with venv and pip, which asks PyPI or what PIP_INDEX_URL says. Out: FOLDER (build/onnx-env) with
# bin/python, which has numpy and onnx for tests/networks, and `cases`, a link to the test data of onnx 1.16.2 (later
# versions have less), of which nothing is copied elsewhere. Done once: a stamp holds the versions. Exit status 1, and a
# line that says why, where it could not be made; a stamp keeps it from trying again within the hour.
root=$(cd "$(dirname "$0")/.." && pwd) || exit 2
folder=${1:-$root/build/onnx-env}
versions='onnx==1.16.2 numpy==2.4.6 protobuf==7.36.2'

say() { printf 'onnx-env: %s\n' "$*" >&2; }
[ "$(cat "$folder/.made" 2>/dev/null)" = "$versions" ] && [ -d "$folder/cases/node" ] && exit 0
if [ -n "$(find "$folder/.failed" -mmin -60 2>/dev/null)" ]; then
  say "not tried again within the hour: $(cat "$folder/.failed")"
  exit 1
fi
mkdir -p "$folder" || exit 1

fail() {
  printf '%s\n' "$*" >"$folder/.failed"
  say "$*"
  exit 1
}

# pip's own words go to a log; a registry that does not answer must not hold up the tests.
limit=
command -v timeout >/dev/null 2>&1 && limit='timeout 300'
install() {
  $limit "$folder/bin/python" -m pip --disable-pip-version-check install --quiet --only-binary=:all: "$@" \
    </dev/null >>"$folder/log" 2>&1
}

command -v python3 >/dev/null || fail 'no python3 (Debian: python3, python3-venv)'
: >"$folder/log"
if [ ! -x "$folder/bin/python" ]; then
  python3 -m venv "$folder" >>"$folder/log" 2>&1 || fail 'python3 -m venv does not work (Debian: python3-venv)'
fi

# 1.16.2 has wheels for Python 3.8 to 3.12. For others its data is unpacked from one of those, beside a later onnx.
# shellcheck disable=SC2086
if install --no-deps $versions; then
  data=$(echo "$folder"/lib/python3*/site-packages/onnx/backend/test/data)
else
  install onnx numpy || fail "pip cannot install onnx and numpy: $(tail -n 1 "$folder/log")"
  install --no-deps --target "$folder/data" --python-version 3.11 --platform manylinux2014_x86_64 "${versions%% *}" ||
    fail "pip cannot install ${versions%% *}: $(tail -n 1 "$folder/log")"
  data=$folder/data/onnx/backend/test/data
fi
[ -d "$data/node" ] || fail "no test data in $data"
"$folder/bin/python" -c 'import onnx.reference' >>"$folder/log" 2>&1 || fail "onnx cannot be imported: $(tail -n 1 "$folder/log")"
ln -sfn "$(cd "$data" && pwd)" "$folder/cases"
rm -f "$folder/.failed"
printf '%s\n' "$versions" >"$folder/.made"
