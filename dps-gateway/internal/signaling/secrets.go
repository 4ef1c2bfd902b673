package signaling

import (
	"sync"

	"github.com/tidegate/tidegate/shared/auth"
)

// secrets are the files with registration secrets of tenants, by name. They are few, and read anew when they change.
type secrets struct {
	mu     sync.Mutex
	byFile map[string]*auth.SharedSecret
}

// check tells whether a token is one of the file's secrets. A file that is missing or broken holds none.
func (s *secrets) check(file, token string) bool {
	if file == "" {
		return false
	}
	s.mu.Lock()
	have, ok := s.byFile[file]
	if !ok {
		fresh, err := auth.NewSharedSecret(file)
		if err != nil {
			s.mu.Unlock()
			return false
		}
		have = fresh
		s.byFile[file] = have
	}
	s.mu.Unlock()
	return have.Check(token)
}
