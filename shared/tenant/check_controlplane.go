package tenant

import "strconv"

func (c checker) controlPlane(cp ControlPlane) {
	const at = "controlPlane."
	c.oneOf(at+"dialect", string(cp.Dialect), string(EDCV), string(EDC018), string(EDC017), string(EDC016), string(DPS10))
	for i, t := range cp.Tolerate {
		path := at + "tolerate[" + strconv.Itoa(i) + "]"
		c.required(path, string(t))
		c.oneOf(path, string(t), string(ToleratePullWithoutAddress), string(TolerateHTTPAddressType))
	}
	c.required(at+"managementUrl", cp.ManagementURL)
	c.url(at+"managementUrl", cp.ManagementURL)
	c.required(at+"signalingUrl", cp.SignalingURL)
	c.url(at+"signalingUrl", cp.SignalingURL)
	c.url(at+"identityUrl", cp.IdentityURL)
	c.word(at+"profile", cp.Profile)
	c.signaling(cp.Signaling)
}

func (c checker) signaling(s Signaling) {
	const at = "controlPlane.signaling."
	if s.DataplaneID != "" && !c.at["participantContextId"] && !planePattern.MatchString(s.DataplaneID) {
		c.add(at+"dataplaneId", "%s is not an id, expected are %s", quote(s.DataplaneID), planeShape)
	}
	for i, l := range s.Labels {
		path := at + "labels[" + strconv.Itoa(i) + "]"
		c.required(path, l)
		c.word(path, l)
	}
	c.signalingAuthorization(s.Authorization)
}

func (c checker) signalingAuthorization(a SignalingAuthorization) {
	const at = "controlPlane.signaling.authorization."
	c.required(at+"type", a.Type)
	c.oneOf(at+"type", a.Type, SignalingOAuth2, SignalingNetwork)
	members := []struct{ name, value string }{
		{"tokenEndpoint", a.TokenEndpoint},
		{"clientId", a.ClientID},
		{"clientSecretFile", a.ClientSecretFile},
		{"issuer", a.Issuer},
		{"jwksUrl", a.JWKSURL},
	}
	switch a.Type {
	case SignalingOAuth2:
		for _, m := range members {
			c.required(at+m.name, m.value)
		}
	case SignalingNetwork:
		for _, m := range append(members, struct{ name, value string }{"audience", a.Audience}, struct{ name, value string }{"subject", a.Subject}) {
			c.absent(at+m.name, m.value, "with type network")
		}
	}
	c.url(at+"tokenEndpoint", a.TokenEndpoint)
	c.url(at+"jwksUrl", a.JWKSURL)
	c.word(at+"issuer", a.Issuer)
	c.word(at+"clientId", a.ClientID)
	c.word(at+"subject", a.Subject)
	c.word(at+"audience", a.Audience)
	c.secretFile(at+"clientSecretFile", a.ClientSecretFile)
}

func (c checker) auth(a Auth) {
	const at = "auth."
	c.required(at+"type", a.Type)
	c.oneOf(at+"type", a.Type, AuthClientCredentials, AuthTokenExchange)
	c.required(at+"tokenEndpoint", a.TokenEndpoint)
	c.url(at+"tokenEndpoint", a.TokenEndpoint)
	switch a.Type {
	case AuthClientCredentials:
		c.required(at+"clientId", a.ClientID)
		c.required(at+"clientSecretFile", a.ClientSecretFile)
		c.absent(at+"subjectTokenFile", a.SubjectTokenFile, "with type client_credentials")
	case AuthTokenExchange:
		c.required(at+"subjectTokenFile", a.SubjectTokenFile)
	}
	c.word(at+"clientId", a.ClientID)
	c.word(at+"audience", a.Audience)
	c.secretFile(at+"clientSecretFile", a.ClientSecretFile)
	c.secretFile(at+"subjectTokenFile", a.SubjectTokenFile)
	for i, s := range a.Scopes {
		path := at + "scopes[" + strconv.Itoa(i) + "]"
		c.required(path, s)
		c.word(path, s)
	}
}
