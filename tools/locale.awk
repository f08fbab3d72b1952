# In: C sources, by path from the root. Out: every place where text that is printed or parsed would follow the locale of
# the process: a call of the printf or scanf family whose format has a conversion of a floating-point number, or is no
# literal that could be looked at; such a function's name without a call; and functions that always follow it. What does
# the same without the locale is in src/base/text.h, which is why src/base/text.c is left out. Exit status 1 if any.
BEGIN {
  # the argument that is the format
  format["printf"] = format["scanf"] = 1
  format["fprintf"] = format["sprintf"] = format["dprintf"] = format["asprintf"] = 2
  format["fscanf"] = format["sscanf"] = 2
  format["snprintf"] = format["strftime"] = 3
  words("strtod strtof strtold strtod_l strtof_l atof wcstod wcstof strfromd strfromf ecvt fcvt gcvt")
  words("vprintf vfprintf vsprintf vsnprintf vdprintf vasprintf vscanf vfscanf vsscanf")
  words("isalnum isalpha isblank iscntrl isgraph islower isprint ispunct isspace isupper tolower toupper")
  words("strcasecmp strncasecmp strcoll strxfrm setlocale localeconv uselocale newlocale nl_langinfo")
  words("cJSON_Print cJSON_PrintUnformatted cJSON_PrintBuffered cJSON_PrintPreallocated")
  words("cJSON_Parse cJSON_ParseWithLength cJSON_ParseWithOpts cJSON_ParseWithLengthOpts")
  number = "%[-+ #0'*.0-9]*[lLh]*[aAeEfFgG]"
  date = "%[aAbBcEhOprxXZ]"
}
FNR == 1 {
  comment = depth = 0
  before = pending = ""
  file = FILENAME
}
file == "src/base/text.c" { next }
{
  line = $0
  while (line != "") {
    if (comment) {
      at = index(line, "*/")
      if (!at) break
      comment = 0
      line = substr(line, at + 2)
    } else if (match(line, /^[A-Za-z_][A-Za-z_0-9]*/)) {
      take()
      mention(token)
      before = token
    } else if (match(line, /^"([^"\\]|\\.)*"/)) {
      take()
      literal(token)
      before = ""
    } else if (match(line, /^'([^'\\]|\\.)*'/) || match(line, /^[0-9][A-Za-z_0-9.]*/)) {
      take()
      before = ""
    } else if (line ~ /^\/\//) {
      break
    } else if (line ~ /^\/\*/) {
      comment = 1
      line = substr(line, 3)
    } else {
      c = substr(line, 1, 1)
      line = substr(line, 2)
      if (c == " " || c == "\t" || c == "\\") continue
      if (c == "(") open_call()
      else if (c == ")") close_call()
      else if (c == "," && depth) argument[depth]++
      else if (c == "{" || c == ";") settle()
      before = ""
    }
  }
}
END {
  settle()
  exit wrong
}

function words(list, n, part, i) {
  n = split(list, part, " ")
  for (i = 1; i <= n; i++) follows[part[i]] = 1
}
function take() {
  token = substr(line, 1, RLENGTH)
  line = substr(line, RLENGTH + 1)
}
# A name of the printf family that no parenthesis follows may be called through a pointer.
function settle() {
  if (pending != "") complain(pending_line, pending " is named and not called")
  pending = ""
}
function mention(name) {
  settle()
  if (name in follows && !(file == "src/report/json.c" && name ~ /^cJSON_P/)) complain(FNR, name " follows the locale")
  if (!(name in format) || (depth && call[depth] == "format")) return # __attribute__((format(printf, 1, 2)))
  pending = name
  pending_line = FNR
}
function open_call() {
  pending = ""
  call[++depth] = before
  argument[depth] = 1
  seen[depth] = 0
  start[depth] = FNR
}
function close_call() {
  settle()
  if (depth == 0) return
  if (call[depth] in format && !seen[depth]) complain(start[depth], call[depth] " with a format that is no literal")
  depth--
}
# The call that a literal is an argument of: parentheses without a name belong to what is around them.
function literal(text, d) {
  settle()
  for (d = depth; d > 0 && call[d] == ""; d--) continue
  if (d == 0 || !(call[d] in format) || argument[d] != format[call[d]]) return
  seen[d] = 1
  gsub(/%%/, "", text)
  if (call[d] == "strftime" ? text ~ date : text ~ number) complain(FNR, call[d] " with " text " follows the locale")
}
function complain(at, what) {
  printf "%s:%d: %s\n", file, at, what
  wrong = 1
}
