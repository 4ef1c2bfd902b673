package main

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"

	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/tenant"
)

// maxSegment is the longest name of a file or folder, in bytes, that every sink can bear.
const maxSegment = 255

// names gives each dataset the key at the sink under which it is delivered: its own name, unless that can't be a key or another
// dataset has it, of whichever subscription. A dataset keeps the key that its record has. Names come from other participants:
// what is no safe key, like one that leads out of the sink, is replaced.
type names struct {
	files   map[string]string // place → id of the supply record that has it
	folders map[string]int    // places that files lie in
}

func newNames() *names { return &names{files: map[string]string{}, folders: map[string]int{}} }

// claim notes the names of all records of a tenant.
func (n *names) claim(t *tenant.Tenant, all []gatewayapi.Supply) {
	sinks := map[string]tenant.Sink{}
	for _, s := range t.Subscribe {
		if sink, ok := sinkOf(t, s); ok {
			sinks[s.Name] = sink
		}
	}
	for _, r := range all {
		if sink, ok := sinks[r.Subscription]; ok && r.Name != "" {
			n.take(sink, r.Name, r.ID)
		}
	}
}

// elsewhere is no bucket's name: there lies, as far as names go, what functions deliver.
const elsewhere = "-"

// sinkOf is where a subscription's datasets are delivered.
func sinkOf(t *tenant.Tenant, s tenant.Subscription) (tenant.Sink, bool) {
	if !s.OverHTTP() {
		return tenant.Sink{Bucket: elsewhere}, true
	}
	return t.Sink(s.Sink)
}

func (n *names) take(sink tenant.Sink, name, owner string) {
	p := place(sink, name)
	n.files[p] = owner
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		n.folders[dir]++
	}
}

// of returns the name of a dataset whose supply record has the id owner and, if it was delivered before, the name current.
func (n *names) of(sink tenant.Sink, d *management.Dataset, owner, current string) string {
	name := nameOf(d)
	sum := sha256.Sum256([]byte(owner))
	mark := hex.EncodeToString(sum[:6])
	ext := path.Ext(name)
	marked := strings.TrimSuffix(name, ext) + "~" + mark + ext
	last := "dataset-" + hex.EncodeToString(sum[:16]) + extension(ext)
	if current != "" && (current == name || current == marked || current == last) {
		return current
	}
	for _, candidate := range []string{name, marked} {
		if isKey(sink.Prefix+candidate) && n.free(sink, candidate, owner) {
			n.take(sink, candidate, owner)
			return candidate
		}
	}
	n.take(sink, last, owner)
	return last
}

// free tells whether nobody else has the place, as a file or as a folder.
func (n *names) free(sink tenant.Sink, name, owner string) bool {
	p := place(sink, name)
	if has, taken := n.files[p]; taken && has != owner {
		return false
	}
	if n.folders[p] > 0 {
		return false
	}
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if has, taken := n.files[dir]; taken && has != owner {
			return false
		}
	}
	return true
}

// place is where an object lies, across all sinks of a tenant.
func place(sink tenant.Sink, name string) string { return sink.Bucket + "/" + sink.Prefix + name }

func isKey(key string) bool {
	if objectstore.CheckKey(key) != nil {
		return false
	}
	for segment := range strings.SplitSeq(key, "/") {
		if len(segment) > maxSegment {
			return false
		}
	}
	return true
}

// extension is a file name's extension if it is a plain one.
func extension(ext string) string {
	if len(ext) < 2 || len(ext) > 16 || strings.ContainsFunc(ext[1:], func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return ""
	}
	return ext
}
