#!/bin/sh
# --html and --trace: whole files, one clear line where a file cannot be written, before anything is measured.
. tests/cli/support/cases.sh

# Whatever is not JSON is an error; python3 where there is one.
parses() {
  command -v python3 >/dev/null 2>&1 || return 0
  python3 -c 'import json, sys; json.loads(sys.stdin.read())' <"$1"
}
data_of() { # the JSON in a page
  sed -n 's/^<script id="data" type="application\/json">\(.*\)<\/script>$/\1/p' "$1"
}
counted() { # counted FILE TEXT: how often
  grep -o -F -e "$2" "$1" | wc -l
}

run 0 'a page of a comparison' compare $small --runs 2 --html report.html
data_of report.html >data.json
that 'the data is no JSON' parses data.json
that 'no data' test -s data.json
says data.json "\"line\":\"winnow compare $small --runs 2 --html report.html\""
for plan in direct old new one fused split auto; do says data.json "\"plan\":\"$plan\""; done
says out '11 plans, ' # and the table as ever
that 'a style loads something' test -z "$(grep -E '@import|url\(' report.html)"
that 'something is loaded' test -z "$(grep -E '(src|href)="[^#"d]' report.html)"
that 'something is left over' test "$(find . -name 'report.html*' | wc -l)" -eq 1
end
run 0 'a page beside JSON' compare $small --plan direct --runs 1 --json --html report.html
that 'lines' test "$(wc -l <out)" -eq 1
end
run 0 'pages of several problems' bench $small 'mb1ic4ih8oc4kh3ph1n"b"' --runs 1 --html bench.html --trace bench.json
data_of bench.html >data.json
that 'the data is no JSON' parses data.json
that 'the trace is no JSON' parses bench.json
says data.json '"command":"bench"'
that 'processes' test "$(counted bench.json '"name":"process_name"')" -eq 2
end
run 0 'a list of problems' compare $small mb1ic4ih8oc4kh3ph1 --plan direct --plan old --runs 1 --trace list.json
that 'processes' test "$(counted list.json '"name":"process_name"')" -eq 4
end

run 0 'a trace of a comparison' compare $small --plan old --plan fused --runs 2 --trace trace.json
that 'the trace is no JSON' parses trace.json
for event in schedule compile prepare; do
  that "$event" test "$(counted trace.json "\"ph\":\"X\",\"name\":\"$event\"")" -eq 2
done
that 'kernels of a run' test "$(counted trace.json '"cat":"kernel"')" -eq 4
end
run 0 'a trace of one convolution' conv $small --runs 1 --output y.npy --trace conv.json
that 'the trace is no JSON' parses conv.json
that 'processes' test "$(counted conv.json '"name":"process_name"')" -eq 1
that 'the result is missing' test -s y.npy
end
run 0 'refused and fallen back' compare $small --plan old --plan inline-m --max-lines 20 --max-memory 4K --runs 1 --html r.html --trace r.json
data_of r.html >data.json
says data.json '"refused":"'
says r.json '"name":"refused"'
that 'the trace is no JSON' parses r.json
end
run 1 'a page of what --strict stopped' compare $small --plan inline-m --max-lines 20 --strict --runs 1 --html strict.html
data_of strict.html >data.json
says data.json '"stopped":true'
end

# A name that is markup: it comes back in the data, and only there, escaped.
run 0 'markup in a name' compare "${small}n\"</script><img src=x onerror=alert(1)>\"" --plan direct --runs 1 --html hostile.html --trace hostile.json
that 'markup' test "$(counted hostile.html '<img')" -eq 0
that 'an end of a script too many' test "$(counted hostile.html '</script>')" -eq "$(counted report.html '</script>')"
data_of hostile.html >data.json
says data.json '\u003c/script\u003e\u003cimg src=x onerror=alert(1)\u003e'
that 'the trace is no JSON' parses hostile.json
end

# What cannot be written is said before anything is measured: at once, however much there is to do.
mkdir folder.html
refuses() { # refuses TEXT arguments...
  text=$1
  shift
  run 2 "refuses: $*" "$@"
  says err "$text"
  that 'something was measured' test ! -s out
  end
}
long='mb64ic512ih112oc512kh3ph1'
for flag in --html --trace; do
  refuses 'cannot write nowhere/x: No such file or directory' compare $long $flag nowhere/x
  refuses 'cannot write folder.html: it is a directory' compare $long $flag folder.html
  refuses 'cannot write /dev/null: it is not a regular file' compare $long $flag /dev/null
  refuses 'needs the name of a file' compare $long $flag=
  refuses "$flag is given twice" compare $long $flag a $flag b
  refuses "$flag and --peers exclude each other" bench $long --peers $flag x
done
refuses 'cannot write nowhere/x: No such file or directory' conv $long --trace nowhere/x
refuses 'cannot write nowhere/y.npy: No such file or directory' conv $long --output nowhere/y.npy
refuses '--html and --trace are one file, x' bench $long --html x --trace x
refuses '--trace and --output are one file, y.npy' conv $long --trace y.npy --output y.npy
refuses 'is written by --backend metal' conv $long --trace x.gputrace
refuses 'conv has no flag --html' conv $long --html x
refuses 'explain has no flag --trace' explain $long --trace x
if [ -e /dev/stdout ]; then refuses 'it is not a regular file' compare $long --html /dev/stdout; fi

# A whole file or the old one: a page that no longer fits, and a command that fails half-way.
echo before >old.html
cp old.html kept.html
(
  ulimit -f 8 # blocks of 512 bytes
  run 2 'a page that does not fit' compare $small --plan direct --runs 1 --no-cache --html old.html
  says err 'cannot write old.html'
  end
  echo "$cases $failures" >counts
)
read -r cases failures <counts
run 2 'a mistake in a later problem' compare $small ic --plan direct --runs 1 --html old.html
that 'the old file is gone' cmp -s old.html kept.html
that 'something is left over' test "$(find . -name 'old.html?*' | wc -l)" -eq 0
end
rm old.html
run 0 'the mode of a new file' compare $small --plan direct --runs 1 --html old.html
that 'mode' test "$(stat -c %a old.html)" = "$(printf '%o' $((0666 & ~$(umask))))"
end
finish
