package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/shared/loopback"
)

// TestMain runs the program itself when a test starts this binary as a sandbox.
func TestMain(m *testing.M) {
	if os.Getenv("SANDBOX_TEST_RUN") == "1" {
		main()
		return
	}
	os.Exit(m.Run())
}

// start runs the program as a process of its own and waits until it is up.
func start(t *testing.T, file, base string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "SANDBOX_TEST_RUN=1", "SANDBOX_CONFIG="+file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if res, err := http.Get(base + "/healthz"); err == nil {
			_ = res.Body.Close()
			return cmd
		}
		if time.Now().After(end) {
			t.Fatal("the sandbox does not come up")
		}
	}
}

type api struct {
	t     *testing.T
	base  string
	token map[string]string
}

func (a *api) call(pc, method, path, typ string, members map[string]any) any {
	a.t.Helper()
	if a.token[pc] == "" {
		res, err := http.PostForm(a.base+"/idp/oauth/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {pc + "-app"}, "client_secret": {"s"}})
		if err != nil {
			a.t.Fatal(err)
		}
		var tok struct {
			AccessToken string `json:"access_token"`
		}
		_ = json.NewDecoder(res.Body).Decode(&tok)
		_ = res.Body.Close()
		a.token[pc] = tok.AccessToken
	}
	var body io.Reader
	if typ != "" {
		m := map[string]any{"@context": []string{"https://w3id.org/edc/connector/management/v2"}, "@type": typ}
		maps.Copy(m, members)
		b, _ := json.Marshal(m)
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.base+"/management/v5beta/participants/"+pc+path, body)
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+a.token[pc])
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	if res.StatusCode/100 != 2 {
		a.t.Fatalf("%s %s: %d %s", method, path, res.StatusCode, b)
	}
	var v any
	_ = json.Unmarshal(b, &v)
	return v
}

func TestAKilledSandboxGoesOnWhereItWas(t *testing.T) {
	addr, err := loopback.Addr()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sandbox.yaml")
	doc := fmt.Sprintf("listen: %s\nstateDir: state\ndelays: {step: 15ms}\nparticipants:\n"+
		"  - {id: provider, identity: 'did:web:p', clients: [{id: provider-app, secret: s}]}\n"+
		"  - {id: consumer, identity: 'did:web:c', clients: [{id: consumer-app, secret: s}]}\n", addr)
	if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &api{t: t, base: "http://" + addr, token: map[string]string{}}
	cmd := start(t, file, a.base)
	a.call("provider", "POST", "/assets", "Asset", map[string]any{"@id": "asset", "properties": map[string]any{}})
	a.call("provider", "POST", "/policydefinitions", "PolicyDefinition", map[string]any{"@id": "policy", "policy": map[string]any{"@type": "Set"}})
	a.call("provider", "POST", "/contractdefinitions", "ContractDefinition", map[string]any{"@id": "cd", "accessPolicyId": "policy", "contractPolicyId": "policy"})
	const profile = "http-dsp-profile-2025-1"
	address := a.base + "/protocol/provider/" + profile
	d := a.call("consumer", "POST", "/catalog/dataset/request", "DatasetRequest", map[string]any{"@id": "asset", "profile": profile, "counterPartyAddress": address, "counterPartyId": "did:web:p"})
	offer := d.(map[string]any)["hasPolicy"].([]any)[0].(map[string]any)["@id"]
	const rounds, each = 4, 10
	for range rounds {
		for range each {
			a.call("consumer", "POST", "/contractnegotiations", "ContractRequest", map[string]any{
				"profile": profile, "counterPartyAddress": address, "policy": map[string]any{"@type": "Offer", "@id": offer, "assigner": "did:web:p", "target": "asset"},
			})
		}
		time.Sleep(20 * time.Millisecond) // some are under way
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		cmd = start(t, file, a.base)
	}
	states := map[any]int{}
	count := func(pc, kind string) (all, final int) {
		clear(states)
		for _, o := range a.call(pc, "POST", "/"+kind+"/request", "QuerySpec", map[string]any{"limit": 1000}).([]any) {
			all++
			states[o.(map[string]any)["state"]]++
			if o.(map[string]any)["state"] == "FINALIZED" {
				final++
			}
		}
		return all, final
	}
	for _, pc := range []string{"consumer", "provider"} {
		for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			all, final := count(pc, "contractnegotiations")
			if all == rounds*each && final == all {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%s: %d negotiations, %v, want %d finalized", pc, all, states, rounds*each)
			}
		}
		if all, _ := count(pc, "contractagreements"); all != rounds*each {
			t.Errorf("%s: %d agreements, want %d", pc, all, rounds*each)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after an interrupt: %v", err)
	}
}

func TestBadInputIsOneLineAndNoSuccess(t *testing.T) {
	dir := t.TempDir()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	write := func(name, text string) string {
		f := filepath.Join(dir, name)
		if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return f
	}
	const tail = "stateDir: state\nparticipants: [{id: p, identity: 'did:web:p'}]\n"
	for name, tc := range map[string]struct{ file, want string }{
		"no configuration":    {"", "no configuration: give -config or SANDBOX_CONFIG"},
		"a file that is gone": {filepath.Join(dir, "gone"), "gone: no such file or directory"},
		"an unknown key":      {write("key", tail+"nonsense: 1\n"), `key: line 3: unknown field "nonsense"`},
		"a port in use":       {write("port", "listen: "+busy.Addr().String()+"\n"+tail), "listen: listen tcp " + busy.Addr().String() + ": bind: address already in use"},
		"a broken expression": {write("cel", "listen: 127.0.0.1:0\npublicURL: http://127.0.0.1:1\n"+tail+"celExpressions: [{id: x, leftOperand: l, expression: 'ctx.'}]\n"), "celExpressions: x: "},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			err := run(ctx, nil, tc.file, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want …%s…", err, tc.want)
			}
		})
	}
}
