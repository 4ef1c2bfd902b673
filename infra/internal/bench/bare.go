package bench

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tidegate/tidegate/infra/internal/supervisor"
)

// The variables that make the bench's own program a bare server of signals.
const (
	bareAddr  = "BENCH_BARE_ADDR"
	bareSetup = "BENCH_BARE_SETUP" // file
)

// bareFirst is the number of its first flow, far from those that go to the same Redis otherwise.
const bareFirst = 700_000_000

// bareSettings are what a bare server works with.
type bareSettings struct {
	Redis, Broker string // addresses
	JWKS          json.RawMessage
	Calls         [signalsPerFlow]call
}

// bare is what no gateway in Go can do without, with nothing that ours does beside: net/http reads the request, crypto/rsa checks the
// signature of its token, Redis is called as the gateway does, a start signs an access token with ES256, and the events of start and
// terminate are posted, as ready-made bytes. No claim and no message is read, and nothing is written as JSON.
type bare struct {
	bareSettings

	key     *rsa.PublicKey
	own     *ecdsa.PrivateKey
	event   []byte
	redis   chan *conn
	brokers chan *conn
}

// ServeBeside makes this process one of those that the gateway is compared with, if it was started for that; else it returns false at
// once. A program that measures calls it first: what is compared must be a process of its own.
func ServeBeside() bool { return serveProxy() || serveBare() }

func serveBare() bool {
	addr, ok := os.LookupEnv(bareAddr)
	if !ok {
		return false
	}
	b, err := newBare(os.Getenv(bareSetup))
	if err != nil {
		return true // it never becomes ready, which is an error where it was started
	}
	_ = (&http.Server{Addr: addr, Handler: b, ReadHeaderTimeout: 10 * time.Second}).ListenAndServe() // ended by a signal
	return true
}

func newBare(file string) (*bare, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("bare server: %w", err)
	}
	const most = 256 // connections of each kind
	b := &bare{redis: make(chan *conn, most), brokers: make(chan *conn, most)}
	if err := json.Unmarshal(text, &b.bareSettings); err != nil {
		return nil, fmt.Errorf("bare server: %w", err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(b.JWKS, &set); err != nil {
		return nil, fmt.Errorf("bare server: %w", err)
	}
	for _, k := range set.Key(string(rs256)) {
		b.key, _ = k.Key.(*rsa.PublicKey)
	}
	if b.key == nil {
		return nil, errors.New("bare server: no key of " + string(rs256))
	}
	if b.own, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("bare server: %w", err)
	}
	b.event = request(http.MethodPost, b.Broker, "/", strings.Repeat("t", 512), make([]byte, 256)) // about as long as the gateway's
	return b, nil
}

// ServeHTTP implements http.Handler.
func (b *bare) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/"+healthFile {
		return
	}
	err := b.signal(w, r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (b *bare) signal(w http.ResponseWriter, r *http.Request) error {
	if err := b.verify(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")); err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return fmt.Errorf("the body: %w", err)
	}
	n, ok := flowNumber(r.URL.Path + string(body))
	if !ok {
		return errors.New("no data flow is named")
	}
	which := map[string]int{"start": 0, "status": 1, "terminate": 2}[r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]]
	answer := make([]byte, 96)
	if which == 0 {
		digest := sha256.Sum256(answer)
		if _, err := ecdsa.SignASN1(rand.Reader, b.own, digest[:]); err != nil {
			return fmt.Errorf("the access token: %w", err)
		}
		answer = make([]byte, 1024)
	}
	if err := b.use(r.Context(), b.redis, b.Redis, func(c *conn) error { return b.call(c, which, n) }); err != nil {
		return err
	}
	if which != 1 {
		go b.tell(context.WithoutCancel(r.Context())) // as the outbox, after the answer
	}
	_, err = w.Write(answer)
	return err
}

// flowNumber finds the first id of a flow.
func flowNumber(text string) (int64, bool) {
	i := strings.Index(text, flowPrefix)
	if i < 0 || len(text) < i+len(flowPrefix)+digits {
		return 0, false
	}
	n, err := strconv.ParseInt(text[i+len(flowPrefix):][:digits], 10, 64)
	return n, err == nil
}

func (b *bare) verify(token string) error {
	last := strings.LastIndexByte(token, '.')
	if last < 0 {
		return errors.New("no token")
	}
	signature, err := base64.RawURLEncoding.DecodeString(token[last+1:])
	if err != nil {
		return fmt.Errorf("the token: %w", err)
	}
	digest := sha256.Sum256([]byte(token[:last]))
	return rsa.VerifyPKCS1v15(b.key, crypto.SHA256, digest[:], signature)
}

func (b *bare) call(c *conn, which int, n int64) error {
	c.body = append(c.body[:0], b.Calls[which].Wire...)
	put(c.body, b.Calls[which].Flow, n)
	put(c.body, b.Calls[which].JTI, n*signalsPerFlow+int64(which))
	if _, err := c.Write(c.body); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	return skipReply(c.r)
}

// tell posts an event. The broker counts them: one that fails is missed there.
func (b *bare) tell(ctx context.Context) { _ = b.use(ctx, b.brokers, b.Broker, b.post) }

func (b *bare) post(c *conn) error {
	if _, err := c.Write(b.event); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	_, _, err := c.answer()
	return err
}

// use lends a kept connection, or a new one.
func (b *bare) use(ctx context.Context, kept chan *conn, addr string, do func(*conn) error) (err error) {
	var c *conn
	select {
	case c = <-kept:
	default:
		if c, err = dial(ctx, addr); err != nil {
			return err
		}
	}
	if err := do(c); err != nil {
		c.close()
		return err
	}
	select {
	case kept <- c:
	default:
		c.close()
	}
	return nil
}

// startBare starts a bare server before the Redis that is otherwise called alone, and returns what sends signals to it.
func startBare(ctx context.Context, s *signaler, alone *redisAlone) (*signaler, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("bare server: %w", err)
	}
	addrs, err := freeAddrs(1)
	if err != nil {
		return nil, err
	}
	setup, err := json.Marshal(bareSettings{Redis: alone.rdb.Options().Addr, Broker: s.outside.broker.addr, JWKS: s.outside.jwks, Calls: alone.calls})
	if err == nil {
		err = os.WriteFile(s.path("bare.json"), setup, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("bare server: %w", err)
	}
	w := *s.world
	w.redis, w.rdb, w.flows = alone.redis, alone.rdb, bareFirst
	w.gateway, err = s.ready(ctx, supervisor.Program{
		Name: "bare server", Path: self, Env: append(baseEnv(), bareAddr+"="+addrs[0], bareSetup+"="+s.path("bare.json")), Log: s.path("bare.log"),
		Health: "http://" + addrs[0] + "/" + healthFile,
	})
	return &signaler{world: &w, datasets: s.datasets, at: addrs}, err
}
