package sandbox_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// step is one request with the answer that was observed.
type step struct {
	Name   string `yaml:"name"`
	As     string `yaml:"as"` // a client, "" for no token, "!text" for that text as the token
	Call   string `yaml:"call"`
	Type   string `yaml:"type"`  // @type of the request
	Plain  bool   `yaml:"plain"` // the body as it is, no context added
	Poll   bool   `yaml:"poll"`
	Body   any    `yaml:"body"`
	Status int    `yaml:"status"`
	Answer any    `yaml:"answer"`
	Raw    bool   `yaml:"raw"`  // the answer carries no management context
	Text   string `yaml:"text"` // the answer is this text
}

// TestConversations replays what was observed of EDC-V and compares every answer, but for ids, times and hosts.
func TestConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/conversations/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no conversations", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".yaml"), func(t *testing.T) {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			var steps []step
			if err := yaml.UnmarshalWithOptions(b, &steps, yaml.Strict()); err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, nil)
			m := matcher{"url": w.url, "plane": w.plane.URL}
			for _, s := range steps {
				w.replay(s, m)
			}
		})
	}
}

func (w *world) replay(s step, m matcher) {
	w.t.Helper()
	method, path, _ := strings.Cut(m.fill(s.Call), " ")
	var body any
	if s.Body != nil || s.Type != "" {
		members, _ := viaJSON(w.t, s.Body).(map[string]any)
		members = m.fillAll(members).(map[string]any)
		if body = members; !s.Plain {
			body = doc(s.Type, members)
		}
	}
	token := ""
	switch raw, isRaw := strings.CutPrefix(s.As, "!"); {
	case isRaw:
		token = raw
	case s.As != "":
		token = w.as(s.As)
	}
	want := viaJSON(w.t, s.Answer)
	if !s.Raw {
		want = addContext(want)
	}
	var problem string
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		status, text := w.send(token, method, path, body)
		problem = ""
		switch {
		case status != s.Status:
			problem = fmt.Sprintf("status %d, want %d: %s", status, s.Status, text)
		case s.Text != "":
			if text != m.fill(s.Text) {
				problem = fmt.Sprintf("got  %q\nwant %q", text, m.fill(s.Text))
			}
		case want != nil:
			var got any
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				problem = err.Error() + ": " + text
			} else {
				problem = m.match("", want, got)
			}
		case text != "":
			problem = "a body where none is expected: " + text
		}
		if problem == "" {
			return
		}
		if !s.Poll || time.Now().After(end) {
			w.t.Fatalf("%s: %s", s.Name, problem)
		}
	}
}

// addContext adds the management context to each object of an answer that has none.
func addContext(v any) any {
	switch x := v.(type) {
	case map[string]any:
		if _, ok := x["@context"]; !ok {
			x["@context"] = []any{"https://w3id.org/edc/connector/management/v2"}
		}
	case []any:
		for i := range x {
			x[i] = addContext(x[i])
		}
	}
	return v
}

func viaJSON(t *testing.T, v any) any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// matcher holds what earlier answers showed, by name.
type matcher map[string]string

var placeholder = regexp.MustCompile(`<([A-Za-z0-9]+)>`)

func (m matcher) fill(s string) string {
	return placeholder.ReplaceAllStringFunc(s, func(p string) string {
		if v, ok := m[p[1:len(p)-1]]; ok {
			return v
		}
		return p
	})
}

func (m matcher) fillAll(v any) any {
	switch x := v.(type) {
	case nil:
		return map[string]any{}
	case string:
		return m.fill(x)
	case map[string]any:
		for k := range x {
			if x[k] != nil {
				x[k] = m.fillAll(x[k])
			}
		}
	case []any:
		for i := range x {
			x[i] = m.fillAll(x[i])
		}
	}
	return v
}

// match says where got differs from want, or "".
func (m matcher) match(at string, want, got any) string {
	switch x := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s: got %v, want an object", at, got)
		}
		for k, v := range x {
			if _, ok := g[k]; !ok {
				return fmt.Sprintf("%s/%s is missing in %v", at, k, g)
			}
			if p := m.match(at+"/"+k, v, g[k]); p != "" {
				return p
			}
		}
		for k := range g {
			if _, ok := x[k]; !ok {
				return fmt.Sprintf("%s/%s was not expected: %v", at, k, g[k])
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(x) {
			return fmt.Sprintf("%s: got %v, want a list of %d", at, got, len(x))
		}
		for i := range x {
			if p := m.match(fmt.Sprintf("%s/%d", at, i), x[i], g[i]); p != "" {
				return p
			}
		}
		return ""
	case string:
		return m.matchText(at, x, got)
	}
	if want != got {
		return fmt.Sprintf("%s: got %v, want %v", at, got, want)
	}
	return ""
}

func (m matcher) matchText(at, want string, got any) string {
	full := placeholder.FindString(want) == want && want != ""
	n, isNumber := got.(float64)
	now := float64(time.Now().UnixMilli())
	switch name := strings.Trim(want, "<>"); {
	case full && name == "any":
		return ""
	case full && name == "ms" && isNumber && n > now-60_000 && n <= now+1000:
		return ""
	case full && name == "s" && isNumber && n*1000 > now-60_000 && n*1000 <= now+1000:
		return ""
	case full && name != "ms" && name != "s":
		s, ok := got.(string)
		if known, seen := m[name]; ok && !seen {
			m[name] = s
			return ""
		} else if ok && known == s {
			return ""
		}
	default:
		if got == any(m.fill(want)) {
			return ""
		}
	}
	return fmt.Sprintf("%s: got %v, want %s", at, got, m.fill(want))
}
