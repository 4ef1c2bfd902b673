package local

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidegate/tidegate/functions/rules"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// checkTenants refuses what a running part would only log: on one machine a person is there to mend it.
func checkTenants(dir string) error {
	registry, err := tenant.OpenStrict(dir, rules.Validate, bucketsOpen)
	if err != nil {
		return err
	}
	if len(registry.All()) == 0 {
		return fmt.Errorf("%s holds no tenant's document (*.yaml)", dir)
	}
	return nil
}

// bucketsOpen is a tenant.Validator: every bucket of the document can be opened.
func bucketsOpen(t *tenant.Tenant) error {
	var errs []error
	for i, b := range t.Buckets {
		store, err := objectstore.Open(context.Background(), b)
		if err != nil {
			errs = append(errs, problem.Field(fmt.Sprintf("buckets[%d].url", i), "%v", err))
			continue
		}
		errs = append(errs, store.Close())
	}
	return errors.Join(errs...)
}
