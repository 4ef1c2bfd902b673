package delivery

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/eventing/localbroker/manifest"
	"github.com/tidegate/tidegate/eventing/localbroker/store"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func answer(code int) *outcome { return &outcome{code: code} }

func TestWhatIsDeliveredAgainIsKnativesRule(t *testing.T) {
	p := &policy{delivery: manifest.Delivery{Retry: 3}, connectPatience: time.Minute, retryAfterMax: time.Minute}
	for code := 200; code < 600; code++ {
		want := giveUp
		switch {
		case code < 300:
			want = finished
		case code == 404 || code == 408 || code == 409 || code == 429 || code >= 500:
			want = again
		}
		if got, _, _ := p.decide(store.State{}, answer(code), now); got != want {
			t.Errorf("%d: %v, want %v", code, got, want)
		}
	}
}

func TestRetriesAndPauses(t *testing.T) {
	exponential := manifest.Delivery{Retry: 4, Exponential: true, Delay: 500 * time.Millisecond}
	linear := manifest.Delivery{Retry: 4, Delay: 500 * time.Millisecond}
	tests := map[string]struct {
		delivery manifest.Delivery
		want     []time.Duration // until it is given up
	}{
		"exponential doubles from the first pause on": {exponential, []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second}},
		"linear begins at once, as in Knative":        {linear, []time.Duration{0, 500 * time.Millisecond, time.Second, 1500 * time.Millisecond}},
		"without a delay there is no pause":           {manifest.Delivery{Retry: 2}, []time.Duration{0, 0}},
		"without retry the first failure is the last": {manifest.Delivery{}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := &policy{delivery: tt.delivery}
			var got []time.Duration
			state := store.State{}
			for {
				v, next, pause := p.decide(state, answer(500), now)
				if v == giveUp {
					break
				}
				got, state = append(got, pause), next
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("pauses (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRetryAfterCountsUpToItsLimit(t *testing.T) {
	p := &policy{delivery: manifest.Delivery{Retry: 9, Exponential: true, Delay: time.Second}, retryAfterMax: 20 * time.Second}
	tests := map[string]struct {
		outcome outcome
		want    time.Duration
	}{
		"longer than the backoff":    {outcome{code: 503, retryAfter: "7"}, 7 * time.Second},
		"shorter than the backoff":   {outcome{code: 429, retryAfter: "0"}, time.Second},
		"longer than the limit":      {outcome{code: 429, retryAfter: "3600"}, 20 * time.Second},
		"a date":                     {outcome{code: 503, retryAfter: now.Add(9 * time.Second).Format(http.TimeFormat)}, 9 * time.Second},
		"a date of the past":         {outcome{code: 503, retryAfter: now.Add(-time.Hour).Format(http.TimeFormat)}, time.Second},
		"nonsense":                   {outcome{code: 503, retryAfter: "soon"}, time.Second},
		"negative":                   {outcome{code: 503, retryAfter: "-5"}, time.Second},
		"on another code it is void": {outcome{code: 500, retryAfter: "7"}, time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, _, got := p.decide(store.State{}, &tt.outcome, now); got != tt.want {
				t.Errorf("pause %v, want %v", got, tt.want)
			}
		})
	}
}

func TestWhileNobodyListensNoRetryIsSpentUntilPatienceEnds(t *testing.T) {
	p := &policy{delivery: manifest.Delivery{Retry: 1}, connectPatience: 10 * time.Minute}
	away := &outcome{unreachable: true, code: 503}
	state := store.State{}
	for i := range 1000 {
		v, next, _ := p.decide(state, away, now.Add(time.Duration(i)*500*time.Millisecond))
		if v != hold || next.Attempts != 0 {
			t.Fatalf("ask %d: %v, %+v", i, v, next)
		}
		state = next
	}
	if v, _, _ := p.decide(state, away, now.Add(10*time.Minute)); v != giveUp {
		t.Errorf("after the patience: %v, want it given up", v)
	}
	if v, next, _ := p.decide(state, answer(500), now); v != again || !next.Unreachable.IsZero() {
		t.Errorf("an answer: %v, %+v; want a retry and patience anew", v, next)
	}
}

func TestADeadLetterIsNeverGivenUp(t *testing.T) {
	p := &policy{deadLetter: true, connectPatience: time.Minute}
	state := store.State{Unreachable: now.Add(-time.Hour)}
	if v, _, _ := p.decide(state, &outcome{unreachable: true}, now); v != hold {
		t.Errorf("nobody listens: %v", v)
	}
	for i := range 100 {
		v, next, pause := p.decide(state, answer(400), now)
		if v != again || pause > deadLetterDelayMax || pause <= 0 {
			t.Fatalf("attempt %d: %v, pause %v", i, v, pause)
		}
		state = next
	}
}

func TestParseSubscribers(t *testing.T) {
	got, err := ParseSubscribers(" a=http://127.0.0.1:1, b=https://x/base ,")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a": "http://127.0.0.1:1", "b": "https://x/base"}, got); diff != "" {
		t.Error(diff)
	}
	for _, s := range []string{"a", "a=", "=http://x", "a=ftp://x", "a=x:1", "a=http://x,a=http://y"} {
		if got, err := ParseSubscribers(s); err == nil {
			t.Errorf("%q is taken as %v", s, got)
		}
	}
}

func TestDestinationsAreResolved(t *testing.T) {
	subscribers := map[string]string{"a": "http://127.0.0.1:1", "b": "http://x/base/"}
	tests := map[string]struct {
		dest manifest.Destination
		want target
	}{
		"a service":                       {manifest.Destination{Service: "a"}, target{"http://127.0.0.1:1/", true}},
		"a path below it":                 {manifest.Destination{Service: "a", URI: "/v1/parked"}, target{"http://127.0.0.1:1/v1/parked", true}},
		"a relative path":                 {manifest.Destination{Service: "b", URI: "x?y=z"}, target{"http://x/base/x?y=z", true}},
		"a URL, which gets no credential": {manifest.Destination{URI: "http://y/z"}, target{"http://y/z", false}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := resolve(&manifest.Trigger{}, "subscriber", tt.dest, subscribers)
			if err != nil || got != tt.want {
				t.Errorf("%+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
	_, err := resolve(&manifest.Trigger{Name: manifest.Name{Namespace: "default", Name: "t"}, Origin: manifest.Origin{File: "f.yaml", Line: 3}},
		"subscriber", manifest.Destination{Service: "nobody"}, subscribers)
	if want := "f.yaml:3: Trigger default/t: its subscriber is Service nobody, which is not among the known ones: a, b"; err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}
