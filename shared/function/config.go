package function

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/shared/problem"
)

// maxEventBytes is the most that MAX_EVENT_BYTES may be set to: events tell of data, they don't carry it.
const maxEventBytes = 64 << 20

// Config is the environment of every function. A function with settings of its own embeds it.
type Config struct {
	Port          int           `env:"PORT" envDefault:"8080"`
	Host          string        `env:"HOST"`                                                                                         // "" = all interfaces, as Knative wants it; 127.0.0.1 on one machine
	Sink          string        `env:"K_SINK"`                                                                                       // where Publish sends events: the broker
	CEOverrides   string        `env:"K_CE_OVERRIDES"`                                                                               // Knative's {"extensions":{…}}: set on each event that is published
	GatewayURL    string        `env:"GATEWAY_URL,required" expect:"the URL of the gateway's internal listener"`                     //
	TokenFile     string        `env:"INTERNAL_TOKEN_FILE,required" expect:"the file with the bearer secret of internal calls"`      //
	TenantsDir    string        `env:"TENANTS_DIR,required" expect:"the folder with the tenants' documents"`                         //
	Line          string        `env:"LINE"`                                                                                         // serve only the tenants whose documents name this line of functions; "" = those that name none
	TenantsEvery  time.Duration `env:"TENANTS_EVERY" envDefault:"2s"`                                                                // how often they are looked at
	MaxEventBytes int64         `env:"MAX_EVENT_BYTES" envDefault:"1048576"`                                                         // of one request, a batch included
	Deadline      time.Duration `env:"EVENT_DEADLINE" envDefault:"55s"`                                                              // of one delivery; below the Trigger's timeout
	DrainTime     time.Duration `env:"DRAIN_TIME" envDefault:"4s"`                                                                   // for what runs when the process is told to stop
	LogLevel      string        `env:"LOG_LEVEL" envDefault:"info" expect:"one of trace, debug, info, warn, error, fatal, disabled"` //
}

// Validate checks the values, all of them, and returns the faults joined. LoadConfig calls it; a function's own Config that
// has a Validate calls this one too.
func (c *Config) Validate() error {
	var faults []error
	fault := func(name, format string, args ...any) {
		faults = append(faults, problem.Field(name, format, args...))
	}
	if c.Port < 0 || c.Port > 65535 {
		fault("PORT", "%d is no port: expected 1 to 65535, or 0 for any free one", c.Port)
	}
	if !isHTTP(c.GatewayURL) {
		fault("GATEWAY_URL", "%q is no http(s) URL with a host", c.GatewayURL)
	}
	if c.Sink != "" && !isHTTP(c.Sink) {
		fault("K_SINK", "%q is no http(s) URL with a host", c.Sink)
	}
	if _, err := overrides(c.CEOverrides); err != nil {
		fault("K_CE_OVERRIDES", `expected {"extensions":{"name":"value"}}, names of lower-case letters and digits: %w`, err)
	}
	if c.TenantsEvery <= 0 {
		fault("TENANTS_EVERY", "%v is out of range: expected more than 0s", c.TenantsEvery)
	}
	if c.MaxEventBytes < 1 || c.MaxEventBytes > maxEventBytes {
		fault("MAX_EVENT_BYTES", "%d is out of range: expected 1 to %d", c.MaxEventBytes, maxEventBytes)
	}
	if c.Deadline <= 0 {
		fault("EVENT_DEADLINE", "%v is out of range: expected more than 0s", c.Deadline)
	}
	if c.DrainTime < 0 {
		fault("DRAIN_TIME", "%v is out of range: expected 0s or more", c.DrainTime)
	}
	if _, err := zerolog.ParseLevel(c.LogLevel); err != nil {
		fault("LOG_LEVEL", "%q is no level: expected one of trace, debug, info, warn, error, fatal, disabled", c.LogLevel)
	}
	return errors.Join(faults...)
}

// LoadConfig reads T from the environment by its env tags. All faults come back together, as one error with a line for each
// that names the variable and what is expected there (the tag expect, if a field has one). If *T has a method Validate() error it
// is called too; its error may be several, joined, each a problem.Field with the variable's name as its field.
func LoadConfig[T any]() (T, error) {
	var cfg T
	fields := map[string]variable{}
	variables(reflect.TypeFor[T](), "", fields)
	var faults []fault
	if err := env.Parse(&cfg); err != nil {
		for _, e := range flatten(err) {
			faults = append(faults, environmentFault(e, fields))
		}
	}
	if v, ok := any(&cfg).(interface{ Validate() error }); ok {
		for _, e := range flatten(v.Validate()) {
			f := validationFault(e)
			if f.name == "" || !named(faults, f.name) { // what could not be read is not judged as well
				faults = append(faults, f)
			}
		}
	}
	switch len(faults) {
	case 0:
		return cfg, nil
	case 1:
		return cfg, problem.New(problem.Invalid, "the environment is not usable: %s", faults[0])
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the environment is not usable, %d faults:", len(faults))
	for _, f := range faults {
		b.WriteString("\n  " + f.String())
	}
	return cfg, problem.New(problem.Invalid, "%s", b.String())
}

type fault struct{ name, text string }

func (f fault) String() string {
	if f.name == "" {
		return f.text
	}
	return f.name + ": " + f.text
}

func named(faults []fault, name string) bool {
	for _, f := range faults {
		if f.name == name {
			return true
		}
	}
	return false
}

// variable is what a field's tags say of its environment variable.
type variable struct {
	name   string
	expect string
}

// variables collects the variables of a struct and of the structs in it, by the field's name and by the variable's name.
func variables(t reflect.Type, prefix string, into map[string]variable) {
	if t.Kind() != reflect.Struct {
		return
	}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("env"), ",")
		if name == "" {
			variables(f.Type, prefix+f.Tag.Get("envPrefix"), into)
			continue
		}
		v := variable{name: prefix + name, expect: f.Tag.Get("expect")}
		if v.expect == "" {
			v.expect = expected(f.Type)
		}
		into[f.Name], into[v.name] = v, v
	}
}

func expected(t reflect.Type) string {
	if t == reflect.TypeFor[time.Duration]() {
		return "a duration like 30s or 5m"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number, not negative"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "values separated by commas"
	default:
		return "a value"
	}
}

func environmentFault(err error, fields map[string]variable) fault {
	if e, ok := errors.AsType[env.VarIsNotSetError](err); ok {
		return fault{e.Key, "is not set: expected " + fields[e.Key].expect}
	}
	if e, ok := errors.AsType[env.EmptyVarError](err); ok {
		return fault{e.Key, "is empty: expected " + fields[e.Key].expect}
	}
	if e, ok := errors.AsType[env.ParseError](err); ok {
		v, known := fields[e.Name]
		if !known {
			return fault{"", err.Error()}
		}
		// The value is shown only where its type says that it can't be a secret.
		if k := e.Type.Kind(); k >= reflect.Bool && k <= reflect.Float64 {
			return fault{v.name, strconv.Quote(os.Getenv(v.name)) + " is not " + v.expect}
		}
		return fault{v.name, "can't be read: expected " + v.expect}
	}
	return fault{"", err.Error()}
}

func validationFault(err error) fault {
	if e, ok := errors.AsType[*problem.Error](err); ok && e.Field != "" {
		return fault{e.Field, e.Message}
	}
	return fault{"", err.Error()}
}

// flatten returns the errors that were joined into err.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range many.Unwrap() {
			all = append(all, flatten(e)...)
		}
		return all
	}
	return []error{err}
}

func isHTTP(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}
