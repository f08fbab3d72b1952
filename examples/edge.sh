#!/bin/sh
# Edges of a picture: the Laplacian over grey, its absolute value, to edges.png in this folder.
#   examples/edge.sh            a picture drawn for the purpose
#   examples/edge.sh PHOTO      a PNG or JPEG of yours
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
${CC:-cc} -O1 "$here/picture.c" -o "$folder/draw" -lm
"$folder/draw" "$folder"
${WINNOW:-"$here/../run"} conv --input "${1:-$folder/picture.ppm}" \
  --weights "$folder/edge.npy" --act abs --output edges.png
