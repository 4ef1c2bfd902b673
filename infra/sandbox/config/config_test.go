package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestExampleIsComplete(t *testing.T) {
	c, err := Load("../testdata/sandbox.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if c.IDP.TokenTTL != 5*time.Minute || c.Delays.Step != 5*time.Millisecond {
		t.Errorf("durations not read: %v, %v", c.IDP.TokenTTL, c.Delays.Step)
	}
	app, cp := c.Participants[0].Clients[0], c.Participants[0].Clients[1]
	if app.Subject != "provider" || strings.Join(app.Scopes, " ") != "management-api:read management-api:write" {
		t.Errorf("application client: subject %q, scopes %q", app.Subject, app.Scopes)
	}
	if cp.Subject != "provider-cp" || len(cp.Scopes) != 0 {
		t.Errorf("control plane client: subject %q, scopes %q", cp.Subject, cp.Scopes)
	}
}

func TestFaultsNameFileLineAndField(t *testing.T) {
	const head = "stateDir: s\nparticipants:\n  - id: p\n    identity: did:web:p\n"
	for name, tc := range map[string]struct{ yaml, want string }{
		"an unknown key":                {head + "listne: x\n", `f.yaml: line 5: unknown field "listne"`},
		"a wrong type":                  {head + "sync: maybe\n", "f.yaml: line 5: "},
		"no participants":               {"stateDir: s\n", "f.yaml:1: participants: is empty"},
		"a rate above one":              {head + "    misbehaviour:\n      errorRate: 2\n", "f.yaml:6: participants[0].misbehaviour.errorRate: is 2"},
		"a client without a secret":     {head + "    clients:\n      - id: c\n", "f.yaml:6: participants[0].clients[0].secret: is missing"},
		"a secret file that is missing": {head + "    clients:\n      - id: c\n        secretFile: nope\n", "f.yaml:7: participants[0].clients[0].secretFile: cannot be read"},
		"an unknown dialect":            {head + "    dialect: '0.1'\n", "f.yaml:5: participants[0].dialect"},
		"a sink that is no URL":         {head + "events: {sink: nowhere}\n", "f.yaml:5: events.sink"},
		"an empty file":                 {"", "f.yaml: the file is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("f.yaml", []byte(tc.yaml))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v\nwant …%s…", err, tc.want)
			}
		})
	}
}

func TestSecretsComeFromFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "s"), []byte("from-a-file\nnot this\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Parse(filepath.Join(dir, "f.yaml"), []byte("stateDir: s\nparticipants:\n  - id: p\n    identity: did:web:p\n    clients:\n      - {id: c, secretFile: s}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Participants[0].Clients[0].Secret; got != "from-a-file" {
		t.Errorf("secret %q", got)
	}
}

func FuzzParse(f *testing.F) {
	b, err := os.ReadFile("../testdata/sandbox.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("participants: [{}]"))
	f.Add([]byte("idp: {clients: [{id: a}]}"))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = Parse("f.yaml", b) })
}
