package manifest

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/shared/problem"
)

// maxDuration bounds durations of manifests: nobody waits longer for an event.
const maxDuration = 366 * 24 * time.Hour

var isoDuration = regexp.MustCompile(
	`^P(?:(\d+(?:[.,]\d+)?)W)?(?:(\d+(?:[.,]\d+)?)D)?(?:T(?:(\d+(?:[.,]\d+)?)H)?(?:(\d+(?:[.,]\d+)?)M)?(?:(\d+(?:[.,]\d+)?)S)?)?$`)

// ParseDuration reads an ISO 8601 duration such as PT0.5S, PT1M30S or P1DT2H. Years and months have no length of their own
// and are refused, and so is a duration of more than a year.
func ParseDuration(s string) (time.Duration, error) {
	m := isoDuration.FindStringSubmatch(s)
	if m == nil || strings.HasSuffix(s, "T") || s == "P" {
		return 0, problem.New(problem.Invalid, "%q is no duration; expected ISO 8601 such as PT0.5S or PT1M", s)
	}
	var total float64
	for i, unit := range []time.Duration{7 * 24 * time.Hour, 24 * time.Hour, time.Hour, time.Minute, time.Second} {
		if m[i+1] == "" {
			continue
		}
		n, err := strconv.ParseFloat(strings.ReplaceAll(m[i+1], ",", "."), 64)
		if err != nil {
			return 0, problem.New(problem.Invalid, "%q is no duration: %w", s, err)
		}
		total += n * float64(unit)
	}
	if total > float64(maxDuration) {
		return 0, problem.New(problem.Invalid, "%q is too long; at most a year is possible", s)
	}
	return time.Duration(math.Round(total)), nil
}
