package store

import bolt "go.etcd.io/bbolt"

// delta gathers what a transaction changes in the counters; they follow only when it is committed.
type delta struct {
	s          *Store
	events     *bolt.Bucket
	deliveries *bolt.Bucket
	refs       map[uint64]*ref // change of the count; size of new events
	added      int64
}

func newDelta(s *Store, tx *bolt.Tx) *delta {
	d := &delta{s: s, events: tx.Bucket(eventsBucket), deliveries: tx.Bucket(deliveriesBucket), refs: map[uint64]*ref{}}
	d.events.FillPercent = 0.9 // keys only grow
	d.deliveries.FillPercent = 0.9
	return d
}

func (d *delta) ref(seq uint64) *ref {
	r, ok := d.refs[seq]
	if !ok {
		r = &ref{}
		d.refs[seq] = r
	}
	return r
}

func (d *delta) apply(c *Change, seqs *[]uint64) error {
	for _, n := range c.Events {
		seq, err := d.events.NextSequence()
		if err != nil {
			return err
		}
		encoded := n.Record.encode()
		if err := d.events.Put(seqKey(seq), encoded); err != nil {
			return err
		}
		d.ref(seq).size = int64(len(encoded))
		for _, t := range n.Triggers {
			if err := d.put(Delivery{Key: Key{Seq: seq, Trigger: t}}, 1); err != nil {
				return err
			}
		}
		*seqs = append(*seqs, seq)
	}
	for _, x := range c.Add {
		if err := d.put(x, 1); err != nil {
			return err
		}
	}
	for _, x := range c.Update {
		if err := d.put(x, 0); err != nil {
			return err
		}
	}
	for _, k := range c.Remove {
		if err := d.deliveries.Delete(k.encode()); err != nil {
			return err
		}
		d.ref(k.Seq).n--
		d.added--
	}
	return nil
}

func (d *delta) put(x Delivery, count int) error {
	if err := d.deliveries.Put(x.encode(), x.State.encode()); err != nil {
		return err
	}
	d.ref(x.Seq).n += count
	d.added += int64(count)
	return nil
}

// removeDone removes the events without deliveries.
func (d *delta) removeDone() error {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	for seq, r := range d.refs {
		n := r.n
		if old := d.s.refs[seq]; old != nil {
			n += old.n
		}
		if n <= 0 {
			if err := d.events.Delete(seqKey(seq)); err != nil {
				return err
			}
		}
	}
	return nil
}

// publish moves the counters.
func (d *delta) publish() {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	for seq, r := range d.refs {
		old := d.s.refs[seq]
		if old == nil {
			old = &ref{size: r.size}
			d.s.refs[seq] = old
			d.s.bytes.Add(old.size)
		}
		old.n += r.n
		if old.n <= 0 {
			delete(d.s.refs, seq)
			d.s.bytes.Add(-old.size)
		}
	}
	d.s.deliveries.Add(d.added)
}
