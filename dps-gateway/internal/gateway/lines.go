package gateway

import (
	"strings"

	"github.com/tidegate/tidegate/shared/tenant"
)

// linePart stands in the URL of a function for the part of its name that says whose it is: nothing for the functions that tenants
// share, -<line> for those of a line.
const linePart = "{line}"

// functionOf returns the URL of a tenant's function. A URL without the part is the same for all.
func functionOf(url string, tenants *tenant.Registry) func(participantContextID string) string {
	return func(participantContextID string) string {
		suffix := ""
		if t, ok := tenants.Get(participantContextID); ok && t.FunctionLine != "" {
			suffix = "-" + t.FunctionLine
		}
		return strings.ReplaceAll(url, linePart, suffix)
	}
}
