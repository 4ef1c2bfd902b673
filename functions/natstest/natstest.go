// Package natstest runs a real NATS server with JetStream in a test, with one account for each tenant, and writes the files by which the
// function nats-stream gets into them.
package natstest

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
)

// Server is a running server.
type Server struct {
	URL         string
	AccountsDir string // NATS_ACCOUNTS_DIR of nats-stream

	tb testing.TB
}

// Start runs a server with accounts for tenants until the test ends.
func Start(tb testing.TB, tenants ...string) *Server {
	tb.Helper()
	operator, resolver := newKey(tb, nkeys.CreateOperator), &server.MemAccResolver{}
	claims := jwt.NewOperatorClaims(public(tb, operator))
	system := newKey(tb, nkeys.CreateAccount)
	claims.SystemAccount = public(tb, system)
	store(tb, resolver, operator, jwt.NewAccountClaims(claims.SystemAccount))

	s := &Server{tb: tb, AccountsDir: tb.TempDir()}
	for _, pc := range tenants {
		s.account(operator, resolver, pc)
	}
	ns, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, JetStream: true, StoreDir: tb.TempDir(),
		TrustedOperators: []*jwt.OperatorClaims{claims}, AccountResolver: resolver, SystemAccount: claims.SystemAccount,
	})
	if err != nil {
		tb.Fatalf("NATS: %v", err)
	}
	ns.Start()
	tb.Cleanup(func() {
		ns.Shutdown()
		ns.WaitForShutdown()
	})
	if !ns.ReadyForConnections(10 * time.Second) {
		tb.Fatal("NATS does not start")
	}
	s.URL = ns.ClientURL()
	return s
}

// account makes the account of a tenant, and its files: the credentials of a user who may do anything there, and the seed of a key that
// signs further users.
func (s *Server) account(operator nkeys.KeyPair, resolver *server.MemAccResolver, pc string) {
	s.tb.Helper()
	account, signing := newKey(s.tb, nkeys.CreateAccount), newKey(s.tb, nkeys.CreateAccount)
	claims := jwt.NewAccountClaims(public(s.tb, account))
	claims.SigningKeys.Add(public(s.tb, signing))
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	store(s.tb, resolver, operator, claims)

	user := newKey(s.tb, nkeys.CreateUser)
	token, err := jwt.NewUserClaims(public(s.tb, user)).Encode(account)
	must(s.tb, err)
	seed, err := user.Seed()
	must(s.tb, err)
	creds, err := jwt.FormatUserConfig(token, seed)
	must(s.tb, err)
	signingSeed, err := signing.Seed()
	must(s.tb, err)
	must(s.tb, os.WriteFile(filepath.Join(s.AccountsDir, pc+".creds"), creds, 0o600))
	must(s.tb, os.WriteFile(filepath.Join(s.AccountsDir, pc+".seed"), append(signingSeed, '\n'), 0o600))
}

// JetStream is the tenant's own way to its streams.
func (s *Server) JetStream(pc string) jetstream.JetStream {
	s.tb.Helper()
	nc, err := nats.Connect(s.URL, nats.UserCredentials(filepath.Join(s.AccountsDir, pc+".creds")))
	must(s.tb, err)
	s.tb.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	must(s.tb, err)
	return js
}

func newKey(tb testing.TB, create func() (nkeys.KeyPair, error)) nkeys.KeyPair {
	tb.Helper()
	k, err := create()
	must(tb, err)
	return k
}

func public(tb testing.TB, k nkeys.KeyPair) string {
	tb.Helper()
	p, err := k.PublicKey()
	must(tb, err)
	return p
}

func store(tb testing.TB, resolver *server.MemAccResolver, operator nkeys.KeyPair, claims *jwt.AccountClaims) {
	tb.Helper()
	token, err := claims.Encode(operator)
	must(tb, err)
	must(tb, resolver.Store(claims.Subject, token))
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
