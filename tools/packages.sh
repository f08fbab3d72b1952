# Sourced by ./run and ./check. In: a table of packages, each with something that is there once it is installed.
# Out: the packages installed where apt is at hand, or a list of what to install. Needs only a POSIX shell.
# A stamp in build/ remembers that all was there, so that the usual start costs nothing.

say() { printf '%s: %s\n' "$self" "$*" >&2; }

# name, a space, what is there once it is installed: a command, or a file when it has a slash (globs are allowed)
build_needs='
gcc cc
libc6-dev /usr/include/stdio.h
cmake cmake
ninja-build ninja
libstb-dev /usr/include/stb/stb_image.h
libcjson-dev /usr/include/cjson/cJSON.h
libpthreadpool-dev /usr/include/pthreadpool.h
libsqlite3-dev /usr/include/sqlite3.h
'
test_needs='
libcmocka-dev /usr/include/cmocka.h
'
llvm_versions='19 18 17 16 20 21'

have() {
  case $1 in
    */*) for f in $1; do [ -e "$f" ] && return 0; done; return 1 ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
  esac
}

missing_of() { # prints the packages of a table that are not there
  printf '%s' "$1" | while read -r package probe; do
    [ -n "$package" ] && { have "$probe" || printf '%s ' "$package"; }
  done
}

have_llvm() {
  for v in $llvm_versions; do
    have "/usr/lib/llvm-$v/include/llvm-c/Core.h" && have "llvm-config-$v" && return 0
  done
  return 1
}

# What a tool is asked for here is what uses it asks for: ./check and tools/lint.sh call these functions.

# The version of the clang that is used, of those that go with a known LLVM; nothing where there is none.
clang_version() {
  for v in $llvm_versions; do
    have "clang-$v" && { printf '%s' "$v"; return 0; }
  done
  return 1
}
find_clang() { v=$(clang_version) && command -v "clang-$v"; }

# Does a C compiler, with options, make a program of standard input? Its runtime libraries are packages of their own.
links() { "$@" -x c - -o /dev/null >/dev/null 2>&1; }
have_sanitizers() { printf 'int main(void) { return 0; }' | links "$1" -fsanitize=address,undefined; }
have_fuzzer() {
  printf 'int LLVMFuzzerTestOneInput(const char *p, unsigned long n);
int LLVMFuzzerTestOneInput(const char *p, unsigned long n) { return !p && n; }' | links "$1" -fsanitize=fuzzer
}
have_clang_runtime() { c=$(find_clang) && have_sanitizers "$c" && have_fuzzer "$c"; }

# What runs AArch64's code anywhere: some 50 MB.
have_neon() {
  have aarch64-linux-gnu-gcc && { have qemu-aarch64 || have qemu-aarch64-static; } &&
    printf '#include <stdio.h>\nint main(void) { return puts(""); }' | links aarch64-linux-gnu-gcc -static
}

# What opens the page of --html (tests/browser/devtools.py knows the same names): some 100 MB to fetch.
have_browser() {
  [ -n "${WINNOW_BROWSER:-}" ] && return 0
  for b in chromium chromium-browser chromium-headless-shell google-chrome google-chrome-stable; do have $b && return 0; done
  return 1
}

# OpenCL's headers, its loader, and PoCL, which makes any CPU a device.
have_opencl() {
  have /usr/include/CL/cl.h && have "/usr/lib/*/libOpenCL.so.1" && have "/etc/OpenCL/vendors/*.icd"
}

# The first of the known LLVM versions that this system has, of the package NAME-VERSION.
newest() {
  for v in $llvm_versions; do
    # shellcheck disable=SC2059
    p=$(printf "$1" "$v")
    apt-cache show "$p" >/dev/null 2>&1 && { printf '%s ' "$p"; return; }
  done
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null 2>&1; then sudo "$@"
  else return 1
  fi
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "$@" \
    </dev/null >>"$log" 2>&1
}

optional_missing() { # $1: run or check
  have_llvm || printf 'llvm '
  have /usr/include/CL/cl.h || printf 'opencl-c-headers '
  [ "$1" = check ] || return 0
  have_opencl || printf 'opencl '
  have c++ || printf 'g++ '
  find_clang >/dev/null || printf 'clang '
  have_clang_runtime || printf 'clang-rt '
  have clang-format-19 || printf 'format '
  have_neon || printf 'neon '
  have python3 || printf 'python3 '
  python3 -c 'import ensurepip, venv' 2>/dev/null || printf 'python3-venv '
  have_browser || printf 'chromium '
}

optional_packages() { # names of packages for optional_missing's words, as this system calls them
  for word in "$@"; do
    case $word in
      llvm) newest 'llvm-%s-dev' ;;
      clang) newest 'clang-%s' ;;
      clang-rt) # of the clang that is there, or will be
        clang=$(clang_version) || clang=$(newest 'clang-%s')
        clang=${clang#clang-}
        [ -n "$clang" ] && printf 'libclang-rt-%s-dev ' "${clang% }"
        ;;
      format) apt-cache show clang-format-19 >/dev/null 2>&1 && printf 'clang-format-19 ' ;;
      opencl) printf 'opencl-c-headers ocl-icd-libopencl1 pocl-opencl-icd ' ;;
      chromium) printf 'chromium fonts-dejavu-core ' ;; # without a font every letter is a box
      neon) printf 'gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user ' ;;
      *) printf '%s ' "$word" ;;
    esac
  done
}

# install_missing run|check: returns 1 when something is missing without which nothing can be built.
install_missing() {
  kind=$1
  stamp=$root/build/.packages-$kind
  log=$root/build/packages.log
  needs=$build_needs
  [ "$kind" = check ] && needs=$needs$test_needs
  if [ "$stamp" -nt "$root/tools/packages.sh" ]; then
    # An incomplete set is tried again once a day, not at every start.
    [ -s "$stamp" ] || return 0
    [ -n "$(find "$stamp" -mtime 0 2>/dev/null)" ] && return 0
  fi
  mkdir -p "$root/build"
  required=$(missing_of "$needs")
  optional=$(optional_missing "$kind")
  if [ -z "$required$optional" ]; then
    rm -f "$root"/build*/.options # configure again: what was not found then may be there now
    : >"$stamp"
    return 0
  fi
  if ! command -v apt-get >/dev/null 2>&1; then
    say "missing: $required$optional"
    say "not a Debian or Ubuntu system, so install by its own means: a C17 compiler, cmake 3.22 or newer, ninja,"
    say "pthreadpool, the stb headers, cJSON, SQLite; LLVM 16 or newer to compile kernels in process; cmocka for ./check"
  else
    install_with_apt
  fi
  rm -f "$root"/build*/.options # as above
  required=$(missing_of "$needs")
  optional=$(optional_missing "$kind")
  printf '%s' "$required$optional" >"$stamp"
  if [ -n "$optional" ]; then say "going on without: $optional"; fi
  if [ -n "$required" ]; then
    rm -f "$stamp"
    say "cannot build without: $required"
    return 1
  fi
}

# The required packages first, so that trouble with an optional one does not stand in their way.
install_with_apt() {
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null 2>&1; then
    # shellcheck disable=SC2046,SC2086
    say "missing, and installing needs root: apt-get install" $required$(optional_packages $optional)
    return
  fi
  say "installing what is missing: $required$optional(log: build/packages.log)"
  # The versions on offer are known only after an update; a fresh system has no lists at all.
  as_root apt-get -q update </dev/null >"$log" 2>&1 || say "apt-get update failed; trying what is known already"
  if [ -n "$required" ]; then
    # shellcheck disable=SC2086
    apt_install $required || { say "apt-get install $required failed:"; tail -n 5 "$log" >&2; }
  fi
  # shellcheck disable=SC2046,SC2086
  for package in $(optional_packages $optional); do
    apt_install "$package" || say "apt-get install $package failed"
  done
}
