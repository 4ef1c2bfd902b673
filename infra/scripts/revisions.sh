#!/usr/bin/env bash
# revisions.sh canary|promote|rollback|show: a new version of one function beside the old one, by Knative's traffic split.
#   FUNCTION=transfer-puller [TENANT=acme: the line of that name] [IMAGE=registry/…:v2] [PERCENT=10] [NAMESPACE=tidegate]
set -euo pipefail
: "${FUNCTION:?FUNCTION=negotiation-approver (or another function) is expected}"
service=$FUNCTION${TENANT:+-$TENANT}
k() { kubectl --namespace "${NAMESPACE:-tidegate}" "$@"; }
get() { k get ksvc "$service" -o "jsonpath={$1}"; }
traffic() { k patch ksvc "$service" --type merge -p "{\"spec\":{\"traffic\":$1}}"; }

case ${1:-} in
canary)
  : "${IMAGE:?IMAGE=registry/…:tag of the new version is expected}"
  percent=${PERCENT:-10}
  [[ $percent =~ ^[0-9]+$ ]] && ((percent <= 99)) || { echo "PERCENT=$percent: 0 to 99 is expected; promote gives all" >&2; exit 1; }
  # The revision that has all the traffic, which is not the latest one after a roll-back.
  old=$(get '.status.traffic[?(@.percent==100)].revisionName')
  [[ -n $old ]] || { echo "$service has no revision with all the traffic: promote or roll back first" >&2; exit 1; }
  # One patch: the new revision never has all the traffic, not even for a moment.
  k patch ksvc "$service" --type json -p "[
    {\"op\":\"replace\",\"path\":\"/spec/template/spec/containers/0/image\",\"value\":\"$IMAGE\"},
    {\"op\":\"add\",\"path\":\"/spec/traffic\",\"value\":[
      {\"revisionName\":\"$old\",\"percent\":$((100 - percent)),\"tag\":\"stable\"},{\"latestRevision\":true,\"percent\":$percent,\"tag\":\"canary\"}]}]"
  k wait ksvc "$service" --for=condition=Ready --timeout=180s
  ;;
promote)
  traffic '[{"latestRevision":true,"percent":100}]'
  k wait ksvc "$service" --for=condition=Ready --timeout=180s
  ;;
rollback)
  stable=$(get '.spec.traffic[?(@.tag=="stable")].revisionName')
  [[ -n $stable ]] || { echo "$service has no revision tagged stable: there is no canary to roll back from" >&2; exit 1; }
  traffic "[{\"revisionName\":\"$stable\",\"percent\":100,\"tag\":\"stable\"}]"
  k wait ksvc "$service" --for=condition=Ready --timeout=180s
  ;;
show)
  k get revisions -l "serving.knative.dev/service=$service"
  k get ksvc "$service" -o 'jsonpath={range .status.traffic[*]}{.tag}{"\t"}{.revisionName}{"\t"}{.percent}{"%\n"}{end}'
  ;;
*) sed -n '2,3p' "$0" >&2; exit 2 ;;
esac
