#!/usr/bin/env bash
# Runs the test of Tidegate on a cluster: the one of KUBECONFIG with images from IMAGE_REPO, else the one of this machine, which is
# started if it is not up and ended if it was started here. What pods wrote, and the state of the cluster when a chapter has failed, is
# in CLUSTER_DIR/log/test then.
# Usage: cluster-test.sh CLUSTER_DIR [flags of the test…]
set -euo pipefail
dir=$1
shift
cluster=(bin/cluster -dir "$dir")
export CLUSTER_TEST=1 CLUSTER_MANIFEST=$PWD/bin/manifests/dev.yaml CLUSTER_LOGS=$dir/log/test
flags=(-test.v -test.failfast "$@")

if [ -n "${KUBECONFIG:-}" ]; then
	for name in IMAGE_REPO HELLO_IMAGE; do
		[ -n "${!name:-}" ] || { echo "cluster-test: $name is not set, see docs/cluster.md" >&2; exit 1; }
	done
	exec bin/clustertest "${flags[@]}"
fi
make --no-print-directory cluster-tools
if ! missing=$("${cluster[@]}" missing 2>&1); then
	[ "${CI:-}" = true ] && { echo "cluster-test: $missing" >&2; exit 1; }
	echo "cluster-test: skipped: $missing"
	exit 0
fi
if ! "${cluster[@]}" exec true 2>/dev/null; then
	trap '"${cluster[@]}" down' EXIT
	"${cluster[@]}" up
fi
make --no-print-directory images images-dev ARCH="$(go env GOARCH)"
"${cluster[@]}" load bin/images/*.tar
"${cluster[@]}" exec bin/clustertest "${flags[@]}"
