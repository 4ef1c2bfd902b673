package clustertest

import (
	"fmt"
	"testing"
	"time"
)

// networkPolicy has a stranger in the namespace try to reach Redis, first without and then against a NetworkPolicy. Whether
// policies are enforced is the business of the cluster's network; where they are not, that is told, since who relies on them must know.
func (w *world) networkPolicy(t *testing.T) { //nolint:thelper // a chapter of the test, no helper
	if !w.reaches(t, "stranger-before") {
		t.Skip("the image of hello can't dial: a NetworkPolicy can't be tried")
	}
	apply(t, fmt.Sprintf(`
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: redis-for-the-gateway-alone, namespace: %s}
spec:
  podSelector: {matchLabels: {app.kubernetes.io/name: redis}}
  policyTypes: [Ingress]
  ingress: [{from: [{podSelector: {matchLabels: {app.kubernetes.io/name: dps-gateway}}}]}]
`, namespace))
	if w.reaches(t, "stranger-after") {
		t.Log("NOT ENFORCED: a pod that the NetworkPolicy shuts out has reached Redis; this cluster's network ignores policies")
	}
}

// reaches tells whether a pod of its own could connect to Redis.
func (w *world) reaches(t *testing.T, name string) bool {
	t.Helper()
	apply(t, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: hello
      image: %s
      env: [{name: DIAL, value: "redis:6379"}]
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
`, name, namespace, hello()))
	defer w.kubectl(t, "delete", "pod", name, "--wait=false")
	phase := ""
	deadline := time.Now().Add(time.Minute)
	for phase != "Succeeded" && phase != "Failed" && time.Now().Before(deadline) {
		time.Sleep(poll)
		phase = w.kubectl(t, "get", "pod", name, "-o", "jsonpath={.status.phase}")
	}
	return phase == "Succeeded"
}
