package dps_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
)

const anAgreement = `{"@context":["https://w3id.org/dspace/2025/1/context.jsonld"],"@type":"Agreement","@id":"agr-1","target":"asset-1",` +
	`"assigner":"did:web:p","assignee":"did:web:c","timestamp":"2026-01-31T12:00:00+01:00","permission":[{"action":"use"}],"obligation":null}`

func TestDecodeAgreement(t *testing.T) {
	got, err := dps.DecodeAgreement([]byte(anAgreement))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&dps.Agreement{
		ID: "agr-1", Target: "asset-1", Assigner: "did:web:p", Assignee: "did:web:c", Timestamp: time.Date(2026, 1, 31, 11, 0, 0, 0, time.UTC),
		Policy: map[string]any{"permission": []any{map[string]any{"action": "use"}}},
	}, got); d != "" {
		t.Error(d)
	}
	for body, field := range map[string]string{
		`{}`: "@id", `{"@id":"a"}`: "target", `{"@id":"a","target":"t","assigner":"p","assignee":"c","timestamp":"yesterday"}`: "timestamp",
		`{"@id":"a","target":"t","assigner":"p","assignee":"c","permission":1e999}`: "permission",
	} {
		_, err := dps.DecodeAgreement([]byte(body))
		if p, ok := err.(*problem.Error); !ok || p.Field != field { //nolint:errorlint // returned as it is
			t.Errorf("%s: %v", body, err)
		}
	}
}

func FuzzDecodeAgreement(f *testing.F) {
	f.Add([]byte(anAgreement))
	f.Add([]byte(`{"@id":"a","target":"t","assigner":"p","assignee":"c","timestamp":"x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := dps.DecodeAgreement(b); err == nil && (a.ID == "" || a.Target == "") {
			t.Errorf("%+v", a)
		}
	})
}
