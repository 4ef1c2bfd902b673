package tenant

import (
	"cmp"
	"crypto/sha256"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// document is what the registry knows of one file.
type document struct {
	hash      [sha256.Size]byte
	candidate *Tenant // the content as it is, nil if it is broken
	broken    error   // why it is broken
	clash     error   // why a good candidate is not in force: another document claims the same
	inForce   *Tenant // the last good version, nil if there is none
	logged    string  // the problem that was logged last
	id        string  // the participant context that the content names, even if it is broken
}

// load reads the file again if its content changed, and tells whether the outcome did. A broken document is read every
// time: what it lacks may be another file.
func (d *document) load(file string, validators []Validator) bool {
	data, err := read(file)
	hash := sha256.Sum256(data)
	if err == nil && d.candidate != nil && hash == d.hash {
		return false
	}
	was := errorText(d.broken)
	d.hash = hash
	d.candidate = nil
	d.broken = err
	if m := idLine.FindSubmatch(data); m != nil {
		d.id = string(m[1])
	}
	if err == nil {
		d.candidate, d.broken = parse(file, data, validators)
	}
	return d.candidate != nil || errorText(d.broken) != was
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (d *document) problem() error {
	if d.broken != nil {
		return d.broken
	}
	return d.clash
}

// enforce puts the candidate in force and adds its participant context to taken, unless it is in force already.
func (d *document) enforce(taken []string) []string {
	if d.inForce == d.candidate {
		return taken
	}
	d.inForce = d.candidate
	return append(taken, d.inForce.ParticipantContextID)
}

// maxNamed is how many participant contexts a log line names; the rest it counts. A start with a thousand tenants is one line.
const maxNamed = 10

// tell logs one line of what a reading of the folder changed. What is wrong has lines of its own: logProblem.
func (r *Registry) tell(taken, removed []string) {
	if len(taken) == 0 && len(removed) == 0 {
		return
	}
	inForce := 0
	for _, d := range r.files {
		if d.inForce != nil {
			inForce++
		}
	}
	line := r.log.Info().Int("in_force", inForce)
	for _, change := range []struct {
		what string
		ids  []string
	}{{"taken", taken}, {"removed", removed}} {
		if len(change.ids) == 0 {
			continue
		}
		slices.Sort(change.ids)
		line.Int(change.what, len(change.ids)).Strs(change.what+"_participant_contexts", change.ids[:min(len(change.ids), maxNamed)])
	}
	line.Msg("tenants' documents were read")
}

func (r *Registry) logProblem(name string, d *document) {
	err := d.problem()
	if errorText(err) == d.logged {
		return
	}
	d.logged = errorText(err)
	if err != nil {
		r.log.Error().Err(err).Str("file", name).Bool("in_force", d.inForce != nil).Msg("tenant document refused")
	}
}

// documents lists the files of tenants in a folder, in the order of their names. Names that begin with a dot are the
// machinery of a mounted ConfigMap, or of an editor.
func documents(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") && (ext == ".yaml" || ext == ".yml") {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out, nil
}

func sortedNames(files map[string]*document) []string { return slices.Sorted(maps.Keys(files)) }

func byID(a, b *Tenant) int { return cmp.Compare(a.ParticipantContextID, b.ParticipantContextID) }
