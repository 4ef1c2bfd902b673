package management

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/tidegate/tidegate/shared/problem"
)

// shelf answers queries over n assets, by offset and limit.
func shelf(cp **controlPlane, n int, ignoreOffset, ignoreLimit bool) answer {
	return answer{do: func(w http.ResponseWriter, _ *http.Request) {
		all := (*cp).seen()
		var q querySpec
		_ = json.Unmarshal(all[len(all)-1].Body, &q)
		if ignoreOffset {
			q.Offset = 0
		}
		if ignoreLimit {
			q.Limit = n
		}
		out := []map[string]any{}
		for i := q.Offset; i < min(q.Offset+q.Limit, n); i++ {
			out = append(out, map[string]any{"@id": fmt.Sprint(i), "properties": map[string]any{}})
		}
		_ = json.NewEncoder(w).Encode(out)
	}}
}

func TestPaging(t *testing.T) {
	tests := map[string]struct {
		n, requests               int
		ignoreOffset, ignoreLimit bool
	}{
		"nothing":                           {n: 0, requests: 1},
		"a page that is short":              {n: 3, requests: 1},
		"a page that is full":               {n: 10, requests: 2},
		"several pages":                     {n: 25, requests: 3},
		"a server that ignores the offset":  {n: 10, requests: 2, ignoreOffset: true},
		"a server that ignores the limit":   {n: 25, requests: 1, ignoreLimit: true},
		"a server that ignores both, short": {n: 7, requests: 1, ignoreOffset: true, ignoreLimit: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var cp *controlPlane
			cp = serve(t, shelf(&cp, tt.n, tt.ignoreOffset, tt.ignoreLimit))
			c, _ := cp.client(t)
			got := 0
			for a, err := range c.QueryAssets(t.Context(), Query{PageSize: 10}) {
				if err != nil {
					t.Fatal(err)
				}
				if a.ID != fmt.Sprint(got) {
					t.Fatalf("asset %s at place %d", a.ID, got)
				}
				got++
			}
			if got != tt.n || len(cp.seen()) != tt.requests {
				t.Errorf("%d results with %d requests, want %d with %d", got, len(cp.seen()), tt.n, tt.requests)
			}
		})
	}
}

func TestAReaderThatStopsAsksForNoFurtherPage(t *testing.T) {
	var cp *controlPlane
	cp = serve(t, shelf(&cp, 1000, false, false))
	c, _ := cp.client(t)
	for range c.QueryAssets(t.Context(), Query{PageSize: 10}) {
		break
	}
	if n := len(cp.seen()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestPagesAreBounded(t *testing.T) {
	var cp *controlPlane
	cp = serve(t, shelf(&cp, 1000, false, false))
	c, _ := cp.client(t)
	c.limits.pages = 3
	n := 0
	var last error
	for _, err := range c.QueryAssets(t.Context(), Query{PageSize: 10}) {
		if last = err; err == nil {
			n++
		}
	}
	if n != 30 || !problem.Is(last, problem.TooLarge) {
		t.Errorf("%d results, then %v", n, last)
	}
}

func TestAFailureInTheMiddleEndsTheQuery(t *testing.T) {
	cp := serve(t, answer{status: 200, body: `[{"@id":"1"},{"@id":"2"}]`}, answer{status: 403})
	c, _ := cp.client(t)
	var seen []string
	for a, err := range c.QueryAssets(t.Context(), Query{PageSize: 2}) {
		if err != nil {
			seen = append(seen, problem.KindOf(err).String())
			continue
		}
		seen = append(seen, a.ID)
	}
	if fmt.Sprint(seen) != "[1 2 forbidden]" {
		t.Errorf("saw %v", seen)
	}
}

func TestAResultThatWasCompactedToOneObjectIsAListOfOne(t *testing.T) {
	for body, want := range map[string]int{`{"@id":"1"}`: 1, `null`: 0, `[null,{"@id":"1"}]`: 1} {
		cp := serve(t, answer{status: 200, body: body})
		c, _ := cp.client(t)
		got, err := all(c.QueryAssets(t.Context(), Query{}))
		if list, _ := got.([]*Asset); err != nil || len(list) != want {
			t.Errorf("%s: %d results, %v", body, len(list), err)
		}
	}
}
