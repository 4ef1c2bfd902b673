package check

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/tidegate/tidegate/functions/rules"
	"github.com/tidegate/tidegate/shared/tenant"
)

// credential is a line that gives a secret itself where the name of a file is expected.
var credential = regexp.MustCompile(`(?i)^\s*-?\s*["']?(client_?secret|password|passwd|secret_?key|api_?key|token)["']?\s*[:=]\s*["']?[^\s"'{$]{6,}`)

// Where pods find what belongs to tenants.
const (
	tenantsDir = "/etc/tidegate/tenants"
	secretsDir = "/etc/tidegate/secrets" //nolint:gosec // a folder
)

// tenants: every document that is mounted as a tenant's is one, and the files that it names are in the Secret beside it.
func tenants(s *set) {
	checked := map[string]bool{}
	for _, p := range s.pods() {
		documents, secrets := p.mounted(tenantsDir), p.mounted(secretsDir)
		for _, name := range documents["ConfigMap"] {
			c := find[corev1.ConfigMap](s, name)
			if c == nil {
				continue // said already
			}
			var files []string
			for _, secret := range secrets["Secret"] {
				keys, _ := s.keys("Secret", secret)
				files = append(files, keys...)
			}
			files = append(files, p.tokens()...)
			slices.Sort(files)
			id := name + " " + strings.Join(files, " ")
			if checked[id] {
				continue
			}
			checked[id] = true
			s.documents(p.object, c, files)
		}
	}
}

// documents checks the tenants' documents of a ConfigMap as a pod sees them: with the files beside them that they name.
func (s *set) documents(o *object, c *corev1.ConfigMap, files []string) {
	dir, err := os.MkdirTemp("", "tenants-")
	if err != nil {
		s.fault(o, "", "%v", err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	secrets := filepath.Join(dir, "secrets")
	if err := os.Mkdir(secrets, 0o700); err != nil {
		s.fault(o, "", "%v", err)
		return
	}
	for _, f := range files { // a document is about where secrets are, not about what they say
		if err := os.WriteFile(filepath.Join(secrets, path.Base(f)), []byte("accessKey=a\nsecretKey=b\n"), 0o600); err != nil {
			s.fault(o, "", "%v", err)
			return
		}
	}
	here := strings.NewReplacer(secretsDir+"/", secrets+"/")
	there := strings.NewReplacer(secrets+"/", secretsDir+"/", dir+"/", "", "\n", "; ")
	for k, text := range c.Data {
		field := "ConfigMap " + c.Name + " data[" + k + "]"
		if ext := path.Ext(k); ext != ".yaml" && ext != ".yml" {
			s.fault(o, field, "is no tenant's document: its name must end in .yaml")
			continue
		}
		file := filepath.Join(dir, k)
		if err := os.WriteFile(file, []byte(here.Replace(text)), 0o600); err != nil {
			s.fault(o, field, "%v", err)
			continue
		}
		if _, err := tenant.Load(file, rules.Validate); err != nil {
			s.fault(o, field, "%s", there.Replace(err.Error()))
		}
	}
}

// mounted are the ConfigMaps and Secrets that are mounted at a path.
func (p *pod) mounted(at string) map[string][]string {
	out := map[string][]string{}
	for _, c := range p.containers() {
		for _, m := range c.VolumeMounts {
			if m.MountPath != at {
				continue
			}
			for _, v := range p.spec.Volumes {
				if v.Name != m.Name {
					continue
				}
				if v.ConfigMap != nil {
					out["ConfigMap"] = append(out["ConfigMap"], v.ConfigMap.Name)
				}
				if v.Secret != nil {
					out["Secret"] = append(out["Secret"], v.Secret.SecretName)
				}
				if v.Projected == nil {
					continue
				}
				for _, src := range v.Projected.Sources {
					if src.ConfigMap != nil {
						out["ConfigMap"] = append(out["ConfigMap"], src.ConfigMap.Name)
					}
					if src.Secret != nil {
						out["Secret"] = append(out["Secret"], src.Secret.Name)
					}
				}
			}
		}
	}
	return out
}

// tokens are the names of the projected tokens that a pod has among its tenants' secrets.
func (p *pod) tokens() (names []string) {
	for _, v := range p.spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, src := range v.Projected.Sources {
			if src.ServiceAccountToken != nil {
				names = append(names, src.ServiceAccountToken.Path)
			}
		}
	}
	return names
}
