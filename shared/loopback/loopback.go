// Package loopback finds loopback ports for programs that must be told where to listen before they do: those that a test, the demo
// or a benchmark starts.
//
// A port that the kernel gives for port 0 is nobody's again once its listener is closed, and the next connection of any process may
// leave from it. Ports of this package are below those that the kernel gives, and are marked as taken, in a lock file that all
// processes of the user share, until the process ends: so neither tests that run side by side nor a program that is started again
// on the same address meet a stranger there.
package loopback

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

const (
	lowest = 10000
	// tries bounds the search: with half of the ports taken, all fail for a range of 20 once in a lifetime, if they lie together.
	tries = 2000
)

// Addr returns an address of 127.0.0.1 that is free and this process's until it ends.
func Addr() (string, error) {
	port, err := Ports(1)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), nil
}

// Ports returns the first of n ports in a row that are free and this process's until it ends. At most 100 are given at once.
func Ports(n int) (int, error) {
	if n < 1 || n > 100 {
		return 0, fmt.Errorf("%d ports: expected 1 to 100", n)
	}
	table, err := open()
	if err != nil {
		return 0, fmt.Errorf("the table of ports in use: %w", err)
	}
	table.mu.Lock()
	defer table.mu.Unlock()
	room := highest() - lowest - n + 1
	for range tries {
		first := lowest + rand.IntN(room) //nolint:gosec // only to spread
		if table.take(first, n) {
			return first, nil
		}
	}
	return 0, fmt.Errorf("no %d free ports in a row between %d and %d", n, lowest, highest())
}

// table is the lock file: byte p is locked while port p is some process's. The locks are of the process and end with it.
type table struct {
	mu   sync.Mutex
	file *os.File
	own  map[int]bool // a process's locks don't keep itself out
}

var open = sync.OnceValues(func() (*table, error) {
	name := filepath.Join(os.TempDir(), fmt.Sprintf("tidegate-ports-%d", os.Getuid()))
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	return &table{file: f, own: map[int]bool{}}, nil
})

// take takes the ports, or none.
func (t *table) take(first, n int) bool {
	for p := first; p < first+n; p++ {
		if t.own[p] {
			return false
		}
	}
	if t.lock(syscall.F_WRLCK, first, n) != nil {
		return false // another process's, wholly or in part
	}
	for p := first; p < first+n; p++ {
		if !free(p) {
			_ = t.lock(syscall.F_UNLCK, first, n) // it ends with the process at the latest
			return false
		}
	}
	for p := first; p < first+n; p++ {
		t.own[p] = true
	}
	return true
}

func (t *table) lock(kind int16, first, n int) error {
	return syscall.FcntlFlock(t.file.Fd(), syscall.F_SETLK, &syscall.Flock_t{
		Type: kind, Whence: io.SeekStart, Start: int64(first), Len: int64(n),
	})
}

// free says whether nobody listens there, on this address or on all.
func free(port int) bool {
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // it returns at once
	if err != nil {
		return false
	}
	return ln.Close() == nil
}

// highest is the port below those that the kernel gives for port 0 and for connections; they start at 32768 unless it was told
// otherwise, and on other systems than Linux higher still.
var highest = sync.OnceValue(func() int {
	const usual = 32767
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return usual
	}
	first, err := parseRange(string(b))
	if err != nil || first-1 < lowest+1000 {
		return usual // the kernel gives nearly all: then there is nothing better than to look whether a port is free
	}
	return min(first-1, usual)
})

func parseRange(s string) (int, error) {
	fields := strings.Fields(s)
	if len(fields) != 2 {
		return 0, errors.New("expected two numbers")
	}
	return strconv.Atoi(fields[0])
}
