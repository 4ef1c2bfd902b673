package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/infra/internal/local"
)

// screen is a terminal that may be looked at while it is written to.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func TestThePersonAtTheTerminalReadsWhatBecameOfAChangedDocument(t *testing.T) {
	port, err := local.FreeBasePort()
	if err != nil {
		t.Fatal(err)
	}
	layout, err := local.NewLayout(t.TempDir(), port, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := local.Prepare(layout, programs(t)); err != nil {
		t.Fatal(err)
	}
	var out screen
	if err := watchTenants(t.Context(), layout.Tenants(), &out); err != nil {
		t.Fatal(err)
	}
	said := func(parts ...string) {
		t.Helper()
		deadline := time.Now().Add(time.Minute)
		for {
			text, missing := out.String(), ""
			for _, p := range parts {
				if i := strings.Index(text, p); i >= 0 {
					text = text[i+len(p):]
				} else {
					missing = p
				}
			}
			if missing == "" {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("the terminal lacks %q:\n%s", missing, out.String())
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	consumer := filepath.Join(layout.Tenants(), "consumer.yaml")
	replace(t, consumer, "participantContextId: consumer", "participantContextID: consumer")
	said("tenants     refused:\n"+indent+consumer+":1: participantContextId: is missing\n",
		indent+consumer+":4: participantContextID: no such member",
		"\n"+indent+"in force: consumer, provider, each as its last good document says\n")
	replace(t, consumer, "participantContextID: consumer", "participantContextId: consumer")
	said("as its last good document says\n", "tenants     in force: consumer, provider\n")
	if err := os.Remove(consumer); err != nil {
		t.Fatal(err)
	}
	said("tenants     in force: provider\n")
}
