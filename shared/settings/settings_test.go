package settings_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/settings"
)

type config struct {
	Port  int             `env:"PORT" envDefault:"8080"`
	Store string          `env:"STORE,required" expect:"the URL of a store"`
	Wait  time.Duration   `env:"WAIT" envDefault:"5s"`
	Waits []time.Duration `env:"WAITS"`
}

func (c *config) Validate() error {
	var faults []error
	if c.Port > 65535 {
		faults = append(faults, problem.Field("PORT", "%d is no port", c.Port))
	}
	if c.Wait <= 0 {
		faults = append(faults, problem.Field("WAIT", "%v is out of range: expected more than 0s", c.Wait))
	}
	return errors.Join(faults...)
}

func TestSettingsAreReadWithTheirDefaults(t *testing.T) {
	got, err := settings.Load[config]([]string{"STORE=redis://127.0.0.1", "WAITS=1s,2s", "OTHER=x"})
	if err != nil {
		t.Fatal(err)
	}
	want := config{Port: 8080, Store: "redis://127.0.0.1", Wait: 5 * time.Second, Waits: []time.Duration{time.Second, 2 * time.Second}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAllFaultsAreSaidTogetherAndNoSecretIsShown(t *testing.T) {
	for name, tt := range map[string]struct {
		environ []string
		want    string
	}{
		"one": {[]string{"STORE=x", "PORT=70000"}, "the environment is not usable: PORT: 70000 is no port"},
		"a value that can't be read is not judged as well": {
			[]string{"STORE=x", "PORT=http"}, `the environment is not usable: PORT: "http" is not a whole number`,
		},
		"some": {
			[]string{"WAIT=0s", "WAITS=1s,s3cr3t"},
			"the environment is not usable, 3 faults:\n  STORE: is not set: expected the URL of a store\n" +
				"  WAITS: can't be read: expected values separated by commas\n  WAIT: 0s is out of range: expected more than 0s",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := settings.Load[config](tt.environ)
			if !problem.Is(err, problem.Invalid) {
				t.Errorf("error = %v, want one of kind %v", err, problem.Invalid)
			}
			if diff := cmp.Diff(tt.want, fmt.Sprint(err)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
