package tenant

import "strconv"

func (c checker) signaling(s Signaling) {
	const at = "controlPlane.signaling."
	if s.DataplaneID != "" && !c.at["participantContextId"] && !planePattern.MatchString(s.DataplaneID) {
		c.add(at+"dataplaneId", "%s is not an id, expected are %s", quote(s.DataplaneID), planeShape)
	}
	c.words(at+"labels", s.Labels)
	c.oneOf(at+"registration", s.Registration, RegistrationRefused, RegistrationAllowed)
	switch {
	case !s.RegistrationAllowed():
		c.absent(at+"registrationTokenFile", s.RegistrationTokenFile, "without registration: allowed")
	case s.Authorization.Type == SignalingNetwork && s.RegistrationTokenFile == "":
		c.add(at+"registrationTokenFile", "is missing: with type network nobody else proves who registers")
	}
	c.secretFile(at+"registrationTokenFile", s.RegistrationTokenFile)
	c.signalingAuthorization(s.Authorization)
}

// words checks a list of values that are sent on or compared as they stand.
func (c checker) words(path string, list []string) {
	for i, v := range list {
		at := path + "[" + strconv.Itoa(i) + "]"
		c.required(at, v)
		c.word(at, v)
	}
}

func (c checker) signalingAuthorization(a SignalingAuthorization) {
	const at = "controlPlane.signaling.authorization."
	c.required(at+"type", a.Type)
	c.oneOf(at+"type", a.Type, SignalingOAuth2, SignalingExchange, SignalingNetwork)
	type member struct{ name, value string }
	either := []member{{"tokenEndpoint", a.TokenEndpoint}, {"issuer", a.Issuer}, {"jwksUrl", a.JWKSURL}}
	credentials := []member{{"clientId", a.ClientID}, {"clientSecretFile", a.ClientSecretFile}}
	exchange := []member{
		{"resource", a.Resource},
		{"requestScopes", some(a.RequestScopes)},
		{"subjectTokenFile", a.SubjectTokenFile},
		{"callback.resource", a.Callback.Resource},
		{"callback.audience", a.Callback.Audience},
		{"callback.scopes", some(a.Callback.Scopes)},
	}
	checks := []member{{"audience", a.Audience}, {"subject", a.Subject}, {"subjectClaim", a.SubjectClaim}, {"scopes", some(a.Scopes)}}
	required := func(lists ...[]member) {
		for _, l := range lists {
			for _, m := range l {
				c.required(at+m.name, m.value)
			}
		}
	}
	absent := func(lists ...[]member) {
		for _, l := range lists {
			for _, m := range l {
				c.absent(at+m.name, m.value, "with type "+a.Type)
			}
		}
	}
	switch a.Type {
	case SignalingOAuth2:
		required(either, credentials)
		absent(exchange)
		if a.AnyAudience {
			c.absent(at+"audience", a.Audience, "with anyAudience")
		}
	case SignalingExchange:
		required(either, []member{
			{"subject", a.Subject}, {"scopes", some(a.Scopes)}, {"subjectTokenFile", a.SubjectTokenFile}, {"callback.audience", a.Callback.Audience},
		})
		absent(credentials)
		c.unset(at+"anyAudience", a.AnyAudience, a.Type)
	case SignalingNetwork:
		absent(either, credentials, checks, exchange)
		c.unset(at+"anyAudience", a.AnyAudience, a.Type)
		c.unset(at+"reusable", a.Reusable, a.Type)
	}
	c.url(at+"tokenEndpoint", a.TokenEndpoint)
	c.url(at+"jwksUrl", a.JWKSURL)
	c.oneOf(at+"subjectClaim", a.SubjectClaim, ClaimSub, ClaimClientID)
	for _, m := range []member{
		{"issuer", a.Issuer},
		{"clientId", a.ClientID},
		{"subject", a.Subject},
		{"audience", a.Audience},
		{"resource", a.Resource},
		{"callback.resource", a.Callback.Resource},
		{"callback.audience", a.Callback.Audience},
	} {
		c.word(at+m.name, m.value)
	}
	c.words(at+"scopes", a.Scopes)
	c.words(at+"requestScopes", a.RequestScopes)
	c.words(at+"callback.scopes", a.Callback.Scopes)
	c.secretFile(at+"clientSecretFile", a.ClientSecretFile)
	c.secretFile(at+"subjectTokenFile", a.SubjectTokenFile)
}

// unset refuses a switch that has no meaning with a type of authorization.
func (c checker) unset(path string, on bool, authorizationType string) {
	if on {
		c.add(path, "has no meaning with type %s, leave it out", authorizationType)
	}
}

// some stands for a list where only matters whether there is anything in it.
func some(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}
