package embeddedredis

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
)

func TestEveryTypeSurvivesARestart(t *testing.T) {
	ctx := t.Context()
	file := filepath.Join(t.TempDir(), "redis.snapshot")
	s, c := start(t, file)
	binary := string([]byte{0, 0xff, '\n', '"'})
	c.Set(ctx, "string", binary, 0)
	c.Set(ctx, "empty", "", 0)
	c.HSet(ctx, "hash", "field", binary, "other", "2")
	c.SAdd(ctx, "set", "a", "b")
	c.RPush(ctx, "list", "2", "1", "2")
	c.ZAdd(ctx, "sorted", redis.Z{Score: 1.5, Member: "m"}, redis.Z{Score: -1, Member: "n"})
	first := c.XAdd(ctx, &redis.XAddArgs{Stream: "stream", Values: []any{"k", "v1"}}).Val()
	c.XAdd(ctx, &redis.XAddArgs{Stream: "stream", Values: []any{"k", "v2"}})
	c.Set(ctx, "short", "x", time.Hour)
	before := dump(ctx, c)
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}

	s, c = start(t, file)
	defer func() { _ = s.Stop(ctx) }()
	if diff := cmp.Diff(before, dump(ctx, c)); diff != "" {
		t.Errorf("after the restart (-before +after):\n%s", diff)
	}
	if ttl := c.PTTL(ctx, "short").Val(); ttl <= 0 || ttl > time.Hour {
		t.Errorf("time to live of a key that expires = %v, want up to an hour", ttl)
	}
	if id := c.XAdd(ctx, &redis.XAddArgs{Stream: "stream", Values: []any{"k", "v3"}}).Val(); id <= first {
		t.Errorf("a new stream entry got %s, not after %s", id, first)
	}
}

func TestKeysExpireWithoutAnybodyMovingTheClock(t *testing.T) {
	s, c := start(t, filepath.Join(t.TempDir(), "redis.snapshot"))
	defer func() { _ = s.Stop(t.Context()) }()
	c.Set(t.Context(), "k", "v", 300*time.Millisecond)
	deadline := time.Now().Add(time.Minute)
	for c.Exists(t.Context(), "k").Val() == 1 {
		if time.Now().After(deadline) {
			t.Fatal("the key is still there")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestAnAddressInUseIsNamed(t *testing.T) {
	s, _ := start(t, filepath.Join(t.TempDir(), "a"))
	defer func() { _ = s.Stop(t.Context()) }()
	_, err := Start(t.Context(), s.Addr(), filepath.Join(t.TempDir(), "b"), zerolog.Nop())
	if err == nil || !strings.Contains(err.Error(), s.Addr()) {
		t.Fatalf("error = %v, want one that names %s", err, s.Addr())
	}
}

// A folder that is full or gone must not be found out by the loss.
func TestThatTheStateCannotBeSavedIsSaidOnce(t *testing.T) {
	var log bytes.Buffer
	s := &Server{log: zerolog.New(&log)}
	full := errors.New("snapshot: no space left on device")
	unsaved := false
	for _, err := range []error{nil, full, full, nil, nil} {
		unsaved = s.tell(unsaved, err)
	}
	want := []string{"the state can't be saved", "the state is saved again"}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != len(want) || !strings.Contains(lines[0], full.Error()) {
		t.Fatalf("it said\n%s", &log)
	}
	for i := range want {
		if !strings.Contains(lines[i], want[i]) {
			t.Errorf("line %d is %s, want one with %q", i, lines[i], want[i])
		}
	}
}

func start(t *testing.T, file string) (*Server, *redis.Client) {
	t.Helper()
	s, err := Start(t.Context(), "127.0.0.1:0", file, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(&redis.Options{Addr: s.Addr()})
	t.Cleanup(func() { _ = c.Close() })
	return s, c
}

func dump(ctx context.Context, c *redis.Client) map[string]any {
	return map[string]any{
		"string": c.Get(ctx, "string").Val(),
		"empty":  c.Exists(ctx, "empty").Val(),
		"hash":   c.HGetAll(ctx, "hash").Val(),
		"set":    c.SIsMember(ctx, "set", "b").Val(),
		"list":   c.LRange(ctx, "list", 0, -1).Val(),
		"sorted": c.ZRangeWithScores(ctx, "sorted", 0, -1).Val(),
		"stream": c.XRange(ctx, "stream", "-", "+").Val(),
		"short":  c.Get(ctx, "short").Val(),
	}
}
