package dps_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
)

func TestTheSuffixOfAProfileTellsItsDirection(t *testing.T) {
	tests := map[string]dps.Direction{
		dps.ProfileHTTPPull: dps.Pull, dps.ProfileHTTPPush: dps.Push, "http-pull": dps.Pull, "http-push": dps.Push,
		"HttpData-PULL": dps.Pull, "https://acme.example/kafka-push": dps.Push,
		"": "", "http": "", "pull": "", "-pull": "", "http-pull/x": "", "httppull": "",
	}
	for profile, want := range tests {
		got, err := dps.DirectionOf(profile)
		if got != want || (err == nil) != (want != "") || (err != nil && !problem.Is(err, problem.Invalid)) {
			t.Errorf("%q: %q, %v; want %q", profile, got, err, want)
		}
	}
}

func TestTheDirectionDecidesWhoCarriesAnAddress(t *testing.T) {
	addr := dps.NewBearerAddress("p", "https://x", "t")
	tests := map[string]struct {
		signal    dps.Signal
		role      dps.Role
		dir       dps.Direction
		addr      *dps.DataAddress
		kept, bad bool
	}{
		"prepare of a pull without one":               {dps.SignalPrepare, dps.Consumer, dps.Pull, nil, false, false},
		"prepare of a pull with one":                  {dps.SignalPrepare, dps.Consumer, dps.Pull, addr, false, true},
		"prepare of a push with one is no use":        {dps.SignalPrepare, dps.Consumer, dps.Push, addr, false, false},
		"start of a pull with one":                    {dps.SignalStart, dps.Provider, dps.Pull, addr, false, true},
		"start of a push with one":                    {dps.SignalStart, dps.Provider, dps.Push, addr, true, false},
		"start of a push without one":                 {dps.SignalStart, dps.Provider, dps.Push, nil, false, true},
		"started of a pull brings the provider's":     {dps.SignalStarted, dps.Consumer, dps.Pull, addr, true, false},
		"started of a push brings the consumer's own": {dps.SignalStarted, dps.Consumer, dps.Push, addr, false, false},
		"resume of a pull renews the consumer's":      {dps.SignalResume, dps.Consumer, dps.Pull, addr, true, false},
		"resume of a pull is the provider's to renew": {dps.SignalResume, dps.Provider, dps.Pull, addr, false, false},
		"resume of a push renews the provider's":      {dps.SignalResume, dps.Provider, dps.Push, addr, true, false},
		"suspend carries none":                        {dps.SignalSuspend, dps.Provider, dps.Push, addr, false, false},
	}
	for name, tt := range tests {
		got, err := dps.CheckAddress(tt.signal, tt.role, tt.dir, tt.addr)
		if (got != nil) != tt.kept || (err != nil) != tt.bad || (err != nil && !problem.Is(err, problem.Invalid)) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestValidateAddress(t *testing.T) {
	const endpoint = "https://provider.example/data/tp-1?x=1"
	with := func(endpoint string, props ...string) *dps.DataAddress {
		a := &dps.DataAddress{EndpointType: dps.ProfileHTTPPull, Endpoint: endpoint}
		for i := 0; i < len(props); i += 2 {
			a.Add(props[i], props[i+1])
		}
		return a
	}
	tests := map[string]struct {
		addr  *dps.DataAddress
		plain bool // http is allowed
		field string
	}{
		"no token":                          {with(endpoint), false, ""},
		"a bearer token":                    {with(endpoint, "authorization", "t", "authType", "bearer"), false, ""},
		"bearer in another case":            {with(endpoint, "authorization", "t", "authType", "Bearer"), false, ""},
		"unknown properties":                {with(endpoint, "https://w3id.org/edc/v0.0.1/ns/type", "x"), false, ""},
		"renewal":                           {with(endpoint, "authorization", "t", "authType", "bearer", "refreshToken", "r", "expiresIn", "300", "refreshEndpoint", "https://p.example/token"), false, ""},
		"http, where it is allowed":         {with("http://127.0.0.1:8080/data"), true, ""},
		"none":                              {nil, false, "dataAddress"},
		"another type":                      {&dps.DataAddress{EndpointType: dps.ProfileHTTPPush, Endpoint: endpoint}, false, "dataAddress.endpointType"},
		"no endpoint":                       {with(""), false, "dataAddress.endpoint"},
		"http":                              {with("http://provider.example/data"), false, "dataAddress.endpoint"},
		"a relative URL":                    {with("/data/tp-1"), false, "dataAddress.endpoint"},
		"a URL without a host":              {with("https:///data"), false, "dataAddress.endpoint"},
		"a URL with a port only":            {with("https://:443/data"), false, "dataAddress.endpoint"},
		"an opaque URL":                     {with("https:data"), false, "dataAddress.endpoint"},
		"a file":                            {with("file://host/etc/passwd"), true, "dataAddress.endpoint"},
		"a user":                            {with("https://a:b@provider.example/"), false, "dataAddress.endpoint"},
		"a fragment":                        {with("https://provider.example/#x"), false, "dataAddress.endpoint"},
		"an empty fragment":                 {with("https://provider.example/#"), false, "dataAddress.endpoint"},
		"a token without authType":          {with(endpoint, "authorization", "t"), false, "dataAddress.endpointProperties.authType"},
		"a token of another type":           {with(endpoint, "authorization", "t", "authType", "basic"), false, "dataAddress.endpointProperties.authType"},
		"a refresh token without expiresIn": {with(endpoint, "refreshToken", "r"), false, "dataAddress.endpointProperties.expiresIn"},
		"expiresIn that is no number":       {with(endpoint, "expiresIn", "soon"), false, "dataAddress.endpointProperties.expiresIn"},
		"expiresIn of nothing":              {with(endpoint, "expiresIn", "0"), false, "dataAddress.endpointProperties.expiresIn"},
		"a refresh endpoint over http":      {with(endpoint, "refreshEndpoint", "http://p.example/token"), false, "dataAddress.endpointProperties.refreshEndpoint"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := dps.ValidateAddress(tt.addr, dps.ProfileHTTPPull, tt.plain)
			e, _ := errors.AsType[*problem.Error](err)
			switch {
			case tt.field == "" && err != nil:
				t.Error(err)
			case tt.field != "" && (e == nil || e.Field != tt.field || e.Kind != problem.Invalid):
				t.Errorf("got %v, want a fault of %s", err, tt.field)
			case e != nil && tt.addr != nil && len(tt.addr.Endpoint) > 8 && strings.Contains(err.Error(), tt.addr.Endpoint):
				t.Errorf("the error repeats the endpoint: %v", err)
			}
		})
	}
	if err := dps.ValidateAddress(&dps.DataAddress{EndpointType: "kafka-pull", Endpoint: "broker:9092"}, "kafka-pull", false); err != nil {
		t.Errorf("the address of a profile that is not HTTP's: %v", err)
	}
}

func TestPrintingAnAddressShowsNoSecret(t *testing.T) {
	a := dps.NewBearerAddress(dps.ProfileHTTPPull, "https://store.example/object?signature=s3cret", "s3cret-token")
	m := dps.StatusMessage{State: dps.Started, DataAddress: a}
	for _, s := range []string{fmt.Sprint(a), fmt.Sprintf("%+v", *a), fmt.Sprintf("%s %v", m, &m), fmt.Sprint(a.EndpointProperties)} {
		if strings.Contains(s, "s3cret") {
			t.Errorf("printed %q", s)
		}
	}
	if got := fmt.Sprint(a); !strings.Contains(got, "https://store.example") || !strings.Contains(got, "2 properties") {
		t.Errorf("printed %q, of no help", got)
	}
}

func TestALongErrorIsCutAtACharacter(t *testing.T) {
	m := dps.NewErrored("tp", dps.Started, strings.Repeat("ä", 600)+"end")
	if len(m.Error) != 1024 || strings.Contains(m.Error, "\uFFFD") {
		t.Errorf("%d bytes: %q", len(m.Error), m.Error[len(m.Error)-4:])
	}
}
