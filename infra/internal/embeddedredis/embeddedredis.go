// Package embeddedredis runs a Redis inside the launcher, for one machine: miniredis, with time that moves and a snapshot
// file, so that what was agreed and delivered is still known after a restart.
//
// What it promises: a stop by Stop loses nothing; a launcher that is killed loses at most SnapshotEvery. A deployment that
// must not lose even that takes a real Redis with an append-only file (see docs/operate.md).
package embeddedredis

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/renameio/v2"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
)

// SnapshotEvery is the time between two snapshots while running.
const SnapshotEvery = 5 * time.Second

// tick is how often the server's clock for expiring keys moves: miniredis expires nothing by itself.
const tick = 100 * time.Millisecond

// Server is a running embedded Redis.
type Server struct {
	mini   *miniredis.Miniredis
	client *redis.Client
	file   string
	log    zerolog.Logger
	stop   context.CancelFunc
	done   chan struct{}
}

// Start listens on addr and loads the snapshot file if there is one. The server outlives ctx: Stop ends it. That snapshots can't be
// written, and that they can be again, is logged once each.
func Start(ctx context.Context, addr, snapshotFile string, log zerolog.Logger) (*Server, error) {
	mini := miniredis.NewMiniRedis()
	if err := mini.StartAddr(addr); err != nil {
		return nil, fmt.Errorf("embedded Redis: listening on %s: %w", addr, err)
	}
	s := &Server{
		mini:   mini,
		client: redis.NewClient(&redis.Options{Addr: mini.Addr(), MaintNotificationsConfig: nil}),
		file:   snapshotFile,
		log:    log,
		done:   make(chan struct{}),
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = cancel
	if err := s.load(ctx); err != nil {
		cancel()
		close(s.done)
		return nil, errors.Join(fmt.Errorf("embedded Redis: loading %s: %w", snapshotFile, err), s.close())
	}
	go s.run(ctx)
	return s, nil
}

// Addr is the address that it listens on.
func (s *Server) Addr() string { return s.mini.Addr() }

// Stop writes a last snapshot and closes. Call it when no client writes any more.
func (s *Server) Stop(ctx context.Context) error {
	s.stop()
	<-s.done
	return errors.Join(s.save(ctx), s.close())
}

func (s *Server) close() error {
	err := s.client.Close()
	s.mini.Close()
	return err
}

// run moves the clock and takes snapshots until ctx ends.
func (s *Server) run(ctx context.Context) {
	defer close(s.done)
	clock, snap := time.NewTicker(tick), time.NewTicker(SnapshotEvery)
	defer clock.Stop()
	defer snap.Stop()
	last := time.Now()
	unsaved := false
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-clock.C:
			s.mini.FastForward(now.Sub(last))
			last = now
		case <-snap.C:
			err := s.save(ctx) // one that failed is tried again at the next tick
			if ctx.Err() == nil {
				unsaved = s.tell(unsaved, err)
			}
		}
	}
}

// tell logs that snapshots begin to fail, or that they no longer do, and returns whether they do.
func (s *Server) tell(unsaved bool, err error) bool {
	switch {
	case err != nil && !unsaved:
		s.log.Error().Err(err).Msg("the state can't be saved: what happens from here on is forgotten if this is killed; it is tried again")
	case err == nil && unsaved:
		s.log.Info().Msg("the state is saved again")
	}
	return err != nil
}

// entry is one key of a snapshot, one JSON object a line.
type entry struct {
	Key      string             `json:"key"`
	ExpireAt int64              `json:"expireAt,omitempty"` // ms since 1970; 0 = never
	String   *[]byte            `json:"string,omitempty"`
	Hash     map[string][]byte  `json:"hash,omitempty"`
	Set      [][]byte           `json:"set,omitempty"`
	List     [][]byte           `json:"list,omitempty"`
	Sorted   map[string]float64 `json:"sorted,omitempty"`
	Stream   []streamEntry      `json:"stream,omitempty"`
}

type streamEntry struct {
	ID     string            `json:"id"`
	Values map[string][]byte `json:"values"`
}

// save writes all keys to the snapshot file, which is replaced as a whole.
func (s *Server) save(ctx context.Context) error {
	keys, err := s.client.Keys(ctx, "*").Result()
	if err != nil {
		return fmt.Errorf("listing keys: %w", err)
	}
	out, err := renameio.NewPendingFile(s.file, renameio.WithPermissions(0o600))
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	defer func() { _ = out.Cleanup() }()
	w := bufio.NewWriter(out)
	enc := json.NewEncoder(w)
	for _, key := range keys {
		e, err := s.read(ctx, key)
		if err != nil {
			return fmt.Errorf("reading %s: %w", key, err)
		}
		if e == nil {
			continue
		}
		if err := enc.Encode(e); err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if err := out.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return nil
}

// read returns one key, and nil if it is gone.
func (s *Server) read(ctx context.Context, key string) (*entry, error) {
	kind, err := s.client.Type(ctx, key).Result()
	if err != nil {
		return nil, err
	}
	e := &entry{Key: key}
	switch kind {
	case "string":
		b, err := s.client.Get(ctx, key).Bytes()
		if err != nil {
			return gone(err)
		}
		e.String = &b
	case "hash":
		m, err := s.client.HGetAll(ctx, key).Result()
		if err != nil || len(m) == 0 {
			return gone(err)
		}
		e.Hash = bytesOf(m)
	case "set":
		v, err := s.client.SMembers(ctx, key).Result()
		if err != nil || len(v) == 0 {
			return gone(err)
		}
		e.Set = slices(v)
	case "list":
		v, err := s.client.LRange(ctx, key, 0, -1).Result()
		if err != nil || len(v) == 0 {
			return gone(err)
		}
		e.List = slices(v)
	case "zset":
		v, err := s.client.ZRangeWithScores(ctx, key, 0, -1).Result()
		if err != nil || len(v) == 0 {
			return gone(err)
		}
		e.Sorted = make(map[string]float64, len(v))
		for _, z := range v {
			member, _ := z.Member.(string)
			e.Sorted[member] = z.Score
		}
	case "stream":
		v, err := s.client.XRange(ctx, key, "-", "+").Result()
		if err != nil || len(v) == 0 {
			return gone(err)
		}
		for _, m := range v {
			values := make(map[string]string, len(m.Values))
			for k, val := range m.Values {
				values[k] = fmt.Sprint(val)
			}
			e.Stream = append(e.Stream, streamEntry{ID: m.ID, Values: bytesOf(values)})
		}
	default:
		return nil, nil //nolint:nilnil // a key that has gone since it was listed is no error and no entry
	}
	ttl, err := s.client.PTTL(ctx, key).Result()
	if err != nil {
		return nil, err
	}
	if ttl > 0 {
		e.ExpireAt = time.Now().Add(ttl).UnixMilli()
	}
	return e, nil
}

// gone turns "no such key" into no entry.
func gone(err error) (*entry, error) {
	if err == nil || errors.Is(err, redis.Nil) {
		return nil, nil //nolint:nilnil // a key that has gone since it was listed is no error and no entry
	}
	return nil, err
}

// load reads the snapshot file into the empty server.
func (s *Server) load(ctx context.Context) error {
	f, err := os.Open(s.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	dec := json.NewDecoder(bufio.NewReader(f))
	for dec.More() {
		var e entry
		if err := dec.Decode(&e); err != nil {
			return err
		}
		if err := s.write(ctx, &e); err != nil {
			return fmt.Errorf("key %s: %w", e.Key, err)
		}
	}
	return nil
}

func (s *Server) write(ctx context.Context, e *entry) error {
	var ttl time.Duration
	if e.ExpireAt > 0 {
		if ttl = time.Until(time.UnixMilli(e.ExpireAt)); ttl <= 0 {
			return nil // it has expired while nothing ran
		}
	}
	p := s.client.TxPipeline()
	switch {
	case e.String != nil:
		p.Set(ctx, e.Key, *e.String, 0)
	case e.Hash != nil:
		p.HSet(ctx, e.Key, flat(e.Hash))
	case e.Set != nil:
		p.SAdd(ctx, e.Key, anys(e.Set)...)
	case e.List != nil:
		p.RPush(ctx, e.Key, anys(e.List)...)
	case e.Sorted != nil:
		for member, score := range e.Sorted {
			p.ZAdd(ctx, e.Key, redis.Z{Score: score, Member: member})
		}
	case e.Stream != nil:
		for _, x := range e.Stream {
			p.XAdd(ctx, &redis.XAddArgs{Stream: e.Key, ID: x.ID, Values: flat(x.Values)})
		}
	}
	if ttl > 0 {
		p.PExpire(ctx, e.Key, ttl)
	}
	_, err := p.Exec(ctx)
	return err
}

func bytesOf(m map[string]string) map[string][]byte {
	out := make(map[string][]byte, len(m))
	for k, v := range m {
		out[k] = []byte(v)
	}
	return out
}

func slices(v []string) [][]byte {
	out := make([][]byte, len(v))
	for i, s := range v {
		out[i] = []byte(s)
	}
	return out
}

func anys(v [][]byte) []any {
	out := make([]any, len(v))
	for i, b := range v {
		out[i] = b
	}
	return out
}

func flat(m map[string][]byte) []any {
	out := make([]any, 0, 2*len(m))
	for k, v := range m {
		out = append(out, k, v)
	}
	return out
}
