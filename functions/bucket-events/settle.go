package main

import "time"

// place names an object of a tenant's bucket.
type place struct {
	pc, bucket, key string
}

// change is what the watcher has seen of an object that may still be written to.
type change struct {
	place
	size    int64 // at the last sign of change; -1 = not there
	created bool  // it came into being while we watched
	last    time.Time
}

// settler holds changed objects until they have been left alone for a while: a file that is copied shows as one CREATE and
// many WRITEs and no end. An object that is being told is not told a second time until the first telling is over. It is
// used by one goroutine.
type settler struct {
	after   time.Duration
	limit   int
	waiting map[place]change
	telling map[place]bool
}

func newSettler(after time.Duration, limit int) *settler {
	return &settler{after: after, limit: limit, waiting: map[place]change{}, telling: map[place]bool{}}
}

// touch notes a sign of change. It returns false if too many objects are waiting: the caller has to find the change by other
// means.
func (s *settler) touch(c change) bool {
	before, known := s.waiting[c.place]
	if !known && len(s.waiting) >= s.limit {
		return false
	}
	c.created = c.created || before.created
	s.waiting[c.place] = c
	return true
}

// due takes up to n changes that have settled; each is being told until done is called.
func (s *settler) due(now time.Time, n int) []change {
	var list []change
	for p, c := range s.waiting {
		if len(list) >= n {
			break
		}
		if !s.telling[p] && now.Sub(c.last) >= s.after {
			list = append(list, c)
			delete(s.waiting, p)
			s.telling[p] = true
		}
	}
	return list
}

// done ends the telling of an object.
func (s *settler) done(p place) { delete(s.telling, p) }
