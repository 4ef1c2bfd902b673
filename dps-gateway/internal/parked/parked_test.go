package parked_test

import (
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/dps-gateway/internal/parked"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

func deadLetter(t *testing.T, id string) *event.Event {
	t.Helper()
	e := event.New()
	e.SetID(id)
	e.SetSource("/test")
	e.SetType(catalogue.ObjectCreated)
	e.SetSubject("bucket/key")
	e.SetTime(time.UnixMilli(1_795_500_000_000))
	e.SetExtension(catalogue.ExtParticipantContextID, "a")
	if err := e.SetData("application/json", map[string]string{"k": "v"}); err != nil {
		t.Fatal(err)
	}
	return &e
}

func TestADeadLetterIsParkedOnceShownRedrivenAndDeleted(t *testing.T) {
	for name, open := range redistest.Kinds() {
		t.Run(name, func(t *testing.T) {
			rdb := open(t)
			s := parked.New(rdb, outbox.NewBell())
			ctx := t.Context()
			id, err := s.ParkEvent(ctx, "a", deadLetter(t, "e1"), "the function is broken")
			if err != nil {
				t.Fatal(err)
			}
			again, err := s.ParkEvent(ctx, "a", deadLetter(t, "e1"), "the function is broken")
			if err != nil || again != id {
				t.Errorf("twice: %q and %q, %v", id, again, err)
			}
			page, err := s.List(ctx, "a", "", 10)
			if err != nil || len(page.Items) != 1 {
				t.Fatalf("%+v %v", page, err)
			}
			got := page.Items[0]
			got.ParkedAt = time.Time{}
			if d := cmp.Diff(gatewayapi.Parked{
				ID: id, ParticipantContextID: "a", Lane: "deadletter", Reason: "the function is broken", Subject: "bucket/key",
				EventType: catalogue.ObjectCreated, EventID: "e1",
			}, got); d != "" {
				t.Error(d)
			}
			for name, call := range map[string]func(pc, id string) error{
				"re-drive": func(pc, id string) error { return s.Redrive(ctx, pc, id) },
				"delete":   func(pc, id string) error { return s.Delete(ctx, pc, id) },
			} {
				if err := call("b", id); !problem.Is(err, problem.NotFound) {
					t.Errorf("%s as another tenant: %v", name, err)
				}
				if err := call("a", "nope"); !problem.Is(err, problem.NotFound) {
					t.Errorf("%s of nothing: %v", name, err)
				}
			}
			if err := s.Redrive(ctx, "a", id); err != nil {
				t.Fatal(err)
			}
			msgs, err := rdb.XRange(ctx, keys.Outbox(keys.Shard("a")), "-", "+").Result()
			if err != nil || len(msgs) != 1 {
				t.Fatalf("%v %v", msgs, err)
			}
			fields := map[string]string{}
			for k, v := range msgs[0].Values {
				fields[k], _ = v.(string)
			}
			e := outbox.Decode(msgs[0].ID, fields)
			ce, err := e.CloudEvent()
			if err != nil || e.Lane != outbox.LaneEvent || e.Try != 1 || ce.ID() != "e1" || string(ce.Data()) != `{"k":"v"}` {
				t.Errorf("%+v %v %v", e, ce, err)
			}
			if _, err := s.ParkEvent(ctx, "", deadLetter(t, "e2"), "nobody's"); err != nil {
				t.Fatal(err)
			}
			page, err = s.List(ctx, keys.NoTenant, "", 10)
			if err != nil || len(page.Items) != 1 {
				t.Fatalf("%+v %v", page, err)
			}
			if err := s.Delete(ctx, keys.NoTenant, page.Items[0].ID); err != nil {
				t.Error(err)
			}
			if page, _ = s.List(ctx, keys.NoTenant, "", 10); len(page.Items) != 0 {
				t.Errorf("still there: %+v", page)
			}
		})
	}
}

func TestParkingTwiceIsParkingOnce(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	s := parked.New(rdb, outbox.NewBell())
	ctx := t.Context()
	w := outbox.NewWriter(rdb, nil)
	if err := w.Append(ctx, &outbox.Entry{PC: "a", Lane: outbox.LaneTerminate, Subject: "tp", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	msgs := rdb.XRange(ctx, keys.Outbox(keys.Shard("a")), "-", "+").Val()
	e := &outbox.Entry{ID: msgs[0].ID, PC: "a", Lane: outbox.LaneTerminate, Subject: "tp", At: time.UnixMilli(5)}
	for range 2 {
		if err := s.Park(ctx, e, "why"); err != nil {
			t.Fatal(err)
		}
	}
	page, err := s.List(ctx, "a", "", 10)
	if err != nil || len(page.Items) != 1 {
		t.Fatalf("%+v %v", page, err)
	}
	if err := s.Delete(ctx, "a", page.Items[0].ID); err != nil {
		t.Fatal(err)
	}
	// A holder of the lease that was slow does not bring it back.
	if err := s.Park(ctx, e, "why"); err != nil {
		t.Fatal(err)
	}
	if page, _ = s.List(ctx, "a", "", 10); len(page.Items) != 0 {
		t.Errorf("back again: %+v", page)
	}
}

func TestPages(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	s := parked.New(rdb, outbox.NewBell())
	for _, id := range []string{"1", "2", "3", "4", "5"} {
		if _, err := s.ParkEvent(t.Context(), "a", deadLetter(t, id), "x"); err != nil {
			t.Fatal(err)
		}
	}
	n, after := 0, ""
	for {
		page, err := s.List(t.Context(), "a", after, 2)
		if err != nil {
			t.Fatal(err)
		}
		n += len(page.Items)
		if after = page.Next; after == "" {
			break
		}
	}
	if n != 5 {
		t.Errorf("%d of 5", n)
	}
}
