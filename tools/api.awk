# In: include/winnow/winnow.h. Out, by -v out=: "page", docs/api.md; "symbols", src/winnow.symbols, the names that the
# shared library exports; "abi", a C program that prints where the fields of every struct are and what every constant is
# (tests/install/abi.txt).
#
# A comment right above something is about it, one that an empty line follows is about its section. Every function, and by
# its section is enough, has to say what it asks of Threads, of Ownership and of Errors, and every field has its comment:
# what does not is a line on stderr and exit status 1.
function complain(line, text) {
  printf "%s:%d: %s\n", FILENAME, line, text | "cat >&2"
  wrong = 1
}
function put(text) { page = page text "\n" }
function cell(text) { gsub(/\|/, "\\|", text); return text }
function trim(text) { gsub(/^[ \t]+|[ \t]+$/, "", text); return text }

# The text of a comment that begins on the line `text` and ends on it or on one of the next; paragraphs are kept.
function comment(text,    all, more) {
  sub(/^[ \t]*\/\*[ \t]?/, "", text)
  for (;;) {
    if (text ~ /\*\//) {
      sub(/[ \t]*\*\/.*/, "", text)
      return all (all == "" ? "" : "\n") text
    }
    all = all (all == "" ? "" : "\n") text
    if ((getline more) <= 0) return all
    sub(/^[ \t]*\*?[ \t]?/, "", more)
    text = more
  }
}
function one_line(text) { gsub(/[ \t]*\n[ \t]*/, " ", text); return trim(text) }

# In markdown: what is indented by four is code, what is by two a line of its own.
function prose(text,    line, n, i, all, item, listed) {
  n = split(text, line, "\n")
  for (i = 1; i <= n; i++) {
    item = line[i] ~ /^  [^ ]/
    if (item) line[i] = "- " trim(line[i])
    if (i > 1 && item != listed && line[i - 1] != "" && line[i] != "") line[i] = "\n" line[i]
    listed = item
    all = all line[i] (i < n ? "\n" : "")
  }
  return all
}
function says(what) { return index(about "\n" statement, what ":") > 0 }

function begin_item(name) {
  put((listing ? "\n" : "") "### `" name "`\n")
  index_line = index_line (index_line == "" ? "" : ", ") "[`" name "`](#" name ")" }
function code(text) { put("```c\n" text "\n```\n") }

function function_of(line,    text, name, start) {
  start = FNR
  text = line
  while (text !~ /;/ && (getline line) > 0) text = text "\n" line
  sub(/^WN_API[ \t]*/, "", text)
  name = text
  sub(/\(.*/, "", name)
  sub(/.*[ \t*]/, "", name)
  if (!says("Threads")) complain(start, name " does not say what it asks of threads")
  if (!says("Ownership")) complain(start, name " does not say who owns what")
  if (!says("Errors")) complain(start, name " does not say what errors it has")
  symbols = symbols name "\n"
  gsub(/\n[ \t]+/, "\n    ", text)
  begin_item(name)
  code(text)
  if (about != "") put(prose(about) "\n")
}

# Fields of one line, `int a, b; /* ... */`, whose comment may go on.
function field(line, above,    text, type, declared, name) {
  text = ""
  if (line ~ /\/\*/) {
    text = line
    sub(/^[^\/]*/, "", text)
    text = one_line(comment(text))
    sub(/[ \t]*\/\*.*/, "", line)
  }
  if (above != "") text = one_line(above) (text == "" ? "" : " " text)
  if (text == "") complain(FNR, struct ": a field without a comment: " trim(line))
  sub(/;[ \t]*$/, "", line)
  line = trim(line)
  sub(/ WN_SIZED\([a-z_]*\)/, "", line)
  name = line
  sub(/\[.*/, "", name)
  sub(/.*[ \t*]/, "", name)
  declared = substr(line, match(line, /[a-z_0-9]+(\[.*)?$/))
  type = trim(substr(line, 1, length(line) - length(declared)))
  if (line ~ /\[/) type = type substr(line, index(line, "["))
  if (line ~ /,/) complain(FNR, struct ": two fields on a line: " line)
  rows = rows "| `" name "` | `" type "` | " cell(text) " |\n"
  abi = abi "  FIELD(" struct ", " name ");\n"
  last = name
}
function struct_of(line,    above) {
  struct = line
  sub(/^typedef struct /, "", struct)
  sub(/ .*/, "", struct)
  rows = "| field | type | meaning |\n|---|---|---|\n"
  abi = abi "  STRUCT(" struct ");\n"
  while ((getline line) > 0 && line !~ /^}/) {
    if (line ~ /^[ \t]*\/\*/) above = comment(line)
    else if (line ~ /;/) { field(line, above); above = "" }
    else { if ((getline more) > 0) field(line " " trim(more), above); above = "" }
  }
  abi = abi "  END(" struct ", " last ");\n"
  begin_item(struct)
  if (about != "") put(prose(about) "\n")
  put(rows)
}
function enum_of(line,    name, body, n, i, part, value, text) {
  name = line
  sub(/^typedef enum /, "", name)
  sub(/ .*/, "", name)
  body = line
  sub(/^[^{]*\{/, "", body)
  while (body !~ /}/ && (getline line) > 0) body = body "\n" line
  sub(/}.*/, "", body)
  begin_item(name)
  if (about != "") put(prose(about) "\n")
  n = split(body, part, /[\n]/)
  if (body ~ /\/\*/) put("| value | meaning |\n|---|---|")
  for (i = 1; i <= n; i++) {
    value = trim(part[i])
    text = ""
    if (match(value, /\/\*.*\*\//)) text = one_line(comment(substr(value, RSTART)))
    sub(/[ \t]*\/\*.*/, "", value)
    if (value == "") continue
    sub(/,$/, "", value)
    if (body ~ /\/\*/) put("| `" value "` | " cell(text) " |")
    else list = list (list == "" ? "" : ", ") value
    constants(value)
  }
  if (body !~ /\/\*/) {
    gsub(/,? +/, "`, `", list)
    put("`" list "`")
  }
  list = ""
  put("")
}
function constants(text,    part, n, i) {
  n = split(text, part, ",")
  for (i = 1; i <= n; i++) {
    sub(/=.*/, "", part[i])
    abi = abi "  CONSTANT(" trim(part[i]) ");\n"
  }
}
/^\/\* --- / {
  title = $0
  sub(/^\/\* --- /, "", title)
  sub(/ -+ \*\/.*/, "", title)
  if (section != "") finish_section()
  section = title
  statement = about = ""
  next
}
/^\/\*/ {
  about = comment($0)
  if (section == "") { preface = about; about = "" }
  next
}
/^$/ {
  if (about != "") {
    statement = statement "\n" about
    put(prose(about) "\n")
  }
  about = ""
  next
}
/^WN_API/ { function_of($0); about = ""; next }
/^typedef struct [a-z_]+ \{/ { struct_of($0); about = ""; next }
/^typedef enum / { enum_of($0); about = ""; next }
/^typedef / {
  name = $0
  if (name ~ /\(\*/) { sub(/^[^(]*\(\*/, "", name); sub(/\).*/, "", name) }
  else { sub(/;.*/, "", name); sub(/.* /, "", name) }
  begin_item(name)
  code($0)
  if (about != "") put(prose(about) "\n")
  about = ""
  next
}
/^#define WN_(MAX|VERSION)_?[A-Z]*[ \t]/ {
  name = $2
  text = ""
  if (match($0, /\/\*.*\*\//)) text = one_line(comment(substr($0, RSTART)))
  if (about != "") text = one_line(about)
  value = $0
  sub(/^#define[ \t]+[A-Z_]+[ \t]*/, "", value)
  sub(/[ \t]*\/\*.*/, "", value)
  listing = 1
  put("- `" name "`" (value ~ /^[0-9]+$/ ? " " value : "") (text == "" ? "" : ": " text))
  if (name !~ /VERSION/) abi = abi "  CONSTANT(" name ");\n"
  if (value == "\\") getline
  about = ""
  next
}
/^#define WN_[A-Z_]+\(\.\.\.\)/ { next } # the struct follows
function finish_section() {
  contents = contents "- " section ": " index_line "\n"
  body = body "## " toupper(substr(section, 1, 1)) substr(section, 2) "\n\n" page
  page = index_line = ""
}
END {
  finish_section()
  if (out == "symbols") {
    printf "%s", symbols | "LC_ALL=C sort"
  } else if (out == "abi") {
    print "/* Made by tools/api.awk. */\n#include <stddef.h>\n#include <stdio.h>\n\n#include \"winnow/winnow.h\"\n"
    print "#define STRUCT(type) printf(#type \" %zu\\n\", sizeof(type))"
    print "#define FIELD(type, field) printf(\"  \" #type \".\" #field \" %zu, %zu\\n\", offsetof(type, field), sizeof(((type *)0)->field))"
    print "#define CONSTANT(name) printf(#name \" %d\\n\", (int)name)"
    print "#define END(type, last) padded |= offsetof(type, last) + sizeof(((type *)0)->last) != sizeof(type)"
    print "\nint main(void) {\n  int padded = 0;\n" abi "  if (padded) puts(\"a struct ends in padding, where a new field would not change its size\");\n  return padded;\n}"
  } else {
    gsub(/\n\n\n+/, "\n\n", body)
    sub(/\n+$/, "\n", body)
    printf "# API\n\nGenerated from `include/winnow/winnow.h` by `tools/api.awk`; `tools/lint.sh --fix` writes it again.\n\n"
    printf "%s\n\n%s\n%s", prose(preface), contents, body
  }
  exit wrong
}
