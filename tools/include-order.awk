# In: C sources, by path from the root. Out: every include of a folder of src/ that comes later than the file's own, every
# include of a private header by an example, and every folder of src/ that the order does not name. Exit status 1 if any.
BEGIN {
  n = split("base machine ir rewrite tensor lower winograd plan nest kernel render store backend measure report program decide pipeline tune explain onnx", names, " ")
  for (i = 1; i <= n; i++) rank[names[i]] = i
}
FNR == 1 {
  own = 0
  split(FILENAME, part, "/")
  if (part[1] == "src") {
    folder = part[2]
    sub(/\..*/, "", folder) # src/pipeline.c is a folder of one file
    own = rank[folder]
    if (!own) complain(1, "src/" folder " is not in the include order (tools/include-order.awk)")
  }
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
  path = $0
  sub(/^[^"]*"/, "", path)
  sub(/".*/, "", path)
  to = path
  sub(/[\/.].*/, "", to)
  if (part[1] == "include" && path !~ /^winnow\//) complain(FNR, "a public header includes " path)
  if (part[1] == "examples" && path !~ /^winnow\//) complain(FNR, "an example includes " path ", which is not installed")
  if (part[1] == "src" && path ~ /^(cli|tests|tools|bench)\//) complain(FNR, "the library includes " path)
  if (part[1] == "src" && path ~ /^\.\.?\//) complain(FNR, path " is not written from src/")
  if (own && rank[to] > own) complain(FNR, folder " includes " path ", but " to " comes after " folder)
}
function complain(line, text) { printf "%s:%d: %s\n", FILENAME, line, text; wrong = 1 }
END { exit wrong }
