package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/tidegate/tidegate/shared/problem"
)

// account is a tenant's account at the NATS server: tenants can't name each other's streams.
type account struct {
	nc *nats.Conn
	js jetstream.JetStream
	id string        // public key of the account
	by nkeys.KeyPair // signs users of the account
}

// open connects to the account of a tenant. A function that sleeps most of the time keeps no connection.
func (h *handler) open(ctx context.Context, pc string) (*account, error) {
	creds, seed := filepath.Join(h.cfg.AccountsDir, pc+".creds"), filepath.Join(h.cfg.AccountsDir, pc+".seed")
	if !filepath.IsLocal(pc + ".creds") {
		return nil, problem.New(problem.NotFound, "this participant has no streams")
	}
	a := &account{}
	if err := a.keys(creds, seed); err != nil {
		return nil, err
	}
	timeout := 5 * time.Second
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline))
	}
	nc, err := nats.Connect(h.cfg.URL, nats.UserCredentials(creds), nats.Name("tidegate "+name), nats.Timeout(max(timeout, time.Millisecond)), nats.NoReconnect())
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "the stream's server can't be reached")
	}
	if a.js, err = jetstream.New(nc); err != nil {
		nc.Close()
		return nil, problem.Wrap(problem.Internal, err, "JetStream")
	}
	a.nc = nc
	return a, nil
}

// keys reads the files of an account.
func (a *account) keys(creds, seed string) error {
	b, err := os.ReadFile(creds)
	if errors.Is(err, fs.ErrNotExist) {
		return problem.New(problem.NotFound, "this participant has no streams")
	}
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "the account of the participant can't be read")
	}
	token, err := jwt.ParseDecoratedJWT(b)
	if err != nil {
		return problem.Wrap(problem.Internal, err, "the credentials of the account")
	}
	claims, err := jwt.DecodeUserClaims(token)
	if err != nil {
		return problem.Wrap(problem.Internal, err, "the credentials of the account")
	}
	if a.id = claims.IssuerAccount; a.id == "" {
		a.id = claims.Issuer
	}
	if b, err = os.ReadFile(seed); err != nil {
		return problem.Wrap(problem.Unavailable, err, "the signing key of the account can't be read")
	}
	if a.by, err = jwt.ParseDecoratedNKey(b); err != nil {
		return problem.Wrap(problem.Internal, err, "the signing key of the account")
	}
	return nil
}

func (a *account) close() {
	a.nc.Close()
	a.by.Wipe()
}

// credentials makes a user who may read from one consumer of one stream: fetch, look at it, acknowledge, and receive in an inbox of its own.
func (a *account) credentials(stream, consumer, inbox string) (token, seed string, err error) {
	user, err := nkeys.CreateUser()
	if err != nil {
		return "", "", problem.Wrap(problem.Internal, err, "a user's key")
	}
	defer user.Wipe()
	public, err := user.PublicKey()
	if err != nil {
		return "", "", problem.Wrap(problem.Internal, err, "a user's key")
	}
	claims := jwt.NewUserClaims(public)
	claims.Name, claims.IssuerAccount = consumer, a.id
	claims.Pub.Allow.Add("$JS.API.CONSUMER.MSG.NEXT."+stream+"."+consumer, "$JS.API.CONSUMER.INFO."+stream+"."+consumer, "$JS.ACK."+stream+"."+consumer+".>")
	claims.Sub.Allow.Add(inbox + ".>")
	claims.Resp = nil
	if token, err = claims.Encode(a.by); err != nil {
		return "", "", problem.Wrap(problem.Internal, err, "a user's credentials")
	}
	s, err := user.Seed()
	if err != nil {
		return "", "", problem.Wrap(problem.Internal, err, "a user's key")
	}
	return token, string(s), nil
}
