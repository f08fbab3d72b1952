#!/bin/sh
# tools/packages.sh asks for what is used: the version of clang that ./check takes, with its runtime libraries.
. tests/cli/support/cases.sh
mkdir bin
tool() { # tool NAME STATUS: a program that ends with it
  printf '#!/bin/sh\ncat >/dev/null\nexit %s\n' "$2" >"bin/$1"
  chmod +x "bin/$1"
}
printf '#!/bin/sh\ncase " $offered " in *" $2 "*) exit 0 ;; esac\nexit 1\n' >bin/apt-cache
chmod +x bin/apt-cache
for name in sh cat sed; do ln -s "$(command -v $name)" bin/$name; done

# asks NAME WORDS OFFERED PACKAGES CLANG: of clang and its runtime these words are missing, and these packages are installed
asks() {
  cases=$((cases + 1))
  name=$1
  why=
  offered=$3 PATH=$scratch/bin sh -c '
    self=test root=$1
    . "$root/tools/packages.sh"
    missing=
    for word in $(optional_missing check); do case $word in clang*) missing="$missing $word" ;; esac; done
    echo "missing$missing"
    echo "packages" $(optional_packages $missing)
    echo "clang $(find_clang)"' - "$here" >out 2>err
  says out "missing${2:+ }$2"
  that "not '$2'" test "$(sed -n 's/^missing *//p' out)" = "$2"
  that "not '$4'" test "$(sed -n 's/^packages *//p' out)" = "$4"
  that "not '$5'" test "$(sed -n 's/^clang //p' out | sed 's/.*\///')" = "$5"
  end
}
all='clang-14 clang-16 clang-19 libclang-rt-14-dev libclang-rt-16-dev libclang-rt-19-dev'
asks 'nothing is there' 'clang clang-rt' "$all" 'clang-19 libclang-rt-19-dev' ''
asks 'an old system' 'clang clang-rt' 'clang-16 libclang-rt-16-dev' 'clang-16 libclang-rt-16-dev' ''
asks 'nothing is there, nor offered' 'clang clang-rt' 'clang-14' '' ''
tool clang 0
tool clang-14 0
asks 'a version that nothing uses' 'clang clang-rt' "$all" 'clang-19 libclang-rt-19-dev' ''
tool clang-16 1
asks 'one that links nothing' 'clang-rt' "$all" 'libclang-rt-16-dev' clang-16
tool clang-16 0
asks 'all of an older one' '' "$all" '' clang-16
tool clang-19 0
asks 'the newest known one comes first' '' "$all" '' clang-19
tool clang-19 1
asks 'its own runtime, not another one' 'clang-rt' "$all" 'libclang-rt-19-dev' clang-19

# has STATUS NAME FUNCTION
has() {
  cases=$((cases + 1))
  name=$2
  why=
  PATH=$scratch/bin sh -c 'self=test root=$1; . "$root/tools/packages.sh"; $2' - "$here" "$3" >out 2>err
  got=$?
  [ "$got" -eq 0 ] || got=1
  [ "$got" -eq "$1" ] || why="status $got"
  end
}
has 1 'no cross compiler' have_neon
tool aarch64-linux-gnu-gcc 1
tool qemu-aarch64 0
has 1 'a cross compiler without a C library' have_neon
tool aarch64-linux-gnu-gcc 0
has 0 'a cross compiler with one' have_neon
rm bin/qemu-aarch64
has 1 'nothing that runs its programs' have_neon
cases=$((cases + 1))
name='nobody else picks a version of clang'
why=
grep -n 'clang-[0-9]' "$here/check" "$here"/tools/*.sh | grep -v clang-format >out
that 'one does' test ! -s out
end
finish
