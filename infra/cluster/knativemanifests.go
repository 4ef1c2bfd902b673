package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// knativeImages are the programs of Knative that run as pods: the name of the image → the package.
var knativeImages = map[string]string{
	"eventing-controller":  "knative.dev/eventing/cmd/controller",
	"eventing-webhook":     "knative.dev/eventing/cmd/webhook",
	"mt-broker-controller": "knative.dev/eventing/cmd/mtchannel_broker",
	"mtping":               "knative.dev/eventing/cmd/mtping",
	"broker-ingress":       "knative.dev/eventing/cmd/broker/ingress",
	"broker-filter":        "knative.dev/eventing/cmd/broker/filter",
	"imc-controller":       "knative.dev/eventing/cmd/in_memory/channel_controller",
	"imc-dispatcher":       "knative.dev/eventing/cmd/in_memory/channel_dispatcher",
	"serving-queue":        "knative.dev/serving/cmd/queue",
	"serving-activator":    "knative.dev/serving/cmd/activator",
	"serving-autoscaler":   "knative.dev/serving/cmd/autoscaler",
	"serving-controller":   "knative.dev/serving/cmd/controller",
	"serving-webhook":      "knative.dev/serving/cmd/webhook",
}

// manifestFiles says which files of the modules make up an installation, in the order in which they are applied. A module's archive
// holds no symbolic links, so what the release links to is named at its real place.
var manifestFiles = []struct {
	name  string
	globs []string // module@/path
}{
	{"1-crds.yaml", []string{
		"eventing@/config/core/resources/*.yaml", "eventing@/config/channels/in-memory-channel/resources/*.yaml",
		"serving@/config/core/300-resources/*.yaml",
		"networking@/config/certificate.yaml", "networking@/config/domain-claim.yaml", "networking@/config/ingress.yaml",
		"networking@/config/serverlessservice.yaml", "caching@/config/image.yaml",
	}},
	{"2-base.yaml", []string{
		"eventing@/config/core/100-*.yaml", "eventing@/config/core/200-*.yaml", "eventing@/config/core/roles/*.yaml",
		"eventing@/config/core/configmaps/*.yaml", "eventing@/third_party/eventing-integrations-latest/eventing-*-images.yaml",
		"eventing@/config/channels/in-memory-channel/200-*.yaml", "eventing@/config/channels/in-memory-channel/roles/*.yaml",
		"eventing@/config/channels/in-memory-channel/configmaps/*.yaml", "eventing@/config/brokers/mt-channel-broker/roles/*.yaml",
		"serving@/config/core/100-*.yaml", "serving@/config/core/200-*.yaml", "serving@/config/core/200-roles/*.yaml",
		"serving@/config/core/configmaps/*.yaml", "networking@/config/config-network.yaml",
	}},
	{"3-programs.yaml", []string{
		"eventing@/config/core/webhooks/*.yaml", "eventing@/config/channels/in-memory-channel/webhooks/*.yaml",
		"eventing@/config/core/deployments/controller.yaml", "eventing@/config/core/deployments/webhook.yaml",
		"eventing@/config/core/deployments/pingsource-mt-adapter.yaml",
		"eventing@/config/channels/in-memory-channel/deployments/*.yaml", "eventing@/config/brokers/mt-channel-broker/deployments/*.yaml",
		"serving@/config/core/webhooks/*.yaml", "serving@/config/core/999-cache.yaml", "serving@/config/core/deployments/*.yaml",
	}},
}

// cutManifests writes the manifests of Knative's installation, cut out of its modules, with the names of our images.
func (l Layout) cutManifests(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // manifests are for everybody
		return fmt.Errorf("folder of the manifests: %w", err)
	}
	dirs, err := l.moduleDirs(ctx)
	if err != nil {
		return err
	}
	for _, f := range manifestFiles {
		var docs []string
		for _, glob := range f.globs {
			mod, rest, _ := strings.Cut(glob, "@")
			files, err := filepath.Glob(dirs[mod] + rest)
			if err != nil || len(files) == 0 {
				return fmt.Errorf("module %s holds no %s (%w)", mod, rest, err)
			}
			for _, file := range files {
				if strings.Contains(filepath.Base(file), "hpa") { // without a metrics API they only complain
					continue
				}
				b, err := os.ReadFile(file)
				if err != nil {
					return fmt.Errorf("manifest: %w", err)
				}
				docs = append(docs, adapt(string(b), strings.Contains(rest, "/deployments/")))
			}
		}
		if err := os.WriteFile(filepath.Join(dir, f.name), []byte(strings.Join(docs, "\n---\n")), 0o644); err != nil { //nolint:gosec // as above
			return fmt.Errorf("manifest: %w", err)
		}
	}
	return nil
}

// moduleDirs finds the modules in the module cache.
func (l Layout) moduleDirs(ctx context.Context) (map[string]string, error) {
	names := []string{"eventing", "serving", "networking", "caching"}
	args := []string{"list", "-m", "-f", "{{.Dir}}"}
	for _, n := range names {
		args = append(args, "knative.dev/"+n)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = filepath.Join(l.Mod, "kn")
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	b, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("modules of Knative: %w", err)
	}
	lines := strings.Fields(string(b))
	if len(lines) != len(names) || slices.Contains(lines, "") {
		return nil, fmt.Errorf("modules of Knative: folders of %v are expected, not %q", names, lines)
	}
	dirs := map[string]string{}
	for i, n := range names {
		dirs[n] = lines[i]
	}
	return dirs, nil
}

var (
	koImage    = regexp.MustCompile(`ko://(knative\.dev/[\w/.-]+)`)
	cpuRequest = regexp.MustCompile(`(?m)^(\s*cpu: )\d+m`)
)

// adapt gives the manifest the names of our images, and has programs ask for little CPU: together they ask for more than a small
// machine has.
func adapt(manifest string, deployment bool) string {
	manifest = koImage.ReplaceAllStringFunc(manifest, func(ko string) string {
		pkg := koImage.FindStringSubmatch(ko)[1]
		for image, p := range knativeImages {
			if p == pkg {
				return imageName(image)
			}
		}
		return imageName(path.Base(pkg)) // a program that nothing here starts
	})
	if deployment && !strings.Contains(manifest, "limits") {
		manifest = cpuRequest.ReplaceAllString(manifest, "${1}10m")
	}
	return manifest
}

func imageName(program string) string { return ImageRepository + "/" + program + ":" + knativeVersion }
