package flowstore

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// headOf is what a flow is made of for as long as it is there, and what every event of it tells: a line each, in the order of
// outbox.DecodeFlow.
func headOf(f *Flow) (string, error) {
	h := strings.Join([]string{string(f.Role), string(f.Direction), f.Profile, f.CounterPartyID, f.AgreementID, f.DatasetID, f.Hook}, "\n")
	if strings.Count(h, "\n") != headLines-1 {
		return "", problem.Field("processId", "names a profile, counterparty, agreement, dataset or hook with a line break, which can't be stored")
	}
	return h, nil
}

const headLines = 7

// readHead puts a head back into a flow.
func readHead(h string, f *gatewayapi.Flow) bool {
	p := strings.SplitN(h, "\n", headLines)
	if len(p) != headLines {
		return false
	}
	f.Role, f.Direction, f.Profile, f.CounterPartyID, f.AgreementID, f.DatasetID, f.Hook = dps.Role(p[0]), dps.Direction(p[1]), p[2], p[3], p[4], p[5], p[6]
	return true
}

// more is what only reads of a whole flow need, in JSON.
type more struct {
	ParticipantID    string         `json:"pid,omitempty"`
	DataspaceContext string         `json:"dsc,omitempty"`
	Claims           map[string]any `json:"claims,omitempty"`
	Labels           []string       `json:"labels,omitempty"`
	Metadata         map[string]any `json:"meta,omitempty"`
	Promised         bool           `json:"async,omitempty"`
	Within           int64          `json:"within,omitempty"` // ms
	Created          int64          `json:"cre"`              // ms since 1970
}

func moreOf(f *Flow, now time.Time) ([]byte, error) {
	b, err := json.Marshal(more{
		ParticipantID: f.ParticipantID, DataspaceContext: f.DataspaceContext,
		Claims: f.Claims, Labels: f.Labels, Metadata: f.Metadata, Promised: f.Promised, Within: f.ReportWithin.Milliseconds(), Created: now.UnixMilli(),
	})
	if err != nil {
		return nil, problem.Field("claims", "or labels or metadata can't be stored: %w", err)
	}
	return b, nil
}

// step is the last transition of a flow: "<revision> <ms since 1970> <signal> <fingerprint>\n<reason>". Only the script writes it.
type step struct {
	revision, at int64
	reason       string
}

func readStep(s string) step {
	head, reason, _ := strings.Cut(s, "\n")
	rev, rest, _ := strings.Cut(head, " ")
	at, _, _ := strings.Cut(rest, " ")
	return step{number(rev), number(at), reason}
}

// number reads a whole number; 0 if it is none.
func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
