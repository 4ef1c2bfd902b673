#!/usr/bin/env bash
# Takes the line of a tenant out of the cluster, after the overlay that knows it no more was applied.
# Usage: remove-line.sh NAME   [NAMESPACE=tidegate]
#
# Its Triggers go one after the other, each with its Subscription: where several go at once, Knative's in-memory channel may keep a
# subscriber whose Trigger is gone, and every event of every tenant then waits for it until its retries end.
set -euo pipefail
line=${1:?the name of a line is expected}
namespace=${NAMESPACE:-tidegate}
k() { kubectl --namespace "$namespace" "$@"; }

for trigger in $(k get trigger -l "tidegate.io/line=$line" -o name); do
	k delete "$trigger" --cascade=foreground --timeout=120s
done
k delete pingsource,ksvc,configmap,secret -l "tidegate.io/line=$line" --timeout=300s

left=$(k get inmemorychannel -o jsonpath='{range .items[*].spec.subscribers[*]}{.subscriberUri}{"\n"}{end}' 2>/dev/null | grep -E "/triggers/$namespace/[^/]+-$line/" || true)
[ -z "$left" ] || { echo "remove-line: the Broker's channel still has subscribers of $line; take them out of its spec.subscribers:" >&2; echo "$left" >&2; exit 1; }
