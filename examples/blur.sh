#!/bin/sh
# A soft picture: a 5x5 Gaussian over each colour (three groups of one channel), to blurred.png in
# this folder.
#   examples/blur.sh            a picture drawn for the purpose
#   examples/blur.sh PHOTO      a PNG or JPEG of yours, in colour
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
${CC:-cc} -O1 "$here/picture.c" -o "$folder/draw" -lm
"$folder/draw" "$folder"
${WINNOW:-"$here/../run"} conv --input "${1:-$folder/picture.ppm}" \
  --weights "$folder/blur.npy" --output blurred.png
