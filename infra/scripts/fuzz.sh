#!/usr/bin/env bash
# Runs every fuzz target of the given modules for a while each. Usage: fuzz.sh DURATION MODULE…
set -euo pipefail

duration=$1
shift
count=0
for module in "$@"; do
	while IFS=: read -r file target; do
		package=./$(dirname "$file")
		echo "== $package $target"
		go test -run='^$' -fuzz="^${target}\$" -fuzztime="$duration" "$package"
		count=$((count + 1))
	done < <(grep -rhoE --include='*_test.go' -H '^func Fuzz[A-Za-z0-9_]+' "$module" | sed 's/func //')
done
echo "$count fuzz targets, $duration each"
