package management

import (
	"context"
	"flag"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/shared/dps"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden is one call: what it is answered with, and in testdata/calls what it sends and what it returns.
type golden struct {
	status int
	answer string // of testdata/answers; "" = no body
	call   func(context.Context, *Client) (any, error)
}

func nothing(err error) (any, error) { return nil, err }

func all[T any](seq iter.Seq2[*T, error]) (any, error) {
	var out []*T
	for v, err := range seq {
		if err != nil {
			return out, err
		}
		out = append(out, v)
	}
	return out, nil
}

var goldens = map[string]golden{
	"create-asset": {200, "id-asset", func(ctx context.Context, c *Client) (any, error) {
		return nothing(c.CreateAsset(ctx, &Asset{
			ID: "asset-1", Properties: map[string]any{"name": "weather"}, PrivateProperties: map[string]any{"bucket": "outbox"},
			DataplaneMetadata: &DataplaneMetadata{Labels: []string{"l1"}, Profiles: []string{dps.ProfileHTTPPull}, Properties: map[string]any{"path": "/weather"}},
		}))
	}},
	"create-empty-asset": {200, "id-asset", func(ctx context.Context, c *Client) (any, error) {
		return nothing(c.CreateAsset(ctx, &Asset{ID: "asset-1"}))
	}},
	"update-asset": {204, "", func(ctx context.Context, c *Client) (any, error) {
		return nothing(c.UpdateAsset(ctx, &Asset{ID: "asset-1", Properties: map[string]any{"name": "renamed"}}))
	}},
	"get-asset":    {200, "asset", func(ctx context.Context, c *Client) (any, error) { return c.GetAsset(ctx, "asset-1") }},
	"delete-asset": {204, "", func(ctx context.Context, c *Client) (any, error) { return nothing(c.DeleteAsset(ctx, "a/b c?d")) }},
	"query-assets": {200, "assets", func(ctx context.Context, c *Client) (any, error) {
		return all(c.QueryAssets(ctx, Query{PageSize: 2, SortField: "createdAt", Desc: true, Filter: []Criterion{
			{OperandLeft: "https://w3id.org/edc/v0.0.1/ns/name", Operator: "=", OperandRight: "weather"},
		}}))
	}},
	"create-policy": {200, "id-policy", func(ctx context.Context, c *Client) (any, error) {
		return nothing(c.CreatePolicy(ctx, &PolicyDefinition{ID: "pol-1", Policy: map[string]any{
			"permission": []any{map[string]any{"action": "use"}}, "prohibition": []any{}, "obligation": nil,
		}}))
	}},
	"create-open-policy": {200, "id-policy", func(ctx context.Context, c *Client) (any, error) {
		return nothing(c.CreatePolicy(ctx, &PolicyDefinition{ID: "pol-1"}))
	}},
	"update-policy": {204, "", func(ctx context.Context, c *Client) (any, error) {
		return nothing(c.UpdatePolicy(ctx, &PolicyDefinition{ID: "pol-1", Policy: map[string]any{"@type": "Set"}}))
	}},
	"get-policy":    {200, "policy", func(ctx context.Context, c *Client) (any, error) { return c.GetPolicy(ctx, "pol-1") }},
	"delete-policy": {204, "", func(ctx context.Context, c *Client) (any, error) { return nothing(c.DeletePolicy(ctx, "pol-1")) }},
	"create-contract-definition": {200, "id-definition", func(ctx context.Context, c *Client) (any, error) {
		return nothing(c.CreateContractDefinition(ctx, definition()))
	}},
	"update-contract-definition": {204, "", func(ctx context.Context, c *Client) (any, error) {
		return nothing(c.UpdateContractDefinition(ctx, definition()))
	}},
	"get-contract-definition": {200, "definition", func(ctx context.Context, c *Client) (any, error) {
		return c.GetContractDefinition(ctx, "cd-1")
	}},
	"delete-contract-definition": {204, "", func(ctx context.Context, c *Client) (any, error) {
		return nothing(c.DeleteContractDefinition(ctx, "cd-1"))
	}},
	"query-contract-definitions": {200, "definitions", func(ctx context.Context, c *Client) (any, error) {
		return all(c.QueryContractDefinitions(ctx, Query{}))
	}},
	"catalog": {200, "catalog", func(ctx context.Context, c *Client) (any, error) {
		return all(c.Catalog(ctx, counterParty, Query{}))
	}},
	"dataset": {200, "dataset", func(ctx context.Context, c *Client) (any, error) {
		return c.Dataset(ctx, counterParty, "asset-1")
	}},
	"start-negotiation": {200, "id-negotiation", func(ctx context.Context, c *Client) (any, error) {
		return c.StartNegotiation(ctx, counterParty, &Offer{ID: "Y2QtMQ==:YXNzZXQtMQ==:ZGU", DatasetID: "asset-1", Policy: map[string]any{
			"permission": []any{map[string]any{"action": "use", "constraint": []any{map[string]any{
				"leftOperand": "https://example.com/approvedParticipant", "operator": "eq", "rightOperand": "consumer-id",
			}}}}, "prohibition": []any{},
		}})
	}},
	"get-negotiation": {200, "negotiation", func(ctx context.Context, c *Client) (any, error) { return c.GetNegotiation(ctx, "n-1") }},
	"query-negotiations": {200, "negotiations", func(ctx context.Context, c *Client) (any, error) {
		return all(c.QueryNegotiations(ctx, Query{Filter: []Criterion{{OperandLeft: "correlationId", Operator: "=", OperandRight: "n-2"}}}))
	}},
	"negotiation-agreement": {200, "agreement", func(ctx context.Context, c *Client) (any, error) { return c.NegotiationAgreement(ctx, "n-1") }},
	"terminate-negotiation": {204, "", func(ctx context.Context, c *Client) (any, error) {
		return nothing(c.TerminateNegotiation(ctx, "n-1", "rejected by a person"))
	}},
	"get-agreement":         {200, "agreement", func(ctx context.Context, c *Client) (any, error) { return c.GetAgreement(ctx, "a-1") }},
	"query-agreements":      {200, "agreements", func(ctx context.Context, c *Client) (any, error) { return all(c.QueryAgreements(ctx, Query{})) }},
	"agreement-negotiation": {200, "negotiation", func(ctx context.Context, c *Client) (any, error) { return c.AgreementNegotiation(ctx, "a-1") }},
	"start-transfer": {200, "id-transfer", func(ctx context.Context, c *Client) (any, error) {
		return c.StartTransfer(ctx, "provider-t1", counterParty, "a-1", "http-pull")
	}},
	"start-transfer-without-id": {200, "id-transfer", func(ctx context.Context, c *Client) (any, error) {
		return c.StartTransfer(ctx, "", counterParty, "a-1", "http-pull")
	}},
	"get-transfer":    {200, "transfer", func(ctx context.Context, c *Client) (any, error) { return c.GetTransfer(ctx, "provider-t1") }},
	"query-transfers": {200, "transfers", func(ctx context.Context, c *Client) (any, error) { return all(c.QueryTransfers(ctx, Query{})) }},
	"terminate-transfer": {204, "", func(ctx context.Context, c *Client) (any, error) {
		return nothing(c.TerminateTransfer(ctx, "provider-t1", "because"))
	}},
	"suspend-transfer": {204, "", func(ctx context.Context, c *Client) (any, error) {
		return nothing(c.SuspendTransfer(ctx, "provider-t1", "test"))
	}},
	"resume-transfer": {204, "", func(ctx context.Context, c *Client) (any, error) {
		return nothing(c.ResumeTransfer(ctx, "provider-t1"))
	}},
	"register-data-plane": {200, "", func(ctx context.Context, c *Client) (any, error) {
		return nothing(c.RegisterDataPlane(ctx, &dps.DataPlaneRegistrationMessage{
			DataplaneID: "dp-provider", Endpoint: "http://dp.example/dp/provider/dataflows", Profiles: []string{"http-pull", "http-push"}, Labels: []string{"l1"},
			Authorization: &dps.Authorization{Type: "oauth2_client_credentials", TokenEndpoint: "http://idp.example/token", ClientID: "cp-provider", ClientSecret: "s3cret"},
		}))
	}},
	"delete-data-plane": {200, "", func(ctx context.Context, c *Client) (any, error) {
		return nothing(c.DeleteDataPlane(ctx, "dp-provider"))
	}},
}

func definition() *ContractDefinition {
	return &ContractDefinition{ID: "cd-1", AccessPolicyID: "pol-1", ContractPolicyID: "pol-2", AssetsSelector: []Criterion{
		{OperandLeft: "privateProperties.'https://w3id.org/edc/v0.0.1/ns/tidegateOffer'", Operator: "=", OperandRight: "provider-all"},
	}}
}

func TestEachCallSendsAndReadsWhatTheControlPlaneDoes(t *testing.T) {
	for name, g := range goldens {
		t.Run(name, func(t *testing.T) {
			body := ""
			if g.answer != "" {
				body = recorded(t, g.answer)
			}
			cp := serve(t, answer{status: g.status, body: body})
			c, _ := cp.client(t)
			result, err := g.call(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, rq := range cp.seen() {
				if rq.Authorization != "Bearer token-0" {
					t.Errorf("authorization = %q", rq.Authorization)
				}
				if (len(rq.Body) > 0) != (rq.ContentType == "application/json") {
					t.Errorf("content type %q of a body of %d bytes", rq.ContentType, len(rq.Body))
				}
				got.WriteString(rq.Line + "\n" + indent(t, rq.Body))
			}
			got.WriteString("\nreturns\n" + indent(t, result))
			compare(t, filepath.Join("testdata", "calls", name+".golden"), got.String())
		})
	}
}

func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
