package delivery

import (
	"time"
)

// Options are the limits of delivery. The zero value of a field takes its default.
type Options struct {
	Concurrency     int           // deliveries of one lane at a time; default 8
	Timeout         time.Duration // of an attempt, where the Trigger names none; default 60s
	ConnectPatience time.Duration // how long a subscriber may be away; default 10m
	RetryAfterMax   time.Duration // the longest Retry-After that is honoured; default 1m
	MaxReply        int64         // bytes of an answer; default 1 MiB
}

func (o Options) withDefaults() Options {
	if o.Concurrency <= 0 {
		o.Concurrency = 8
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	if o.ConnectPatience <= 0 {
		o.ConnectPatience = 10 * time.Minute
	}
	if o.RetryAfterMax <= 0 {
		o.RetryAfterMax = time.Minute
	}
	if o.MaxReply <= 0 {
		o.MaxReply = 1 << 20
	}
	return o
}
