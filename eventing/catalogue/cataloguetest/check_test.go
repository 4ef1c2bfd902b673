package cataloguetest_test

import (
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/eventing/catalogue/cataloguetest"
	"github.com/tidegate/tidegate/eventing/internal/contract"
)

func TestSamplesKeepTheContract(t *testing.T) {
	for _, d := range catalogue.All() {
		e, err := contract.Sample(&d)
		if err != nil {
			t.Fatal(err)
		}
		cataloguetest.Check(t, e)
	}
}

func TestWhatBreaksTheContractIsTold(t *testing.T) {
	tests := map[string]struct {
		change func(*event.Event)
		want   string
	}{
		"no tenant":              {func(e *event.Event) { e.SetExtension(catalogue.ExtParticipantContextID, nil) }, "participantcontextid"},
		"another type":           {func(e *event.Event) { e.SetType("io.tidegate.object.creatd.v1") }, "not in the catalogue"},
		"another schema":         {func(e *event.Event) { e.SetDataSchema("urn:x:y") }, "dataschema"},
		"no data":                {func(e *event.Event) { e.DataEncoded = nil }, "no JSON"},
		"a member misspelt":      {func(e *event.Event) { e.DataEncoded = []byte(`{"bucket":"b","kye":"k","size":1}`) }, "kye"},
		"a member out of bounds": {func(e *event.Event) { e.DataEncoded = []byte(`{"bucket":"b","key":"k","size":-1}`) }, "size"},
		"a time that is none":    {func(e *event.Event) { e.DataEncoded = []byte(`{"bucket":"b","key":"k","size":1,"modified":"now"}`) }, "modified"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d, _ := catalogue.Lookup(catalogue.ObjectCreated)
			e, err := contract.Sample(&d)
			if err != nil {
				t.Fatal(err)
			}
			tt.change(e)
			if err := cataloguetest.Validate(e); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want something about %q", err, tt.want)
			}
		})
	}
}
