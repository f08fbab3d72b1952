#!/bin/sh
# fuzz.sh TARGET SECONDS: run one libFuzzer target; on a crash keep the input beside the target and say where it is.
target=$1
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
mkdir "$work/corpus"
seeds=$(dirname "$0")/../tests/fuzz/seeds/${target##*/}
[ -d "$seeds" ] && cp "$seeds"/* "$work/corpus/"
if "$target" -max_total_time="$2" -timeout=10 -rss_limit_mb=2048 -max_len=4096 -verbosity=0 \
  -artifact_prefix="$target-" "$work/corpus" >"$work/log" 2>&1; then
  exit 0
fi
tail -n 40 "$work/log" >&2
exit 1
