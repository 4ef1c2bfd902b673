package redisconn_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/dps-gateway/internal/redisconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func config(url string) redisconn.Config {
	return redisconn.Config{URL: url, Timeout: 2 * time.Second}
}

func TestOneServer(t *testing.T) {
	c := config("rediss://ann:s%40cret@redis.example:7000/3?pool_size=7&read_timeout=5s")
	o := open(t, c).(*redis.Client).Options()
	if o.Addr != "redis.example:7000" || o.Username != "ann" || o.Password != "s@cret" || o.DB != 3 || o.TLSConfig == nil ||
		o.TLSConfig.ServerName != "redis.example" || o.PoolSize != 7 || o.ReadTimeout != 5*time.Second || o.DialTimeout != 2*time.Second {
		t.Errorf("%+v", o)
	}
}

func TestClusterOfSeveralNodes(t *testing.T) {
	o := open(t, config("rediss+cluster://ann:secret@a:7000,b:7001,[::1]:7002")).(*redis.ClusterClient).Options()
	if strings.Join(o.Addrs, " ") != "a:7000 b:7001 [::1]:7002" || o.Username != "ann" || o.Password != "secret" || o.TLSConfig == nil || o.TLSConfig.ServerName != "" {
		t.Errorf("%+v", o)
	}
}

func TestPasswordsComeFromFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("from-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := config("redis://ann@redis.example:6379")
	c.PasswordFile = file
	if o := open(t, c).(*redis.Client).Options(); o.Username != "ann" || o.Password != "from-a-file" {
		t.Errorf("%q %q", o.Username, o.Password)
	}
}

func open(t *testing.T, c redisconn.Config) redis.UniversalClient {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	rdb, err := redisconn.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

func TestWhatIsWrongIsNamedAndNoPasswordIsShown(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(c *redisconn.Config)
		want   string
	}{
		"another scheme":                   {func(c *redisconn.Config) { c.URL = "http://u:hunter2@h:1" }, "REDIS_URL"},
		"no scheme":                        {func(c *redisconn.Config) { c.URL = ":hunter2@h:1" }, "REDIS_URL"},
		"an unknown topology":              {func(c *redisconn.Config) { c.URL = "redis+ring://u:hunter2@h:1" }, "REDIS_URL"},
		"several hosts of a single one":    {func(c *redisconn.Config) { c.URL = "redis://u:hunter2@a:1,b:2" }, "redis+cluster://"},
		"an empty host in the list":        {func(c *redisconn.Config) { c.URL = "redis+cluster://u:hunter2@a:1,,b:2" }, "REDIS_URL"},
		"a host that is none":              {func(c *redisconn.Config) { c.URL = "redis+cluster://u:hunter2@a:1,b:x" }, "REDIS_URL"},
		"a database that is no number":     {func(c *redisconn.Config) { c.URL = "redis://u:hunter2@h:1/x" }, "REDIS_URL"},
		"a database of a Cluster":          {func(c *redisconn.Config) { c.URL = "redis+cluster://u:hunter2@h:1/2" }, "REDIS_URL"},
		"Sentinel without a master":        {func(c *redisconn.Config) { c.URL = "redis+sentinel://u:hunter2@h:1" }, "REDIS_SENTINEL_MASTER"},
		"a master without Sentinel":        {func(c *redisconn.Config) { c.SentinelMaster = "m" }, "REDIS_SENTINEL_MASTER"},
		"no time":                          {func(c *redisconn.Config) { c.Timeout = 0 }, "REDIS_TIMEOUT"},
		"less than no connection":          {func(c *redisconn.Config) { c.PoolSize = -1 }, "REDIS_POOL_SIZE"},
		"a certificate without its key":    {func(c *redisconn.Config) { c.CertFile = "x" }, "REDIS_KEY_FILE"},
		"an option that the driver lacks":  {func(c *redisconn.Config) { c.URL = "redis://u:hunter2@h:1?speed=high" }, "REDIS_URL"},
		"a query with a value of no sense": {func(c *redisconn.Config) { c.URL = "redis://u:hunter2@h:1?read_timeout=hunter2" }, "REDIS_URL"},
	} {
		t.Run(name, func(t *testing.T) {
			c := config("redis://u:hunter2@h:1")
			tt.change(&c)
			err := c.Validate()
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestFilesThatCanNotBeUsed(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(c *redisconn.Config)
		want   string
	}{
		"no password file":               {func(c *redisconn.Config) { c.PasswordFile = none }, "REDIS_PASSWORD_FILE"},
		"no authorities":                 {func(c *redisconn.Config) { c.CAFile = none }, "REDIS_CA_FILE"},
		"authorities that are none":      {func(c *redisconn.Config) { c.CAFile = empty }, "REDIS_CA_FILE"},
		"a certificate that is none":     {func(c *redisconn.Config) { c.CertFile, c.KeyFile = empty, empty }, "REDIS_CERT_FILE"},
		"authorities, but no encryption": {func(c *redisconn.Config) { c.URL, c.CAFile = "redis://h:1", empty }, "rediss"},
	} {
		t.Run(name, func(t *testing.T) {
			c := config("rediss://h:1")
			tt.change(&c)
			if _, err := redisconn.Open(c); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

func FuzzURL(f *testing.F) {
	for _, s := range []string{
		"redis://h:1", "rediss://u:p@h/0", "redis+sentinel://u:p@a:1,b:2/m/1?pool_size=3", "redis+cluster://[::1]:1,a", "redis+cluster://", "://", "redis://@@,/?",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, url string) {
		c := config(url)
		if c.Validate() != nil {
			return
		}
		rdb, err := redisconn.Open(c)
		if err != nil {
			t.Fatalf("%q is valid, but: %v", url, err)
		}
		_ = rdb.Close()
	})
}
