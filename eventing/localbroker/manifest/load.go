package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/tidegate/tidegate/shared/problem"
)

// Limits of what is read.
const (
	maxFile = 1 << 20
	maxDocs = 1000
)

// LoadDirs reads all *.yaml and *.yml files of the folders (not of folders below them), in order. The error names file,
// line and field of the first fault.
func LoadDirs(dirs ...string) (*Set, error) {
	var l loader
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, problem.New(problem.Invalid, "manifests: %w", err)
		}
		for _, e := range entries {
			if !e.Type().IsRegular() && e.Type()&fs.ModeSymlink == 0 {
				continue
			}
			if ext := filepath.Ext(e.Name()); ext != ".yaml" && ext != ".yml" {
				continue
			}
			if err := l.file(filepath.Join(dir, e.Name())); err != nil {
				return nil, err
			}
		}
	}
	return l.finish()
}

// Parse reads one file's content. name stands in messages.
func Parse(name string, content []byte) (*Set, error) {
	var l loader
	if err := l.content(name, content); err != nil {
		return nil, err
	}
	return l.finish()
}

// loader gathers documents; finish ties them together.
type loader struct {
	brokers  []Broker
	triggers []pendingTrigger
	pings    []Ping
	docs     int
}

// pendingTrigger is a Trigger whose Broker's defaults are not known yet.
type pendingTrigger struct {
	Trigger
	own *Delivery
}

func (l *loader) file(name string) error {
	st, err := os.Stat(name)
	if err != nil {
		return problem.New(problem.Invalid, "manifests: %w", err)
	}
	if st.Size() > maxFile {
		return problem.New(problem.Invalid, "%s: is larger than %d bytes", name, maxFile)
	}
	content, err := os.ReadFile(name)
	if err != nil {
		return problem.New(problem.Invalid, "manifests: %w", err)
	}
	return l.content(name, content)
}

func (l *loader) content(name string, content []byte) (err error) {
	defer func() { // the parser is third-party code fed with anything
		if r := recover(); r != nil {
			err = problem.New(problem.Invalid, "%s: is no YAML that can be read", name)
		}
	}()
	file, err := parser.ParseBytes(content, 0)
	if err != nil {
		return yamlFault(name, err)
	}
	for _, d := range file.Docs {
		if d == nil || d.Body == nil || d.Body.Type() == ast.NullType || d.Body.Type() == ast.CommentType {
			continue
		}
		if l.docs++; l.docs > maxDocs {
			return problem.New(problem.Invalid, "%s: more than %d documents", name, maxDocs)
		}
		if err := l.document(&document{file: name, body: d.Body}); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) document(d *document) error {
	var t typeMeta
	if err := yaml.NodeToValue(d.body, &t); err != nil {
		return yamlFault(d.file, err)
	}
	switch {
	case t.APIVersion == "" || t.Kind == "":
		return d.fault("apiVersion", "apiVersion and kind are needed")
	case t.APIVersion == eventingV1 && t.Kind == kindBroker:
		return l.broker(d)
	case t.APIVersion == eventingV1 && t.Kind == kindTrigger:
		return l.trigger(d)
	case t.APIVersion == sourcesV1 && t.Kind == kindPingSource:
		return l.ping(d)
	case strings.HasPrefix(t.APIVersion, "eventing.knative.dev/"), strings.HasPrefix(t.APIVersion, "sources.knative.dev/"):
		return d.fault("kind", "%s %s is not known here; expected %s Broker or Trigger, or %s PingSource", t.APIVersion, t.Kind, eventingV1, sourcesV1)
	}
	return nil // of another group: not for us
}

// finish checks what one document alone can't tell: names are unique, Brokers are there; and it applies their defaults.
func (l *loader) finish() (*Set, error) {
	set := &Set{Brokers: l.brokers, Pings: l.pings}
	seen := map[string]Origin{}
	once := func(kind string, n Name, o Origin) error {
		key := kind + " " + n.String()
		if first, ok := seen[key]; ok {
			return problem.New(problem.Invalid, "%s:%d: metadata.name: %s is defined already at %s:%d", o.File, o.Line, key, first.File, first.Line)
		}
		seen[key] = o
		return nil
	}
	byName := map[Name]*Broker{}
	for i := range l.brokers {
		b := &l.brokers[i]
		if err := once(kindBroker, b.Name, b.Origin); err != nil {
			return nil, err
		}
		byName[b.Name] = b
	}
	for _, p := range l.triggers {
		if err := once(kindTrigger, p.Name, p.Origin); err != nil {
			return nil, err
		}
		b, ok := byName[p.Broker]
		if !ok {
			return nil, problem.New(problem.Invalid, "%s:%d: spec.broker: Trigger %s wants Broker %s, which is not defined; known: %s",
				p.File, p.Line, p.Name, p.Broker, names(byName))
		}
		set.Triggers = append(set.Triggers, p.withDefaults(b.Delivery))
	}
	for _, p := range l.pings {
		if err := once(kindPingSource, p.Name, p.Origin); err != nil {
			return nil, err
		}
		if _, ok := byName[p.Broker]; !ok {
			return nil, problem.New(problem.Invalid, "%s:%d: spec.sink: PingSource %s wants Broker %s, which is not defined; known: %s",
				p.File, p.Line, p.Name, p.Broker, names(byName))
		}
	}
	return set, nil
}

// withDefaults applies the Broker's delivery as Knative does: as a whole if the Trigger has none, and the dead letter sink
// also where only that is missing.
func (p pendingTrigger) withDefaults(broker *Delivery) Trigger {
	t := p.Trigger
	switch {
	case p.own != nil:
		t.Delivery = *p.own
		if t.Delivery.DeadLetter == nil && broker != nil {
			t.Delivery.DeadLetter = broker.DeadLetter
		}
	case broker != nil:
		t.Delivery = *broker
	}
	return t
}

func names(m map[Name]*Broker) string {
	if len(m) == 0 {
		return "none"
	}
	var s []string
	for n := range m {
		s = append(s, n.String())
	}
	sort.Strings(s)
	return strings.Join(s, ", ")
}

// yamlFault makes one line of a fault that the YAML package found.
func yamlFault(file string, err error) error {
	var y yaml.Error
	if !errors.As(err, &y) {
		return problem.New(problem.Invalid, "%s: %s", file, oneLine(err.Error()))
	}
	where := file
	if tk := y.GetToken(); tk != nil && tk.Position != nil {
		where = fmt.Sprintf("%s:%d", file, tk.Position.Line)
	}
	return problem.New(problem.Invalid, "%s: %s", where, oneLine(y.GetMessage()))
}

// oneLine is the text on one line: values of the file stand in messages.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
