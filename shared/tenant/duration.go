package tenant

import (
	"fmt"
	"time"
)

// Duration is a time.Duration that is spelled "30s" or "1h30m" in YAML and JSON.
type Duration time.Duration

// MarshalText spells the duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the spelling of time.ParseDuration; a bare number is refused, since its unit would be a guess.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is no duration, expected is one like 30s or 1h30m", text)
	}
	*d = Duration(v)
	return nil
}

// String spells the duration.
func (d Duration) String() string { return time.Duration(d).String() }
