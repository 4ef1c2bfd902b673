package dps

// Dialect names the spelling that a control plane speaks. An unknown one is treated like DialectEDCV.
type Dialect string

// The dialects. A tenant's document names them by the same strings.
const (
	DialectEDCV   Dialect = "edc-v"    // EDC HEAD of August 2026: "profile"; callbackAddress is null
	DialectEDC018 Dialect = "edc-0.18" // "transferType", callbackAddress
	DialectEDC017 Dialect = "edc-0.17" // as 0.18, but started has no messageId, and participant ids are swapped on start
	DialectEDC016 Dialect = "edc-0.16" // as 0.17 without the swap, and without claims
	DialectDPS10  Dialect = "dps-1.0"  // the text
)

// traits is what sets a dialect apart.
type traits struct {
	transferType       bool // the profile is spelled "transferType"
	callback           bool // callbackAddress is sent
	swapsOnStart       bool // participantId and counterPartyId are exchanged on start
	optionalClaims     bool // claims may be missing
	optionalContext    bool // dataspaceContext may be missing
	optionalMessageID  bool // the small messages may lack messageId
	appendsDataflows   bool // the caller appends "/dataflows/…" to the registered endpoint, not just "/…"
	readsTransferTypes bool // the registration's list of profiles is read from "transferTypes"
}

func (d Dialect) traits() traits {
	switch d {
	case DialectDPS10:
		return traits{appendsDataflows: true}
	case DialectEDC018:
		return traits{transferType: true, callback: true, optionalClaims: true, optionalMessageID: true, readsTransferTypes: true}
	case DialectEDC017:
		return traits{
			transferType: true, callback: true, swapsOnStart: true, optionalClaims: true, optionalMessageID: true,
			readsTransferTypes: true,
		}
	case DialectEDC016:
		return traits{
			transferType: true, callback: true, optionalClaims: true, optionalContext: true, optionalMessageID: true,
			readsTransferTypes: true,
		}
	case DialectEDCV:
	}
	return traits{optionalClaims: true, optionalMessageID: true, readsTransferTypes: true}
}
