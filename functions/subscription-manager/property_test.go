package main

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/internal/gatewaytest"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
)

// world is a bench to which anything may happen.
type world struct {
	*bench
	t  *rapid.T
	on map[string]*management.Dataset // what is offered
}

func (w *world) ids() []string { return []string{"d1", "d2"} }

func (w *world) catalog() {
	w.offer(slices.Collect(maps.Values(w.on))...)
}

func (w *world) actions() map[string]func(*rapid.T) {
	pick := func(t *rapid.T) string { return rapid.SampledFrom(w.ids()).Draw(t, "dataset") }
	event := func(eventType string, data func(id string) any) func(*rapid.T) {
		return func(t *rapid.T) { _ = w.tell(eventType, data(pick(t))) }
	}
	negotiation := func(do func(id string)) func(*rapid.T) {
		return func(t *rapid.T) {
			all := slices.DeleteFunc(w.plane.Negotiations(), func(n management.Negotiation) bool { return !open(n) })
			if len(all) > 0 {
				do(rapid.SampledFrom(all).Draw(t, "negotiation").ID)
			}
		}
	}
	transfer := func(do func(t management.Transfer)) func(*rapid.T) {
		return func(t *rapid.T) {
			all := slices.DeleteFunc(w.plane.Transfers(), func(t management.Transfer) bool { return !running(t) })
			if len(all) > 0 {
				do(rapid.SampledFrom(all).Draw(t, "transfer"))
			}
		}
	}
	return map[string]func(*rapid.T){
		"tick": func(t *rapid.T) {
			w.clock.Advance(time.Duration(rapid.SampledFrom([]int{1, 10, 31, 70, 600, 4000}).Draw(t, "seconds")) * time.Second)
			_ = w.handle(w.scheduled())
		},
		"finalized event":   event(catalogue.NegotiationFinalized, func(id string) any { return catalogue.Negotiation{NegotiationID: "n", DatasetID: id} }),
		"terminated event":  event(catalogue.TransferTerminated, func(id string) any { return catalogue.Transfer{TransferProcessID: "t", DatasetID: id} }),
		"delivered event":   event(catalogue.ObjectDelivered, func(id string) any { return catalogue.Delivered{DataFlowID: "t", DatasetID: id} }),
		"conclude":          negotiation(func(id string) { w.plane.Conclude(id, nil) }),
		"refuse":            negotiation(func(id string) { w.plane.SetNegotiation(id, "TERMINATED", "no") }),
		"deliver":           transfer(func(t management.Transfer) { w.arrive(t); w.plane.SetTransfer(t.ID, "COMPLETED", "") }),
		"arrive":            transfer(func(t management.Transfer) { w.arrive(t) }),
		"break off":         transfer(func(t management.Transfer) { w.plane.SetTransfer(t.ID, "TERMINATED", "broken") }),
		"end without bytes": transfer(func(t management.Transfer) { w.plane.SetTransfer(t.ID, "COMPLETED", "") }),
		"new version": func(t *rapid.T) {
			id := pick(t)
			w.on[id] = dataset(id, id+".csv", rapid.SampledFrom([]string{"one", "two", "three"}).Draw(t, "content"))
			w.catalog()
		},
		"leave the catalog": func(t *rapid.T) {
			delete(w.on, pick(t))
			w.catalog()
		},
		"fail": func(t *rapid.T) {
			kind := rapid.SampledFrom([]gatewaytest.Fault{gatewaytest.Before, gatewaytest.After}).Draw(t, "fault")
			w.faults.Once(rapid.IntRange(1, 12).Draw(t, "call"), kind)
		},
		"die": func(t *rapid.T) {
			kind := rapid.SampledFrom([]gatewaytest.Fault{gatewaytest.Before, gatewaytest.After}).Draw(t, "fault")
			w.faults.Die(rapid.IntRange(1, 12).Draw(t, "call"), kind)
			_ = w.handle(w.scheduled())
			w.faults.Plan(nil)
			w.restart()
		},
		"forget everything": func(*rapid.T) { w.plane.Wipe() },
		"":                  w.check,
	}
}

// check: never two open negotiations and never two open transfers for a dataset. A transfer whose bytes have arrived is over as
// far as we are concerned, whatever the control plane says of it.
func (w *world) check(t *rapid.T) {
	opens, runs := map[string]int{}, map[string]int{}
	for _, n := range w.plane.Negotiations() {
		if open(n) {
			opens[n.AssetID]++
		}
	}
	for _, tp := range w.plane.Transfers() {
		d, _ := gatewaytest.Record[gatewayapi.Delivery](w.tb, w.gateway, pc, gatewayapi.KindDelivery, tp.ID)
		if running(tp) && !d.Done {
			runs[tp.AssetID]++
		}
	}
	for _, id := range w.ids() {
		if opens[id] > 1 || runs[id] > 1 {
			t.Fatalf("dataset %s has %d open negotiations and %d open transfers\nrecord %+v\nnegotiations %+v\ntransfers %+v",
				id, opens[id], runs[id], w.supply(id), w.plane.Negotiations(), w.plane.Transfers())
		}
	}
}

func TestWhateverHappensThereIsOneOfEachAndInTheEndAllIsDelivered(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{bench: newBench(t), t: rt, on: map[string]*management.Dataset{}}
		rt.Repeat(w.actions())

		w.faults.Plan(nil)
		w.restart()
		for _, id := range w.ids() {
			if w.on[id] == nil {
				w.on[id] = dataset(id, id+".csv", "last")
			}
		}
		w.catalog()
		missing := ""
		for range 12 {
			w.clock.Advance(2 * time.Hour)
			_ = w.handle(w.scheduled())
			w.conclude()
			w.deliver()
			w.check(rt)
			missing = ""
			for _, id := range w.ids() {
				if r := w.supply(id); r.State != gatewayapi.SupplyDelivered || r.DeliveredVersion != w.content[id] {
					missing = fmt.Sprintf("%s is offered as %s and its record is %+v", id, w.content[id], r)
				}
			}
			if missing == "" {
				break
			}
		}
		if missing != "" {
			rt.Fatal(missing)
		}
		for _, tp := range w.plane.Transfers() {
			if !slices.ContainsFunc(w.told(catalogue.TransferRequested), func(subject string) bool { return subject == tp.ID }) {
				rt.Errorf("nobody was told of transfer %s", tp.ID)
			}
		}
	})
}

func (w *world) told(eventType string) []string {
	var out []string
	for _, e := range w.sink.Once(w.tb, eventType) {
		out = append(out, e.Subject())
	}
	return out
}
