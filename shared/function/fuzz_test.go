package function

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func FuzzReceive(f *testing.F) {
	one := `{"specversion":"1.0","id":"1","type":"t","source":"/s","data":{"a":1}}`
	f.Add("application/cloudevents+json", "", "", []byte(one))
	f.Add("application/cloudevents-batch+json", "", "", []byte("["+one+","+one+"]"))
	f.Add("application/cloudevents-batch+json; charset=utf-8", "", "", []byte("[null,{}]"))
	f.Add("application/json", "1.0", "id", []byte(`{"a":1}`))
	f.Add("text/xml", "0.3", "id", []byte(`<a/>`))
	f.Add("application/cloudevents+json;;", "9", "", []byte(`{"specversion":"1.0","data_base64":"!"}`))
	f.Add("", "", "", []byte(nil))
	f.Fuzz(func(t *testing.T, contentType, version, id string, body []byte) {
		const limit = 4096
		r := httptest.NewRequest(http.MethodPost, "/", io.NopCloser(bytes.NewReader(body)))
		for name, value := range map[string]string{"Content-Type": contentType, "Ce-Specversion": version, "Ce-Id": id} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		if version != "" {
			r.Header.Set("Ce-Type", "t")
			r.Header.Set("Ce-Source", "/s")
		}
		d, code, err := receive(httptest.NewRecorder(), r, limit)
		if err != nil {
			switch code {
			case http.StatusBadRequest, http.StatusUnsupportedMediaType:
			case http.StatusRequestEntityTooLarge:
				if len(body) <= limit {
					t.Errorf("%d bytes are too large", len(body))
				}
			default:
				t.Errorf("status %d for %v", code, err)
			}
			return
		}
		if len(body) > limit {
			t.Errorf("%d bytes passed the limit", len(body))
		}
		if len(d.events) == 0 || !d.batch && len(d.events) != 1 {
			t.Errorf("%d events", len(d.events))
		}
		for i := range d.events {
			if err := d.events[i].Validate(); err != nil {
				t.Errorf("an invalid event passed: %v", err)
			}
		}
	})
}
