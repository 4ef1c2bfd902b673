package dps

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	"github.com/tidegate/tidegate/shared/problem"
)

// Values that the messages are tagged with, and the one authType that has to be supported.
const (
	typeDataAddress      = "DataAddress"
	typeEndpointProperty = "EndpointProperty"
	authTypeBearer       = "bearer"
)

const maxExpiresIn = 10 * 365 * 24 * 3600 // seconds

// NewBearerAddress returns the address of an HTTP endpoint that wants a bearer token.
func NewBearerAddress(profile, endpoint, token string) *DataAddress {
	a := &DataAddress{Type: typeDataAddress, EndpointType: profile, Endpoint: endpoint}
	a.Add(PropertyAuthorization, token)
	a.Add(PropertyAuthType, authTypeBearer)
	return a
}

// Add appends an endpoint property.
func (a *DataAddress) Add(name, value string) {
	a.EndpointProperties = append(a.EndpointProperties, EndpointProperty{Type: typeEndpointProperty, Name: name, Value: value})
}

// String tells what kind of address it is and nothing that is secret: an endpoint may be a signed URL.
func (a DataAddress) String() string {
	host := "no host"
	if u, err := url.Parse(a.Endpoint); err == nil && u.Host != "" {
		host = u.Scheme + "://" + u.Host
	}
	return "data address of type " + a.EndpointType + " at " + host + " with " + strconv.Itoa(len(a.EndpointProperties)) + " properties"
}

// String hides the value.
func (p EndpointProperty) String() string { return p.Name }

// CheckAddress applies the rules of who carries a data address when (DPS 1.0, sections on prepare, start, started and
// resume; HTTP transfer profile) and returns the address that counts:
//
//   - start: refused on pull, demanded on push.
//   - prepare: refused on pull, ignored on push, since it is the answer that carries one.
//   - started: on push ignored, since the consumer supplied it itself and EDC sends it back; on pull it is what the consumer
//     needs, but not demanded here, for the conformance tests omit it where no data is to flow.
//   - resume: what the other side renewed, if that side owns the address; else ignored.
func CheckAddress(signal Signal, role Role, dir Direction, addr *DataAddress) (*DataAddress, error) {
	switch signal {
	case SignalPrepare, SignalStart:
		switch {
		case dir == Pull && addr != nil:
			return nil, problem.Field("dataAddress", "is there, but on pull the provider's data plane makes it")
		case dir == Pull || signal == SignalPrepare:
			return nil, nil
		case addr == nil:
			return nil, problem.Field("dataAddress", "is missing: on push the start tells where to send the data")
		}
		return addr, nil
	case SignalStarted, SignalResume:
		if OwnsAddress(role, dir) {
			return nil, nil
		}
		return addr, nil
	default:
		return nil, nil
	}
}

// OwnsAddress tells whether the data plane of that role makes the data address: the provider's on pull, the consumer's on push.
func OwnsAddress(role Role, dir Direction) bool { return (role == Provider) == (dir == Pull) }

// ValidateAddress checks an address that came from the other side before it is used. Its type must be the profile; for the
// profiles of HTTP (IsHTTP) the endpoint must be an absolute https URL (http if allowPlainHTTP) without userinfo and fragment,
// authorization must come with authType bearer, and a refreshToken with expiresIn. Unknown properties are ignored. The error
// is a problem.Field error; it repeats no value.
func ValidateAddress(addr *DataAddress, profile string, allowPlainHTTP bool) error {
	if addr == nil {
		return problem.Field("dataAddress", "is missing")
	}
	if addr.EndpointType != profile {
		return problem.Field("dataAddress.endpointType", "is not the profile of the data flow")
	}
	if !IsHTTP(profile) {
		return nil
	}
	if err := validateURL("dataAddress.endpoint", addr.Endpoint, allowPlainHTTP); err != nil {
		return err
	}
	authType := addr.Property(PropertyAuthType)
	if addr.Property(PropertyAuthorization) != "" && !strings.EqualFold(authType, authTypeBearer) {
		return property(PropertyAuthType, "is not %s, which is the only one that is supported", authTypeBearer)
	}
	if addr.Property(PropertyRefreshToken) != "" && addr.Property(PropertyExpiresIn) == "" {
		return property(PropertyExpiresIn, "is missing: a refreshToken needs it")
	}
	if v := addr.Property(PropertyExpiresIn); v != "" {
		if n, err := strconv.Atoi(v); err != nil || n <= 0 || n > maxExpiresIn {
			return property(PropertyExpiresIn, "is no number of seconds")
		}
	}
	if v := addr.Property(PropertyRefreshEndpoint); v != "" {
		return validateURL("dataAddress.endpointProperties."+PropertyRefreshEndpoint, v, allowPlainHTTP)
	}
	return nil
}

func property(name, format string, args ...any) error {
	return problem.Field("dataAddress.endpointProperties."+name, format, args...)
}

func validateURL(field, s string, allowPlainHTTP bool) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return problem.Field(field, "is no absolute URL")
	case u.Scheme == "http" && !allowPlainHTTP:
		return problem.Field(field, "is a http URL, want https")
	case u.Scheme != "https" && u.Scheme != "http":
		return problem.Field(field, "is of another scheme than https")
	case u.User != nil:
		return problem.Field(field, "holds a user, want a URL without")
	case u.Fragment != "" || strings.HasSuffix(s, "#"):
		return problem.Field(field, "holds a fragment, want a URL without")
	}
	return nil
}

// address reads an optional data address.
func (r *reader) address(name string) *DataAddress {
	switch v := r.o[name].(type) {
	case nil:
		return nil
	case object:
		in := &reader{o: v, path: r.path + name + "."}
		a := &DataAddress{
			Type: typeDataAddress, EndpointType: in.need("endpointType"), Endpoint: in.text("endpoint"),
			EndpointProperties: in.properties("endpointProperties"),
		}
		if in.err != nil && r.err == nil {
			r.err = in.err
		}
		return a
	default:
		r.fail(name, "is %s, want an object", kindOf(v))
		return nil
	}
}

// properties reads a list of endpoint properties, or a single one. A property whose value is null is left out.
func (r *reader) properties(name string) []EndpointProperty {
	var out []EndpointProperty
	for i, e := range r.list(name) {
		at := name + "[" + strconv.Itoa(i) + "]"
		o, ok := e.(object)
		if !ok {
			if e != nil {
				r.fail(at, "is %s, want an object", kindOf(e))
			}
			continue
		}
		in := &reader{o: o, path: r.path + at + "."}
		p := EndpointProperty{Type: typeEndpointProperty, Name: in.need("name")}
		value, there := in.scalar("value", p.Name)
		if in.err != nil && r.err == nil {
			r.err = in.err
		}
		if p.Value = value; there {
			out = append(out, p)
		}
	}
	return out
}

// scalar reads the value of a property as a string. Numbers keep their spelling. Control planes copy properties that are
// not ours into addresses: if such a one is not scalar it is kept as JSON text.
func (r *reader) scalar(name, of string) (value string, there bool) {
	switch v := r.o[name].(type) {
	case nil:
		return "", false
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	default:
		text, err := json.Marshal(v)
		if err != nil || ours(of) {
			r.fail(name, "is %s, want a string", kindOf(v))
		}
		return string(text), true
	}
}

func ours(name string) bool {
	switch name {
	case PropertyAuthorization, PropertyAuthType, PropertyRefreshToken, PropertyExpiresIn, PropertyRefreshEndpoint:
		return true
	}
	return false
}
