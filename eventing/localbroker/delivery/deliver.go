package delivery

import (
	"context"
	"net/http"
	"time"

	"github.com/tidegate/tidegate/eventing/localbroker/store"
	"github.com/tidegate/tidegate/shared/problem"
)

// deliver makes one attempt and settles what it came to. Its place in the lane is free again before it waits for the disk.
func (d *Dispatcher) deliver(ctx context.Context, l *lane, it item) {
	r, err := d.store.Get(it.seq)
	if err != nil {
		d.log.Error().Err(err).Uint64("seq", it.seq).Str("trigger", l.trigger).Msg("dropped: the stored event can't be read")
		d.store.Defer(&store.Change{Remove: []store.Key{l.key(it.seq)}})
		l.ended(false, time.Now())
		return
	}
	start := time.Now()
	o := d.send(ctx, l, r, &it.state)
	now := time.Now()
	if o.stopped {
		l.ended(false, now)
		return
	}
	v, state, pause := l.policy.decide(it.state, o, now)
	if l.ended(o.unreachable, now) {
		d.reachability(l, o)
	}
	d.report(l, r, &report{seq: it.seq, verdict: v, outcome: o, attempts: state.Attempts, pause: pause, took: now.Sub(start)})
	switch v {
	case finished:
		d.finish(l, it, r, state, o)
	case hold:
		l.held.Add(1)
		if it.state.Unreachable.IsZero() {
			d.update(l, it.seq, state)
		}
		l.push(item{seq: it.seq, state: state})
	case again:
		l.retried.Add(1)
		state.NotBefore = now.Add(pause)
		d.update(l, it.seq, state)
		l.push(item{seq: it.seq, state: state})
	case giveUp:
		d.giveUp(l, it, state, o, l.target.url)
	}
}

// finish ends a delivery: together with its reply, if there is one.
func (d *Dispatcher) finish(l *lane, it item, r *store.Record, state store.State, o *outcome) {
	key := l.key(it.seq)
	if o.reply == nil || l.deadLetter {
		d.store.Defer(&store.Change{Remove: []store.Key{key}})
		l.delivered.Add(1)
		return
	}
	if r.TTL <= 1 {
		d.giveUp(l, it, state, &outcome{code: http.StatusBadRequest, body: []byte("the reply has gone round too often")}, "/"+l.broker)
		return
	}
	_, err := d.accept(l.broker, &Incoming{Event: o.reply, TTL: r.TTL - 1, Headers: r.Headers}, []store.Key{key})
	switch {
	case err == nil:
		l.delivered.Add(1)
		d.replies.Add(1)
	case problem.KindOf(err) == problem.Invalid: // it will not become valid by asking again
		d.giveUp(l, it, state, &outcome{code: http.StatusBadRequest, body: []byte(err.Error())}, "/"+l.broker)
	default: // the disk: the subscriber answers again later
		d.log.Error().Err(err).Uint64("seq", it.seq).Str("trigger", l.trigger).Msg("the reply can't be stored")
		state.NotBefore = time.Now().Add(time.Second)
		l.push(item{seq: it.seq, state: state})
	}
}

// giveUp moves a delivery to the dead letter lane, or ends it if there is none.
func (d *Dispatcher) giveUp(l *lane, it item, state store.State, o *outcome, dest string) {
	t := d.triggers[l.trigger]
	if t.dead == nil {
		l.dropped.Add(1)
		d.store.Defer(&store.Change{Remove: []store.Key{l.key(it.seq)}})
		return
	}
	l.dead.Add(1)
	dead := store.State{ErrorCode: o.code, ErrorData: o.errorData(), ErrorDest: dest}
	d.store.Defer(&store.Change{
		Add:    []store.Delivery{{Key: t.dead.key(it.seq), State: dead}},
		Remove: []store.Key{l.key(it.seq)},
	})
	t.dead.push(item{seq: it.seq, state: dead})
}

func (d *Dispatcher) update(l *lane, seq uint64, state store.State) {
	d.store.Defer(&store.Change{Update: []store.Delivery{{Key: l.key(seq), State: state}}})
}
