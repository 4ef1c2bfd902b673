// Package redisconn connects the gateway to its Redis, single, behind Sentinel or in Cluster mode, and checks before anything is
// kept there that this Redis does not lose it silently.
package redisconn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/shared/problem"
)

// Config says where Redis is and how to reach it. It is part of the gateway's environment.
type Config struct {
	// URL has one of the forms
	//
	//	redis://[user:password@]host:port[/db]
	//	redis+sentinel://[user:password@]host:port,host:port/master[/db]
	//	redis+cluster://[user:password@]host:port,host:port
	//
	// rediss in place of redis means TLS. The options of redis.ParseURL may follow as a query.
	URL                  string        `env:"REDIS_URL,required" expect:"redis://[user:password@]host:port/db, redis+sentinel://…, redis+cluster://…, or rediss for TLS"`
	PasswordFile         string        `env:"REDIS_PASSWORD_FILE"`          // instead of a password in the URL
	SentinelMaster       string        `env:"REDIS_SENTINEL_MASTER"`        // instead of a name in the URL's path
	SentinelUser         string        `env:"REDIS_SENTINEL_USER"`          // of the sentinels themselves
	SentinelPasswordFile string        `env:"REDIS_SENTINEL_PASSWORD_FILE"` // of the sentinels themselves
	CAFile               string        `env:"REDIS_CA_FILE"`                // PEM; the system's authorities if there is none
	CertFile             string        `env:"REDIS_CERT_FILE"`              // PEM, where Redis asks clients for a certificate
	KeyFile              string        `env:"REDIS_KEY_FILE"`
	Timeout              time.Duration `env:"REDIS_TIMEOUT" envDefault:"2s"`           // of one command, and of a connection
	PoolSize             int           `env:"REDIS_POOL_SIZE" envDefault:"0"`          // connections to a node; 0 = 10 a core
	AllowEviction        bool          `env:"REDIS_ALLOW_EVICTION" envDefault:"false"` // run on a Redis that drops keys when it is full
	AllowVolatile        bool          `env:"REDIS_ALLOW_VOLATILE" envDefault:"false"` // run on a Redis that keeps nothing over its own restart
}

// retries is how often a command is tried again at once after an error of the network or of a node that fails over. Every
// command of the gateway may be repeated: transitions recognise a repeat, outbox entries may come twice.
const retries = 1

// topology is how Redis is set up.
type topology string

const (
	single   topology = ""
	sentinel topology = "sentinel"
	cluster  topology = "cluster"
)

// Validate checks the values without connecting and reading files. Its faults never hold the URL, which may hold a password.
func (c *Config) Validate() error {
	_, _, fault := c.parse()
	faults := []error{fault}
	if c.Timeout <= 0 {
		faults = append(faults, problem.Field("REDIS_TIMEOUT", "%v is out of range: more than 0s is expected", c.Timeout))
	}
	if c.PoolSize < 0 {
		faults = append(faults, problem.Field("REDIS_POOL_SIZE", "%d is out of range: 0 (10 a core) or more is expected", c.PoolSize))
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		faults = append(faults, problem.Field("REDIS_CERT_FILE", "a certificate and its key (REDIS_KEY_FILE) go together"))
	}
	return errors.Join(faults...)
}

// parse reads the URL. What all forms have in common, credentials, database and query, redis.ParseURL reads from a URL with the
// first host alone: net/url refuses a list of hosts.
func (c *Config) parse() (topology, *redis.UniversalOptions, error) {
	fault := func(format string, args ...any) (topology, *redis.UniversalOptions, error) {
		return single, nil, problem.Field("REDIS_URL", format, args...)
	}
	scheme, rest, ok := strings.Cut(c.URL, "://")
	base, kind, _ := strings.Cut(scheme, "+")
	top := topology(kind)
	if !ok || (base != "redis" && base != "rediss") || (top != single && top != sentinel && top != cluster) {
		return fault("is no URL of a Redis: redis://, redis+sentinel:// or redis+cluster:// is expected, with rediss for TLS")
	}
	authority, path, query := rest, "", ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	path, query, _ = strings.Cut(path, "?")
	user := ""
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, authority = authority[:i+1], authority[i+1:]
	}
	hosts := strings.Split(authority, ",")
	if len(hosts) > 1 && top == single {
		return fault("names several hosts: redis+sentinel:// or redis+cluster:// is expected then")
	}
	master := c.SentinelMaster
	if top == sentinel {
		name, db, _ := strings.Cut(strings.Trim(path, "/"), "/")
		if _, err := strconv.Atoi(name); name != "" && (err != nil || master == "") {
			name, err := url.PathUnescape(name)
			if err != nil {
				return fault("has a name of the master that can't be read")
			}
			master, path = name, "/"+db
		}
		if master == "" {
			return fault("names no master: redis+sentinel://host:port,…/<master>, or REDIS_SENTINEL_MASTER, is expected")
		}
	} else if master != "" {
		return top, nil, problem.Field("REDIS_SENTINEL_MASTER", "is for redis+sentinel:// only")
	}
	opts := &redis.UniversalOptions{MasterName: master}
	for _, h := range hosts {
		o, err := redis.ParseURL(base + "://" + user + h + path + "?" + query)
		if err != nil || h == "" {
			return fault("can't be read: [user:password@]host:port/db is expected, hosts separated by commas") // the cause may hold the password
		}
		opts.Addrs = append(opts.Addrs, o.Addr)
		if len(opts.Addrs) == 1 {
			c.take(opts, o)
		}
	}
	if top == cluster && opts.DB != 0 {
		return fault("names a database: a Redis Cluster has only one")
	}
	return top, opts, nil
}

// take fills the options from what the URL says, and from the settings where it says nothing.
func (c *Config) take(to *redis.UniversalOptions, o *redis.Options) {
	or := func(d time.Duration) time.Duration {
		if d == 0 {
			return c.Timeout
		}
		return d
	}
	to.ClientName = "dps-gateway"
	to.Username, to.Password, to.DB, to.TLSConfig = o.Username, o.Password, o.DB, o.TLSConfig
	to.DialTimeout, to.ReadTimeout, to.WriteTimeout, to.PoolTimeout = or(o.DialTimeout), or(o.ReadTimeout), or(o.WriteTimeout), or(o.PoolTimeout)
	if to.MaxRetries = o.MaxRetries; to.MaxRetries == 0 {
		to.MaxRetries = retries
	}
	if to.PoolSize = o.PoolSize; to.PoolSize == 0 {
		to.PoolSize = c.PoolSize
	}
	to.MinIdleConns, to.MaxIdleConns, to.MaxActiveConns = o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns
	to.ConnMaxIdleTime, to.ConnMaxLifetime = o.ConnMaxIdleTime, o.ConnMaxLifetime
	to.ContextTimeoutEnabled = true
}

// Open returns a client. It reads the files and connects to nothing; Check must follow.
func Open(c Config) (redis.UniversalClient, error) {
	top, opts, err := c.parse()
	if err != nil {
		return nil, err
	}
	var faults []error
	read := func(name, file string, into *string) {
		if file == "" {
			return
		}
		b, err := os.ReadFile(file)
		if err != nil {
			faults = append(faults, problem.Field(name, "%w", err))
			return
		}
		*into = strings.TrimSpace(string(b))
	}
	read("REDIS_PASSWORD_FILE", c.PasswordFile, &opts.Password)
	opts.SentinelUsername = c.SentinelUser
	read("REDIS_SENTINEL_PASSWORD_FILE", c.SentinelPasswordFile, &opts.SentinelPassword)
	faults = append(faults, c.secure(opts))
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	switch top {
	case cluster:
		opts.IsClusterMode = true
		o := opts.Cluster()
		o.MaxRedirects = 3 // MOVED, ASK, and a slot without a master: the last may pass within moments
		return redis.NewClusterClient(o), nil
	case sentinel:
		return redis.NewFailoverClient(opts.Failover()), nil
	case single:
	}
	return redis.NewClient(opts.Simple()), nil
}

// secure completes the TLS settings.
func (c *Config) secure(opts *redis.UniversalOptions) error {
	if opts.TLSConfig == nil {
		if c.CAFile != "" || c.CertFile != "" {
			return problem.Field("REDIS_URL", "has no TLS, but there is REDIS_CA_FILE or REDIS_CERT_FILE: rediss is expected in place of redis")
		}
		return nil
	}
	opts.TLSConfig.MinVersion = tls.VersionTLS12
	if len(opts.Addrs) > 1 {
		opts.TLSConfig.ServerName = "" // each node goes by its own name
	}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return problem.Field("REDIS_CA_FILE", "%w", err)
		}
		opts.TLSConfig.RootCAs = x509.NewCertPool()
		if !opts.TLSConfig.RootCAs.AppendCertsFromPEM(pem) {
			return problem.Field("REDIS_CA_FILE", "holds no certificate in PEM")
		}
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return problem.Field("REDIS_CERT_FILE", "%w", err)
		}
		opts.TLSConfig.Certificates = []tls.Certificate{pair}
	}
	return nil
}
