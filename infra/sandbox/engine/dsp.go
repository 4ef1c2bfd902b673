package engine

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/infra/sandbox/model"
	"github.com/tidegate/tidegate/infra/sandbox/store"
)

// dspContext is the @context of DSP documents.
var dspContext = []string{"https://w3id.org/dspace/2025/1/context.jsonld", "https://w3id.org/edc/dspace/v0.0.1"}

// dspError is how a counterparty refuses a DSP message, or that it cannot be reached (code 0).
type dspError struct {
	code   int
	kind   string // the @type of the error document
	reason string
	url    string
}

// Error is the text that EDC puts into errorDetail and error messages.
func (d *dspError) Error() string {
	if d.code == 0 {
		return "org.eclipse.edc.http.spi.EdcHttpClientException: Failed to connect to " + d.reason
	}
	body, _ := json.Marshal(struct {
		Type    string   `json:"@type"`
		Code    string   `json:"code"`
		Reason  []string `json:"reason"`
		Context []string `json:"@context"`
	}{d.kind, fmt.Sprint(d.code), []string{d.reason}, dspContext})
	return fmt.Sprintf("Counter Party responded with Response{protocol=http/1.1, code=%d, message=%s, url=%s}. Body: %s.", d.code, reasonPhrase[d.code], d.url, body)
}

// fatal reports whether sending the message again is pointless: EDC repeats what was answered 5xx or not at all.
func (d *dspError) fatal() bool { return d.code/100 == 4 }

// reasonPhrase has the phrases of EDC's HTTP server.
var reasonPhrase = map[int]string{400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 409: "Conflict", 500: "Server Error"}

const (
	catalogError     = "CatalogError"
	negotiationError = "ContractNegotiationError"
	transferError    = "TransferError"
)

// ProtocolAddress is the DSP address of a participant.
func (e *Engine) ProtocolAddress(pc string) string {
	return e.Config.PublicURL + "/protocol/" + pc + "/" + model.Profile
}

// resolve finds the participant behind a DSP address. path and kind are those of the message that is to be sent there.
func (e *Engine) resolve(tx *store.Tx, address, path, kind string) (*model.Participant, *dspError) {
	u, err := url.Parse(strings.TrimSuffix(address, "/"))
	if err != nil || u.Host == "" || !e.ours(u) {
		host := address
		if err == nil && u.Host != "" {
			host = javaAddress(u)
		}
		return nil, &dspError{reason: host}
	}
	rest, ok := strings.CutPrefix(u.Path, "/protocol/")
	pc, profile, _ := strings.Cut(rest, "/")
	target := strings.TrimSuffix(address, "/") + path
	if !ok || profile != model.Profile {
		return nil, &dspError{code: 404, kind: kind, reason: "Not found.", url: target}
	}
	p := e.Store.Participants.Get(tx, pc)
	if p == nil {
		return nil, &dspError{code: 401, kind: kind, reason: "Unauthorized.", url: target}
	}
	return p, nil
}

// ours reports whether a URL leads to this sandbox: the public host, or any loopback name with its port.
func (e *Engine) ours(u *url.URL) bool {
	own, err := url.Parse(e.Config.PublicURL)
	if err != nil {
		return false
	}
	return u.Host == own.Host || u.Port() == own.Port() && loopback(u.Hostname()) && loopback(own.Hostname())
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// javaAddress writes host and port as Java writes a resolved socket address: localhost/127.0.0.1:1.
func javaAddress(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443"}[u.Scheme]
		if port == "" {
			port = "80"
		}
	}
	switch host := u.Hostname(); {
	case host == "localhost":
		return "localhost/127.0.0.1:" + port
	case net.ParseIP(host) != nil:
		return "/" + host + ":" + port
	default:
		return host + ":" + port
	}
}

// checkProfile is the first thing that a request with a counterparty must pass.
func checkProfile(p *model.Participant, profile string) *FaultError {
	if !slices.Contains(p.Profiles, profile) {
		return Invalid("No profile '%s' for participant '%s'", profile, p.ID)
	}
	return nil
}

// claimsOf are the claims that a counterparty sees of a participant.
func claimsOf(p *model.Participant) map[string]any {
	c := cloned(p.Claims)
	c["client_id"] = p.Identity
	return c
}
