package flowstore

// Waiting is how many calls wait for a round trip.
func (s *Redis) Waiting() (n int) {
	for i := range s.calls.lanes {
		l := &s.calls.lanes[i]
		l.mu.Lock()
		n += len(l.waiting)
		l.mu.Unlock()
	}
	return n
}
