package main

import (
	"context"
	"strconv"
	"time"

	"github.com/tidegate/tidegate/functions/publishing"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
)

// propertyOffer is the private property of an asset by which a rule's contract definition selects it, expanded, as EDC wants
// it in a selector.
const propertyOffer = "privateProperties.'https://w3id.org/edc/v0.0.1/ns/tidegateOffer'"

// withdrawn is the value of tidegateOffer that no contract definition selects.
const withdrawn = "withdrawn"

// controlPlane is what the publisher needs of the Management API; *management.Client has it.
type controlPlane interface {
	CreateAsset(ctx context.Context, a *management.Asset) error
	UpdateAsset(ctx context.Context, a *management.Asset) error
	GetAsset(ctx context.Context, id string) (*management.Asset, error)
	DeleteAsset(ctx context.Context, id string) error
	CreatePolicy(ctx context.Context, p *management.PolicyDefinition) error
	UpdatePolicy(ctx context.Context, p *management.PolicyDefinition) error
	GetPolicy(ctx context.Context, id string) (*management.PolicyDefinition, error)
	CreateContractDefinition(ctx context.Context, d *management.ContractDefinition) error
	UpdateContractDefinition(ctx context.Context, d *management.ContractDefinition) error
	GetContractDefinition(ctx context.Context, id string) (*management.ContractDefinition, error)
}

// offer makes sure of the policies, the contract definition and the asset of the job's object, in this order: the catalog
// never shows an asset whose terms are not there.
func (j *job) offer(ctx context.Context) error {
	cp, err := j.controlPlane(j.tenant)
	if err != nil {
		return err
	}
	access, contract, err := publishing.Policies(j.tenant, j.rule)
	if err != nil {
		return err
	}
	ids := publishing.IDsOf(j.tenant.ParticipantContextID, j.rule)
	for _, p := range []*management.PolicyDefinition{{ID: ids.AccessPolicy, Policy: access}, {ID: ids.ContractPolicy, Policy: contract}} {
		if err := ensurePolicy(ctx, cp, p); err != nil {
			return err
		}
	}
	if err := ensureContractDefinition(ctx, cp, &management.ContractDefinition{
		ID: ids.ContractDefinition, AccessPolicyID: ids.AccessPolicy, ContractPolicyID: ids.ContractPolicy,
		AssetsSelector: []management.Criterion{{OperandLeft: propertyOffer, Operator: "=", OperandRight: ids.ContractDefinition}},
	}); err != nil {
		return err
	}
	return ensureAsset(ctx, cp, j.asset(ids))
}

// asset is the asset of the job's record. Every value is a string: JSON-LD numbers come back from EDC as doubles.
func (j *job) asset(ids publishing.IDs) *management.Asset {
	r := j.record
	properties := map[string]any{}
	for k, v := range publishing.Metadata(j.rule, r.Key) {
		properties[k] = v
	}
	for k, v := range map[string]string{
		"name": r.Key, "contenttype": r.ContentType, "size": strconv.FormatInt(r.Size, 10),
		"sha256": r.SHA256, "modified": r.Modified.UTC().Format(time.RFC3339Nano),
	} {
		properties[k] = v
	}
	private := map[string]any{"tidegateOffer": ids.ContractDefinition, "bucket": r.Bucket, "objectKey": r.Key}
	for k := range private {
		delete(properties, k) // EDC refuses an asset whose public and private properties share a name
	}
	return &management.Asset{
		ID: r.ID, Properties: properties, PrivateProperties: private,
		DataplaneMetadata: &management.DataplaneMetadata{Profiles: []string{dps.ProfileHTTPPull}},
	}
}

func ensurePolicy(ctx context.Context, cp controlPlane, want *management.PolicyDefinition) error {
	err := cp.CreatePolicy(ctx, want)
	if !problem.Is(err, problem.Conflict) {
		return err
	}
	have, err := cp.GetPolicy(ctx, want.ID)
	if err != nil {
		return passing(err)
	}
	if equivalent(have.Policy, want.Policy) {
		return nil
	}
	return passing(cp.UpdatePolicy(ctx, want))
}

func ensureContractDefinition(ctx context.Context, cp controlPlane, want *management.ContractDefinition) error {
	err := cp.CreateContractDefinition(ctx, want)
	if !problem.Is(err, problem.Conflict) {
		return err
	}
	have, err := cp.GetContractDefinition(ctx, want.ID)
	if err != nil {
		return passing(err)
	}
	if have.AccessPolicyID == want.AccessPolicyID && have.ContractPolicyID == want.ContractPolicyID &&
		equivalent(have.AssetsSelector, want.AssetsSelector) {
		return nil
	}
	return passing(cp.UpdateContractDefinition(ctx, want))
}

func ensureAsset(ctx context.Context, cp controlPlane, want *management.Asset) error {
	err := cp.CreateAsset(ctx, want)
	if !problem.Is(err, problem.Conflict) {
		return err
	}
	have, err := cp.GetAsset(ctx, want.ID)
	if err != nil {
		return passing(err)
	}
	if equivalent(have.Properties, want.Properties) && equivalent(have.PrivateProperties, want.PrivateProperties) &&
		have.DataplaneMetadata != nil && equivalent(have.DataplaneMetadata.Profiles, want.DataplaneMetadata.Profiles) {
		return nil
	}
	return passing(cp.UpdateAsset(ctx, want))
}

// withdrawAsset removes an asset. One that an agreement refers to can't be removed: it is taken out of its offer.
func withdrawAsset(ctx context.Context, cp controlPlane, id string) error {
	err := cp.DeleteAsset(ctx, id)
	if err == nil || problem.Is(err, problem.NotFound) {
		return nil
	}
	if !problem.Is(err, problem.Conflict) {
		return err
	}
	have, err := cp.GetAsset(ctx, id)
	if problem.Is(err, problem.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	private := map[string]any{}
	for k, v := range have.PrivateProperties {
		private[local(k)] = v
	}
	if private["tidegateOffer"] == withdrawn {
		return nil
	}
	private["tidegateOffer"] = withdrawn
	have.PrivateProperties = private
	return passing(cp.UpdateAsset(ctx, have))
}

// passing turns "not found" into a passing failure: what existed a moment ago was removed by another invocation, and the
// next delivery makes it anew.
func passing(err error) error {
	if problem.Is(err, problem.NotFound) {
		return busy("an object at the control plane was removed meanwhile")
	}
	return err
}
