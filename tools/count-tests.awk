# In: the output of ctest -V. Out: "passed failed skipped", counting cases: lines "ok N" and "not ok N" of tests that
# speak TAP, one for each other test. A test that fails without a "not ok" of its own (a crash, a time limit, a program
# that was not built), or stops before the "1..N" that it announced, is one more failure.
# With -v details=1: the failures and the last lines of the tests that they are in.
function end_of(test,    ran) {
  ran = ok[test] + bad[test] + skip[test]
  if (state[test] == "Skipped") { if (!ran) skip[test] = 1 }
  else if (state[test] != "Passed") { if (!bad[test]) { bad[test] = 1; why[test] = state[test] } }
  else if (!ran) ok[test] = 1
  else if (plan[test] && ran < plan[test]) { bad[test]++; why[test] = "stopped after " ran " of " plan[test] " cases" }
}
/^[0-9]+: / {
  test = $1 + 0
  line = $0
  sub(/^[0-9]+: /, "", line)
  if (!begun[test]) { # ctest's own words about the command and its environment
    if (line ~ /^Test timeout computed/) begun[test] = 1
    next
  }
  tail[test] = tail[test] "    " line "\n"
  if (++lines[test] > 25) { sub(/^[^\n]*\n/, "", tail[test]) }
  if (line ~ /^(not )?ok .*# *[Ss][Kk][Ii][Pp]/) skip[test]++ # cmocka calls a skipped case "not ok"
  else if (line ~ /^ok /) ok[test]++
  else if (line ~ /^# / && reason[test]) { why[test] = why[test] " (" substr(line, 3) ")" }
  else if (line ~ /^not ok /) { bad[test]++; why[test] = why[test] (why[test] ? ", " : "") line }
  else if (line ~ /^1\.\.[0-9]+/) { sub(/^1\.\./, "", line); plan[test] += line + 0 }
  reason[test] = line ~ /^not ok /
  next
}
/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: / {
  text = $0
  sub(/^.*Test +#/, "", text)
  test = text + 0
  name[test] = text
  sub(/^[0-9]+: /, "", name[test])
  sub(/ .*/, "", name[test])
  state[test] = "failed"
  if ($0 ~ / Passed +[0-9]/) state[test] = "Passed"
  else if ($0 ~ /\*\*\*Skipped/) state[test] = "Skipped"
  else if ($0 ~ /\*\*\*Timeout/) state[test] = "ran out of time"
  else if ($0 ~ /\*\*\*Not Run/) state[test] = "was not built"
  else if ($0 ~ /\*\*\*Exception/) state[test] = "crashed"
  order[++n] = test
}
END {
  for (i = 1; i <= n; i++) {
    test = order[i]
    end_of(test)
    P += ok[test]; F += bad[test]; S += skip[test]
    if (details && bad[test]) printf "FAILED: %s: %s\n%s", name[test], why[test], tail[test]
  }
  if (!details) printf "%d %d %d\n", P, F, S
}
