package local

import (
	"os"
	"strconv"
	"strings"
)

// baseEnv is what every program's environment starts with: nothing of the caller's but what a program needs to run at all.
func baseEnv() []string {
	env := []string{"LOG_LEVEL=info"}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "TZ", "SSL_CERT_FILE"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

func (l Layout) sink() string { return l.url(portBroker) + "/default/default" }

func (l Layout) brokerEnv(functions []string) []string {
	subscribers := []string{"dps-gateway=" + l.InternalURL(), "story=" + l.url(portStory)}
	for i, name := range functions {
		subscribers = append(subscribers, name+"="+l.url(portFunctions+i))
	}
	return []string{
		"HOST=127.0.0.1", "PORT=" + strconv.Itoa(l.BasePort+portBroker), "DATA_DIR=" + l.path("state", "broker"),
		"MANIFESTS_DIRS=" + l.path("manifests"), "SUBSCRIBERS=" + strings.Join(subscribers, ","), "INTERNAL_TOKEN_FILE=" + l.TokenFile(),
		"GRACE=1s",
	}
}

func (l Layout) gatewayEnv(functions []string) []string {
	return []string{
		"SIGNALING_ADDR=" + l.addr(portSignaling), "PUBLIC_ADDR=" + l.addr(portPublic), "INTERNAL_ADDR=" + l.addr(portInternal),
		"METRICS_ADDR=" + l.addr(portMetrics), "SIGNALING_URL=" + l.SignalingURL(), "PUBLIC_URL=" + l.PublicURL(),
		"REDIS_URL=redis://" + l.addr(portRedis) + "/0",
		"REDIS_ALLOW_VOLATILE=true", // the embedded one keeps snapshots, and has no command that tells so
		"K_SINK=" + l.sink(), "TENANTS_DIR=" + l.Tenants(),
		"INTERNAL_TOKEN_FILE=" + l.TokenFile(), "CONTROLPLANE_KEY_FILE=" + l.secret("controlplane-key"),
		"SIGNING_KEY_FILE=" + l.secret("signing-key.pem"), "APPROVER_URL=" + l.functionURL("negotiation-approver"),
		"HOOK_URLS=" + l.hookURLs(functions), "DATA_SERVER_URL=" + l.functionURL("data-server"), "ALLOW_PLAIN_HTTP=true", "DRAIN_TIME=1s", "DRAIN_DELAY=0s",
	}
}

func (l Layout) functionEnv(i int) []string {
	return []string{
		"HOST=127.0.0.1", "PORT=" + strconv.Itoa(l.BasePort+portFunctions+i), "K_SINK=" + l.sink(), "GATEWAY_URL=" + l.InternalURL(),
		"INTERNAL_TOKEN_FILE=" + l.TokenFile(), "TENANTS_DIR=" + l.Tenants(), "DRAIN_TIME=1500ms", "WATCH=true",
	}
}

// hookURLs says where functions are that a tenant's document may name for its transfer profiles.
func (l Layout) hookURLs(functions []string) string {
	var all []string
	for i, name := range functions {
		all = append(all, name+"="+l.url(portFunctions+i))
	}
	return strings.Join(all, ",")
}

func (l Layout) functionURL(name string) string {
	for i, f := range Functions {
		if f == name {
			return l.url(portFunctions + i)
		}
	}
	panic("no function " + name) // a defect of this package: the names are its own
}
