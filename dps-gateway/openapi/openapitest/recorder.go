// Package openapitest holds tests to the descriptions of the gateway's listeners: what is answered must be described, what is said
// must fit its schema, and what is described must have been answered.
package openapitest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tidegate/tidegate/dps-gateway/openapi"
)

// Recorder notes which described answers tests have seen. Safe for concurrent use.
type Recorder struct {
	mu    sync.Mutex
	descs map[string]*description
	seen  map[answerOf]bool
}

type description struct {
	ops    []openapi.Operation
	doc    map[string]any
	schema *jsonschema.Compiler
	known  map[string]*jsonschema.Schema
}

// answerOf is one described answer.
type answerOf struct {
	listener, method, path string
	status                 int
}

func (a answerOf) String() string {
	return fmt.Sprintf("%s.yaml: %s %s answers %d", a.listener, a.method, a.path, a.status)
}

// New reads the descriptions.
func New() (*Recorder, error) {
	r := &Recorder{descs: map[string]*description{}, seen: map[answerOf]bool{}}
	for _, name := range []string{"signaling", "public", "internal"} {
		text, err := openapi.Files.ReadFile(name + ".yaml")
		if err != nil {
			return nil, fmt.Errorf("openapitest: %w", err)
		}
		d := &description{schema: jsonschema.NewCompiler(), known: map[string]*jsonschema.Schema{}}
		if d.ops, err = openapi.Operations(name); err != nil {
			return nil, err
		}
		if err := yaml.Unmarshal(text, &d.doc); err != nil {
			return nil, fmt.Errorf("openapitest: %s.yaml: %w", name, err)
		}
		b, err := json.Marshal(d.doc)
		if err != nil {
			return nil, fmt.Errorf("openapitest: %s.yaml: %w", name, err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("openapitest: %s.yaml: %w", name, err)
		}
		if err := d.schema.AddResource(name+".json", v); err != nil {
			return nil, fmt.Errorf("openapitest: %s.yaml: %w", name, err)
		}
		r.descs[name] = d
	}
	return r, nil
}

// Unseen are the described answers that nobody was given, one a line.
func (r *Recorder) Unseen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, name := range slices.Sorted(maps.Keys(r.descs)) {
		for _, o := range r.descs[name].ops {
			for _, status := range o.Statuses {
				if a := (answerOf{name, o.Method, o.Path, status}); !r.seen[a] {
					out = append(out, a.String())
				}
			}
		}
	}
	return out
}

// Transport returns base with every exchange with a listener noted and checked. listener tells which one a host is, or "";
// report is told what is not as described. JSON bodies are read whole, others are left alone.
func (r *Recorder) Transport(base http.RoundTripper, listener func(host string) string, report func(error)) http.RoundTripper {
	return transport{r, base, listener, report}
}

type transport struct {
	recorder *Recorder
	base     http.RoundTripper
	listener func(host string) string
	report   func(error)
}

// CloseIdleConnections makes http.Client.CloseIdleConnections reach the base.
func (t transport) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	name := t.listener(req.URL.Host)
	var sent []byte
	if name != "" && req.GetBody != nil && isJSON(req.Header.Get("Content-Type")) {
		if body, err := req.GetBody(); err == nil {
			sent, _ = io.ReadAll(body)
		}
	}
	res, err := t.base.RoundTrip(req)
	if err != nil || name == "" {
		return res, err
	}
	var said []byte
	if isJSON(res.Header.Get("Content-Type")) && req.Method != http.MethodHead {
		said, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
		res.Body = io.NopCloser(bytes.NewReader(said))
		if err != nil {
			res.Body = io.NopCloser(io.MultiReader(bytes.NewReader(said), failing{err}))
			said = nil
		}
	}
	if err := t.recorder.Check(name, req, sent, res, said); err != nil {
		t.report(err)
	}
	return res, nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Check notes an answer, and tells what of the exchange is not as described: the status, or a JSON body that does not fit its schema.
// sent counts only if it was taken (2xx). Requests for what there is no operation, and refusals that come before a route is looked
// for, are not described.
func (r *Recorder) Check(listener string, req *http.Request, sent []byte, res *http.Response, said []byte) error {
	d := r.descs[listener]
	i := slices.IndexFunc(d.ops, func(o openapi.Operation) bool { return o.Match(req.Method, req.URL.EscapedPath()) })
	if i < 0 {
		if res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusMethodNotAllowed {
			return nil
		}
		return fmt.Errorf("%s.yaml has no %s %s, which answered %d", listener, req.Method, req.URL.Path, res.StatusCode)
	}
	o := d.ops[i]
	a := answerOf{listener, o.Method, o.Path, res.StatusCode}
	if !o.Answers(res.StatusCode) {
		return fmt.Errorf("%s, which is not described", a)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[a] = true
	at := "#/paths/" + escape(o.Path) + "/" + strings.ToLower(o.Method)
	var faults []error
	if said != nil {
		if err := d.fits(listener, at+"/responses/"+strconv.Itoa(res.StatusCode), res.Header.Get("Content-Type"), said); err != nil {
			faults = append(faults, fmt.Errorf("%s with a body that does not fit: %w", a, err))
		}
	}
	if sent != nil && res.StatusCode < 300 {
		if err := d.fits(listener, at+"/requestBody", req.Header.Get("Content-Type"), sent); err != nil {
			faults = append(faults, fmt.Errorf("%s to a request that does not fit: %w", a, err))
		}
	}
	return errors.Join(faults...)
}

// fits checks a JSON body against the schema of a response or a requestBody at a place of the description.
func (d *description) fits(listener, at, contentType string, body []byte) error {
	if len(body) == 0 {
		return nil
	}
	at, node := d.follow(at)
	if node == nil && strings.HasSuffix(at, "/requestBody") {
		return nil // none is wanted, and it is not read
	}
	content, _ := node["content"].(map[string]any)
	media, _, _ := mime.ParseMediaType(contentType)
	if content[media] == nil {
		if media = "*/*"; content[media] == nil {
			return fmt.Errorf("no content of type %q is described", contentType)
		}
	}
	place := listener + ".json" + at + "/content/" + escape(media) + "/schema"
	s := d.known[place]
	if s == nil {
		var err error
		if s, err = d.schema.Compile(place); err != nil {
			return err
		}
		d.known[place] = s
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	fault, ok := errors.AsType[*jsonschema.ValidationError](s.Validate(v))
	if !ok {
		return nil
	}
	return errors.New(strings.Join(places(fault), "; "))
}

// places are the members at fault, and the rules. What they hold is not told: it may be a secret.
func places(v *jsonschema.ValidationError) []string {
	if len(v.Causes) == 0 {
		return []string{fmt.Sprintf("/%s: %s", strings.Join(v.InstanceLocation, "/"), strings.Join(v.ErrorKind.KeywordPath(), "/"))}
	}
	var out []string
	for _, c := range v.Causes {
		out = append(out, places(c)...)
	}
	return out
}

// follow finds the node at a place, or the one that it refers to.
func (d *description) follow(at string) (string, map[string]any) {
	node := d.doc
	for step := range strings.SplitSeq(strings.TrimPrefix(at, "#/"), "/") {
		node, _ = node[unescape(step)].(map[string]any)
	}
	if ref, ok := node["$ref"].(string); ok {
		return d.follow(ref)
	}
	return at, node
}

var (
	escapes   = strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D")
	unescapes = strings.NewReplacer("%7B", "{", "%7D", "}", "~1", "/", "~0", "~")
)

func escape(s string) string   { return escapes.Replace(s) }
func unescape(s string) string { return unescapes.Replace(s) }

func isJSON(contentType string) bool {
	media, _, _ := mime.ParseMediaType(contentType)
	return media == "application/json" || strings.HasSuffix(media, "+json")
}
