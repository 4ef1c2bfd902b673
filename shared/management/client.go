package management

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/tenant"
)

// contextURL is the JSON-LD context of the API; its schemas demand that @context is an array that holds it.
const contextURL = "https://w3id.org/edc/connector/management/v2"

// jsonLD is the @context member of every JSON-LD body.
var jsonLD = []string{contextURL}

// Client calls the Management API for one participant context. It is safe for concurrent use.
type Client struct {
	base    string // …/v5beta/participants/{participantContextId}
	profile string // the dataspace profile of requests to counterparties
	tokens  auth.TokenSource
	http    *http.Client
	limits  limits
}

// limits bound one call.
type limits struct {
	tries    uint          // attempts in all
	elapsed  time.Duration // for all attempts and the pauses between them
	attempt  time.Duration // for one attempt
	interval time.Duration // the first pause, which then doubles
	answer   int64         // bytes of an answer
	pages    int           // of one query
}

var defaultLimits = limits{
	tries:    5,
	elapsed:  time.Minute,
	attempt:  30 * time.Second, // a catalog request waits for the counterparty
	interval: 200 * time.Millisecond,
	answer:   32 << 20,
	pages:    10000,
}

// New returns a client; hc may be nil. Redirects are not followed: a token goes to the configured URL and nowhere else.
func New(t *tenant.Tenant, ts auth.TokenSource, hc *http.Client) *Client {
	own := http.Client{}
	if hc != nil {
		own = *hc
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{
		base:    strings.TrimRight(t.ControlPlane.ManagementURL, "/") + "/v5beta/participants/" + url.PathEscape(t.ParticipantContextID),
		profile: t.ControlPlane.Profile,
		tokens:  ts,
		http:    &own,
		limits:  defaultLimits,
	}
}

// at joins a path of fixed segments and ids; each is escaped.
func at(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	return b.String()
}
