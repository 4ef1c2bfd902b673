package redisconn

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/shared/problem"
)

// Report is what Check found out.
type Report struct {
	Durability string   // what the Redis keeps, in a few words; "" if that could not be asked
	Warnings   []string // what an operator should know, each with the node it is about
}

// settings of a Redis that decide what it keeps.
type settings struct {
	policy       string // maxmemory-policy
	appendOnly   string // yes or no
	save         string // "" = no snapshots
	saveUnknown  bool
	fsync        string
	notAskable   error  // why they could not be asked
	notAskableBy string // the commands that were refused
}

// Check asks Redis, every master of a Cluster, whether it would drop keys when it is full, and whether it keeps them over a
// restart. The error is of kind Invalid, and names the switch that allows it all the same, if it would; of kind Unavailable if
// Redis can't be reached. What the account may not ask is a warning, since a managed Redis often forbids CONFIG.
func Check(ctx context.Context, rdb redis.UniversalClient, c Config) (Report, error) {
	var (
		mu     sync.Mutex
		report Report
		faults []error
	)
	one := func(ctx context.Context, node *redis.Client) error {
		s, err := ask(ctx, node)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		durability, warnings, err := c.judge(s)
		at := nodeName(rdb, node)
		for _, w := range warnings {
			report.Warnings = append(report.Warnings, at+w)
		}
		if report.Durability == "" {
			report.Durability = durability
		}
		if err != nil {
			faults = append(faults, problem.New(problem.Invalid, "%s%w", at, err))
		}
		return nil
	}
	var err error
	switch r := rdb.(type) {
	case *redis.ClusterClient:
		err = r.ForEachMaster(ctx, one)
	case *redis.Client:
		err = one(ctx, r)
	default:
		return report, problem.New(problem.Internal, "a Redis client of an unknown kind")
	}
	if err != nil {
		return report, problem.Wrap(problem.Unavailable, err, "Redis can't be asked for its settings")
	}
	return report, errors.Join(faults...)
}

func nodeName(rdb redis.UniversalClient, node *redis.Client) string {
	if _, ok := rdb.(*redis.ClusterClient); ok {
		return "Redis " + node.Options().Addr + ": "
	}
	return "Redis: "
}

// ask reads the settings by CONFIG, and where that is refused by INFO, which tells less.
func ask(ctx context.Context, node *redis.Client) (settings, error) {
	s := settings{}
	for name, into := range map[string]*string{
		"maxmemory-policy": &s.policy, "appendonly": &s.appendOnly, "save": &s.save, "appendfsync": &s.fsync,
	} {
		got, err := node.ConfigGet(ctx, name).Result()
		if refused(err) {
			s.notAskable, s.notAskableBy = err, "CONFIG GET"
			break
		}
		if err != nil {
			return s, err
		}
		*into = got[name]
	}
	if s.notAskable == nil {
		return s, nil
	}
	info, err := infoOf(ctx, node)
	if refused(err) {
		s.notAskableBy = "CONFIG GET and INFO"
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.policy, s.saveUnknown = info["maxmemory_policy"], true
	if s.policy == "" {
		s.notAskableBy = "CONFIG GET and INFO"
		return s, nil
	}
	s.appendOnly = map[string]string{"1": "yes", "0": "no"}[info["aof_enabled"]]
	return s, nil
}

func infoOf(ctx context.Context, node *redis.Client) (map[string]string, error) {
	all := map[string]string{}
	for _, section := range []string{"memory", "persistence"} {
		text, err := node.Info(ctx, section).Result()
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(text) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
				all[name] = value
			}
		}
	}
	return all, nil
}

// refused tells whether Redis answered that it does not take the command: by its access list, or since it does not know it
// (renamed, managed, embedded).
func refused(err error) bool {
	if err == nil {
		return false
	}
	if redis.HasErrorPrefix(err, "NOPERM") {
		return true
	}
	text := strings.ToLower(err.Error())
	return strings.Contains(text, "unknown command") || strings.Contains(text, "unknown subcommand") || strings.Contains(text, "not supported")
}

// judge says what the settings mean.
func (c *Config) judge(s settings) (durability string, warnings []string, err error) {
	unchecked := func(what string) {
		warnings = append(warnings, fmt.Sprintf("%s could not be checked: it refuses %s", what, s.notAskableBy))
	}
	var faults []error
	switch {
	case s.policy == "":
		if !c.AllowEviction {
			unchecked("that it drops no key when it is full (maxmemory-policy noeviction)")
		}
	case s.policy == "noeviction":
	case c.AllowEviction:
		warnings = append(warnings, "maxmemory-policy is "+s.policy+": when it is full it drops flows, records and events that were promised; REDIS_ALLOW_EVICTION allows that")
	default:
		faults = append(faults, problem.Field("REDIS_ALLOW_EVICTION",
			"maxmemory-policy is %s: when it is full it drops flows, records and events that were promised. Set it to noeviction, or REDIS_ALLOW_EVICTION=true", s.policy))
	}
	switch {
	case s.appendOnly == "yes" && s.fsync == "always":
		durability = "append-only file, synchronised before every answer"
	case s.appendOnly == "yes" && s.fsync == "no":
		durability = "append-only file, synchronised when the system likes"
		warnings = append(warnings, "appendfsync is no: a crash of its machine loses what the system had not written, often half a minute")
	case s.appendOnly == "yes":
		durability = "append-only file, synchronised every second"
	case s.appendOnly == "" && s.save == "" || s.saveUnknown:
		if !c.AllowVolatile {
			unchecked("that it keeps what it holds over a restart (appendonly)")
		}
	case s.save != "":
		durability = "snapshots"
		warnings = append(warnings, "appendonly is no: a crash loses all since the last snapshot (save "+s.save+"); set appendonly yes")
	case c.AllowVolatile:
		durability = "none"
	default:
		faults = append(faults, problem.Field("REDIS_ALLOW_VOLATILE",
			"neither appendonly nor save is set: its restart loses all flows, records and events. Set appendonly yes, or REDIS_ALLOW_VOLATILE=true"))
	}
	return durability, warnings, errors.Join(faults...)
}
