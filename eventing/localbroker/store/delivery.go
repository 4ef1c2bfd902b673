package store

import (
	"encoding/binary"
	"encoding/json"
	"time"
)

// Key names one delivery: an event on its way to the subscriber of a Trigger, or to its dead letter sink.
type Key struct {
	Seq        uint64
	DeadLetter bool
	Trigger    string // namespace/name
}

// State is how far a delivery has come. The zero State is: not tried yet.
type State struct {
	Attempts    int       `json:"attempts,omitempty"`   // answers that failed, without those where nobody listened
	Unreachable time.Time `json:"unreachable,omitzero"` // since when nobody has listened
	NotBefore   time.Time `json:"notBefore,omitzero"`   // of the next attempt

	// Why the event went to the dead letter sink.
	ErrorCode int    `json:"errorCode,omitempty"`
	ErrorData string `json:"errorData,omitempty"` // base64
	ErrorDest string `json:"errorDest,omitempty"`
}

// Delivery is a key with its state.
type Delivery struct {
	Key
	State State
}

func (k Key) encode() []byte {
	b := make([]byte, 9, 9+len(k.Trigger))
	binary.BigEndian.PutUint64(b, k.Seq)
	if k.DeadLetter {
		b[8] = 1
	}
	return append(b, k.Trigger...)
}

func decodeKey(b []byte) (Key, bool) {
	if len(b) < 10 || b[8] > 1 {
		return Key{}, false
	}
	return Key{Seq: binary.BigEndian.Uint64(b), DeadLetter: b[8] == 1, Trigger: string(b[9:])}, true
}

func (s State) encode() []byte {
	if s == (State{}) {
		return []byte{}
	}
	b, err := json.Marshal(s)
	if err != nil { // numbers, strings and times of our own making: cannot happen
		return []byte{}
	}
	return b
}

func decodeState(b []byte) (State, error) {
	var s State
	if len(b) == 0 {
		return s, nil
	}
	err := json.Unmarshal(b, &s)
	return s, err
}

func seqKey(seq uint64) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], seq)
	return b[:]
}
