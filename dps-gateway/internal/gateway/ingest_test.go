package gateway_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/ingest"
	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
)

// consumerWorld is a world whose tenant "other" has a sink.
func consumerWorld(t *testing.T) (*world, *running) {
	t.Helper()
	w := newWorld(t)
	w.tenant("other", "sinks:\n  - name: in\n    bucket: files\n    prefix: got/\n")
	return w, w.start(nil)
}

// preparePush has a push flow prepared, and its delivery planned.
func (r *running) preparePush(pc, key, sum string) grant {
	r.w.tb.Helper()
	n := r.w.flows.Add(1)
	flow := fmt.Sprintf("%s-push-%d", pc, n)
	if key != "" {
		d := gatewayapi.Delivery{ID: flow, DatasetID: "ds", Sink: "in", Key: key, Size: -1, SHA256: sum}
		if _, err := r.api.Put(context.Background(), pc, gatewayapi.KindDelivery, flow, d, gatewayapi.IfAbsent()); err != nil {
			r.w.tb.Fatal(err)
		}
	}
	return r.grantOf(pc, flow, r.signal(pc, "prepare", map[string]any{
		"messageId": fmt.Sprintf("m-%d", n), "participantId": "did:web:" + pc + ".test", "counterPartyId": "did:web:provider.test",
		"dataspaceContext": "http-dsp-profile-2025-1", "processId": flow, "agreementId": "agr", "datasetId": "ds",
		"profile": dps.ProfileHTTPPush, "claims": map[string]any{},
	}))
}

func (r *running) push(method string, g grant, body io.Reader, headers ...string) answer {
	r.w.tb.Helper()
	req := r.request(method, g, headers...)
	req.Body = io.NopCloser(body)
	if b, ok := body.(*bytes.Reader); ok {
		req.ContentLength = int64(b.Len())
		if b.Len() == 0 {
			req.Body = http.NoBody
		}
	} else {
		req.ContentLength = -1
	}
	return r.do(req)
}

func random(t *testing.T, n int) (content []byte, digest string) {
	t.Helper()
	content = make([]byte, n)
	if _, err := rand.Read(content); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	return content, hex.EncodeToString(sum[:])
}

// deliveries counts the events object.delivered of a tenant that the outbox was given, by the ids of the events.
func deliveries(t *testing.T, w *world, pc string) map[string]int {
	t.Helper()
	got := map[string]int{}
	msgs, err := w.rdb.XRange(t.Context(), keys.Outbox(keys.Shard(pc)), "-", "+").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatal(err)
	}
	for _, m := range msgs {
		if m.Values["kind"] == catalogue.ObjectDelivered {
			got[fmt.Sprint(m.Values["subj"])]++
		}
	}
	return got
}

func (w *world) stored(t *testing.T, key string) []byte {
	t.Helper()
	b, err := os.ReadFile(w.path("buckets/other/" + key))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAPlainPushIsDelivered: the HTTP profile names no method, so the whole by PUT or POST, with a length or without, with a
// digest or without, before the started notification or after it, is all that a pusher needs.
func TestAPlainPushIsDelivered(t *testing.T) {
	w, r := consumerWorld(t)
	content, sum := random(t, 3<<20)
	for name, c := range map[string]struct {
		method  string
		body    func() io.Reader
		started bool
		headers []string
		content []byte
	}{
		"PUT":             {http.MethodPut, func() io.Reader { return bytes.NewReader(content) }, false, nil, content},
		"POST, chunked":   {http.MethodPost, func() io.Reader { return io.LimitReader(bytes.NewReader(content), 4<<20) }, true, nil, content},
		"with its digest": {http.MethodPut, func() io.Reader { return bytes.NewReader(content) }, true, []string{"Repr-Digest", ingest.ReprDigest(sum), "Content-Type", "text/csv"}, content},
		"empty":           {http.MethodPut, func() io.Reader { return bytes.NewReader(nil) }, true, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := r.preparePush("other", "got/"+name, "")
			if c.started {
				r.signal("other", g.flow+"/started", map[string]any{"messageId": "s"})
			}
			for i, code := range []int{http.StatusCreated, http.StatusOK} { // the second time it is there already
				a := r.push(c.method, g, c.body(), c.headers...)
				if a.code != code || a.header.Get("Upload-Complete") != "?1" || a.header.Get("Upload-Offset") != fmt.Sprint(len(c.content)) {
					t.Fatalf("push %d: %d %v %s", i, a.code, a.header, a.body)
				}
			}
			if !bytes.Equal(w.stored(t, "got/"+name), c.content) {
				t.Error("something else is stored")
			}
			if a := r.push(c.method, g, bytes.NewReader([]byte("other data"))); a.code != http.StatusConflict {
				t.Errorf("other data: %d %s", a.code, a.body)
			}
			if !bytes.Equal(w.stored(t, "got/"+name), c.content) {
				t.Error("other data has replaced it")
			}
			var d gatewayapi.Delivery
			if _, err := r.api.Get(t.Context(), "other", gatewayapi.KindDelivery, g.flow, &d); err != nil || !d.Done || d.LeaseOwner != "" {
				t.Errorf("the delivery: %+v %v", d, err)
			}
		})
	}
}

// TestABrokenPushGoesOnWhereItWas breaks a push, asks how far it is, and goes on in parts.
func TestABrokenPushGoesOnWhereItWas(t *testing.T) {
	w, r := consumerWorld(t)
	content, sum := random(t, 5<<20)
	g := r.preparePush("other", "got/big", "")
	if a := r.push(http.MethodHead, g, bytes.NewReader(nil)); a.code != http.StatusOK || a.header.Get("Upload-Offset") != "0" || a.header.Get("Upload-Complete") != "?0" {
		t.Fatalf("nothing yet: %d %v", a.code, a.header)
	}
	req := r.request(http.MethodPut, g, "Repr-Digest", ingest.ReprDigest(sum))
	pr, pw := io.Pipe()
	req.Body, req.ContentLength = pr, int64(len(content))
	done := make(chan struct{})
	go func() {
		defer close(done)
		res, err := r.hc.Do(req)
		if err == nil {
			res.Body.Close()
		}
	}()
	if _, err := pw.Write(content[:2<<20]); err != nil {
		t.Fatal(err)
	}
	_ = pw.CloseWithError(errors.New("the pusher dies"))
	<-done
	var a answer
	within(t, "how far it is", func() bool {
		a = r.push(http.MethodHead, g, bytes.NewReader(nil))
		return a.code == http.StatusOK && a.header.Get("Upload-Offset") != "0"
	})
	var offset int
	if _, err := fmt.Sscan(a.header.Get("Upload-Offset"), &offset); err != nil || offset < 1<<16 || offset > 2<<20 || a.header.Get("Repr-Digest") != ingest.ReprDigest(sum) {
		t.Fatalf("after the break: %v", a.header)
	}
	part := func(from, to int, headers ...string) answer {
		return r.push(http.MethodPut, g, bytes.NewReader(content[from:to]), append(headers, "Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(content)))...)
	}
	for name, a := range map[string]answer{
		"a gap":                part(offset+1, offset+2),
		"bytes that are there": part(offset-1, offset+2),
		"another version":      part(offset, offset+2, "Repr-Digest", ingest.ReprDigest(strings.Repeat("ab", 32))),
		"another size":         r.push(http.MethodPut, g, bytes.NewReader(content[:2]), "Content-Range", fmt.Sprintf("bytes %d-%d/9999999", offset, offset+1)),
	} {
		if a.code != http.StatusConflict || a.header.Get("Upload-Offset") != fmt.Sprint(offset) {
			t.Errorf("%s: %d %v %s", name, a.code, a.header, a.body)
		}
	}
	if a := part(offset, 3<<20); a.code != http.StatusAccepted || a.header.Get("Upload-Offset") != fmt.Sprint(3<<20) {
		t.Fatalf("a part: %d %v %s", a.code, a.header, a.body)
	}
	rest := fmt.Sprintf("bytes %d-%d/%d", 3<<20, len(content)-1, len(content))
	if a := r.push(http.MethodPut, g, io.LimitReader(bytes.NewReader(content[3<<20:]), 4<<20), "Content-Range", rest); a.code != http.StatusCreated { // chunked
		t.Fatalf("the last part: %d %s", a.code, a.body)
	}
	if !bytes.Equal(w.stored(t, "got/big"), content) {
		t.Error("something else is stored")
	}
	if a := r.push(http.MethodHead, g, bytes.NewReader(nil)); a.header.Get("Upload-Complete") != "?1" || a.header.Get("Repr-Digest") != ingest.ReprDigest(sum) {
		t.Errorf("after all: %v", a.header)
	}
	if a := r.push(http.MethodPut, g, bytes.NewReader(nil), "Content-Range", fmt.Sprintf("bytes */%d", len(content)), "Repr-Digest", ingest.ReprDigest(sum)); a.code != http.StatusOK {
		t.Errorf("finished twice: %d %s", a.code, a.body)
	}
}

// TestWhatWasCommittedBeforeAKillIsNotStoredTwice: the gateway died between the commit of the object and its record.
func TestWhatWasCommittedBeforeAKillIsNotStoredTwice(t *testing.T) {
	w, r := consumerWorld(t)
	content, sum := random(t, 1<<20)
	g := r.preparePush("other", "got/file", "")
	d := gatewayapi.Delivery{
		ID: g.flow, DatasetID: "ds", Sink: "in", Key: "got/file", Size: int64(len(content)), Offset: int64(len(content)), SHA256: sum, ETag: `"` + sum + `"`,
		LeaseOwner: "the dead one", LeaseUntil: time.Now().Add(-time.Second),
	}
	if _, err := r.api.Put(t.Context(), "other", gatewayapi.KindDelivery, g.flow, d, gatewayapi.Always()); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(w.path("buckets/other/got"), 0o750); err != nil {
		t.Fatal(err)
	}
	w.write("buckets/other/got/file", string(content))
	before, err := os.Stat(w.path("buckets/other/got/file"))
	if err != nil {
		t.Fatal(err)
	}
	if a := r.push(http.MethodHead, g, bytes.NewReader(nil)); a.code != http.StatusOK || a.header.Get("Upload-Complete") != "?1" {
		t.Fatalf("%d %v", a.code, a.header)
	}
	after, err := os.Stat(w.path("buckets/other/got/file"))
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("it was stored again: %v", err)
	}
	if _, err := r.api.Get(t.Context(), "other", gatewayapi.KindDelivery, g.flow, &d); err != nil || !d.Done {
		t.Errorf("%+v %v", d, err)
	}
}

func TestWhatAPushMayNot(t *testing.T) {
	w, r := consumerWorld(t)
	content, sum := random(t, 100_000)
	pull := r.startFlow("provider", r.publish("provider", "a", content))
	g := r.preparePush("other", "got/x", sum)
	stranger := r.preparePush("other", "got/y", "")
	suspended := r.preparePush("other", "got/s", "")
	r.signal("other", suspended.flow+"/started", map[string]any{"messageId": "s"})
	r.signal("other", suspended.flow+"/suspend", map[string]any{"messageId": "s2"})
	terminated := r.preparePush("other", "got/t", "")
	r.signal("other", terminated.flow+"/terminate", map[string]any{"messageId": "t"})
	unplanned := r.preparePush("other", "", "")
	resumed := r.preparePush("other", "got/r", "")
	r.signal("other", resumed.flow+"/started", map[string]any{"messageId": "s"})
	r.signal("other", resumed.flow+"/suspend", map[string]any{"messageId": "s2"})
	fresh := r.grantOf("other", resumed.flow, r.signal("other", resumed.flow+"/resume", map[string]any{"messageId": "s3"}))

	for name, c := range map[string]struct {
		g       grant
		headers []string
		code    int
	}{
		"without a token":                       {grant{path: g.path}, nil, 401},
		"with the token of a pull":              {grant{path: g.path, token: pull.token}, nil, 401},
		"with the token of another flow":        {grant{path: g.path, token: stranger.token}, nil, 401},
		"to the flow of a pull, with its token": {grant{path: "/ingest/" + pull.flow, token: pull.token}, nil, 401},
		"while suspended":                       {suspended, nil, 404},
		"after a termination":                   {terminated, nil, 404},
		"with the token before a resume":        {resumed, nil, 401},
		"before its place is known":             {unplanned, nil, 503},
		"other data than announced":             {stranger, []string{"Repr-Digest", ingest.ReprDigest(strings.Repeat("00", 32))}, 422},
		"a digest that is none":                 {stranger, []string{"Repr-Digest", "sha-256=:AAAA:"}, 400},
		"an encoding":                           {stranger, []string{"Content-Encoding", "gzip"}, 400},
		"a range that is none":                  {stranger, []string{"Content-Range", "bytes 0-9"}, 400},
		"a range that contradicts the length":   {stranger, []string{"Content-Range", "bytes 0-9/100000"}, 400},
	} {
		a := r.push(http.MethodPut, c.g, bytes.NewReader(content), c.headers...)
		if a.code != c.code {
			t.Errorf("%s: %d %s, want %d", name, a.code, a.body, c.code)
		}
	}
	for name, g := range map[string]grant{"a push's token reads": {path: "/data/" + g.flow, token: g.token}, "a push's token reads a pull's flow": {path: pull.path, token: g.token}} {
		if a := r.get(g); a.code != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, a.code, a.body)
		}
	}
	if a := r.push(http.MethodPut, g, bytes.NewReader(content[1:])); a.code != http.StatusUnprocessableEntity {
		t.Errorf("other data than the catalog promises: %d %s", a.code, a.body)
	}
	if a := r.push(http.MethodPut, fresh, bytes.NewReader(content)); a.code != http.StatusCreated {
		t.Errorf("with the fresh token: %d %s", a.code, a.body)
	}
	if entries, err := os.ReadDir(w.path("buckets/other/got")); err != nil || len(entries) != 1 {
		t.Errorf("the sink holds %v %v", entries, err)
	}
	r.signal("other", fresh.flow+"/completed", map[string]any{"messageId": "c"})
	if a := r.push(http.MethodPut, fresh, bytes.NewReader(content)); a.code != http.StatusNotFound {
		t.Errorf("after completion: %d %s", a.code, a.body)
	}
	// The tenant is suspended: like an unknown one.
	w.tenant("other", "suspended: true\n")
	within(t, "the tenant is gone", func() bool {
		res, err := r.hc.Do(r.request(http.MethodHead, g))
		if err != nil { // cut
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusNotFound
	})
}

// TestATokenWritesIntoItsOwnTenantsFlow has two tenants prepare flows of one id: what the one's token brings never reaches the other's
// sink, whatever is in the URL.
func TestATokenWritesIntoItsOwnTenantsFlow(t *testing.T) {
	w := newWorld(t)
	for _, pc := range []string{"other", "provider"} {
		w.tenant(pc, "sinks:\n  - name: in\n    bucket: files\n")
	}
	r := w.start(nil)
	grants := map[string]grant{}
	for _, pc := range []string{"other", "provider"} {
		const flow = "one-id"
		d := gatewayapi.Delivery{ID: flow, DatasetID: "ds", Sink: "in", Key: "file of " + pc, Size: -1}
		if _, err := r.api.Put(t.Context(), pc, gatewayapi.KindDelivery, flow, d, gatewayapi.IfAbsent()); err != nil {
			t.Fatal(err)
		}
		grants[pc] = r.grantOf(pc, flow, r.signal(pc, "prepare", map[string]any{
			"messageId": "m", "participantId": "did:web:us", "counterPartyId": "did:web:them", "dataspaceContext": "p", "processId": flow,
			"agreementId": "agr", "datasetId": "ds", "profile": dps.ProfileHTTPPush, "claims": map[string]any{},
		}))
	}
	r.signal("provider", "one-id/terminate", map[string]any{"messageId": "t"})
	if a := r.push(http.MethodPut, grants["provider"], bytes.NewReader([]byte("x"))); a.code != http.StatusNotFound {
		t.Errorf("into the flow that is over: %d %s", a.code, a.body)
	}
	if a := r.push(http.MethodPut, grants["other"], bytes.NewReader([]byte("x"))); a.code != http.StatusCreated {
		t.Errorf("into the flow that lives: %d %s", a.code, a.body)
	}
	if _, err := os.Stat(w.path("buckets/provider/file of provider")); err == nil {
		t.Error("it reached the other tenant")
	}
	if got := w.stored(t, "file of other"); string(got) != "x" {
		t.Errorf("stored %q", got)
	}
}

// TestASuspensionCutsAPush suspends, terminates and removes while a body comes: the connection breaks, nothing is delivered, and
// what came is kept for a resume.
func TestASuspensionCutsAPush(t *testing.T) {
	w, r := consumerWorld(t)
	content, sum := random(t, 4<<20)
	for name, c := range map[string]struct {
		stop   func(g grant)
		resume bool
	}{
		"suspended":  {func(g grant) { r.signal("other", g.flow+"/suspend", map[string]any{"messageId": "x"}) }, true},
		"terminated": {func(g grant) { r.signal("other", g.flow+"/terminate", map[string]any{"messageId": "x"}) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := r.preparePush("other", "got/"+name, "")
			r.signal("other", g.flow+"/started", map[string]any{"messageId": "s"})
			req := r.request(http.MethodPut, g, "Repr-Digest", ingest.ReprDigest(sum))
			pr, pw := io.Pipe()
			req.Body, req.ContentLength = pr, int64(len(content))
			failed := make(chan error, 1)
			go func() {
				res, err := r.hc.Do(req)
				if err == nil {
					res.Body.Close()
					err = fmt.Errorf("answered %d", res.StatusCode)
				}
				failed <- err
			}()
			if _, err := pw.Write(content[:2<<20]); err != nil {
				t.Fatal(err)
			}
			within(t, "the body is being stored", func() bool {
				var d gatewayapi.Delivery
				_, err := r.api.Get(t.Context(), "other", gatewayapi.KindDelivery, g.flow, &d)
				return err == nil && d.ETag != ""
			})
			go func() { // a client notices by writing on, slowly enough never to end
				for i := 2 << 20; i < 3<<20; i += 100 {
					if _, err := pw.Write(content[i : i+100]); err != nil {
						return
					}
					time.Sleep(time.Millisecond)
				}
			}()
			began := time.Now()
			c.stop(g)
			select {
			case err := <-failed:
				if strings.HasPrefix(err.Error(), "answered 2") {
					t.Errorf("a success: %v", err)
				}
			case <-time.After(flowstore.RecheckEvery * 4 / 5):
				t.Fatal("the push goes on")
			}
			_ = pw.Close()
			t.Logf("cut after %v", time.Since(began))
			if a := r.push(http.MethodHead, g, bytes.NewReader(nil)); a.code != http.StatusNotFound {
				t.Errorf("looked at: %d", a.code)
			}
			if _, err := os.Stat(w.path("buckets/other/got/" + name)); err == nil {
				t.Error("it was delivered")
			}
			if !c.resume {
				return
			}
			g = r.grantOf("other", g.flow, r.signal("other", g.flow+"/resume", map[string]any{"messageId": "r"}))
			var a answer
			within(t, "the flow can be looked at again", func() bool {
				a = r.push(http.MethodHead, g, bytes.NewReader(nil))
				return a.code == http.StatusOK
			})
			var offset int
			if _, err := fmt.Sscan(a.header.Get("Upload-Offset"), &offset); err != nil || offset == 0 {
				t.Fatalf("nothing was kept: %v", a.header)
			}
			if a := r.push(http.MethodPut, g, bytes.NewReader(content[offset:]), "Content-Range", fmt.Sprintf("bytes %d-%d/%d", offset, len(content)-1, len(content))); a.code != http.StatusCreated {
				t.Errorf("going on: %d %s", a.code, a.body)
			}
			if !bytes.Equal(w.stored(t, "got/"+name), content) {
				t.Error("something else is stored")
			}
		})
	}
}

// TestOneOfTwoPushesAtOnceGoesOn sends the same data twice at the same time, to two gateways.
func TestOneOfTwoPushesAtOnceGoesOn(t *testing.T) {
	w, r := consumerWorld(t)
	second := w.start(nil)
	content, sum := random(t, 4<<20)
	g := r.preparePush("other", "got/twice", "")
	codes := make(chan int, 8)
	for i := range 8 {
		at := r
		if i%2 == 1 {
			at = second
		}
		go func() {
			codes <- at.push(http.MethodPut, g, bytes.NewReader(content), "Repr-Digest", ingest.ReprDigest(sum)).code
		}()
	}
	got := map[int]int{}
	for range 8 {
		got[<-codes]++
	}
	if got[http.StatusCreated] != 1 || got[http.StatusCreated]+got[http.StatusOK]+got[http.StatusTooManyRequests]+got[http.StatusServiceUnavailable] != 8 {
		t.Errorf("answers %v", got)
	}
	if !bytes.Equal(w.stored(t, "got/twice"), content) {
		t.Error("something else is stored")
	}
}

// TestADeliveryIsToldOnce reads the outbox while no broker takes anything.
func TestADeliveryIsToldOnce(t *testing.T) {
	w := newWorld(t)
	w.tenant("other", "sinks:\n  - name: in\n    bucket: files\n")
	w.outside.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusServiceUnavailable) })
	r := w.start(nil)
	content, _ := random(t, 1000)
	g := r.preparePush("other", "file", "")
	for range 3 {
		if a := r.push(http.MethodPut, g, bytes.NewReader(content)); a.code/100 != 2 {
			t.Fatalf("%d %s", a.code, a.body)
		}
	}
	if got := deliveries(t, w, "other"); len(got) != 1 || got["in/file"] != 1 {
		t.Errorf("told %v", got)
	}
}
