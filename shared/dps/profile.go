package dps

import (
	"strings"

	"github.com/tidegate/tidegate/shared/problem"
)

// The short names of the HTTP profiles, as EDC's own tests and samples have them.
const (
	ShortHTTPPull = "http-pull"
	ShortHTTPPush = "http-push"
)

// DirectionOf returns the direction of a profile by its suffix -pull or -push (any case: EDC's older names end in -PULL).
func DirectionOf(profile string) (Direction, error) {
	switch name := strings.ToLower(profile); {
	case len(name) > len("-pull") && strings.HasSuffix(name, "-pull"):
		return Pull, nil
	case len(name) > len("-push") && strings.HasSuffix(name, "-push"):
		return Push, nil
	}
	return "", problem.Field("profile", "does not tell its direction, want a name that ends in -pull or -push")
}

// IsHTTP tells whether the profile is one of the HTTP transfer profile, by its full or its short name.
func IsHTTP(profile string) bool {
	switch profile {
	case ProfileHTTPPull, ProfileHTTPPush, ShortHTTPPull, ShortHTTPPush:
		return true
	}
	return false
}
