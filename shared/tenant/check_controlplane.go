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
	c.oneOf(at+"answers", cp.Answers, AnswersSynchronous, AnswersAsynchronous)
	c.signaling(cp.Signaling)
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
