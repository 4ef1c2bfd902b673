package cluster

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// settings are Knative's, as this cluster wants them: config map → its data.
var settings = []struct{ namespace, name, data string }{
	{"knative-serving", "config-network", `{"ingress-class":"tidegate.ingress.networking.knative.dev"}`},
	{"knative-serving", "config-deployment", `{"registries-skipping-tag-resolving":"` + ImageRepository + `"}`}, // there is no registry to ask
	{"knative-serving", "config-domain", `{"example.com":""}`},
	{"knative-serving", "config-autoscaler", `{"allow-zero-initial-scale":"true"}`}, // so that functions of many tenants can be installed at rest
}

// installKnative brings Knative Serving and Eventing to the cluster and waits until all of it is available.
func (l Layout) installKnative(ctx context.Context, out io.Writer) error {
	began := time.Now()
	if err := l.importProgram(ctx, ImageRepository+"/hello:1", "hello"); err != nil {
		return err
	}
	for _, image := range sortedKeys(knativeImages) {
		if err := l.importProgram(ctx, imageName(image), image); err != nil {
			return err
		}
	}
	_, _ = fmt.Fprintf(out, "%d images imported after %v\n", len(knativeImages)+1, time.Since(began).Round(time.Second))
	dir, err := l.manifestDir()
	if err != nil {
		return err
	}
	if _, err := l.kubectl(ctx, "apply", "--server-side", "-f", filepath.Join(dir, "1-crds.yaml")); err != nil {
		return err
	}
	if _, err := l.kubectl(ctx, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"); err != nil {
		return err
	}
	if _, err := l.kubectl(ctx, "apply", "-f", filepath.Join(dir, "2-base.yaml")); err != nil {
		return err
	}
	for _, s := range settings {
		if _, err := l.kubectl(ctx, "patch", "configmap", s.name, "-n", s.namespace, "--type=merge", `-p={"data":`+s.data+`}`); err != nil {
			return err
		}
	}
	if _, err := l.kubectl(ctx, "apply", "-f", filepath.Join(dir, "3-programs.yaml")); err != nil {
		return err
	}
	if err := l.startIngress(ctx); err != nil {
		return err
	}
	for _, ns := range []string{"knative-eventing", "knative-serving"} {
		if _, err := l.kubectl(ctx, "wait", "deployment", "--all", "-n", ns, "--for=condition=Available", "--timeout=240s"); err != nil {
			pods, _ := l.kubectl(ctx, "get", "pods", "-A") // the first error tells that something is wrong, this one what
			return fmt.Errorf("%w\n%s", err, strings.TrimSpace(string(pods)))
		}
	}
	_, _ = fmt.Fprintf(out, "Knative %s ready after %v\n", knativeVersion, time.Since(began).Round(time.Second))
	return nil
}

func (l Layout) startIngress(ctx context.Context) error {
	file := l.run("ingress.yaml")
	if err := writeTemplate("ingress.yaml", file, map[string]string{"Port": ingressPort, "NodeIP": nodeIP}); err != nil {
		return err
	}
	if _, err := l.kubectl(ctx, "apply", "-f", file); err != nil {
		return err
	}
	if err := os.Remove(file); err != nil {
		return fmt.Errorf("manifest of the ingress: %w", err)
	}
	path, err := l.program("ingress")
	if err != nil {
		return err
	}
	// In the node, where the names of Services are known.
	return l.startInNode("ingress", path, "-kubeconfig="+l.Kubeconfig(), "-addr="+nodeIP+":"+ingressPort,
		"-class=tidegate.ingress.networking.knative.dev", "-internal=ingress.knative-serving.svc."+domain)
}
