// Package lines gives a tenant a line of functions of its own in an overlay, in the overlay's folder lines/<name>:
//
//	kustomization.yaml, functions/   its functions, Triggers and schedules, with its document: rendered and applied by itself
//	shared/                          a component of the overlay: the document for the gateway, and the shared Triggers pass the tenant by
//
// They are written once and are the operator's from then on: limits, images and bounds are changed there. What the overlay says of all
// functions stands in its component common, which each line takes in too.
package lines

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"sigs.k8s.io/yaml"

	"github.com/tidegate/tidegate/eventing/manifests"
	"github.com/tidegate/tidegate/functions/rules"
	"github.com/tidegate/tidegate/shared/tenant"
)

// Line says what is made.
type Line struct {
	Overlay  string   // folder of the overlay
	Name     string   // of the line; the names of its functions end in it
	Document string   // the tenant's document; its member line must be Name
	Secrets  []string // files that the document names; none if the operator provides the Secrets
}

var lineName = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,22}[a-z0-9])?$`)

// values is what the templates are filled with.
type values struct {
	Name, ParticipantContextID, Root string
	Secrets                          []string
	Schedules                        map[string]string
}

// Add writes the line and makes the overlay know it.
func Add(l Line) error {
	if !lineName.MatchString(l.Name) || l.Name == "shared" {
		return fmt.Errorf("NAME: %q is no name of a line: up to 24 lower-case letters, digits and hyphens, a letter first, and not \"shared\", are expected", l.Name)
	}
	t, text, err := document(l)
	if err != nil {
		return err
	}
	schedules, err := schedulesOf(l.Name)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(l.Overlay, "common", "kustomization.yaml")); err != nil {
		return fmt.Errorf("OVERLAY: %s has no component \"common\", by which lines have the overlay's namespace and images", l.Overlay)
	}
	dir := filepath.Join(l.Overlay, "lines", l.Name)
	if _, err := os.Stat(dir); err == nil {
		return fmt.Errorf("%s is there already: change it, or remove it first", dir)
	}
	v := values{Name: l.Name, ParticipantContextID: t, Schedules: schedules}
	if v.Root, err = rootFrom(filepath.Join(dir, "functions")); err != nil {
		return err
	}
	files := map[string][]byte{"shared/" + l.Name + ".yaml": text}
	for _, s := range l.Secrets {
		b, err := os.ReadFile(s)
		if err != nil {
			return fmt.Errorf("SECRETS: %w", err)
		}
		name := filepath.Base(s)
		v.Secrets = append(v.Secrets, name)
		files[filepath.Join("shared", "secrets", name)] = b
	}
	for name, source := range map[string]string{
		"kustomization.yaml": line, "functions/kustomization.yaml": functions, "functions/names.yaml": names, "shared/kustomization.yaml": shared,
	} {
		var b strings.Builder
		if err := template.Must(template.New(name).Parse(source)).Execute(&b, v); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		files[name] = []byte(b.String())
	}
	for name, b := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			return fmt.Errorf("line %s: %w", l.Name, err)
		}
		if err := os.WriteFile(file, b, 0o600); err != nil {
			return fmt.Errorf("line %s: %w", l.Name, err)
		}
	}
	return register(l.Overlay, l.Name, true)
}

// Remove takes a line out of the overlay. What is in the cluster is removed by its label, tidegate.io/line=<name>.
func Remove(overlay, name string) error {
	if !lineName.MatchString(name) {
		return fmt.Errorf("NAME: %q is no name of a line", name)
	}
	if err := register(overlay, name, false); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(overlay, "lines", name))
}

// document checks the tenant's document, as far as it can be here: its secrets are in the cluster.
func document(l Line) (participantContextID string, text []byte, err error) {
	text, err = os.ReadFile(l.Document)
	if err != nil {
		return "", nil, fmt.Errorf("DOC: %w", err)
	}
	var doc struct {
		ParticipantContextID string `json:"participantContextId"`
		Line                 string `json:"line"`
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return "", nil, fmt.Errorf("DOC: %s: %w", l.Document, err)
	}
	if doc.Line != l.Name {
		return "", nil, fmt.Errorf("DOC: %s: line: is %q, expected is %q: without it the shared functions would tend the tenant too", l.Document, doc.Line, l.Name)
	}
	if doc.ParticipantContextID == "" {
		return "", nil, fmt.Errorf("DOC: %s: participantContextId: is missing", l.Document)
	}
	if len(l.Secrets) == 0 {
		return doc.ParticipantContextID, text, nil // make manifests judges it beside the Secrets that are promised
	}
	dir, err := os.MkdirTemp("", "line-")
	if err != nil {
		return "", nil, fmt.Errorf("DOC: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	here := text
	for _, s := range l.Secrets {
		here = []byte(strings.ReplaceAll(string(here), "/etc/tidegate/secrets/"+filepath.Base(s), mustAbs(s)))
	}
	file := filepath.Join(dir, filepath.Base(l.Document))
	if err := os.WriteFile(file, here, 0o600); err != nil {
		return "", nil, fmt.Errorf("DOC: %w", err)
	}
	if _, err := tenant.Load(file, rules.Validate); err != nil {
		return "", nil, fmt.Errorf("DOC: %s", strings.ReplaceAll(err.Error(), dir+"/", ""))
	}
	return doc.ParticipantContextID, text, nil
}

func mustAbs(file string) string {
	abs, err := filepath.Abs(file)
	if err != nil {
		return file
	}
	return abs
}

// schedulesOf are the schedules of a line: those of the manifests, at a second and from a minute on that its name chooses, so that
// a hundred lines are not woken at once.
func schedulesOf(line string) (map[string]string, error) {
	b, err := manifests.Files.ReadFile("sources.yaml")
	if err != nil {
		return nil, fmt.Errorf("schedules: %w", err)
	}
	out := map[string]string{}
	for doc := range strings.SplitSeq(string(b), "\n---\n") {
		var p struct {
			Metadata struct{ Name string }     `json:"metadata"`
			Spec     struct{ Schedule string } `json:"spec"`
		}
		if err := yaml.Unmarshal([]byte(doc), &p); err != nil {
			return nil, fmt.Errorf("schedules: %w", err)
		}
		fields := strings.Fields(p.Spec.Schedule)
		if len(fields) != 6 {
			return nil, fmt.Errorf("schedule %s: %q: six fields are expected", p.Metadata.Name, p.Spec.Schedule)
		}
		h := fnv.New32a()
		_, _ = h.Write([]byte(line + "/" + p.Metadata.Name)) // never fails
		n := h.Sum32()
		fields[0] = fmt.Sprint(n % 60)
		var every uint32
		if _, err := fmt.Sscanf(fields[1], "*/%d", &every); err == nil && every > 1 {
			fields[1] = fmt.Sprintf("%d/%d", n/60%every, every)
		}
		out[p.Metadata.Name] = strings.Join(fields, " ")
	}
	return out, nil
}

// rootFrom is the way from a folder to the repository's root.
func rootFrom(dir string) (string, error) {
	at, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("line: %w", err)
	}
	for root := at; root != filepath.Dir(root); root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, "go.work")); err == nil {
			return filepath.Rel(at, root)
		}
	}
	return "", errors.New("the overlay is not in the repository: its lines need the base beside it")
}

// All returns the names of an overlay's lines, sorted. A folder that the overlay does not know as a line, or the other way round, is an
// error: the shared functions would tend its tenant too, or nobody would.
func All(overlay string) ([]string, error) {
	b, err := os.ReadFile(filepath.Join(overlay, "kustomization.yaml"))
	if err != nil {
		return nil, fmt.Errorf("OVERLAY: %w", err)
	}
	var k struct {
		Components []string `json:"components"`
	}
	if err := yaml.Unmarshal(b, &k); err != nil {
		return nil, fmt.Errorf("OVERLAY: %s: %w", overlay, err)
	}
	var names []string
	for _, c := range k.Components {
		if name, ok := strings.CutPrefix(c, "lines/"); ok {
			names = append(names, strings.TrimSuffix(name, "/shared"))
		}
	}
	slices.Sort(names)
	folders, err := filepath.Glob(filepath.Join(overlay, "lines", "*"))
	if err != nil {
		return nil, fmt.Errorf("OVERLAY: %w", err)
	}
	for i, f := range folders {
		folders[i] = filepath.Base(f)
	}
	if !slices.Equal(names, folders) {
		return nil, fmt.Errorf("OVERLAY: %s: components name the lines %v, the folder lines has %v: each lines/<name>/shared is expected in components", overlay, names, folders)
	}
	return names, nil
}

// register adds a line to the overlay's components, or takes it off.
func register(overlay, name string, add bool) error {
	entry := "lines/" + name + "/shared"
	file := filepath.Join(overlay, "kustomization.yaml")
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("OVERLAY: %w", err)
	}
	const head = "components:"
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	lines = slices.DeleteFunc(lines, func(s string) bool { return s == "  - "+entry })
	at := slices.Index(lines, head)
	if add {
		if at < 0 {
			lines, at = append(lines, head), len(lines)
		}
		lines = slices.Insert(lines, at+1, "  - "+entry)
	} else if at >= 0 && (at+1 == len(lines) || !strings.HasPrefix(lines[at+1], "  - ")) {
		lines = slices.Delete(lines, at, at+1)
	}
	return os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644) //nolint:gosec // no secret
}
