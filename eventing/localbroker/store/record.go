package store

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/tidegate/tidegate/shared/problem"
)

// Record is an event as it is kept: attributes and extensions as their canonical strings, the data byte by byte, and what
// goes along with it. Unlike CloudEvents JSON it keeps data that claims to be JSON and is not.
type Record struct {
	Accepted   time.Time
	TTL        int         // how many more times a reply to it may become an event
	Broker     string      // namespace/name; a reply goes back to it
	Headers    [][2]string // HTTP headers that travel with it: trace context and the like
	Attributes [][2]string
	Data       []byte
}

const recordVersion = 1

// errRecord is the error of a record that can't be decoded.
var errRecord = errors.New("a stored event is damaged")

// FromEvent fills the attributes and the data of the record from an event.
func (r *Record) FromEvent(e *event.Event) error {
	c := e.Context.AsV1()
	add := func(name, value string) {
		if value != "" {
			r.Attributes = append(r.Attributes, [2]string{name, value})
		}
	}
	add("id", c.ID)
	add("type", c.Type)
	add("source", c.Source.String())
	add("subject", c.GetSubject())
	add("datacontenttype", c.GetDataContentType())
	add("dataschema", c.GetDataSchema())
	if c.Time != nil {
		add("time", types.FormatTime(c.Time.Time))
	}
	for name, value := range c.Extensions {
		s, err := types.Format(value)
		if err != nil {
			return problem.Field(name, "is no CloudEvents value: %w", err)
		}
		r.Attributes = append(r.Attributes, [2]string{name, s})
	}
	r.Data = e.Data()
	return nil
}

// Event makes the event anew, with all extensions as strings, as HTTP headers carry them.
func (r *Record) Event() (*event.Event, error) {
	c := &event.EventContextV1{} // filled by hand: the SDK's setters trim
	for _, a := range r.Attributes {
		if err := setAttribute(c, a[0], a[1]); err != nil {
			return nil, problem.New(problem.Internal, "%w: %s: %w", errRecord, a[0], err)
		}
	}
	e := &event.Event{Context: c, DataEncoded: r.Data}
	if err := e.Validate(); err != nil {
		return nil, problem.New(problem.Internal, "%w: %w", errRecord, err)
	}
	return e, nil
}

func setAttribute(c *event.EventContextV1, name, value string) error {
	switch name {
	case "id":
		c.ID = value
	case "type":
		c.Type = value
	case "subject":
		c.Subject = &value
	case "datacontenttype":
		c.DataContentType = &value
	case "source":
		u := types.ParseURIRef(value)
		if u == nil {
			return errRecord
		}
		c.Source = *u
	case "dataschema":
		u := types.ParseURI(value)
		if u == nil {
			return errRecord
		}
		c.DataSchema = u
	case "time":
		t, err := types.ParseTimestamp(value)
		if err != nil {
			return err
		}
		c.Time = t
	default:
		return c.SetExtension(name, value)
	}
	return nil
}

func (r *Record) encode() []byte {
	b := make([]byte, 0, 256+len(r.Data))
	b = append(b, recordVersion)
	b = binary.AppendVarint(b, r.Accepted.UnixNano())
	b = binary.AppendUvarint(b, uint64(r.TTL))
	b = appendString(b, r.Broker)
	b = appendPairs(b, r.Headers)
	b = appendPairs(b, r.Attributes)
	return append(b, r.Data...)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendPairs(b []byte, pairs [][2]string) []byte {
	b = binary.AppendUvarint(b, uint64(len(pairs)))
	for _, p := range pairs {
		b = appendString(appendString(b, p[0]), p[1])
	}
	return b
}

// decodeRecord reads what encode wrote. It copies: b may live in a memory map.
func decodeRecord(b []byte) (*Record, error) {
	d := decoder{b: b}
	if d.byte() != recordVersion {
		return nil, errRecord
	}
	r := &Record{
		Accepted: time.Unix(0, d.varint()),
		TTL:      int(d.uvarint()),
		Broker:   d.string(),
		Headers:  d.pairs(),
	}
	r.Attributes = d.pairs()
	if d.failed {
		return nil, errRecord
	}
	if len(d.b) > 0 {
		r.Data = append([]byte(nil), d.b...)
	}
	return r, nil
}

type decoder struct {
	b      []byte
	failed bool
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.failed = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.failed, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.failed, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) string() string {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.failed, d.b = true, nil
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) pairs() [][2]string {
	n := d.uvarint()
	if n > uint64(len(d.b)) { // each pair takes two bytes at least
		d.failed, d.b = true, nil
		return nil
	}
	var out [][2]string
	for range n {
		if d.failed {
			return nil
		}
		out = append(out, [2]string{d.string(), d.string()})
	}
	return out
}
