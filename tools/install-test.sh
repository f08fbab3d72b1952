#!/bin/sh
# install-test.sh BUILD: installs into an empty folder and uses winnow from there as another project would, through
# find_package and pkg-config; man pages and completion lie where they are looked for. (tests/install/api.sh looks at the names that it exports.)
build=$1
root=$(cd "$(dirname "$0")/.." && pwd) || exit 2
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
. "$root/tools/build.sh"
fail() { echo "install: $*" >&2; cat "$tmp/log" >&2; exit 1; }

cmake --install "$build" --prefix "$tmp/usr" >"$tmp/log" 2>&1 || fail 'cmake --install failed'
library=$(find "$tmp/usr" -name 'libwinnow.so' | head -n 1)
[ -n "$library" ] || fail 'no libwinnow.so'

for page in man/man1/winnow.1 man/man1/winnow-conv.1 bash-completion/completions/winnow zsh/site-functions/_winnow \
  fish/vendor_completions.d/winnow.fish; do
  [ -s "$tmp/usr/share/$page" ] || fail "share/$page is not there"
done

cp "$root/tests/install/user.c" "$tmp/user.c"
cat >"$tmp/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.22)
project(user C)
find_package(winnow 0.1 REQUIRED)
add_executable(user user.c)
target_link_libraries(user winnow::winnow)
END
{ cmake -G "$(generator)" -S "$tmp" -B "$tmp/build" -DCMAKE_PREFIX_PATH="$tmp/usr" && cmake --build "$tmp/build"; } >"$tmp/log" 2>&1 ||
  fail 'a project that says find_package(winnow) does not build'
"$tmp/build/user" >"$tmp/log" 2>&1 || fail 'a program linked by find_package does not run'
version=$(cat "$tmp/log")
case $version in
  0.*) series=${version%.*} ;;
  *) series=${version%%.*} ;;
esac
[ -e "$library.$series" ] && [ -e "$library.$version" ] || fail "no libwinnow.so.$series of version $version"
if command -v readelf >/dev/null 2>&1; then
  readelf -d "$library" | grep -q -F "Library soname: [libwinnow.so.$series]" || fail "the soname is not libwinnow.so.$series"
fi

if command -v pkg-config >/dev/null 2>&1; then
  flags=$(PKG_CONFIG_PATH=$(dirname "$(find "$tmp/usr" -name winnow.pc)") pkg-config --cflags --libs winnow) ||
    fail 'pkg-config does not know winnow'
  # shellcheck disable=SC2086
  cc "$tmp/user.c" -o "$tmp/user" $flags "-Wl,-rpath,$(dirname "$library")" >"$tmp/log" 2>&1 ||
    fail "cc with pkg-config's flags failed ($flags)"
  "$tmp/user" >"$tmp/log" 2>&1 || fail "a program linked by pkg-config does not run"
  found=$(PKG_CONFIG_PATH=$(dirname "$(find "$tmp/usr" -name winnow.pc)") pkg-config --modversion winnow)
  [ "$found" = "$version" ] || fail "pkg-config says version $found, the library $version"
fi
exit 0
