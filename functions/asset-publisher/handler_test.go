package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/internal/gatewaytest"
	"github.com/tidegate/tidegate/functions/publishing"
	"github.com/tidegate/tidegate/functions/stores"
	"github.com/tidegate/tidegate/shared/function/functiontest"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

const pc = "provider"

// bench is a tenant with a folder, a gateway and a control plane.
type bench struct {
	t       *testing.T
	dir     string
	tenant  *tenant.Tenant
	gateway *gatewaytest.Gateway
	plane   *plane
	handler *handler
	serial  int
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	b := &bench{t: t, dir: dir, gateway: gatewaytest.New(t), plane: newPlane(), tenant: &tenant.Tenant{
		ParticipantContextID: pc,
		Buckets:              []tenant.Bucket{{Name: "outbox", URL: "file://" + dir}},
		Policies:             []tenant.Policy{{Name: "open"}},
		Publish: []tenant.PublishRule{{
			Name: "all", Bucket: "outbox", Policy: "open", Exclude: []string{"*.log"}, Metadata: map[string]string{"title": "{name} of {bucket}"},
		}},
	}}
	pool := stores.New()
	t.Cleanup(pool.Close)
	b.handler = &handler{
		tenants: b, stores: pool, gateway: b.gateway.Client, now: time.Now,
		controlPlane: func(*tenant.Tenant) (controlPlane, error) { return b.plane, nil },
	}
	return b
}

func (b *bench) Expect(id string) (*tenant.Tenant, error) { return functiontest.Expect(b.tenant, id) }

func (b *bench) write(key, content string) {
	b.t.Helper()
	file := filepath.Join(b.dir, key)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.serial++ // two writes within one tick of the file system's clock are two versions all the same
	at := time.Now().Add(time.Duration(b.serial-100) * time.Second)
	if err := os.Chtimes(file, at, at); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) remove(key string) {
	b.t.Helper()
	if err := os.Remove(filepath.Join(b.dir, key)); err != nil {
		b.t.Fatal(err)
	}
}

// event makes the event that tells the truth of this moment, whatever the type.
func (b *bench) event(eventType, key string) *event.Event {
	b.t.Helper()
	store, err := b.handler.stores.Open(b.t.Context(), b.tenant, "outbox")
	if err != nil {
		b.t.Fatal(err)
	}
	o, _ := store.Head(b.t.Context(), key)
	b.serial++
	e, err := catalogue.New("test", pc, eventType, "outbox/"+key, catalogue.Object{
		Bucket: "outbox", Key: key, Size: o.Size, StoreETag: o.ETag, Modified: o.Modified,
	}, fmt.Sprint(b.serial))
	if err != nil {
		b.t.Fatal(err)
	}
	return e
}

func (b *bench) handle(e *event.Event) *event.Event {
	b.t.Helper()
	reply, err := b.handler.Handle(b.t.Context(), e)
	if err != nil {
		b.t.Fatalf("handling %s: %v", e.Type(), err)
	}
	return reply
}

func (b *bench) record(key string) gatewayapi.Dataset {
	b.t.Helper()
	d, _ := gatewaytest.Record[gatewayapi.Dataset](b.t, b.gateway, pc, gatewayapi.KindDataset, publishing.DatasetID(pc, "outbox", key))
	return d
}

func (b *bench) asset(key string) *management.Asset {
	b.plane.mu.Lock()
	defer b.plane.mu.Unlock()
	return b.plane.assets[publishing.DatasetID(pc, "outbox", key)]
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func mustReply(t *testing.T, reply *event.Event, eventType string) catalogue.Dataset {
	t.Helper()
	if reply == nil || reply.Type() != eventType {
		t.Fatalf("reply is %v, want %s", reply, eventType)
	}
	d, err := catalogue.Data[catalogue.Dataset](reply)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestANewObjectIsPutOnOffer(t *testing.T) {
	b := newBench(t)
	b.write("invoices/März 1+1%.csv", "a,b\n1,2\n")
	reply := mustReply(t, b.handle(b.event(catalogue.ObjectCreated, "invoices/März 1+1%.csv")), catalogue.DatasetPublished)

	id := publishing.DatasetID(pc, "outbox", "invoices/März 1+1%.csv")
	want := catalogue.Dataset{DatasetID: id, Bucket: "outbox", Key: "invoices/März 1+1%.csv", Rule: "all", Size: 8, SHA256: digest("a,b\n1,2\n")}
	if diff := cmp.Diff(want, reply); diff != "" {
		t.Errorf("reply (-want +got):\n%s", diff)
	}
	r := b.record("invoices/März 1+1%.csv")
	if r.SHA256 != want.SHA256 || r.PublishedAt.IsZero() || r.Withdrawn || r.StoreETag == "" || r.ContentType != "text/csv" || r.ContractDefinition != "provider-all" {
		t.Errorf("record is %+v", r)
	}
	a := b.asset("invoices/März 1+1%.csv")
	if a == nil {
		t.Fatal("the control plane has no asset")
	}
	wantProperties := map[string]any{
		"name": "invoices/März 1+1%.csv", "contenttype": "text/csv", "size": "8", "sha256": want.SHA256,
		"modified": r.Modified.Format(time.RFC3339Nano), "title": "März 1+1%.csv of outbox",
	}
	if diff := cmp.Diff(wantProperties, a.Properties); diff != "" {
		t.Errorf("properties (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"tidegateOffer": "provider-all", "bucket": "outbox", "objectKey": "invoices/März 1+1%.csv"}, a.PrivateProperties); diff != "" {
		t.Errorf("private properties (-want +got):\n%s", diff)
	}
	if got := b.plane.definitions["provider-all"]; got == nil || got.AccessPolicyID != "provider-open-access" || got.ContractPolicyID != "provider-open-contract" {
		t.Errorf("contract definition is %+v", got)
	}
	if diff := cmp.Diff(map[string]any{"@type": "Set"}, b.plane.policies["provider-open-access"].Policy); diff != "" {
		t.Errorf("an empty template (-want +got):\n%s", diff)
	}
}

func TestTheSameVersionIsPublishedOnce(t *testing.T) {
	b := newBench(t)
	b.write("a.txt", "one")
	first := b.event(catalogue.ObjectCreated, "a.txt")
	reply := b.handle(first)
	writes, calls := b.gateway.Writes(), b.plane.calls

	if again := b.handle(first); again == nil || again.ID() != reply.ID() {
		t.Errorf("the repetition of the event that published is answered with %v, want the same reply: the first one may be lost", again)
	}
	if other := b.handle(b.event(catalogue.ObjectCreated, "a.txt")); other != nil {
		t.Errorf("another event of the same version is answered with %v", other)
	}
	if b.gateway.Writes() != writes || b.plane.calls != calls {
		t.Error("something was written although nothing has changed")
	}
}

func TestANewVersionReplacesTheOldUnderTheSameID(t *testing.T) {
	b := newBench(t)
	b.write("a.txt", "one")
	before := mustReply(t, b.handle(b.event(catalogue.ObjectCreated, "a.txt")), catalogue.DatasetPublished)
	b.write("a.txt", "two")
	after := mustReply(t, b.handle(b.event(catalogue.ObjectChanged, "a.txt")), catalogue.DatasetPublished)
	if after.DatasetID != before.DatasetID || !after.Replaced || before.Replaced || after.SHA256 != digest("two") {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if got := b.asset("a.txt").Properties["sha256"]; got != digest("two") {
		t.Errorf("the asset has sha256 %v", got)
	}
}

func TestATouchedObjectIsNoNewVersion(t *testing.T) {
	b := newBench(t)
	b.write("a.txt", "one")
	b.handle(b.event(catalogue.ObjectCreated, "a.txt"))
	published := b.record("a.txt")
	b.write("a.txt", "one")
	if reply := b.handle(b.event(catalogue.ObjectChanged, "a.txt")); reply != nil {
		t.Errorf("answered with %v", reply)
	}
	r := b.record("a.txt")
	if r.StoreETag == published.StoreETag || !r.PublishedAt.Equal(published.PublishedAt) {
		t.Errorf("before %+v, after %+v: only the store's tag should be another", published, r)
	}
}

func TestARemovedObjectIsWithdrawn(t *testing.T) {
	for _, agreed := range []bool{false, true} {
		t.Run(fmt.Sprintf("agreement refers to it: %v", agreed), func(t *testing.T) {
			b := newBench(t)
			b.write("a.txt", "one")
			b.handle(b.event(catalogue.ObjectCreated, "a.txt"))
			b.plane.agreed = agreed
			b.remove("a.txt")
			removed := b.event(catalogue.ObjectRemoved, "a.txt")
			reply := b.handle(removed)
			mustReply(t, reply, catalogue.DatasetWithdrawn)
			if r := b.record("a.txt"); !r.Withdrawn || !r.PublishedAt.IsZero() {
				t.Errorf("record is %+v", r)
			}
			switch a := b.asset("a.txt"); {
			case agreed && (a == nil || a.PrivateProperties["tidegateOffer"] != "withdrawn"):
				t.Errorf("asset is %+v, want it out of its offer", a)
			case !agreed && a != nil:
				t.Errorf("asset is %+v, want none", a)
			}
			if again := b.handle(removed); again == nil || again.ID() != reply.ID() {
				t.Errorf("the repetition is answered with %v", again)
			}
			if other := b.handle(b.event(catalogue.ObjectRemoved, "a.txt")); other != nil {
				t.Errorf("another removal is answered with %v", other)
			}
			b.write("a.txt", "back")
			if d := mustReply(t, b.handle(b.event(catalogue.ObjectCreated, "a.txt")), catalogue.DatasetPublished); d.Replaced {
				t.Error("an object that comes back replaces nothing")
			}
			if a := b.asset("a.txt"); a == nil || a.PrivateProperties["tidegateOffer"] != "provider-all" {
				t.Errorf("asset is %+v", a)
			}
		})
	}
}

func TestWhatAnEventTellsDoesNotMatter(t *testing.T) {
	b := newBench(t)
	b.write("a.txt", "one")
	created := b.event(catalogue.ObjectCreated, "a.txt")
	mustReply(t, b.handle(b.event(catalogue.ObjectRemoved, "a.txt")), catalogue.DatasetPublished)
	b.remove("a.txt")
	mustReply(t, b.handle(created), catalogue.DatasetWithdrawn)
}

func TestALoserOfARaceIsRepairedByItsOwnRedelivery(t *testing.T) {
	b := newBench(t)
	b.write("a.txt", "one")
	b.handle(b.event(catalogue.ObjectCreated, "a.txt"))
	b.remove("a.txt")
	removed := b.event(catalogue.ObjectRemoved, "a.txt")
	b.write("a.txt", "two")
	b.handle(b.event(catalogue.ObjectCreated, "a.txt"))
	// An invocation that handled the removal late deletes the asset behind the back of the publication, and dies.
	id := publishing.DatasetID(pc, "outbox", "a.txt")
	if err := b.plane.DeleteAsset(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	b.handle(removed)
	if b.asset("a.txt") == nil {
		t.Error("the asset is still missing after the redelivery of the removal")
	}
}

func TestObjectsThatNoRulePublishes(t *testing.T) {
	for _, key := range []string{".hidden", "in/.hidden/x", "x.part", "x.tmp", "x~", "x.crdownload", "x.swp", "server.log"} {
		t.Run(key, func(t *testing.T) {
			b := newBench(t)
			b.write(key, "x")
			if reply := b.handle(b.event(catalogue.ObjectCreated, key)); reply != nil || b.plane.calls != 0 || b.gateway.Writes() != 0 {
				t.Errorf("it was published: %v", reply)
			}
		})
	}
	t.Run("and that were published before are withdrawn", func(t *testing.T) {
		b := newBench(t)
		b.write("a.txt", "one")
		b.handle(b.event(catalogue.ObjectCreated, "a.txt"))
		b.tenant.Publish[0].Exclude = []string{"*.txt"}
		mustReply(t, b.handle(b.event(catalogue.ObjectRemoved, "a.txt")), catalogue.DatasetWithdrawn)
	})
}

func TestNewTermsAreBroughtToTheControlPlane(t *testing.T) {
	b := newBench(t)
	b.write("a.txt", "one")
	b.handle(b.event(catalogue.ObjectCreated, "a.txt"))
	b.tenant.Policies[0].Contract = map[string]any{"permission": []any{map[string]any{"action": "use"}}}
	if d := mustReply(t, b.handle(b.event(catalogue.ObjectChanged, "a.txt")), catalogue.DatasetPublished); d.Replaced {
		t.Error("new terms are no new version")
	}
	if b.plane.policies["provider-open-contract"].Policy["permission"] == nil {
		t.Error("the policy is still the old one")
	}
}

func TestBadEventsAreRefusedForGood(t *testing.T) {
	b := newBench(t)
	empty, err := catalogue.New("test", pc, catalogue.ObjectCreated, "x", catalogue.Object{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.handler.Handle(t.Context(), empty); problem.EventStatus(err) >= 500 || err == nil {
		t.Errorf("one that names no object: %v would be delivered again", err)
	}
}

func TestAnEventOfATenantThatOthersKnowFirstIsDeliveredAgain(t *testing.T) {
	e, err := catalogue.New("test", "someone", catalogue.ObjectCreated, "x", catalogue.Object{Bucket: "outbox", Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newBench(t).handler.Handle(t.Context(), e); problem.EventStatus(err) != 503 {
		t.Errorf("answered %d: %v", problem.EventStatus(err), err)
	}
}

// TestAnyCallMayFailAndTheRedeliveryConverges lets each call to the outside fail in turn, before its effect or with its
// answer lost, and delivers the event again until it succeeds.
func TestAnyCallMayFailAndTheRedeliveryConverges(t *testing.T) {
	stories := map[string]struct {
		prepare func(b *bench)
		change  func(b *bench) *event.Event
		reply   string
	}{
		"a new object": {
			func(*bench) {},
			func(b *bench) *event.Event { b.write("a.txt", "one"); return b.event(catalogue.ObjectCreated, "a.txt") },
			catalogue.DatasetPublished,
		},
		"a new version": {
			func(b *bench) { b.write("a.txt", "one"); b.handle(b.event(catalogue.ObjectCreated, "a.txt")) },
			func(b *bench) *event.Event { b.write("a.txt", "two"); return b.event(catalogue.ObjectChanged, "a.txt") },
			catalogue.DatasetPublished,
		},
		"a removal": {
			func(b *bench) { b.write("a.txt", "one"); b.handle(b.event(catalogue.ObjectCreated, "a.txt")) },
			func(b *bench) *event.Event { b.remove("a.txt"); return b.event(catalogue.ObjectRemoved, "a.txt") },
			catalogue.DatasetWithdrawn,
		},
		"a removal of what an agreement refers to": {
			func(b *bench) {
				b.write("a.txt", "one")
				b.handle(b.event(catalogue.ObjectCreated, "a.txt"))
				b.plane.agreed = true
			},
			func(b *bench) *event.Event { b.remove("a.txt"); return b.event(catalogue.ObjectRemoved, "a.txt") },
			catalogue.DatasetWithdrawn,
		},
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			calm := newBench(t)
			story.prepare(calm)
			steps := 0
			count := func() gatewaytest.Fault { steps++; return gatewaytest.None }
			calm.failing(count)
			want := mustReply(t, calm.handle(story.change(calm)), story.reply)

			for step := 1; step <= steps; step++ {
				for _, fault := range []gatewaytest.Fault{gatewaytest.Before, gatewaytest.After} {
					b := newBench(t)
					story.prepare(b)
					n := 0
					b.failing(func() gatewaytest.Fault {
						if n++; n == step {
							return fault
						}
						return gatewaytest.None
					})
					e := story.change(b)
					var reply *event.Event
					for tries := 0; ; tries++ {
						var err error
						if reply, err = b.handler.Handle(t.Context(), e); err == nil {
							break
						}
						if problem.EventStatus(err) != 503 {
							t.Fatalf("step %d, fault %d: %v would not be delivered again", step, fault, err)
						}
						if tries == 3 {
							t.Fatalf("step %d, fault %d: %v after three deliveries", step, fault, err)
						}
					}
					if diff := cmp.Diff(want, mustReply(t, reply, story.reply)); diff != "" {
						t.Errorf("step %d, fault %d: the reply is another one (-calm +got):\n%s", step, fault, diff)
					}
					if diff := cmp.Diff(calm.final("a.txt"), b.final("a.txt")); diff != "" {
						t.Errorf("step %d, fault %d: the end is another one (-calm +got):\n%s", step, fault, diff)
					}
				}
			}
			t.Logf("%d calls, each failed in two ways", steps)
		})
	}
}

func TestAnObjectThatChangesOrGoesWhileItIsPublished(t *testing.T) {
	tests := map[string]struct {
		meanwhile func(b *bench)
		reply     string
	}{
		"it goes":    {func(b *bench) { b.remove("a.txt") }, catalogue.DatasetWithdrawn},
		"it changes": {func(b *bench) { b.write("a.txt", "two") }, catalogue.DatasetPublished},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.write("a.txt", "one")
			e := b.event(catalogue.ObjectCreated, "a.txt")
			b.plane.fault = func() gatewaytest.Fault {
				if b.plane.calls == 4 { // the asset is about to be written
					test.meanwhile(b)
				}
				return gatewaytest.None
			}
			if reply, err := b.handler.Handle(t.Context(), e); problem.EventStatus(err) != 503 || reply != nil {
				t.Fatalf("%v, %v; want another delivery", reply, err)
			}
			d := mustReply(t, b.handle(e), test.reply)
			if a := b.asset("a.txt"); test.reply == catalogue.DatasetWithdrawn && a != nil || test.reply == catalogue.DatasetPublished && (a.Properties["sha256"] != digest("two") || d.SHA256 != digest("two")) {
				t.Errorf("asset is %+v, reply %+v", a, d)
			}
		})
	}
}

func TestManyInvocationsAtOnceAgree(t *testing.T) {
	b := newBench(t)
	b.write("a.txt", "one")
	events := make([]*event.Event, 12)
	for i := range events {
		events[i] = b.event([]string{catalogue.ObjectCreated, catalogue.ObjectChanged, catalogue.ObjectRemoved}[i%3], "a.txt")
	}
	var work sync.WaitGroup
	for _, e := range events {
		work.Go(func() {
			for range 50 {
				if _, err := b.handler.Handle(context.Background(), e); err == nil {
					return
				}
			}
			t.Errorf("%s never came through", e.Type())
		})
	}
	work.Wait()
	if r := b.record("a.txt"); r.PublishedAt.IsZero() || r.Withdrawn || b.asset("a.txt").Properties["sha256"] != digest("one") {
		t.Errorf("record is %+v", r)
	}
}

func TestEquivalentBearsOtherWords(t *testing.T) {
	sent := map[string]any{"@type": "Set", "permission": []any{map[string]any{"action": "use", "constraint": []any{
		map[string]any{"leftOperand": "MembershipCredential", "operator": "eq", "rightOperand": "active"},
	}}}}
	back := map[string]any{
		"@id": "f00", "@type": "odrl:Set", "odrl:permission": map[string]any{"odrl:action": map[string]any{"@id": "odrl:use"}, "odrl:constraint": map[string]any{
			"odrl:leftOperand": map[string]any{"@id": "https://w3id.org/edc/v0.0.1/ns/MembershipCredential"}, "odrl:operator": map[string]any{"@id": "odrl:eq"}, "odrl:rightOperand": map[string]any{"@value": "active"},
		}}, "odrl:prohibition": []any{}, "odrl:obligation": []any{},
	}
	if !equivalent(sent, back) {
		t.Error("the same policy in other words counts as another one")
	}
	back["odrl:permission"].(map[string]any)["odrl:action"] = map[string]any{"@id": "odrl:distribute"}
	if equivalent(sent, back) {
		t.Error("another action counts as the same")
	}
	if !equivalent(map[string]any{"n": 12345678901}, map[string]any{"edc:n": "12345678901"}) {
		t.Error("a number that comes back as a string counts as another one")
	}
}
