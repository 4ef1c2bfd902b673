package dps

// Renewable tells whether an address can be renewed: it bears a refresh token, and tells how long its access token lasts.
func (a *DataAddress) Renewable() bool {
	return a.Property(PropertyRefreshToken) != "" && a.Property(PropertyExpiresIn) != "" && a.Property(PropertyAuthorization) != ""
}

// DemandRenewal checks that an address has all that renewing its token needs (token renewal profile). The profile leaves that to
// the provider, so it is for consumers that demand more. The error is a problem.Field error; it repeats no value.
func DemandRenewal(a *DataAddress) error {
	for _, name := range []string{PropertyAuthorization, PropertyAuthType, PropertyRefreshToken, PropertyExpiresIn, PropertyRefreshEndpoint} {
		if a.Property(name) == "" {
			return property(name, "is missing: this participant takes no data address that can't be renewed")
		}
	}
	return nil
}

// With returns a copy of the address in which a property has another value. One that is not there is added, and "" removes it.
func (a *DataAddress) With(name, value string) *DataAddress {
	out := *a
	out.EndpointProperties = nil
	done := value == ""
	for _, p := range a.EndpointProperties {
		switch {
		case p.Name != name:
			out.EndpointProperties = append(out.EndpointProperties, p)
		case !done:
			p.Value, done = value, true
			out.EndpointProperties = append(out.EndpointProperties, p)
		}
	}
	if !done {
		out.Add(name, value)
	}
	return &out
}
