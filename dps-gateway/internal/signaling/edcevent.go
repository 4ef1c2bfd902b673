package signaling

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// Limits of what is taken over from an event, in bytes.
const (
	maxID     = 512
	maxReason = 1000
	maxOffers = 64
)

// The events of EDC that are of interest, by the last part of their Java class names.
const (
	edcNegotiationRequested  = "ContractNegotiationRequested"
	edcNegotiationFinalized  = "ContractNegotiationFinalized"
	edcNegotiationTerminated = "ContractNegotiationTerminated"
	edcTransferTerminated    = "TransferProcessTerminated"
)

// edcEvent is an event of EDC, whichever way it came.
type edcEvent struct {
	id      string
	class   string
	at      time.Time
	payload json.RawMessage
}

// wire is a CloudEvent in structured mode or the envelope of a callback: their members don't clash.
type wire struct {
	ID          string          `json:"id"`
	Type        string          `json:"type"`
	SpecVersion string          `json:"specversion"`
	Time        string          `json:"time"`
	Data        json.RawMessage `json:"data"`
	At          json.Number     `json:"at"` // ms since 1970
	Payload     json.RawMessage `json:"payload"`
}

// decodeEvent reads an event that came as a CloudEvent in binary mode (type is a Java class, the body is the payload), in
// structured mode, or in the envelope of EDC's callbacks (type is a short class name).
func decodeEvent(h http.Header, body []byte) (*edcEvent, error) {
	e := &edcEvent{}
	if h.Get("Ce-Specversion") != "" || h.Get("Ce-Type") != "" {
		e.id, e.class, e.payload = h.Get("Ce-Id"), h.Get("Ce-Type"), body
		e.at = parseTime(h.Get("Ce-Time"))
	} else {
		var w wire
		if err := json.Unmarshal(body, &w); err != nil {
			return nil, problem.Wrap(problem.Invalid, err, "the body is no event: a CloudEvent or an object with id, type and payload is expected")
		}
		e.id, e.class, e.payload = w.ID, w.Type, w.Payload
		if w.SpecVersion != "" {
			e.payload, e.at = w.Data, parseTime(w.Time)
		} else if ms, err := w.At.Int64(); err == nil && ms > 0 {
			e.at = time.UnixMilli(ms).UTC()
		}
	}
	e.class = e.class[strings.LastIndexByte(e.class, '.')+1:]
	if e.at.IsZero() || e.at.Year() > 9999 {
		e.at = time.Now().UTC()
	}
	switch {
	case !goodID(e.id):
		return nil, problem.Field("id", "is missing or no id")
	case !goodID(e.class):
		return nil, problem.Field("type", "is missing or no type")
	}
	return e, nil
}

func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// edcOffer is a contract offer in EDC's own form.
type edcOffer struct {
	ID      string         `json:"id"`
	AssetID string         `json:"assetId"`
	Policy  map[string]any `json:"policy"`
}

// edcNegotiation is the payload of a negotiation event. It doesn't say which side the tenant is on.
type edcNegotiation struct {
	ContractNegotiationID string     `json:"contractNegotiationId"`
	CounterPartyID        string     `json:"counterPartyId"`
	CounterPartyAddress   string     `json:"counterPartyAddress"`
	ParticipantContextID  string     `json:"participantContextId"`
	ContractOffers        []edcOffer `json:"contractOffers"`
	LastContractOffer     *edcOffer  `json:"lastContractOffer"`
	ContractAgreement     *struct {
		ID      string `json:"id"`
		AssetID string `json:"assetId"`
	} `json:"contractAgreement"`
	Reason json.RawMessage `json:"reason"`
}

// edcTransfer is the payload of a transfer event. Its data address, which may hold a token, is never read.
type edcTransfer struct {
	TransferProcessID    string          `json:"transferProcessId"`
	AssetID              string          `json:"assetId"`
	ContractID           string          `json:"contractId"`
	ParticipantContextID string          `json:"participantContextId"`
	Reason               json.RawMessage `json:"reason"`
}

// translated is an event of the catalogue in the making.
type translated struct {
	pc, eventType, subject string
	data                   any
}

// translate makes an event of the catalogue; nil if the event is of no interest. It takes over ids and reasons only: no data
// address, no policy, no claim.
func (e *edcEvent) translate() (*translated, error) {
	switch e.class {
	case edcNegotiationRequested, edcNegotiationFinalized, edcNegotiationTerminated:
		n, err := e.negotiation()
		if err != nil {
			return nil, err
		}
		data := catalogue.Negotiation{
			NegotiationID: n.ContractNegotiationID, CounterPartyID: n.CounterPartyID, CounterPartyAddress: n.CounterPartyAddress,
			DatasetID: n.dataset(), Reason: reasonOf(n.Reason),
		}
		if n.ContractAgreement != nil {
			data.AgreementID = n.ContractAgreement.ID
		}
		return &translated{n.ParticipantContextID, map[string]string{
			edcNegotiationRequested: catalogue.NegotiationRequested, edcNegotiationFinalized: catalogue.NegotiationFinalized,
			edcNegotiationTerminated: catalogue.NegotiationTerminated,
		}[e.class], n.ContractNegotiationID, data}, nil
	case edcTransferTerminated:
		var t edcTransfer
		if err := json.Unmarshal(e.payload, &t); err != nil {
			return nil, problem.Wrap(problem.Invalid, err, "the payload is no transfer event")
		}
		for field, id := range map[string]string{"participantContextId": t.ParticipantContextID, "transferProcessId": t.TransferProcessID} {
			if !goodID(id) {
				return nil, problem.Field("payload."+field, "is missing or no id")
			}
		}
		if !within(t.AssetID, t.ContractID) {
			return nil, problem.Field("payload", "holds an id of more than %d bytes", maxID)
		}
		return &translated{t.ParticipantContextID, catalogue.TransferTerminated, t.TransferProcessID, catalogue.Transfer{
			TransferProcessID: t.TransferProcessID, DatasetID: t.AssetID, AgreementID: t.ContractID, Reason: reasonOf(t.Reason),
		}}, nil
	}
	return nil, nil
}

// vetoRequest makes the question to the approver; nil if the event is of no interest.
func (e *edcEvent) vetoRequest() (*gatewayapi.VetoRequest, error) {
	if e.class != edcNegotiationRequested {
		return nil, nil
	}
	n, err := e.negotiation()
	if err != nil {
		return nil, err
	}
	req := &gatewayapi.VetoRequest{
		ParticipantContextID: n.ParticipantContextID, NegotiationID: n.ContractNegotiationID, CounterPartyID: n.CounterPartyID,
		CounterPartyAddress: n.CounterPartyAddress, Offers: []gatewayapi.VetoOffer{},
	}
	offers := n.ContractOffers
	if len(offers) == 0 && n.LastContractOffer != nil {
		offers = []edcOffer{*n.LastContractOffer}
	}
	for _, o := range offers {
		req.Offers = append(req.Offers, gatewayapi.VetoOffer{ID: o.ID, AssetID: o.AssetID, Policy: o.Policy})
	}
	return req, nil
}

func (e *edcEvent) negotiation() (*edcNegotiation, error) {
	var n edcNegotiation
	if err := json.Unmarshal(e.payload, &n); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "the payload is no negotiation event")
	}
	for field, id := range map[string]string{
		"participantContextId": n.ParticipantContextID, "contractNegotiationId": n.ContractNegotiationID, "counterPartyId": n.CounterPartyID,
	} {
		if !goodID(id) {
			return nil, problem.Field("payload."+field, "is missing or no id")
		}
	}
	if len(n.ContractOffers) > maxOffers {
		return nil, problem.Field("payload.contractOffers", "holds %d offers, at most %d are taken", len(n.ContractOffers), maxOffers)
	}
	ids := []string{n.dataset(), n.CounterPartyAddress}
	for _, o := range n.ContractOffers {
		ids = append(ids, o.ID, o.AssetID)
	}
	if n.ContractAgreement != nil {
		ids = append(ids, n.ContractAgreement.ID)
	}
	if !within(ids...) {
		return nil, problem.Field("payload", "holds an id of more than %d bytes", maxID)
	}
	return &n, nil
}

func (n *edcNegotiation) dataset() string {
	switch {
	case n.ContractAgreement != nil && n.ContractAgreement.AssetID != "":
		return n.ContractAgreement.AssetID
	case n.LastContractOffer != nil:
		return n.LastContractOffer.AssetID
	case len(n.ContractOffers) > 0:
		return n.ContractOffers[len(n.ContractOffers)-1].AssetID
	}
	return ""
}

func goodID(s string) bool { return strings.TrimSpace(s) != "" && within(s) }

func within(ids ...string) bool {
	for _, s := range ids {
		if len(s) > maxID || !utf8.ValidString(s) {
			return false
		}
	}
	return true
}

// reasonOf reads a reason: EDC gives a string, or what JSON-LD made of the counterparty's: {"@value": …}, or a list of these.
func reasonOf(raw json.RawMessage) string {
	var v any
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil {
		return ""
	}
	s := plainText(v, 0)
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "")
	}
	return s
}

func plainText(v any, depth int) string {
	switch v := v.(type) {
	case string:
		return v
	case map[string]any:
		if depth < 2 {
			return plainText(v["@value"], depth+1)
		}
	case []any:
		var parts []string
		for _, item := range v[:min(len(v), maxOffers)] {
			if s := plainText(item, depth+1); s != "" && depth < 2 {
				parts = append(parts, s)
			}
		}
		return strings.Join(parts, "; ")
	}
	return ""
}
