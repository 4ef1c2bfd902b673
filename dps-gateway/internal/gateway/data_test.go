package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/gateway"
	"github.com/tidegate/tidegate/shared/gatewayapi"
)

func TestAnObjectIsServedWholeWithItsDigest(t *testing.T) {
	w := newWorld(t)
	r := w.start(nil)
	content := []byte("the data of the contract")
	d := r.publish("provider", "a folder/grüße + 100%.txt", content)
	g := r.startFlow("provider", d)
	sum := sha256.Sum256(content)
	want := map[string]string{
		"Etag": `"` + hex.EncodeToString(sum[:]) + `"`, "Repr-Digest": "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":",
		"Content-Length": fmt.Sprint(len(content)), "Content-Type": "text/plain", "Accept-Ranges": "bytes",
		"X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment; filename*=utf-8''gr%C3%BC%C3%9Fe%20+%20100%25.txt",
	}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		a := r.do(r.request(method, g))
		if a.code != http.StatusOK {
			t.Fatalf("%s: %d %s", method, a.code, a.body)
		}
		for name, v := range want {
			if a.header.Get(name) != v {
				t.Errorf("%s: %s is %q, want %q", method, name, a.header.Get(name), v)
			}
		}
		if method == http.MethodGet && !bytes.Equal(a.body, content) {
			t.Errorf("the body is %q", a.body)
		}
	}
	if n := w.server.calls.Load(); n != 1 {
		t.Errorf("the data server was asked %d times", n)
	}
	q := w.server.last
	q.Dataset = gatewayapi.Dataset{}
	if diff := cmp.Diff(gatewayapi.DataRequest{
		ParticipantContextID: "provider", DataFlowID: g.flow, AgreementID: "agr-1", CounterPartyID: "did:web:consumer.test",
		Profile: "https://w3id.org/dspace-sig/profile/http-pull", Method: "GET", Header: map[string][]string{"Accept-Encoding": {"gzip"}},
	}, q); diff != "" {
		t.Errorf("what the data server was asked (-want +got):\n%s", diff)
	}
}

func TestRangesAndConditions(t *testing.T) {
	w := newWorld(t)
	r := w.start(nil)
	content := bytes.Repeat([]byte("0123456789"), 20_000) // over the limit up to which an answer is one write
	d := r.publish("provider", "big.bin", content)
	g := r.startFlow("provider", d)
	empty := r.startFlow("provider", r.publish("provider", "empty", nil))
	etag := `"` + d.SHA256 + `"`
	size := len(content)
	for name, c := range map[string]struct {
		g       grant
		method  string
		headers []string
		code    int
		crange  string
		from    int
		to      int // exclusive; ignored without a body
	}{
		"a part":                         {headers: []string{"Range", "bytes=10-19"}, code: 206, crange: "bytes 10-19/200000", from: 10, to: 20},
		"one byte":                       {headers: []string{"Range", "bytes=0-0"}, code: 206, crange: "bytes 0-0/200000", to: 1},
		"to the end":                     {headers: []string{"Range", "bytes=199990-"}, code: 206, crange: "bytes 199990-199999/200000", from: 199990, to: size},
		"beyond the end is cut":          {headers: []string{"Range", "bytes=199990-999999"}, code: 206, crange: "bytes 199990-199999/200000", from: 199990, to: size},
		"a suffix":                       {headers: []string{"Range", "bytes=-5"}, code: 206, crange: "bytes 199995-199999/200000", from: 199995, to: size},
		"a suffix over the size":         {headers: []string{"Range", "bytes=-900000"}, code: 206, crange: "bytes 0-199999/200000", to: size},
		"all as a range":                 {headers: []string{"Range", "bytes=0-"}, code: 206, crange: "bytes 0-199999/200000", to: size},
		"a start beyond the end":         {headers: []string{"Range", "bytes=200000-"}, code: 416, crange: "bytes */200000"},
		"a start beyond 64 bits":         {headers: []string{"Range", "bytes=99999999999999999999-"}, code: 416, crange: "bytes */200000"},
		"an empty suffix":                {headers: []string{"Range", "bytes=-0"}, code: 416, crange: "bytes */200000"},
		"several ranges: the whole":      {headers: []string{"Range", "bytes=0-1,5-6"}, code: 200, to: size},
		"another unit: the whole":        {headers: []string{"Range", "lines=0-1"}, code: 200, to: size},
		"backwards: the whole":           {headers: []string{"Range", "bytes=9-5"}, code: 200, to: size},
		"no range at all: the whole":     {headers: []string{"Range", "bytes=x-"}, code: 200, to: size},
		"signs: the whole":               {headers: []string{"Range", "bytes=+1-2"}, code: 200, to: size},
		"If-Range holds":                 {headers: []string{"Range", "bytes=1-2", "If-Range", etag}, code: 206, crange: "bytes 1-2/200000", from: 1, to: 3},
		"If-Range of another version":    {headers: []string{"Range", "bytes=1-2", "If-Range", `"x"`}, code: 200, to: size},
		"If-Range weak":                  {headers: []string{"Range", "bytes=1-2", "If-Range", "W/" + etag}, code: 200, to: size},
		"If-Range with a date":           {headers: []string{"Range", "bytes=1-2", "If-Range", "Tue, 24 Nov 2026 07:00:00 GMT"}, code: 200, to: size},
		"If-None-Match holds not":        {headers: []string{"If-None-Match", `"x", ` + etag}, code: 304},
		"If-None-Match weak":             {headers: []string{"If-None-Match", "W/" + etag}, code: 304},
		"If-None-Match *":                {headers: []string{"If-None-Match", "*"}, code: 304},
		"If-None-Match of others":        {headers: []string{"If-None-Match", `"x", W/"y"`}, code: 200, to: size},
		"If-Match holds":                 {headers: []string{"If-Match", `"x",` + etag}, code: 200, to: size},
		"If-Match weak":                  {headers: []string{"If-Match", "W/" + etag}, code: 412},
		"If-Match of others":             {headers: []string{"If-Match", `"x"`}, code: 412},
		"If-Match before If-None-Match":  {headers: []string{"If-Match", `"x"`, "If-None-Match", etag}, code: 412},
		"If-None-Match before Range":     {headers: []string{"Range", "bytes=1-2", "If-None-Match", etag}, code: 304},
		"HEAD knows no range":            {method: "HEAD", headers: []string{"Range", "bytes=1-2"}, code: 200},
		"HEAD with If-None-Match":        {method: "HEAD", headers: []string{"If-None-Match", etag}, code: 304},
		"nothing, whole":                 {g: empty, code: 200},
		"nothing, from its start":        {g: empty, headers: []string{"Range", "bytes=0-"}, code: 200},
		"nothing, its last bytes":        {g: empty, headers: []string{"Range", "bytes=-10"}, code: 200},
		"nothing, HEAD":                  {g: empty, method: "HEAD", code: 200},
		"POST is no method of a dataset": {method: "POST", code: 404},
	} {
		t.Run(name, func(t *testing.T) {
			at := g
			if c.g.path != "" {
				at = c.g
			}
			method := c.method
			if method == "" {
				method = http.MethodGet
			}
			a := r.do(r.request(method, at, c.headers...))
			if a.code != c.code || a.header.Get("Content-Range") != c.crange {
				t.Fatalf("%d, Content-Range %q; want %d, %q", a.code, a.header.Get("Content-Range"), c.code, c.crange)
			}
			if a.code == 200 || a.code == 206 {
				if a.header.Get("Etag") == "" || a.header.Get("Repr-Digest") == "" {
					t.Errorf("no ETag or no Repr-Digest: %v", a.header)
				}
				if want := content[c.from:c.to]; method == http.MethodGet && at == g && !bytes.Equal(a.body, want) {
					t.Errorf("the body has %d bytes, want %d", len(a.body), len(want))
				}
			}
		})
	}
}

// TestFourGiBAndMore reads the ends of a sparse file beyond what 32 bits count.
func TestFourGiBAndMore(t *testing.T) {
	w := newWorld(t)
	r := w.start(nil)
	const size = int64(4)<<30 + 11
	f, err := os.Create(w.path("buckets/provider/sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("the end"), size-7); err != nil {
		t.Fatal(err)
	}
	g := r.startFlow("provider", r.register("provider", "sparse", strings.Repeat("ab", 32)))
	for rng, crange := range map[string]string{
		"bytes=-7":          "bytes 4294967300-4294967306/4294967307",
		"bytes=4294967300-": "bytes 4294967300-4294967306/4294967307",
	} {
		a := r.get(g, "Range", rng)
		if a.code != 206 || string(a.body) != "the end" || a.header.Get("Content-Range") != crange {
			t.Errorf("%s: %d %q %q", rng, a.code, a.body, a.header.Get("Content-Range"))
		}
	}
	if a := r.do(r.request(http.MethodHead, g)); a.header.Get("Content-Length") != "4294967307" {
		t.Errorf("HEAD: %v", a.header)
	}
}

func TestEveryDefectOfATokenIsOneAnswer(t *testing.T) {
	w := newWorld(t)
	r := w.start(nil)
	d := r.publish("provider", "a", []byte("a"))
	g := r.startFlow("provider", d)
	second := r.startFlow("provider", d)
	foreign := r.startFlow("other", r.publish("other", "a", []byte("b")))
	resumed := r.startFlow("provider", d)
	r.signal("provider", resumed.flow+"/suspend", map[string]any{"messageId": "s"})
	fresh := r.grantOf("provider", resumed.flow, r.signal("provider", resumed.flow+"/resume", map[string]any{"messageId": "r"}))
	if a := r.get(fresh); a.code != 200 {
		t.Fatalf("the fresh token: %d", a.code)
	}
	with := func(token string) grant { return grant{g.pc, g.flow, g.path, token} }
	head, rest, _ := strings.Cut(g.token, ".")
	payload, sig, _ := strings.Cut(rest, ".")
	want := r.get(with("")).uniform(t)
	for name, g := range map[string]grant{
		"garbage":                        with("garbage"),
		"another flow's":                 with(second.token),
		"another tenant's":               with(foreign.token),
		"a changed payload":              with(head + "." + strings.ToUpper(payload) + "." + sig),
		"no signature":                   with(head + "." + payload + "."),
		"the internal secret":            with(w.secret.Value()),
		"a flow that is not":             {path: "/data/no-such-flow", token: g.token},
		"one from before a suspension":   resumed,
		"below the path, another flow's": {path: g.path + "/below", token: second.token},
	} {
		t.Run(name, func(t *testing.T) {
			if got := r.get(g).uniform(t); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
	if !strings.HasPrefix(want, "401 ") {
		t.Errorf("the answer is %s", want)
	}
}

func TestEveryReasonNotToServeIsOneAnswer(t *testing.T) {
	w := newWorld(t)
	r := w.start(nil)
	d := r.publish("provider", "a", []byte("a"))
	want := ""
	for name, spoil := range map[string]func(g grant, d gatewayapi.Dataset){
		"suspended": func(g grant, _ gatewayapi.Dataset) {
			r.signal("provider", g.flow+"/suspend", map[string]any{"messageId": "s"})
		},
		"terminated": func(g grant, _ gatewayapi.Dataset) {
			r.signal("provider", g.flow+"/terminate", map[string]any{"messageId": "t"})
		},
		"completed": func(g grant, _ gatewayapi.Dataset) { r.signal("provider", g.flow+"/completed", nil) },
		"withdrawn": func(_ grant, d gatewayapi.Dataset) { d.Withdrawn = true; r.put("provider", d) },
		"no longer registered": func(_ grant, d gatewayapi.Dataset) {
			if err := r.api.Delete(t.Context(), "provider", gatewayapi.KindDataset, d.ID); err != nil {
				t.Fatal(err)
			}
		},
		"nothing known of the flow": func(g grant, _ gatewayapi.Dataset) {
			w.rdb.FlushAll(context.Background())
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := d
			r.put("provider", d)
			g := r.startFlow("provider", d)
			if a := r.get(g); a.code != 200 {
				t.Fatalf("before: %d %s", a.code, a.body)
			}
			spoil(g, d)
			got := r.get(g).uniform(t)
			if want == "" {
				want = got
			}
			if got != want || !strings.HasPrefix(got, "404 ") {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestATenantThatGoesIsServedNoMore(t *testing.T) {
	w := newWorld(t)
	r := w.start(nil)
	g := r.startFlow("provider", r.publish("provider", "a", []byte("a")))
	if a := r.get(g); a.code != 200 {
		t.Fatalf("before: %d", a.code)
	}
	w.tenant("provider", "suspended: true\n")
	within(t, "404", func() bool { return r.get(g).code == 404 })
}

func TestAnObjectThatChangedUnderneathIsNotMixed(t *testing.T) {
	w := newWorld(t)
	r := w.start(nil)
	g := r.startFlow("provider", r.publish("provider", "a", []byte("first")))
	if a := r.get(g); string(a.body) != "first" {
		t.Fatalf("%d %q", a.code, a.body)
	}
	w.write("buckets/provider/a", "second, and longer")
	a := r.get(g)
	if a.code != 503 || a.header.Get("Retry-After") != "1" {
		t.Fatalf("%d %v %s", a.code, a.header, a.body)
	}
	r.publish("provider", "a", []byte("second, and longer"))
	if a := r.get(g); string(a.body) != "second, and longer" {
		t.Errorf("%d %q", a.code, a.body)
	}
}

// slowly reads a little of a stream, so that the rest waits in the gateway.
func slowly(t *testing.T, r *running, g grant) (*http.Response, int64) {
	t.Helper()
	res, err := r.hc.Do(r.request(http.MethodGet, g))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	if res.StatusCode != 200 {
		t.Fatalf("%d", res.StatusCode)
	}
	n, err := io.CopyN(io.Discard, res.Body, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return res, n
}

// TestARunningStreamIsCut has a stream on one gateway and the change told to another.
func TestARunningStreamIsCut(t *testing.T) {
	w := newWorld(t)
	one, two := w.start(nil), w.start(nil)
	size := int64(256 << 20)
	f, err := os.Create(w.path("buckets/provider/big"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	f.Close()
	d := one.register("provider", "big", strings.Repeat("cd", 32))
	byValue := func(rw http.ResponseWriter, _ *http.Request, _ *gatewayapi.DataRequest) {
		rw.Header().Set("Content-Type", "application/octet-stream")
		for range size >> 20 { // no length: only the broken end tells
			if _, err := rw.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	}
	for name, c := range map[string]struct {
		value bool
		stop  func(g grant)
	}{
		"by a suspension":       {stop: func(g grant) { one.signal("provider", g.flow+"/suspend", map[string]any{"messageId": "s"}) }},
		"by a termination":      {stop: func(g grant) { one.signal("provider", g.flow+"/terminate", map[string]any{"messageId": "t"}) }},
		"by a withdrawal":       {stop: func(grant) { d := d; d.Withdrawn = true; one.put("provider", d) }},
		"by value":              {value: true, stop: func(g grant) { one.signal("provider", g.flow+"/suspend", map[string]any{"messageId": "s"}) }},
		"by the tenant's going": {stop: func(grant) { w.tenant("provider", "suspended: true\n") }},
	} {
		t.Run(name, func(t *testing.T) {
			w.tenant("provider", "")
			within(t, "the tenant is back", func() bool {
				_, err := one.api.Put(t.Context(), "provider", gatewayapi.KindDataset, d.ID, d, gatewayapi.Always())
				return err == nil
			})
			g := one.startFlow("provider", d)
			if c.value {
				w.server.answers(byValue)
				defer w.server.answers(nil)
			}
			var res *http.Response
			var n int64
			within(t, "the tenant is back here too", func() bool { return two.do(two.request(http.MethodHead, g)).code == 200 })
			res, n = slowly(t, two, g)
			c.stop(g)
			began := time.Now()
			more, err := io.Copy(io.Discard, res.Body)
			if took := time.Since(began); took > flowstore.RecheckEvery*4/5 && name != "by the tenant's going" {
				t.Errorf("it took %v", took)
			} else {
				t.Logf("cut after %v, %d KiB read since", took, more>>10)
			}
			if err == nil {
				t.Errorf("the client saw a whole body, of %d bytes", n+more)
			}
			if n+more >= size {
				t.Errorf("all bytes came: %d", n+more)
			}
		})
	}
}

func TestAStreamThatCanFinishWhileDrainingDoes(t *testing.T) {
	w := newWorld(t)
	r := w.start(func(c *gateway.Config) { c.DrainTime = 8 * time.Second })
	content := bytes.Repeat([]byte("x"), 32<<20)
	d := r.publish("provider", "big", content)
	g := r.startFlow("provider", d)
	res, n := slowly(t, r, g)
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	within(t, "the listener closes", func() bool {
		c, err := net.Dial("tcp", r.public)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if res, err := r.hc.Get("http://" + r.metrics + "/readyz"); err != nil || res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the probe while a stream is under way: %v", err)
	} else {
		res.Body.Close()
	}
	more, err := io.Copy(io.Discard, res.Body)
	if err != nil || n+more != int64(len(content)) {
		t.Errorf("%d bytes: %v", n+more, err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestWhoKeepsAConnectionIsSentElsewhereBeforeTheListenersClose has a gateway stop: at once it is not ready, but it serves on, and
// ends each connection with the answer, so that no request meets a closed door; idle connections end without a reset.
func TestWhoKeepsAConnectionIsSentElsewhereBeforeTheListenersClose(t *testing.T) {
	w := newWorld(t)
	r := w.start(func(c *gateway.Config) { c.DrainTime, c.DrainDelay = 8*time.Second, 2*time.Second })
	g := r.startFlow("provider", r.publish("provider", "a", []byte("a")))
	dial := func() net.Conn {
		c, err := net.Dial("tcp", r.public)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	ask := func(c net.Conn) (*http.Response, error) {
		if err := r.request(http.MethodGet, g).Write(c); err != nil {
			return nil, err
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return nil, err
		}
		_, err = io.Copy(io.Discard, res.Body)
		return res, err
	}
	busy, idle := dial(), dial()
	for _, c := range []net.Conn{busy, idle} {
		if res, err := ask(c); err != nil || res.StatusCode != 200 || res.Close {
			t.Fatalf("before: %v %v", res, err)
		}
	}
	began := time.Now()
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	within(t, "it is not ready", func() bool {
		res, err := r.hc.Get("http://" + r.metrics + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode == http.StatusServiceUnavailable
	})
	for what, c := range map[string]net.Conn{"a connection that was kept": busy, "a new connection": dial()} {
		if res, err := ask(c); err != nil || res.StatusCode != 200 || !res.Close {
			t.Errorf("%s: %+v %v", what, res, err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%s ends with %v", what, err)
		}
	}
	if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("an idle connection ends with %v", err)
	}
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("it was closed after %v", took)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("with nothing under way it took %v to stop", took)
	}
}

func TestAStreamThatCanNotFinishWhileDrainingIsSeenAsBroken(t *testing.T) {
	w := newWorld(t)
	r := w.start(func(c *gateway.Config) { c.DrainTime = 300 * time.Millisecond })
	g := r.startFlow("provider", r.publish("provider", "big", bytes.Repeat([]byte("x"), 64<<20)))
	res, n := slowly(t, r, g)
	began := time.Now()
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("stopping took %v", took)
	}
	if more, err := io.Copy(io.Discard, res.Body); err == nil || n+more == 64<<20 {
		t.Errorf("%d bytes: %v", n+more, err)
	}
}
