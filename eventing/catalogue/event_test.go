package catalogue_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/problem"
)

func TestTheSameHappeningHasTheSameIDAndAnotherHasAnother(t *testing.T) {
	make1 := func(pc, typ, subject string, parts ...string) string {
		t.Helper()
		e, err := catalogue.New("p", pc, typ, subject, catalogue.Object{Bucket: "b", Key: "k"}, parts...)
		if err != nil {
			t.Fatal(err)
		}
		return e.ID()
	}
	base := make1("acme", catalogue.ObjectCreated, "b/k", "etag")
	if again := make1("acme", catalogue.ObjectCreated, "b/k", "etag"); again != base {
		t.Errorf("told twice: %s and %s", base, again)
	}
	for name, other := range map[string]string{
		"another tenant":               make1("globex", catalogue.ObjectCreated, "b/k", "etag"),
		"another type":                 make1("acme", catalogue.ObjectChanged, "b/k", "etag"),
		"another subject":              make1("acme", catalogue.ObjectCreated, "b/k2", "etag"),
		"another version":              make1("acme", catalogue.ObjectCreated, "b/k", "etag2"),
		"the same bytes, cut elsewise": make1("acme", catalogue.ObjectCreated, "b/", "ketag"),
		"a part more":                  make1("acme", catalogue.ObjectCreated, "b/k", "etag", ""),
	} {
		if other == base {
			t.Errorf("%s has the same id", name)
		}
	}
}

func TestNewNamesTenantSchemaAndFlow(t *testing.T) {
	e, err := catalogue.New("dps-gateway", "acme", catalogue.DataFlowStarted, "f1", catalogue.DataFlow{DataFlowID: "f1", Role: "PROVIDER", Direction: "PULL"})
	if err != nil {
		t.Fatal(err)
	}
	if e.Source() != "/tidegate/dps-gateway/acme" || e.DataSchema() != catalogue.SchemaID(catalogue.DataFlowStarted) {
		t.Errorf("source %s, schema %s", e.Source(), e.DataSchema())
	}
	want := map[string]any{catalogue.ExtParticipantContextID: "acme", catalogue.ExtFlowRole: "PROVIDER", catalogue.ExtFlowDirection: "PULL"}
	if diff := cmp.Diff(want, e.Extensions()); diff != "" {
		t.Errorf("extensions (-want +got):\n%s", diff)
	}
}

func TestAnEventWithoutTenantIsRefused(t *testing.T) {
	e := event.New()
	e.SetType(catalogue.ObjectCreated)
	if _, err := catalogue.ParticipantContextID(&e); !problem.Is(err, problem.Invalid) {
		t.Errorf("got %v, want an invalid", err)
	}
	e.SetExtension(catalogue.ExtParticipantContextID, " ")
	if _, err := catalogue.ParticipantContextID(&e); !problem.Is(err, problem.Invalid) {
		t.Errorf("blank: got %v, want an invalid", err)
	}
}

func TestUnknownMembersAreIgnoredAndWrongTypesAreNot(t *testing.T) {
	e := event.New()
	e.SetType(catalogue.ObjectCreated)
	if err := e.SetData(event.ApplicationJSON, []byte(`{"bucket":"b","key":"k","size":3,"colour":"blue"}`)); err != nil {
		t.Fatal(err)
	}
	got, err := catalogue.Data[catalogue.Object](&e)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(catalogue.Object{Bucket: "b", Key: "k", Size: 3}, got); diff != "" {
		t.Error(diff)
	}
	if err := e.SetData(event.ApplicationJSON, []byte(`{"bucket":"b","key":"k","size":"3"}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := catalogue.Data[catalogue.Object](&e); !problem.Is(err, problem.Invalid) {
		t.Errorf("a string as size: %v, want an invalid", err)
	}
}

// Whatever comes in: decoding does not panic, refuses with Invalid, and what it accepts survives another round.
func FuzzDecodeData(f *testing.F) {
	for i, d := range catalogue.All() {
		b, err := json.Marshal(reflect.Zero(d.GoType()).Interface())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(i, b)
		f.Add(i, []byte(strings.ReplaceAll(string(b), `""`, `"ä\u0000"`)))
	}
	f.Add(0, []byte(`{"bucket":null,"size":1e3,"modified":"2026-11-24T09:30:00.5+02:00"}`))
	f.Add(5, []byte(`[]`))
	f.Fuzz(func(t *testing.T, which int, data []byte) {
		all := catalogue.All()
		d := all[int(uint(which)%uint(len(all)))]
		e := event.New()
		e.SetType(d.Type)
		e.SetDataContentType(event.ApplicationJSON)
		e.DataEncoded = data
		v, err := d.Decode(&e)
		if err != nil {
			if !problem.Is(err, problem.Invalid) {
				t.Fatalf("%v is no invalid", err)
			}
			return
		}
		if reflect.TypeOf(v) != d.GoType() {
			t.Fatalf("%T, want %v", v, d.GoType())
		}
		again := event.New()
		again.SetType(d.Type)
		if err := again.SetData(event.ApplicationJSON, v); err != nil {
			t.Skip("a year that JSON has no place for") // time.Time refuses to write it
		}
		v2, err := d.Decode(&again)
		if err != nil {
			t.Fatalf("its own words are refused: %v", err)
		}
		if !cmp.Equal(v, v2) {
			t.Fatalf("%+v became %+v", v, v2)
		}
	})
}
