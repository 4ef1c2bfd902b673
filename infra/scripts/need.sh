#!/usr/bin/env bash
# Makes sure that programs are there: installs those that are missing from the distribution's packages.
# Usage: need.sh PROGRAM…
set -euo pipefail

missing=()
for program in "$@"; do
	PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null || missing+=("$program")
done
[ ${#missing[@]} -eq 0 ] && exit 0

package() { # the Debian package that holds a program
	case "$1" in
	nginx) echo nginx-light ;;
	ip) echo iproute2 ;;
	*/cni/*) echo containernetworking-plugins ;;
	*) echo "$1" ;;
	esac
}

if ! command -v apt-get >/dev/null; then
	echo "missing: ${missing[*]}. Install them with your package manager and try again." >&2
	exit 1
fi
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)

# Packages start their services when they are installed; the tests start their own, on ports of their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
	"${as_root[@]}" chmod 755 "$policy"
	trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi
packages=()
for program in "${missing[@]}"; do packages+=("$(package "$program")"); done
"${as_root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${packages[@]}"
