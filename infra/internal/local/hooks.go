package local

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/shared/tenant"
)

// maxHooks is how many functions may serve transfer profiles, beside those that always run.
const maxHooks = 4

// hooks are the functions that tenants' documents name for their transfer profiles and that do not run anyway, in the order of their ports:
// one that nobody names is not started. A document that names another one while all runs is refused by the gateway until the next start.
func (l Layout) hooks() ([]string, error) {
	registry, err := tenant.Open(l.Tenants(), zerolog.Nop())
	if err != nil {
		return nil, err
	}
	var names []string
	for _, t := range registry.All() {
		for _, p := range t.Profiles {
			if !slices.Contains(Functions, p.Hook) && !slices.Contains(names, p.Hook) {
				names = append(names, p.Hook)
			}
		}
	}
	slices.Sort(names)
	if len(names) > maxHooks {
		return nil, fmt.Errorf("tenants name the functions %s for transfer profiles: at most %d are started", strings.Join(names, ", "), maxHooks)
	}
	return names, nil
}

// programs are the functions that run and their ports: those that always do, then the hooks.
func (l Layout) programs() ([]string, error) {
	hooks, err := l.hooks()
	return slices.Concat(Functions, hooks), err
}

// settings are what a person has written for a function that needs more than all functions do: lines NAME=value in functions/<name>.env of
// the deployment's folder.
func (l Layout) settings(function string) ([]string, error) {
	b, err := os.ReadFile(l.path("functions", function+".env"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("settings of %s: %w", function, err)
	}
	var env []string
	for lines, n := bufio.NewScanner(bytes.NewReader(b)), 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		switch name, _, ok := strings.Cut(line, "="); {
		case line == "" || strings.HasPrefix(line, "#"):
		case !ok || name == "":
			return nil, fmt.Errorf("functions/%s.env:%d: %q is not NAME=value", function, n, line)
		default:
			env = append(env, line)
		}
	}
	return env, nil
}
