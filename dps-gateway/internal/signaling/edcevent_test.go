package signaling

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/problem"
)

// FuzzDecodeEvent decodes what anybody might send: it never panics, refuses only as Invalid, and what it takes makes an event
// of the catalogue.
func FuzzDecodeEvent(f *testing.F) {
	files, _ := filepath.Glob("testdata/intake/*.json")
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add("", body)
		f.Add("org.eclipse.edc.ContractNegotiationRequested", body)
		f.Add("TransferProcessTerminated", body)
	}
	f.Add("ContractNegotiationFinalized", []byte(`{"contractNegotiationId":"\u0000","reason":[[["x"]]],"contractAgreement":null}`))
	f.Fuzz(func(t *testing.T, ceType string, body []byte) {
		h := http.Header{}
		if ceType != "" {
			h.Set("Ce-Type", ceType)
			h.Set("Ce-Id", "id")
		}
		e, err := decodeEvent(h, body)
		if err != nil {
			if !problem.Is(err, problem.Invalid) {
				t.Fatalf("refused as %v", err)
			}
			return
		}
		m, err := e.translate()
		if err != nil && !problem.Is(err, problem.Invalid) {
			t.Fatalf("refused as %v", err)
		}
		if _, err := e.vetoRequest(); err != nil && !problem.Is(err, problem.Invalid) {
			t.Fatalf("veto refused as %v", err)
		}
		if m == nil {
			return
		}
		ce, err := catalogue.New(program, "pc", m.eventType, m.subject, m.data, e.id)
		if err != nil {
			t.Fatalf("no event: %v", err)
		}
		if pc := m.pc; !utf8.ValidString(pc) || pc == "" || ce.Validate() != nil {
			t.Fatalf("a bad event for %q", pc)
		}
	})
}
