package dps

import (
	"bytes"

	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/strictjson"
)

// Limits of a message.
const (
	MaxMessage = 256 << 10 // bytes of a body
	MaxDepth   = strictjson.MaxDepth
	maxID      = 512 // bytes of an id, a profile, a context
	maxList    = 256 // labels, endpoint properties
)

// bom may stand before JSON text, and means nothing (RFC 8259, section 8.1).
var bom = []byte("\ufeff")

type object = strictjson.Object

// parseObject reads a body; an empty one and null are an object without members.
func parseObject(body []byte) (object, error) {
	if len(body) > MaxMessage {
		return nil, problem.New(problem.TooLarge, "the message is over %d bytes", MaxMessage)
	}
	body = bytes.Trim(bytes.TrimPrefix(body, bom), " \t\r\n")
	if len(body) == 0 || string(body) == "null" {
		return object{}, nil
	}
	o, err := strictjson.Parse(body)
	if err != nil {
		return nil, problem.New(problem.Invalid, "the message %w", err)
	}
	return o, nil
}
