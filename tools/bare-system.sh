#!/bin/sh
# bare-system.sh FOLDER [SUITE]: proves that the two commands of the README work on a machine with nothing installed.
# Makes a minimal Debian (bookworm by default) in FOLDER with debootstrap, gives it this machine's package sources,
# copies a clone of the committed tree into it, and runs ./run and ./check there. Needs root; to be used by hand.
# CHECK=0 leaves ./check out.
set -u
root=$(cd "$(dirname "$0")/.." && pwd) || exit 2
target=${1:?usage: tools/bare-system.sh FOLDER [SUITE]}
suite=${2:-bookworm}
[ "$(id -u)" = 0 ] || { echo 'bare-system: needs root, for debootstrap and chroot' >&2; exit 2; }
command -v debootstrap >/dev/null 2>&1 || { echo 'bare-system: install debootstrap' >&2; exit 2; }
[ -e "$target" ] && { echo "bare-system: $target exists" >&2; exit 2; }

# The first mirror that this machine itself uses, in either format of apt's source lists.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
  sed -n -e 's/^deb  *\(\[[^]]*\] *\)\{0,1\}\([a-z]*:[^ ]*\) .*/\2/p' -e 's/^URIs: *\([^ ]*\).*/\1/p' | head -n 1)

unmount() { for m in dev/shm dev/pts dev sys proc; do umount "$target/$m" 2>/dev/null; done; }
trap unmount EXIT

debootstrap --variant=minbase "$suite" "$target" ${mirror:+"$mirror"} >"$target.log" 2>&1 ||
  { tail -n 20 "$target.log" >&2; exit 1; }

# Package sources, proxies and certificates as they are here.
for f in apt/sources.list apt/sources.list.d apt/apt.conf apt/apt.conf.d apt/auth.conf.d apt/trusted.gpg.d ssl/certs \
  ca-certificates resolv.conf hosts; do
  [ -e "/etc/$f" ] && mkdir -p "$target/etc/$(dirname "$f")" && rm -rf "${target:?}/etc/$f" && cp -aL "/etc/$f" "$target/etc/$f"
done
for m in proc sys dev dev/pts dev/shm; do
  mkdir -p "$target/$m"
  case $m in
    proc) mount -t proc proc "$target/proc" ;;
    sys) mount -t sysfs sys "$target/sys" ;; # what drivers read the cores from
    *) mount --bind "/$m" "$target/$m" ;;
  esac || echo "bare-system: no $m in the chroot; going on" >&2
done

git clone -q "$root" "$target/winnow" || exit 1
rm -rf "$target/winnow/.git/hooks"

inside() {
  chroot "$target" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
    ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} "$@"
}
step() {
  echo "== $*" >&2
  began=$(date +%s)
  inside "$@"
  result=$?
  echo "== exit status $result after $(($(date +%s) - began)) s" >&2
  [ $result -eq 0 ] || status=1
}

status=0
step sh -c 'cd /tmp && /winnow/run'
step sh -c 'cd /tmp && DEBUG=3 WINO=1 /winnow/run conv mb1ic16ih32oc16kh3ph1'
[ "${CHECK:-1}" = 0 ] || step /winnow/check
exit $status
