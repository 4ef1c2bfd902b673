package rebuild

import (
	"context"
	"fmt"

	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// decisions has the approver decide on the agreements of live provider transfers: a resume, unlike a start, does not ask.
func (r *Rebuilder) decisions(ctx context.Context, t *tenant.Tenant, cp ControlPlane, agreements map[string]agreementView, rep *report) error {
	asked := map[string]bool{}
	for tp, err := range cp.QueryTransfers(ctx, management.Query{PageSize: pageSize}) {
		if err != nil {
			return fmt.Errorf("transfers: %w", err)
		}
		if tp.Type != string(dps.Provider) || stateOf(tp) == "" || asked[tp.ContractID] {
			continue
		}
		asked[tp.ContractID] = true
		_, err := r.Records.Get(ctx, t.ParticipantContextID, gatewayapi.KindDecision, gatewayapi.AgreementRecordID(tp.ContractID))
		if err == nil {
			rep.add("decisions that were there")
			continue
		}
		if !problem.Is(err, problem.NotFound) {
			return err
		}
		d, err := r.Decider.Decide(ctx, gatewayapi.DecideRequest{
			ParticipantContextID: t.ParticipantContextID, AgreementID: tp.ContractID, DatasetID: tp.AssetID, CounterPartyID: agreements[tp.ContractID].consumer,
		})
		switch {
		case err != nil:
			rep.lose("decision on agreement %s: %v", tp.ContractID, err)
		case d.Verdict == gatewayapi.Review:
			rep.lose("decision on agreement %s: a person must give the verdict again", tp.ContractID)
		default:
			rep.add("decisions made again, " + string(d.Verdict))
		}
	}
	return nil
}
