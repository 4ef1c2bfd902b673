package dps

// Dialect names the spelling that a control plane speaks. An unknown one is treated like DialectEDCV.
type Dialect string

// The dialects. A tenant's document names them by the same strings.
const (
	DialectEDCV   Dialect = "edc-v"    // EDC HEAD of August 2026: "profile"; callbackAddress is null
	DialectEDC018 Dialect = "edc-0.18" // "transferType", callbackAddress
	DialectEDC017 Dialect = "edc-0.17" // as 0.18, but no resume, started has no messageId, participant ids are swapped on start
	DialectEDC016 Dialect = "edc-0.16" // as 0.17 without the swap, and without claims
	DialectDPS10  Dialect = "dps-1.0"  // the text
)

// traits is what sets a dialect apart.
type traits struct {
	transferType      bool // the profile is spelled "transferType"
	callback          bool // callbackAddress is sent
	swapsOnStart      bool // participantId and counterPartyId are exchanged on start
	optionalClaims    bool // claims may be missing
	optionalContext   bool // dataspaceContext may be missing
	optionalMessageID bool // the small messages may lack messageId
	appendsDataflows  bool // the caller appends "/dataflows/…" to the registered endpoint, not just "/…"
	startsAgain       bool // there is no resume: start, or started, comes once more
	echoesAddress     bool // the started of a push sends the consumer's own address back
}

func (d Dialect) traits() traits {
	edc := traits{optionalClaims: true, optionalMessageID: true, echoesAddress: true}
	switch d {
	case DialectDPS10:
		return traits{appendsDataflows: true}
	case DialectEDC018:
		edc.transferType, edc.callback = true, true
	case DialectEDC017:
		edc.transferType, edc.callback, edc.startsAgain, edc.swapsOnStart = true, true, true, true
	case DialectEDC016:
		edc.transferType, edc.callback, edc.startsAgain, edc.optionalContext = true, true, true, true
	case DialectEDCV:
	}
	return edc
}

// StartsAgain tells that a control plane of the dialect has no resume: it resumes a provider's flow by a second start, and a
// consumer's by a second started. In every other dialect a second start is refused (DPS 1.0, start).
func (d Dialect) StartsAgain() bool { return d.traits().startsAgain }
