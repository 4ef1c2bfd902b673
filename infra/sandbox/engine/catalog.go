package engine

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/tidegate/tidegate/infra/sandbox/model"
	"github.com/tidegate/tidegate/infra/sandbox/policy"
	"github.com/tidegate/tidegate/infra/sandbox/query"
	"github.com/tidegate/tidegate/infra/sandbox/store"
)

// Catalog answers the counterparty's catalog as DSP 2025/1 has it, filtered by its access policies and by a query over the
// assets.
func (e *Engine) Catalog(pc, profile, address string, q query.Spec) (map[string]any, *FaultError) {
	var doc map[string]any
	var fault *FaultError
	e.Store.View(func(tx *store.Tx) {
		self := e.Store.Participants.Get(tx, pc)
		if fault = checkProfile(self, profile); fault != nil {
			return
		}
		provider, derr := e.resolve(tx, address, "/catalog/request", catalogError)
		if derr != nil {
			fault = BadGateway(derr.Error())
			return
		}
		datasets := []any{}
		for _, a := range query.Apply(q, e.ownAssets(tx, provider.ID), query.Asset) {
			if d := e.dataset(tx, provider, self, a); d != nil {
				datasets = append(datasets, d)
			}
		}
		doc = map[string]any{
			"@id": uuid.NewString(), "@type": "Catalog", "dataset": datasets, "service": []any{e.dataService(provider.ID)},
			"participantId": provider.Identity, "@context": dspContext,
		}
	})
	return doc, fault
}

// Dataset answers one dataset of the counterparty's catalog.
func (e *Engine) Dataset(pc, profile, address, id string) (map[string]any, *FaultError) {
	var doc map[string]any
	var fault *FaultError
	e.Store.View(func(tx *store.Tx) {
		self := e.Store.Participants.Get(tx, pc)
		if fault = checkProfile(self, profile); fault != nil {
			return
		}
		path := "/catalog/datasets/" + id
		provider, derr := e.resolve(tx, address, path, catalogError)
		if derr != nil {
			fault = BadGateway(derr.Error())
			return
		}
		a := e.Store.Assets.Get(tx, id)
		if a != nil && a.ParticipantContextID == provider.ID {
			doc = e.dataset(tx, provider, self, a)
		}
		if doc == nil {
			fault = BadGateway((&dspError{code: 404, kind: catalogError, reason: "Dataset " + id + " does not exist", url: address + path}).Error())
			return
		}
		doc["@context"] = dspContext
	})
	return doc, fault
}

func (e *Engine) ownAssets(tx *store.Tx, pc string) []*model.Asset {
	var out []*model.Asset
	for _, a := range e.Store.Assets.All(tx) {
		if a.ParticipantContextID == pc {
			out = append(out, a)
		}
	}
	return out
}

// dataset describes an asset with the offers that the counterparty may see; nil if there is none.
func (e *Engine) dataset(tx *store.Tx, provider, consumer *model.Participant, a *model.Asset) map[string]any {
	offers := []any{}
	for _, cd := range e.Store.ContractDefinitions.All(tx) {
		if cd.ParticipantContextID != provider.ID || !query.Matches(cd.AssetsSelector, a, query.Asset) {
			continue
		}
		contract := e.Store.Policies.Get(tx, cd.ContractPolicyID)
		if contract == nil || e.access(tx, cd, consumer) != "" {
			continue
		}
		offer := policy.Members(contract.Policy)
		offer["@id"] = offerID(cd.ID, a.ID)
		offer["@type"] = "Offer"
		offers = append(offers, offer)
	}
	if len(offers) == 0 {
		return nil
	}
	d := map[string]any{"@id": a.ID, "@type": "Dataset", "hasPolicy": offers, "distribution": e.distributions(tx, provider.ID, a)}
	for k, v := range a.Properties {
		d[catalogKey(k)] = v
	}
	return d
}

// access evaluates the access policy of a contract definition; "" lets the consumer see it.
func (e *Engine) access(tx *store.Tx, cd *model.ContractDefinition, consumer *model.Participant) string {
	p := e.Store.Policies.Get(tx, cd.AccessPolicyID)
	if p == nil {
		return "access policy is missing"
	}
	return e.evaluate(tx, policy.ScopeCatalog, p.Policy, consumer)
}

func (e *Engine) evaluate(tx *store.Tx, scope string, p model.Policy, agent *model.Participant) string {
	return e.Policies.Evaluate(scope, p, policy.Agent{ID: agent.Identity, Claims: claimsOf(agent)}, func(left string) []*model.CELExpression {
		var out []*model.CELExpression
		for _, x := range e.Store.CELExpressions.All(tx) {
			if x.LeftOperand == left {
				out = append(out, x)
			}
		}
		return out
	})
}

// catalogKey shortens a property key as the DSP context does: id has a term, the rest of EDC's namespace a prefix.
func catalogKey(iri string) string {
	if iri == model.NS+"id" {
		return "id"
	}
	if short, ok := strings.CutPrefix(iri, model.NS); ok {
		return "edc:" + short
	}
	return iri
}

// distributions are the transfer types of the provider's data planes: all, or those of the planes that share a profile with
// the asset.
func (e *Engine) distributions(tx *store.Tx, pc string, a *model.Asset) []any {
	var formats []string
	for _, p := range e.Store.DataPlanes.All(tx) {
		if p.ParticipantContextID != pc {
			continue
		}
		if md := a.DataplaneMetadata; md != nil && len(md.Profiles) > 0 &&
			!slices.ContainsFunc(md.Profiles, func(s string) bool { return slices.Contains(p.TransferTypes, s) }) {
			continue
		}
		formats = append(formats, p.TransferTypes...)
	}
	slices.Sort(formats)
	out := []any{}
	for _, f := range slices.Compact(formats) {
		out = append(out, map[string]any{"@type": "Distribution", "format": f, "accessService": e.dataService(pc)})
	}
	return out
}

func (e *Engine) dataService(pc string) map[string]any {
	return map[string]any{
		"@id": uuid.NewString(), "@type": "DataService", "endpointDescription": "dspace:connector", "endpointURL": e.ProtocolAddress(pc),
	}
}

// offerID is base64(contract definition):base64(asset):base64(uuid), new each time.
func offerID(cd, asset string) string {
	enc := base64.StdEncoding.EncodeToString
	return enc([]byte(cd)) + ":" + enc([]byte(asset)) + ":" + enc([]byte(uuid.NewString()))
}

// parseOfferID takes an offer id apart.
func parseOfferID(id string) (cd, asset string, ok bool) {
	parts := strings.Split(id, ":")
	if len(parts) != 3 {
		return "", "", false
	}
	a, err1 := base64.StdEncoding.DecodeString(parts[0])
	b, err2 := base64.StdEncoding.DecodeString(parts[1])
	return string(a), string(b), err1 == nil && err2 == nil
}
