package records

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

const (
	// MaxDocument bounds one record, in bytes.
	MaxDocument = 256 << 10
	// maxID bounds the id of a record, in bytes.
	maxID = 512
	// maxText bounds a member that is an id, a name or a sentence, in bytes.
	maxText = 4096
)

// record is a checked document, ready to be written.
type record struct {
	doc    []byte            // canonical JSON
	fields map[string]string // members of the hash beside doc and rev
	done   bool              // nobody needs it any more after the retention
}

// Kinds are the kinds of records there are.
func Kinds() []gatewayapi.Kind {
	return []gatewayapi.Kind{gatewayapi.KindDataset, gatewayapi.KindDecision, gatewayapi.KindSupply, gatewayapi.KindDelivery, gatewayapi.KindPush}
}

// checkID refuses ids that are empty, too long, or hold control characters.
func checkID(id string) error {
	if id == "" || len(id) > maxID || !utf8.ValidString(id) || strings.IndexFunc(id, unicode.IsControl) >= 0 {
		return problem.Field("id", "is not an id: 1 to %d bytes of UTF-8 without control characters are expected", maxID)
	}
	return nil
}

// parse decodes a document of a kind strictly: an unknown member, a wrong type, a missing or impossible value is an error
// that names the member.
func parse(kind gatewayapi.Kind, id string, body []byte) (*record, error) {
	switch kind {
	case gatewayapi.KindDataset:
		return parseAs(id, body, checkDataset)
	case gatewayapi.KindDecision:
		return parseAs(id, body, checkDecision)
	case gatewayapi.KindSupply:
		return parseAs(id, body, checkSupply)
	case gatewayapi.KindDelivery:
		return parseAs(id, body, checkDelivery)
	case gatewayapi.KindPush:
		return parseAs(id, body, checkPush)
	}
	return nil, problem.New(problem.NotFound, "there is no kind of record %q", kind)
}

func parseAs[T any](id string, body []byte, check func(doc *T, id string, c *checks, out *record)) (*record, error) {
	if len(body) > MaxDocument {
		return nil, problem.New(problem.TooLarge, "a record has at most %d bytes", MaxDocument)
	}
	var doc T
	if err := DecodeStrict(body, &doc); err != nil {
		return nil, err
	}
	var (
		c   checks
		out record
		err error
	)
	check(&doc, id, &c, &out)
	if c.err != nil {
		return nil, c.err
	}
	if out.doc, err = json.Marshal(doc); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "the document can't be stored")
	}
	return &out, nil
}

// DecodeStrict decodes one JSON document: an unknown member, a wrong type or trailing data is an error that names the member.
func DecodeStrict(body []byte, out any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(out); err != nil {
		if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && te.Field != "" {
			return problem.Field(te.Field, "is a %s; %s is expected", te.Value, te.Type)
		}
		// encoding/json has no type for this error: its text is all there is.
		if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return problem.Field(strings.Trim(name, `"`), "is not a member of this kind of record")
		}
		return problem.Wrap(problem.Invalid, err, "the body is not the JSON document that is expected")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return problem.New(problem.Invalid, "something follows the JSON document")
	}
	return nil
}

// checks collects the first thing that is wrong.
type checks struct{ err error }

func (c *checks) fail(field, format string, args ...any) {
	if c.err == nil {
		c.err = problem.Field(field, format, args...)
	}
}

func (c *checks) id(doc, path string) {
	if doc != path {
		c.fail("id", "is %q; the id of the path, %q, is expected", doc, path)
	}
}

func (c *checks) text(field, v string, required bool) {
	switch {
	case required && strings.TrimSpace(v) == "":
		c.fail(field, "is missing")
	case len(v) > maxText:
		c.fail(field, "has %d bytes; at most %d are expected", len(v), maxText)
	}
}

func (c *checks) atLeast(field string, v, least int64) {
	if v < least {
		c.fail(field, "is %d; %d or more is expected", v, least)
	}
}

func (c *checks) digest(field, v string, required bool) {
	if v == "" && !required {
		return
	}
	if len(v) != 64 || strings.Trim(v, "0123456789abcdef") != "" {
		c.fail(field, "is no SHA-256 digest: 64 lower-case hexadecimal digits are expected")
	}
}

func checkDataset(d *gatewayapi.Dataset, id string, c *checks, out *record) {
	c.id(d.ID, id)
	c.text("bucket", d.Bucket, true)
	c.text("key", d.Key, true)
	c.text("rule", d.Rule, false)
	c.atLeast("size", d.Size, 0)
	c.digest("sha256", d.SHA256, true)
	c.text("storeEtag", d.StoreETag, false)
	c.text("contentType", d.ContentType, false)
	c.text("accessPolicyId", d.AccessPolicyID, false)
	c.text("contractPolicyId", d.ContractPolicyID, false)
	c.text("contractDefinitionId", d.ContractDefinition, false)
	c.text("terms", d.Terms, false)
	c.digest("replaces", d.Replaces, false)
	c.text("causedBy", d.CausedBy, false)
	out.fields = map[string]string{"withdrawn": flag(d.Withdrawn), "sha256": d.SHA256}
}

func checkDecision(d *gatewayapi.Decision, id string, c *checks, out *record) {
	c.id(d.ID, id)
	c.text("negotiationId", d.NegotiationID, false)
	c.text("agreementId", d.AgreementID, false)
	c.text("datasetId", d.DatasetID, true)
	c.text("counterPartyId", d.CounterPartyID, true)
	switch d.Verdict {
	case gatewayapi.Approved, gatewayapi.Rejected, gatewayapi.Review:
	default:
		c.fail("verdict", "is %q; approved, rejected or review is expected", d.Verdict)
	}
	c.text("rule", d.Rule, true)
	c.text("reason", d.Reason, false)
	c.text("by", d.By, true)
	if d.Mode != "veto" && d.Mode != "watch" {
		c.fail("mode", "is %q; veto or watch is expected", d.Mode)
	}
	if d.DecidedAt.IsZero() {
		c.fail("decidedAt", "is missing")
	}
	if a, ok := strings.CutPrefix(id, gatewayapi.AgreementRecordID("")); ok && d.AgreementID != a {
		c.fail("agreementId", "is %q; the record's id says %q", d.AgreementID, a)
	}
	out.fields = map[string]string{
		"verdict": string(d.Verdict), "dataset": d.DatasetID, "counterparty": d.CounterPartyID, "reason": d.Reason,
	}
}

func checkSupply(s *gatewayapi.Supply, id string, c *checks, _ *record) {
	c.id(s.ID, id)
	c.text("subscription", s.Subscription, true)
	c.text("counterPartyId", s.CounterPartyID, true)
	c.text("datasetId", s.DatasetID, true)
	switch s.State {
	case gatewayapi.SupplyNegotiating, gatewayapi.SupplyAgreed, gatewayapi.SupplyTransferring, gatewayapi.SupplyDelivered, gatewayapi.SupplyFailed:
	default:
		c.fail("state", "is %q; negotiating, agreed, transferring, delivered or failed is expected", s.State)
	}
	c.text("version", s.Version, false)
	c.text("name", s.Name, false)
	c.atLeast("size", s.Size, -1)
	c.text("negotiationId", s.NegotiationID, false)
	c.text("agreementId", s.AgreementID, false)
	c.text("transferProcessId", s.TransferProcessID, false)
	c.text("deliveredVersion", s.DeliveredVersion, false)
	c.atLeast("attempts", int64(s.Attempts), 0)
	c.text("lastError", s.LastError, false)
}

func checkDelivery(d *gatewayapi.Delivery, id string, c *checks, out *record) {
	c.id(d.ID, id)
	c.text("datasetId", d.DatasetID, false)
	c.text("sink", d.Sink, true)
	c.text("key", d.Key, true)
	c.atLeast("size", d.Size, -1)
	c.digest("sha256", d.SHA256, false)
	c.atLeast("offset", d.Offset, 0)
	if d.Size >= 0 && d.Offset > d.Size {
		c.fail("offset", "is %d; the size, %d, or less is expected", d.Offset, d.Size)
	}
	c.atLeast("slices", int64(d.Slices), 0)
	c.text("etag", d.ETag, false)
	c.text("contentType", d.ContentType, false)
	c.atLeast("attempts", int64(d.Attempts), 0)
	c.text("leaseOwner", d.LeaseOwner, false)
	out.done = d.Done
}

func checkPush(p *gatewayapi.Push, id string, c *checks, out *record) {
	c.id(p.ID, id)
	c.text("datasetId", p.DatasetID, true)
	c.atLeast("size", p.Size, 0)
	c.digest("sha256", p.SHA256, false)
	c.atLeast("offset", p.Offset, 0)
	if p.Offset > p.Size {
		c.fail("offset", "is %d; the size, %d, or less is expected", p.Offset, p.Size)
	}
	c.atLeast("slices", int64(p.Slices), 0)
	c.text("failed", p.Failed, false)
	c.atLeast("attempts", int64(p.Attempts), 0)
	c.text("leaseOwner", p.LeaseOwner, false)
	out.done = p.Done
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
