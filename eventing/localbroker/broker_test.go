package localbroker_test

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/eventing/localbroker"
	"github.com/tidegate/tidegate/shared/loopback"
)

func TestAnEventReachesEachTriggerThatWantsItWithAllItsAttributes(t *testing.T) {
	a, b, c := subscribe(t, nil), subscribe(t, nil), subscribe(t, nil)
	br := start(t, &setup{
		manifests:   brokerYAML + trigger("a", "a", "") + trigger("b", "b", `, filters: [{exact: {type: test}}]`) + trigger("c", "c", `, filters: [{exact: {type: other}}]`),
		subscribers: map[string]string{"a": a.URL, "b": b.URL, "c": c.URL},
	})
	send(t, request(t, br.url, "1", map[string]string{
		"Ce-Subject": "outbox/ä ö+%41.csv", "Ce-Participantcontextid": "acme", "Ce-Time": "2026-11-24T09:30:00Z", "Ce-Dataschema": "urn:a:b",
		"Traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "X-Private": "no",
	}, `{ "a" : "ü" }`))
	eventually(t, "both have it", func() bool { return len(a.all()) == 1 && len(b.all()) == 1 })
	got := a.all()[0]
	want := map[string]string{
		"Ce-Id": "1", "Ce-Type": "test", "Ce-Source": "/test", "Ce-Specversion": "1.0", "Ce-Subject": "outbox/ä ö+%41.csv", "Ce-Participantcontextid": "acme",
		"Ce-Time": "2026-11-24T09:30:00Z", "Ce-Dataschema": "urn:a:b", "Content-Type": "application/json", "Authorization": "Bearer " + token,
		"Traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "X-Private": "",
	}
	for name, value := range want {
		if v := got.header.Get(name); v != value {
			t.Errorf("%s = %q, want %q", name, v, value)
		}
	}
	if got.body != `{ "a" : "ü" }` || got.header.Get("Ce-Knativearrivaltime") == "" {
		t.Errorf("body %q, header %v", got.body, got.header)
	}
	eventually(t, "nothing waits", func() bool { return br.stats(t).Backlog == 0 })
	if n := len(c.all()); n != 0 {
		t.Errorf("a Trigger for another type got %d events", n)
	}
}

func TestAnAttributeThatFitsNoHeaderArrivesInStructuredMode(t *testing.T) {
	a := subscribe(t, nil)
	br := start(t, &setup{manifests: brokerYAML + trigger("a", "a", ""), subscribers: map[string]string{"a": a.URL}})
	r := request(t, br.url, "", map[string]string{"Content-Type": "application/cloudevents+json", "Ce-Id": "", "Ce-Specversion": ""},
		`{"specversion":"1.0","id":"1","type":"test","source":"/s","subject":"b/line\nbreak","data":{"a":1}}`)
	if resp := send(t, r); resp.StatusCode != http.StatusAccepted {
		t.Fatal(resp.Status)
	}
	eventually(t, "it has come", func() bool { return len(a.all()) == 1 })
	if got := a.all()[0]; got.header.Get("Content-Type") != "application/cloudevents+json" || !strings.Contains(got.body, `"b/line\nbreak"`) {
		t.Errorf("%v %s", got.header, got.body)
	}
}

func TestIngressAnswersAsKnativeDoes(t *testing.T) {
	br := start(t, &setup{manifests: brokerYAML, adjust: func(c *localbroker.Config) { c.MaxEventBytes = 1000 }, subscribers: map[string]string{"x": "http://127.0.0.1:1"}})
	structured := map[string]string{"Content-Type": "application/cloudevents+json; charset=utf-8", "Ce-Id": "", "Ce-Specversion": ""}
	tests := map[string]struct {
		path    string
		method  string
		headers map[string]string
		body    string
		want    int
	}{
		"binary":                          {body: `{}`, want: 202},
		"binary without data":             {want: 202},
		"binary, data that is no JSON":    {body: `{`, want: 202},
		"structured":                      {headers: structured, body: `{"specversion":"1.0","id":"1","type":"t","source":"/s"}`, want: 202},
		"structured, an extension":        {headers: structured, body: `{"specversion":"1.0","id":"1","type":"t","source":"/s","n":5}`, want: 202},
		"a slash at the end of the path":  {path: "/default/default/", want: 202},
		"a handshake":                     {method: http.MethodOptions, want: 200},
		"a GET":                           {method: http.MethodGet, want: 405},
		"structured, broken":              {headers: structured, body: `{"specversion":"1.0",`, want: 400},
		"structured, no id":               {headers: structured, body: `{"specversion":"1.0","type":"t","source":"/s"}`, want: 400},
		"structured, another version":     {headers: structured, body: `{"specversion":"9","id":"1","type":"t","source":"/s"}`, want: 400},
		"a batch":                         {headers: map[string]string{"Content-Type": "application/cloudevents-batch+json", "Ce-Specversion": ""}, body: `[]`, want: 400},
		"no event at all":                 {headers: map[string]string{"Ce-Specversion": ""}, body: `{}`, want: 400},
		"binary without source":           {headers: map[string]string{"Ce-Source": ""}, want: 400},
		"binary with a time that is none": {headers: map[string]string{"Ce-Time": "yesterday"}, want: 400},
		"gone round too often":            {headers: map[string]string{"Ce-Knativebrokerttl": "1"}, want: 400},
		"gone round, but not too often":   {headers: map[string]string{"Ce-Knativebrokerttl": "2"}, want: 202},
		"no token":                        {headers: map[string]string{"Authorization": ""}, want: 401},
		"another token":                   {headers: map[string]string{"Authorization": "Bearer " + token + "x"}, want: 401},
		"another Broker":                  {path: "/default/other", want: 404},
		"the root":                        {path: "/", want: 404},
		"a path too short":                {path: "/default", want: 400},
		"a path too long":                 {path: "/default/default/x", want: 400},
		"too large":                       {body: strings.Repeat("x", 1001), want: 413},
		"just not too large":              {body: strings.Repeat("x", 1000), want: 202},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := request(t, br.url, "1", tt.headers, tt.body)
			if tt.path != "" {
				r.URL.Path = tt.path
			}
			if tt.method != "" {
				r.Method = tt.method
			}
			resp := send(t, r)
			if resp.StatusCode != tt.want {
				t.Errorf("%s, want %d", resp.Status, tt.want)
			}
			if ct := resp.Header.Get("Content-Type"); tt.want >= 400 && ct != "application/problem+json" {
				t.Errorf("Content-Type %q", ct)
			}
		})
	}
}

func TestAFailingSubscriberIsAskedAgainAndThenTheDeadLetterSinkGetsTheEvent(t *testing.T) {
	failing := subscribe(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no, "+strings.Repeat("n", 2000), http.StatusServiceUnavailable)
	})
	dead := subscribe(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 1 {
			w.WriteHeader(http.StatusInternalServerError) // it must come again
		}
	})
	br := start(t, &setup{
		manifests:   brokerYAML + trigger("a", "a", `, delivery: {retry: 2, backoffPolicy: exponential, backoffDelay: PT0.05S, `+deadLetterTo+`}`),
		subscribers: map[string]string{"a": failing.URL, "dead": dead.URL},
	})
	br.publish(t, "1")
	eventually(t, "the dead letter sink has taken it", func() bool { s := br.stats(t); return s.Dead == 1 && s.Backlog == 0 })
	attempts := failing.all()
	if len(attempts) != 3 {
		t.Fatalf("%d attempts, want 3", len(attempts))
	}
	for i, least := range []time.Duration{50 * time.Millisecond, 100 * time.Millisecond} {
		if pause := attempts[i+1].at.Sub(attempts[i].at); pause < least {
			t.Errorf("pause %d is %v, want %v at least", i, pause, least)
		}
	}
	letters := dead.all()
	if len(letters) != 2 {
		t.Fatalf("%d attempts at the dead letter sink, want 2", len(letters))
	}
	got := letters[1]
	data, err := base64.StdEncoding.DecodeString(got.header.Get("Ce-Knativeerrordata"))
	if got.path != "/v1/parked" || got.header.Get("Ce-Id") != "1" || got.header.Get("Ce-Knativeerrorcode") != "503" ||
		got.header.Get("Ce-Knativeerrordest") != failing.URL+"/" || err != nil || !strings.HasPrefix(string(data), "no, nnn") ||
		len(got.header.Get("Ce-Knativeerrordata")) > 1024 {
		t.Errorf("the dead letter: %s %v, data %q %v", got.path, got.header, data, err)
	}
}

func TestAPermanentFaultGoesToTheDeadLetterSinkAtOnce(t *testing.T) {
	for _, code := range []int{400, 401, 403, 410, 422, 302} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			a := subscribe(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(code)
			})
			dead := subscribe(t, nil)
			br := start(t, &setup{
				manifests:   brokerYAML + trigger("a", "a", `, delivery: {retry: 5, backoffPolicy: linear, backoffDelay: PT0S, `+deadLetterTo+`}`),
				subscribers: map[string]string{"a": a.URL, "dead": dead.URL},
			})
			br.publish(t, "1")
			eventually(t, "it is parked", func() bool { return len(dead.all()) == 1 })
			if n := len(a.all()); n != 1 {
				t.Errorf("asked %d times, want once", n)
			}
		})
	}
}

func TestWithoutADeadLetterSinkAnEventIsDroppedAfterItsRetries(t *testing.T) {
	a := subscribe(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	br := start(t, &setup{manifests: brokerYAML + trigger("a", "a", `, delivery: {retry: 1}`), subscribers: map[string]string{"a": a.URL}})
	br.publish(t, "1")
	eventually(t, "it is dropped", func() bool { s := br.stats(t); return s.Dropped == 1 && s.Backlog == 0 })
	if n := len(a.all()); n != 2 {
		t.Errorf("asked %d times, want twice", n)
	}
}

func TestAReplyBecomesANewEventAndAnAnswerThatIsNoneIsAFailure(t *testing.T) {
	a := subscribe(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 1 {
			_, _ = w.Write([]byte("done!")) // not empty and no CloudEvent: Knative takes it for a failure
			return
		}
		for k, v := range map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "reply to " + r.Header.Get("Ce-Id"), "Ce-Type": "reply", "Ce-Source": "/a", "Content-Type": "text/plain"} {
			w.Header().Set(k, v)
		}
		_, _ = w.Write([]byte("body"))
	})
	b := subscribe(t, nil)
	br := start(t, &setup{
		manifests: brokerYAML + trigger("a", "a", `, filters: [{exact: {type: test}}], delivery: {retry: 1}`) +
			trigger("b", "b", `, filters: [{exact: {type: reply}}]`),
		subscribers: map[string]string{"a": a.URL, "b": b.URL},
	})
	send(t, request(t, br.url, "1", map[string]string{"Traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, "{}"))
	eventually(t, "the reply has come", func() bool { return len(b.all()) == 1 })
	got := b.all()[0]
	if got.header.Get("Ce-Id") != "reply to 1" || got.body != "body" || got.header.Get("Traceparent") == "" {
		t.Errorf("%v %q", got.header, got.body)
	}
	if s := br.stats(t); s.Replies != 1 || s.Retried != 1 || s.Accepted != 2 {
		t.Errorf("%+v", s)
	}
}

func TestRepliesThatGoRoundEndInTheDeadLetterSink(t *testing.T) {
	a := subscribe(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		for k, v := range map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "again", "Ce-Type": "test", "Ce-Source": "/a"} {
			w.Header().Set(k, v)
		}
	})
	dead := subscribe(t, nil)
	br := start(t, &setup{
		manifests:   brokerYAML + trigger("a", "a", `, delivery: {retry: 1, `+deadLetterTo+`}`),
		subscribers: map[string]string{"a": a.URL, "dead": dead.URL},
	})
	send(t, request(t, br.url, "1", map[string]string{"Ce-Knativebrokerttl": "4"}, "{}"))
	eventually(t, "it is parked", func() bool { return len(dead.all()) == 1 })
	if n := len(a.all()); n != 3 {
		t.Errorf("went round %d times, want 3", n)
	}
	if h := a.all()[0].header; h.Get("Ce-Knativebrokerttl") != "" {
		t.Error("a subscriber sees the Broker's own attribute")
	}
}

func TestASlowEventStopsNoOther(t *testing.T) {
	release := make(chan struct{})
	a := subscribe(t, func(_ int, _ http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("Ce-Id"), "slow") {
			<-release
		}
	})
	var freed bool
	t.Cleanup(func() {
		if !freed {
			close(release)
		}
	})
	br := start(t, &setup{
		manifests: brokerYAML + trigger("a", "a", ""), subscribers: map[string]string{"a": a.URL},
		adjust: func(c *localbroker.Config) { c.Concurrency = 4 },
	})
	for i := range 3 {
		br.publish(t, fmt.Sprintf("slow%d", i))
	}
	for i := range 50 {
		br.publish(t, fmt.Sprint(i))
	}
	eventually(t, "the others are delivered", func() bool { return br.stats(t).Delivered == 50 })
	close(release)
	freed = true
	eventually(t, "the slow ones, too", func() bool { return br.stats(t).Backlog == 0 })
}

func TestNoMoreThanTheLimitAreUnderWayAtATime(t *testing.T) {
	const limit = 3
	running := make(chan struct{}, 100)
	a := subscribe(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		running <- struct{}{}
		if len(running) > limit {
			w.WriteHeader(http.StatusTeapot)
		}
		time.Sleep(2 * time.Millisecond) // so that deliveries overlap
		<-running
	})
	br := start(t, &setup{
		manifests: brokerYAML + trigger("a", "a", ""), subscribers: map[string]string{"a": a.URL},
		adjust: func(c *localbroker.Config) { c.Concurrency = limit },
	})
	for i := range 60 {
		br.publish(t, fmt.Sprint(i))
	}
	eventually(t, "all are delivered", func() bool { return br.stats(t).Backlog == 0 })
	if s := br.stats(t); s.Delivered != 60 {
		t.Errorf("%+v: more than %d at a time", s, limit)
	}
}

// freeAddress is an address where nobody listens now.
func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := loopback.Addr()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

func TestEventsWaitForASubscriberThatIsAwayAndSpendNoRetry(t *testing.T) {
	address := freeAddress(t)
	dead := subscribe(t, nil)
	br := start(t, &setup{
		manifests:   brokerYAML + trigger("a", "a", `, delivery: {retry: 0, `+deadLetterTo+`}`),
		subscribers: map[string]string{"a": "http://" + address, "dead": dead.URL},
	})
	for i := range 20 {
		br.publish(t, fmt.Sprint(i))
	}
	eventually(t, "the broker has asked several times", func() bool { return br.stats(t).Held >= 3 })
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("the address was taken: %v", err)
	}
	back := subscribe(t, nil)
	srv := &http.Server{Handler: back.Config.Handler}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	eventually(t, "all have come", func() bool { return br.stats(t).Backlog == 0 })
	ids := back.ids()
	slices.Sort(ids)
	if ids = slices.Compact(ids); len(ids) != 20 || len(dead.all()) != 0 {
		t.Errorf("%d delivered, %d parked", len(ids), len(dead.all()))
	}
}

func TestAfterThePatienceEventsForAnAbsentSubscriberAreParked(t *testing.T) {
	dead := subscribe(t, nil)
	br := start(t, &setup{
		manifests:   brokerYAML + trigger("a", "a", `, delivery: {retry: 0, `+deadLetterTo+`}`),
		subscribers: map[string]string{"a": "http://" + freeAddress(t), "dead": dead.URL},
		adjust:      func(c *localbroker.Config) { c.ConnectPatience = 200 * time.Millisecond },
	})
	br.publish(t, "1")
	eventually(t, "it is parked", func() bool { return len(dead.all()) == 1 })
	if code := dead.all()[0].header.Get("Ce-Knativeerrorcode"); code != "503" {
		t.Errorf("code %s", code)
	}
}

func TestATimeoutIsAFailure(t *testing.T) {
	release := make(chan struct{})
	a := subscribe(t, func(n int, _ http.ResponseWriter, _ *http.Request) {
		if n == 1 {
			<-release
		}
	})
	br := start(t, &setup{manifests: brokerYAML + trigger("a", "a", `, delivery: {retry: 1, timeout: PT0.1S}`), subscribers: map[string]string{"a": a.URL}})
	br.publish(t, "1")
	eventually(t, "the second attempt has worked", func() bool { s := br.stats(t); return s.Delivered == 1 && s.Retried == 1 })
	close(release)
}

func TestTooMuchThatWaitsIsRefusedWithRetryAfter(t *testing.T) {
	br := start(t, &setup{
		manifests: brokerYAML + trigger("a", "a", ""), subscribers: map[string]string{"a": "http://" + freeAddress(t)},
		adjust: func(c *localbroker.Config) { c.MaxBacklog = 3 },
	})
	for i := range 3 {
		br.publish(t, fmt.Sprint(i))
	}
	resp := send(t, request(t, br.url, "4", nil, "{}"))
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
	}
}

func TestAStopGivesTimeAndWhatIsLeftComesAfterTheNextStart(t *testing.T) {
	release := make(chan struct{})
	a := subscribe(t, func(n int, _ http.ResponseWriter, r *http.Request) {
		if n == 1 {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
	})
	s := &setup{manifests: brokerYAML + trigger("a", "a", ""), subscribers: map[string]string{"a": a.URL}, adjust: func(c *localbroker.Config) { c.Grace = 100 * time.Millisecond }}
	br := start(t, s)
	br.publish(t, "1")
	eventually(t, "it is under way", func() bool { return len(a.all()) == 1 })
	begin := time.Now()
	br.stop()
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("the stop took %v", took)
	}
	close(release)
	br = start(t, s)
	eventually(t, "it is delivered", func() bool { return br.stats(t).Backlog == 0 })
	if diff := cmp.Diff([]string{"1", "1"}, a.ids()); diff != "" {
		t.Error(diff)
	}
}

func TestATickIsLeftOutWhileTheEarlierOneWaits(t *testing.T) {
	release := make(chan struct{})
	a := subscribe(t, func(n int, _ http.ResponseWriter, _ *http.Request) {
		if n == 1 {
			<-release
		}
	})
	br := start(t, &setup{
		manifests: brokerYAML + trigger("a", "a", `, filters: [{exact: {type: dev.knative.sources.ping, schedule: sweep}}]`) + `---
apiVersion: sources.knative.dev/v1
kind: PingSource
metadata: {name: sweep}
spec:
  schedule: "* * * * * *"
  sink: {ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: default}}
  ceOverrides: {extensions: {schedule: sweep}}
`,
		subscribers: map[string]string{"a": a.URL},
	})
	eventually(t, "the first tick has come", func() bool { return len(a.all()) == 1 })
	eventually(t, "two more were due", func() bool { return br.stats(t).TicksSkipped >= 2 })
	if n := len(a.all()); n != 1 {
		t.Errorf("%d ticks while the first still ran", n)
	}
	close(release)
	eventually(t, "the next tick has come", func() bool { return len(a.all()) >= 2 })
	if got := a.all()[0].header; got.Get("Ce-Source") != "/apis/v1/namespaces/default/pingsources/sweep" || got.Get("Ce-Type") != "dev.knative.sources.ping" {
		t.Errorf("%v", got)
	}
	br.stop()
}

func TestStatsWantATokenAndHealthDoesNot(t *testing.T) {
	br := start(t, &setup{manifests: brokerYAML, subscribers: map[string]string{"x": "http://x"}})
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/stats": 401} {
		r, err := http.NewRequest(http.MethodGet, br.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp := send(t, r); resp.StatusCode != want {
			t.Errorf("%s: %s, want %d", path, resp.Status, want)
		}
	}
}

func TestWhatCanNotWorkIsRefusedAtTheStart(t *testing.T) {
	taken := httptest.NewServer(nil)
	t.Cleanup(taken.Close)
	_, port, err := net.SplitHostPort(taken.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		setup setup
		want  string
	}{
		"an unknown subscriber": {setup{manifests: brokerYAML + trigger("a", "nobody", "")}, "Trigger default/a: its subscriber is Service nobody, which is not among the known ones: x"},
		"an unknown dead letter sink": {
			setup{manifests: brokerYAML + trigger("a", "x", `, delivery: {`+deadLetterTo+`}`)}, "its dead letter sink is Service dead, which is not among the known ones: x",
		},
		"a broken manifest": {setup{manifests: "kind: Broker"}, "all.yaml:1: apiVersion: apiVersion and kind are needed"},
		"a port in use": {setup{manifests: brokerYAML, adjust: func(c *localbroker.Config) {
			if _, err := fmt.Sscan(port, &c.Port); err != nil {
				t.Error(err)
			}
		}}, "HOST and PORT: can't listen on 127.0.0.1:" + port},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.setup.subscribers = map[string]string{"x": "http://127.0.0.1:1"}
			cfg, secret := config(t, &tt.setup)
			_, err := localbroker.New(t.Context(), cfg, secret, zerolog.Nop())
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestAllFaultsOfTheEnvironmentAreToldTogether(t *testing.T) {
	_, err := localbroker.LoadConfig([]string{"MANIFESTS_DIRS=/nowhere", "DATA_DIR=x", "SUBSCRIBERS=x", "INTERNAL_TOKEN_FILE=x", "LOG_LEVEL=loud", "MAX_BACKLOG=0"})
	for _, want := range []string{`MANIFESTS_DIRS: "/nowhere" is no folder`, `LOG_LEVEL: "loud" is no level`, "MAX_BACKLOG: 0 is out of range"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	if _, err := localbroker.LoadConfig(nil); err == nil || !strings.Contains(err.Error(), "DATA_DIR") || !strings.Contains(err.Error(), "INTERNAL_TOKEN_FILE") {
		t.Errorf("nothing is set: %v", err)
	}
}

func TestASubscriberByURLGetsNoCredential(t *testing.T) {
	a := subscribe(t, nil)
	br := start(t, &setup{manifests: brokerYAML + `---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: outside}
spec: {broker: default, subscriber: {uri: "` + a.URL + `/in"}}
`, subscribers: map[string]string{"x": "http://x"}})
	br.publish(t, "1")
	eventually(t, "it has come", func() bool { return len(a.all()) == 1 })
	if got := a.all()[0]; got.path != "/in" || got.header.Get("Authorization") != "" {
		t.Errorf("%s, Authorization %q", got.path, got.header.Get("Authorization"))
	}
}

func TestWhatWaitedForATriggerThatIsGoneIsDroppedAtTheStart(t *testing.T) {
	s := &setup{manifests: brokerYAML + trigger("a", "a", ""), subscribers: map[string]string{"a": "http://" + freeAddress(t)}}
	br := start(t, s)
	br.publish(t, "1")
	br.stop()
	s.manifests = brokerYAML
	br = start(t, s)
	eventually(t, "nothing waits", func() bool { return br.stats(t).Backlog == 0 })
}
