package gateway

import (
	"errors"
	"fmt"

	"github.com/tidegate/tidegate/dps-gateway/internal/hook"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// hooksKnown refuses a document that names a function which the configuration gives no URL for: its profile would be on offer, and every
// transfer would fail.
func hooksKnown(urls hook.URLs) tenant.Validator {
	return func(t *tenant.Tenant) error {
		var faults []error
		for i, p := range t.Profiles {
			if _, ok := urls.Of(p.Hook); !ok && p.Hook != "" {
				faults = append(faults, problem.Field(fmt.Sprintf("profiles[%d].hook", i), "%q is no function that the gateway knows: HOOK_URLS says where each is", p.Hook))
			}
		}
		return errors.Join(faults...)
	}
}
