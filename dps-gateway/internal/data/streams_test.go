package data

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestACutBeforeTheFirstByteLeavesRoomForAnAnswer(t *testing.T) {
	for name, begun := range map[string]bool{"no byte has moved": false, "data moves": true} {
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithCancel(r.Context())
			st := &stream{pushed: true, rc: http.NewResponseController(w), conn: connOf(r.Context()), cancel: cancel}
			if begun && !st.extend(time.Minute) {
				t.Error("it was cut by nobody")
			}
			st.stop()
			if ctx.Err() == nil || !st.isCut() || st.isBroken() != begun || st.extend(time.Minute) {
				t.Errorf("%s: after the cut: %v, cut %v, broken %v", name, ctx.Err(), st.isCut(), st.isBroken())
			}
			w.WriteHeader(http.StatusNotFound)
		}))
		srv.Config.ConnContext = ConnContext
		srv.Start()
		res, err := srv.Client().Get(srv.URL)
		if err == nil {
			_ = res.Body.Close()
		}
		if (err == nil) == begun {
			t.Errorf("%s: %v", name, err)
		}
		srv.Close()
	}
}
