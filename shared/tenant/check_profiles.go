package tenant

import (
	"fmt"
	"time"

	"github.com/tidegate/tidegate/shared/dps"
)

const (
	maxProfile      = 512 // bytes of a profile's name, as in a DPS message
	minReportWithin = Duration(time.Second)
	maxReportWithin = Duration(30 * 24 * time.Hour)
)

func (c checker) profiles(profiles []Profile) {
	seen := map[string]int{}
	for i, p := range profiles {
		at := fmt.Sprintf("profiles[%d].", i)
		if p.ReportWithin != 0 && (p.ReportWithin < minReportWithin || p.ReportWithin > maxReportWithin) {
			c.add(at+"reportWithin", "%s is out of range, expected is a time from %s to %s", p.ReportWithin, minReportWithin, maxReportWithin)
		}
		if c.required(at+"profile", p.Profile) {
			c.profile(at+"profile", p.Profile, seen)
		}
		if c.required(at+"hook", p.Hook) && !namePattern.MatchString(p.Hook) {
			c.add(at+"hook", "%s is not the name of a function, expected are %s", quote(p.Hook), nameShape)
		}
	}
}

func (c checker) profile(at, profile string, seen map[string]int) {
	c.word(at, profile)
	c.length(at, profile, maxProfile)
	if _, err := dps.DirectionOf(profile); err != nil {
		c.add(at, "%s does not tell its direction, expected is a name that ends in -pull or -push", quote(profile))
	}
	if first, dup := seen[profile]; dup {
		c.add(at, "%s is the profile of another entry, in line %d", quote(profile), first)
		return
	}
	seen[profile] = c.line(at)
}
