package dps

// State is the state of a data flow, spelled as in the DPS schemas.
type State string

// The states of a data flow (DPS 1.0, state machine).
const (
	Initialized State = "INITIALIZED"
	Preparing   State = "PREPARING"
	Prepared    State = "PREPARED"
	Starting    State = "STARTING"
	Started     State = "STARTED"
	Suspended   State = "SUSPENDED"
	Completed   State = "COMPLETED"
	Terminated  State = "TERMINATED"
)

// Terminal tells whether no transition leads out of the state.
func (s State) Terminal() bool { return s == Completed || s == Terminated }

// Role is the side of the transfer that a data flow serves.
type Role string

// The two roles. A data plane learns its role by the first signal: prepare comes to the consumer's, start to the provider's.
const (
	Consumer Role = "CONSUMER"
	Provider Role = "PROVIDER"
)

// Direction says which side supplies the endpoint.
type Direction string

// The two directions: on pull the provider supplies the endpoint, on push the consumer.
const (
	Pull Direction = "PULL"
	Push Direction = "PUSH"
)
