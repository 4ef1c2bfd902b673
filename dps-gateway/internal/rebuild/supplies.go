package rebuild

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/tenant"
)

// supplies brings back what subscriptions remember of datasets for which there is an agreement or a negotiation under way, so that
// no second contract is made, and that nothing is delivered again which lies at the sink already.
func (r *Rebuilder) supplies(ctx context.Context, t *tenant.Tenant, cp ControlPlane, agreements map[string]agreementView, rep *report) error {
	if len(t.Subscribe) == 0 {
		return nil
	}
	running, err := negotiationsOf(ctx, cp)
	if err != nil {
		return err
	}
	for _, sub := range t.Subscribe {
		known := map[string]gatewayapi.Supply{}
		for _, a := range agreements {
			if a.provider != sub.CounterParty.ID || a.consumer != t.DID {
				continue
			}
			if k, ok := known[a.dataset]; ok && agreements[k.AgreementID].signed >= a.signed {
				continue
			}
			known[a.dataset] = gatewayapi.Supply{State: gatewayapi.SupplyFailed, AgreementID: a.id, LastError: "the state of the data plane was lost"}
		}
		for dataset, n := range running {
			if _, ok := known[dataset]; !ok && n.CounterPartyID == sub.CounterParty.ID {
				known[dataset] = gatewayapi.Supply{State: gatewayapi.SupplyNegotiating, NegotiationID: n.ID, ClaimedAt: time.UnixMilli(n.CreatedAt).UTC()}
			}
		}
		if len(known) == 0 {
			continue
		}
		if err := r.subscription(ctx, t, cp, sub, known, rep); err != nil {
			return fmt.Errorf("subscription %s: %w", sub.Name, err)
		}
	}
	return nil
}

// negotiationsOf are the consumer's negotiations that are under way, the newest of each dataset.
func negotiationsOf(ctx context.Context, cp ControlPlane) (map[string]*management.Negotiation, error) {
	all := map[string]*management.Negotiation{}
	for n, err := range cp.QueryNegotiations(ctx, management.Query{PageSize: pageSize}) {
		if err != nil {
			return nil, fmt.Errorf("negotiations: %w", err)
		}
		if n.Type != "CONSUMER" || n.State == "FINALIZED" || strings.HasPrefix(n.State, "TERMINAT") || n.AssetID == "" {
			continue
		}
		if was, ok := all[n.AssetID]; !ok || was.CreatedAt < n.CreatedAt {
			all[n.AssetID] = n
		}
	}
	return all, nil
}

// subscription completes the supplies by what the catalog says of their datasets, and writes them.
func (r *Rebuilder) subscription(ctx context.Context, t *tenant.Tenant, cp ControlPlane, sub tenant.Subscription, known map[string]gatewayapi.Supply, rep *report) error {
	sink, err := r.sink(ctx, t, sub)
	if err != nil {
		return err
	}
	if sink != nil {
		defer func() { _ = sink.store.Close() }() // nothing was written
	}
	named := map[string]bool{}
	for d, err := range cp.Catalog(ctx, sub.CounterParty, management.Query{PageSize: pageSize}) {
		if err != nil {
			return fmt.Errorf("catalog of %s: %w", sub.CounterParty.ID, err)
		}
		s, ok := known[d.ID]
		if !ok {
			continue
		}
		delete(known, d.ID)
		s.Version, s.Size = strings.ToLower(text(d.Properties, "sha256")), -1
		name := text(d.Properties, "name")
		usable := name != "" && objectstore.CheckKey(name) == nil && !named[name]
		if usable {
			named[name] = true
		}
		switch {
		case s.State == gatewayapi.SupplyNegotiating && !usable:
			rep.lose("dataset %s: a negotiation is under way, but its name at the sink can't be told", d.ID)
			continue
		case s.State == gatewayapi.SupplyNegotiating:
			s.Name = name
		case usable && sink.has(ctx, name, s.Version):
			s.State, s.Name, s.DeliveredVersion, s.LastError = gatewayapi.SupplyDelivered, name, s.Version, ""
		}
		if err := r.write(ctx, t, sub, d.ID, s, rep); err != nil {
			return err
		}
	}
	for id, s := range known { // not on offer now; if it is again, the agreement serves
		if s.State == gatewayapi.SupplyFailed {
			if err := r.write(ctx, t, sub, id, s, rep); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Rebuilder) write(ctx context.Context, t *tenant.Tenant, sub tenant.Subscription, dataset string, s gatewayapi.Supply, rep *report) error {
	s.ID, s.Subscription, s.CounterPartyID, s.DatasetID = gatewayapi.SupplyID(sub.Name, dataset), sub.Name, sub.CounterParty.ID, dataset
	s.UpdatedAt = now()
	// Ids of transfers follow from it: the time is more than any sequence that was used before.
	s.Sequence = int(min(s.UpdatedAt.Unix(), math.MaxInt32))
	made, err := r.create(ctx, t, gatewayapi.KindSupply, s.ID, &s)
	if err != nil {
		return err
	}
	if !made {
		rep.add("supplies that were there")
		return nil
	}
	switch s.State {
	case gatewayapi.SupplyDelivered:
		rep.add("supplies brought back, delivered: the sink holds the version on offer")
	case gatewayapi.SupplyNegotiating:
		rep.add("supplies brought back, negotiating")
	default:
		rep.add("supplies brought back, to be delivered (again): their agreement serves")
	}
	return nil
}

// sinkStore is the sink of a subscription.
type sinkStore struct {
	store  objectstore.Store
	prefix string
}

func (r *Rebuilder) sink(ctx context.Context, t *tenant.Tenant, sub tenant.Subscription) (*sinkStore, error) {
	if r.Options.SkipSinks {
		return nil, nil
	}
	s, ok := t.Sink(sub.Sink)
	if !ok {
		return nil, nil
	}
	b, ok := t.Bucket(s.Bucket)
	if !ok {
		return nil, nil
	}
	store, err := r.Open(ctx, b)
	if err != nil {
		return nil, err
	}
	return &sinkStore{store, s.Prefix}, nil
}

// has tells whether the sink holds an object of this digest. It reads the object: nothing else is proof. What can't be read is
// delivered again.
func (s *sinkStore) has(ctx context.Context, name, digest string) bool {
	if s == nil || len(digest) != sha256.Size*2 {
		return false
	}
	body, _, err := s.store.Open(ctx, s.prefix+name, "", 0, -1)
	if err != nil {
		return false
	}
	defer func() { _ = body.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, body); err != nil {
		return false
	}
	return hex.EncodeToString(h.Sum(nil)) == digest
}

// text is a property that is a string.
func text(properties map[string]any, name string) string {
	s, _ := properties[name].(string)
	return s
}
