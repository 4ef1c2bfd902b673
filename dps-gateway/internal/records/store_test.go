package records_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/dps-gateway/internal/records"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

const digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func delivery(id string, done bool) []byte {
	return fmt.Appendf(nil, `{"id":%q,"sink":"inbox","key":"a","size":-1,"done":%v}`, id, done)
}

func dataset(id string, withdrawn bool) []byte {
	return fmt.Appendf(nil, `{"id":%q,"bucket":"files","key":"a","size":0,"sha256":%q,"withdrawn":%v}`, id, digest, withdrawn)
}

func TestAWriteIsConditional(t *testing.T) {
	each(t, func(t *testing.T, rdb redis.UniversalClient) {
		t.Helper()
		s, ctx := records.New(rdb, time.Hour), t.Context()
		put := func(cond records.Condition) (string, error) {
			return s.Put(ctx, "pc", gatewayapi.KindDelivery, "d", delivery("d", false), cond)
		}
		stale := func(what string, err error) {
			t.Helper()
			if !problem.Is(err, problem.Stale) {
				t.Errorf("%s: %v", what, err)
			}
		}
		_, err := put(records.Condition{IfMatch: "*"})
		stale("If-Match: * without a record", err)
		_, err = put(records.Condition{IfMatch: "1"})
		stale("If-Match without a record", err)
		first, err := put(records.Condition{IfNoneMatch: "*"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = put(records.Condition{IfNoneMatch: "*"})
		stale("If-None-Match: * with a record", err)
		second, err := put(records.Condition{IfMatch: first})
		if err != nil || second == first {
			t.Fatalf("%q, %v", second, err)
		}
		_, err = put(records.Condition{IfMatch: first})
		stale("If-Match of an old revision", err)
		if _, err = put(records.Condition{IfMatch: "*"}); err != nil {
			t.Errorf("If-Match: * with a record: %v", err)
		}
		rec, err := s.Get(ctx, "pc", gatewayapi.KindDelivery, "d")
		if err != nil {
			t.Fatal(err)
		}
		// A revision never comes again, not after a removal either.
		if ok, err := s.Delete(ctx, "pc", gatewayapi.KindDelivery, "d"); !ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
		if ok, err := s.Delete(ctx, "pc", gatewayapi.KindDelivery, "d"); ok || err != nil {
			t.Errorf("removed twice: %v, %v", ok, err)
		}
		if _, err := s.Get(ctx, "pc", gatewayapi.KindDelivery, "d"); !problem.Is(err, problem.NotFound) {
			t.Errorf("after the removal: %v", err)
		}
		if _, err := put(records.Condition{}); err != nil {
			t.Fatal(err)
		}
		_, err = put(records.Condition{IfMatch: rec.Revision})
		stale("If-Match of a revision before the removal", err)
	})
}

func TestOfManyWritersOneWins(t *testing.T) {
	each(t, func(t *testing.T, rdb redis.UniversalClient) {
		t.Helper()
		s, ctx := records.New(rdb, time.Hour), t.Context()
		var won atomic.Int32
		var all sync.WaitGroup
		for range 32 {
			all.Go(func() {
				_, err := s.Put(ctx, "pc", gatewayapi.KindDelivery, "d", delivery("d", false), records.Condition{IfNoneMatch: "*"})
				if err == nil {
					won.Add(1)
				} else if !problem.Is(err, problem.Stale) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := won.Load(); n != 1 {
			t.Errorf("%d writers won", n)
		}
	})
}

func TestAListingPagesThroughAllAndOnlyTheTenants(t *testing.T) {
	each(t, func(t *testing.T, rdb redis.UniversalClient) {
		t.Helper()
		s, ctx := records.New(rdb, time.Hour), t.Context()
		want := map[string]bool{}
		for i := range 137 {
			id := fmt.Sprintf("id/%d:ü", i)
			want[id] = true
			if _, err := s.Put(ctx, "pc", gatewayapi.KindDelivery, id, delivery(id, false), records.Condition{}); err != nil {
				t.Fatal(err)
			}
		}
		for _, other := range []struct {
			pc   string
			kind gatewayapi.Kind
			doc  []byte
		}{{"pc2", gatewayapi.KindDelivery, delivery("x", false)}, {"pc", gatewayapi.KindDataset, dataset("x", false)}} {
			if _, err := s.Put(ctx, other.pc, other.kind, "x", other.doc, records.Condition{}); err != nil {
				t.Fatal(err)
			}
		}
		got, after, pages := map[string]bool{}, "", 0
		for {
			docs, next, err := s.List(ctx, "pc", gatewayapi.KindDelivery, after, 20)
			if err != nil {
				t.Fatal(err)
			}
			pages++
			for _, raw := range docs {
				var d gatewayapi.Delivery
				if err := json.Unmarshal(raw, &d); err != nil {
					t.Fatal(err)
				}
				if got[d.ID] {
					t.Errorf("%s came twice", d.ID)
				}
				got[d.ID] = true
			}
			if next == "" {
				break
			}
			after = next
		}
		if diff := cmp.Diff(want, got); diff != "" || pages != 7 {
			t.Errorf("%d pages (-want +got):\n%s", pages, diff)
		}
	})
}

func TestAPageOfLargeRecordsIsBounded(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	s, ctx := records.New(rdb, time.Hour), t.Context()
	upload := strings.Repeat("x", 250<<10)
	for i := range 60 {
		doc := fmt.Appendf(nil, `{"id":"%02d","sink":"s","key":"k","size":1,"upload":%q}`, i, upload)
		if _, err := s.Put(ctx, "pc", gatewayapi.KindDelivery, fmt.Sprintf("%02d", i), doc, records.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	seen, after := 0, ""
	for {
		docs, next, err := s.List(ctx, "pc", gatewayapi.KindDelivery, after, 500)
		if err != nil {
			t.Fatal(err)
		}
		size := 0
		for _, d := range docs {
			size += len(d)
		}
		if size > 8<<20 {
			t.Errorf("a page has %d bytes", size)
		}
		seen += len(docs)
		if next == "" {
			break
		}
		after = next
	}
	if seen != 60 {
		t.Errorf("%d records were listed", seen)
	}
}

func TestADeliveryThatIsDoneEndsAfterTheRetention(t *testing.T) {
	each(t, func(t *testing.T, rdb redis.UniversalClient) {
		t.Helper()
		s, ctx := records.New(rdb, time.Millisecond), t.Context()
		put := func(id string, done bool) {
			t.Helper()
			if _, err := s.Put(ctx, "pc", gatewayapi.KindDelivery, id, delivery(id, done), records.Condition{}); err != nil {
				t.Fatal(err)
			}
		}
		put("done", true)
		put("again", true)
		put("again", false) // taken up again: it stays
		put("open", false)
		deadline := time.Now().Add(time.Minute)
		for {
			put("any", false)
			docs, _, err := s.List(ctx, "pc", gatewayapi.KindDelivery, "", 0)
			if err != nil {
				t.Fatal(err)
			}
			if len(docs) == 3 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d records are left", len(docs))
			}
		}
		if _, err := s.Get(ctx, "pc", gatewayapi.KindDelivery, "done"); !problem.Is(err, problem.NotFound) {
			t.Errorf("%v", err)
		}
	})
}

func TestAWithdrawalIsToldToAllGateways(t *testing.T) {
	each(t, func(t *testing.T, rdb redis.UniversalClient) {
		t.Helper()
		s, ctx := records.New(rdb, time.Hour), t.Context()
		sub := rdb.Subscribe(ctx, keys.Changes(keys.Shard("pc")))
		defer sub.Close()
		if _, err := sub.Receive(ctx); err != nil {
			t.Fatal(err)
		}
		put := func(withdrawn bool) {
			t.Helper()
			if _, err := s.Put(ctx, "pc", gatewayapi.KindDataset, "ds", dataset("ds", withdrawn), records.Condition{}); err != nil {
				t.Fatal(err)
			}
		}
		put(false)
		put(false)
		put(true)
		put(true) // no news
		put(false)
		if _, err := s.Delete(ctx, "pc", gatewayapi.KindDataset, "ds"); err != nil {
			t.Fatal(err)
		}
		rdb.Publish(ctx, keys.Changes(keys.Shard("pc")), "end")
		n := 0
		for m := range sub.Channel() {
			if m.Payload == "end" {
				break
			}
			n++
		}
		if n != 2 {
			t.Errorf("%d changes were told, want the withdrawal and the removal", n)
		}
	})
}

func TestADocumentIsCheckedStrictly(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	s := records.New(rdb, time.Hour)
	for name, c := range map[string]struct {
		kind  gatewayapi.Kind
		id    string
		doc   string
		field string
	}{
		"an unknown member":             {gatewayapi.KindDelivery, "d", `{"id":"d","sink":"s","key":"k","size":1,"colour":"red"}`, "colour"},
		"a wrong type":                  {gatewayapi.KindDelivery, "d", `{"id":"d","sink":"s","key":"k","size":"1"}`, "size"},
		"another id than the path's":    {gatewayapi.KindDelivery, "d", `{"id":"e","sink":"s","key":"k","size":1}`, "id"},
		"a member that is missing":      {gatewayapi.KindDelivery, "d", `{"id":"d","key":"k","size":1}`, "sink"},
		"an offset beyond the size":     {gatewayapi.KindDelivery, "d", `{"id":"d","sink":"s","key":"k","size":1,"offset":2}`, "offset"},
		"a digest that is none":         {gatewayapi.KindDataset, "d", `{"id":"d","bucket":"b","key":"k","sha256":"ABC"}`, "sha256"},
		"a negative size":               {gatewayapi.KindDataset, "d", `{"id":"d","bucket":"b","key":"k","size":-1,"sha256":"` + digest + `"}`, "size"},
		"an unknown verdict":            {gatewayapi.KindDecision, "d", `{"id":"d","datasetId":"x","counterPartyId":"c","verdict":"maybe","rule":"r","by":"rules","mode":"veto","decidedAt":"2026-01-01T00:00:00Z"}`, "verdict"},
		"an agreement that is no other": {gatewayapi.KindDecision, "agreement:a", `{"id":"agreement:a","agreementId":"b","datasetId":"x","counterPartyId":"c","verdict":"approved","rule":"r","by":"rules","mode":"veto","decidedAt":"2026-01-01T00:00:00Z"}`, "agreementId"},
		"an unknown state":              {gatewayapi.KindSupply, "s:d", `{"id":"s:d","subscription":"s","counterPartyId":"c","datasetId":"d","state":"lost"}`, "state"},
		"no JSON":                       {gatewayapi.KindDelivery, "d", `{`, ""},
		"something behind":              {gatewayapi.KindDelivery, "d", `{"id":"d","sink":"s","key":"k","size":1} {}`, ""},
		"a control character in the id": {gatewayapi.KindDelivery, "d\n", `{}`, "id"},
		"a long id":                     {gatewayapi.KindDelivery, strings.Repeat("x", 600), `{}`, "id"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Put(t.Context(), "pc", c.kind, c.id, []byte(c.doc), records.Condition{})
			var p *problem.Error
			if !problem.Is(err, problem.Invalid) {
				t.Fatalf("%v", err)
			}
			p, _ = err.(*problem.Error) //nolint:errorlint // it is returned bare
			if p.Field != c.field {
				t.Errorf("field %q: %v", p.Field, err)
			}
		})
	}
	if _, err := s.Put(t.Context(), "pc", "nonsense", "d", []byte(`{}`), records.Condition{}); !problem.Is(err, problem.NotFound) {
		t.Errorf("an unknown kind: %v", err)
	}
	big := fmt.Appendf(nil, `{"id":"d","sink":"s","key":"k","size":1,"upload":%q}`, strings.Repeat("x", records.MaxDocument))
	if _, err := s.Put(t.Context(), "pc", gatewayapi.KindDelivery, "d", big, records.Condition{}); !problem.Is(err, problem.TooLarge) {
		t.Errorf("a large one: %v", err)
	}
}

func TestConditionsOfHeaders(t *testing.T) {
	for _, c := range []struct {
		match, none string
		want        records.Condition
		bad         bool
	}{
		{"", "", records.Condition{}, false},
		{`"17"`, "", records.Condition{IfMatch: "17"}, false},
		{"*", "", records.Condition{IfMatch: "*"}, false},
		{"", "*", records.Condition{IfNoneMatch: "*"}, false},
		{`"1", "2"`, "", records.Condition{}, true},
		{`W/"1"`, "", records.Condition{}, true},
		{"", `"1"`, records.Condition{}, true},
		{`"1"`, "*", records.Condition{}, true},
	} {
		got, err := records.ParseCondition(c.match, c.none)
		if (err != nil) != c.bad || (!c.bad && got != c.want) {
			t.Errorf("If-Match %q, If-None-Match %q: %+v, %v", c.match, c.none, got, err)
		}
	}
}

func FuzzPut(f *testing.F) {
	f.Add("datasets", "d", string(dataset("d", false)))
	f.Add("deliveries", "d", string(delivery("d", true)))
	f.Add("decisions", "agreement:a", `{"id":"agreement:a"}`)
	f.Add("supplies", "s:d", `[]`)
	rdb, _ := redistest.Mini(f)
	s := records.New(rdb, time.Hour)
	f.Fuzz(func(t *testing.T, kind, id, doc string) {
		if _, err := s.Put(t.Context(), "pc", gatewayapi.Kind(kind), id, []byte(doc), records.Condition{}); err != nil {
			if problem.Is(err, problem.Internal) || problem.Is(err, problem.Unavailable) {
				t.Errorf("%v", err)
			}
			return
		}
		rec, err := s.Get(t.Context(), "pc", gatewayapi.Kind(kind), id)
		if err != nil {
			t.Fatal(err)
		}
		// What was stored is accepted again, unchanged.
		if _, err := s.Put(t.Context(), "pc", gatewayapi.Kind(kind), id, rec.Doc, records.Condition{IfMatch: rec.Revision}); err != nil {
			t.Errorf("%v: %s", err, rec.Doc)
		}
	})
}

// each runs a test on every kind of Redis.
func each(t *testing.T, test func(t *testing.T, rdb redis.UniversalClient)) {
	t.Helper()
	for name, open := range redistest.Kinds() {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}
