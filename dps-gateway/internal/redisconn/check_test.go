package redisconn_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/redisconn"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/shared/problem"
)

func TestARedisThatLosesItsKeysIsRefusedUnlessTold(t *testing.T) {
	for name, tt := range map[string]struct {
		args            []string
		evict, volatile bool
		refused         []string // what the refusal names; none: accepted
		durability      string
		warning         string
	}{
		"as it is to be":                      {args: []string{"--appendonly", "yes"}, durability: "every second"},
		"synchronised always":                 {args: []string{"--appendonly", "yes", "--appendfsync", "always"}, durability: "before every answer"},
		"synchronised by chance":              {args: []string{"--appendonly", "yes", "--appendfsync", "no"}, durability: "when the system likes", warning: "appendfsync"},
		"snapshots alone":                     {args: []string{"--save", "60 1"}, durability: "snapshots", warning: "appendonly is no"},
		"nothing kept":                        {refused: []string{"REDIS_ALLOW_VOLATILE"}},
		"nothing kept, and told":              {volatile: true, durability: "none"},
		"drops keys":                          {args: []string{"--appendonly", "yes", "--maxmemory-policy", "allkeys-lru"}, refused: []string{"REDIS_ALLOW_EVICTION", "allkeys-lru"}},
		"drops keys that expire":              {args: []string{"--appendonly", "yes", "--maxmemory-policy", "volatile-ttl"}, refused: []string{"REDIS_ALLOW_EVICTION"}},
		"drops keys, and told":                {args: []string{"--appendonly", "yes", "--maxmemory-policy", "allkeys-lru"}, evict: true, durability: "every second", warning: "allkeys-lru"},
		"drops keys and keeps nothing at all": {args: []string{"--maxmemory-policy", "allkeys-lru"}, refused: []string{"REDIS_ALLOW_EVICTION", "REDIS_ALLOW_VOLATILE"}},
	} {
		t.Run(name, func(t *testing.T) {
			rdb, _ := redistest.Server(t, tt.args...)
			report, err := redisconn.Check(t.Context(), rdb, redisconn.Config{AllowEviction: tt.evict, AllowVolatile: tt.volatile})
			if (err != nil) != (len(tt.refused) > 0) || (err != nil && !problem.Is(err, problem.Invalid)) {
				t.Fatal(err)
			}
			for _, want := range tt.refused {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not name %s", err, want)
				}
			}
			if !strings.Contains(report.Durability, tt.durability) {
				t.Errorf("durability %q", report.Durability)
			}
			if tt.warning == "" && len(report.Warnings) > 0 || !strings.Contains(strings.Join(report.Warnings, "\n"), tt.warning) {
				t.Errorf("warnings %q", report.Warnings)
			}
		})
	}
}

// TestWhatAnAccountMayNotAskIsSaid takes CONFIG, then INFO too, from an account.
func TestWhatAnAccountMayNotAskIsSaid(t *testing.T) {
	rdb, _ := redistest.Server(t, "--appendonly", "yes", "--maxmemory-policy", "allkeys-lru")
	addr := rdb.(*redis.Client).Options().Addr
	as := func(rules ...any) (redisconn.Report, error) {
		if err := rdb.Do(t.Context(), append([]any{"ACL", "SETUSER", "gateway", "reset", "on", ">secret", "~tg:*", "&tg:*", "+@all"}, rules...)...).Err(); err != nil {
			t.Fatal(err)
		}
		c := config("redis://gateway:secret@" + addr)
		return redisconn.Check(t.Context(), open(t, c), c)
	}
	if _, err := as("-config"); !problem.Is(err, problem.Invalid) || !strings.Contains(err.Error(), "allkeys-lru") {
		t.Errorf("INFO tells the policy all the same: %v", err)
	}
	rdb.ConfigSet(t.Context(), "maxmemory-policy", "noeviction")
	if report, err := as("-config"); err != nil || len(report.Warnings) != 0 || report.Durability == "" {
		t.Errorf("INFO tells all that is needed: %+v %v", report, err)
	}
	report, err := as("-config", "-info")
	if err != nil || len(report.Warnings) != 2 || !slices.ContainsFunc(report.Warnings, func(w string) bool { return strings.Contains(w, "maxmemory-policy") }) ||
		!strings.Contains(report.Warnings[0], "could not be checked: it refuses CONFIG GET and INFO") {
		t.Errorf("%+v %v", report, err)
	}
}

func TestEmbeddedRedisIsAcceptedOnceTold(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	report, err := redisconn.Check(t.Context(), rdb, redisconn.Config{AllowVolatile: true})
	if err != nil {
		t.Fatal(err)
	}
	if s := strings.Join(report.Warnings, "\n"); strings.Contains(s, "appendonly") {
		t.Error(s)
	}
}

func TestARedisThatIsAwayIsNoRefusal(t *testing.T) {
	c := config("redis://127.0.0.1:1")
	if _, err := redisconn.Check(t.Context(), open(t, c), c); !problem.Is(err, problem.Unavailable) {
		t.Error(err)
	}
}

// TestEveryMasterOfAClusterIsAsked spoils one of three.
func TestEveryMasterOfAClusterIsAsked(t *testing.T) {
	rdb := redistest.Cluster3(t)
	c := config("redis+cluster://" + strings.Join(rdb.Options().Addrs, ","))
	c.AllowVolatile = true
	own := open(t, c)
	if _, err := redisconn.Check(t.Context(), own, c); err != nil {
		t.Fatal(err)
	}
	bad := redis.NewClient(&redis.Options{Addr: rdb.Options().Addrs[2], DisableIdentity: true})
	defer bad.Close()
	if err := bad.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-random").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := redisconn.Check(t.Context(), own, c); !problem.Is(err, problem.Invalid) || !strings.Contains(err.Error(), rdb.Options().Addrs[2]) {
		t.Error(err)
	}
}
