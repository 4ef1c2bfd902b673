package rules

import (
	"errors"
	"fmt"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// Selection is a subscription's compiled filter and accept.
type Selection struct {
	filter, accept cel.Program // nil: all datasets; only offers without constraints
}

// CompileSelection compiles a subscription; i is its place in the document, for the error.
func CompileSelection(s tenant.Subscription, i int) (*Selection, error) {
	out := &Selection{}
	var err error
	if s.Filter != "" {
		if out.filter, err = compile(filterEnv, fmt.Sprintf("subscribe[%d].filter", i), s.Filter); err != nil {
			return nil, err
		}
	}
	if s.Accept != "" {
		if out.accept, err = compile(acceptEnv, fmt.Sprintf("subscribe[%d].accept", i), s.Accept); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// CompileSelections compiles the expressions of all subscriptions of a document, in their order; what does not compile is told together.
func CompileSelections(t *tenant.Tenant) ([]*Selection, error) {
	all, errs := make([]*Selection, len(t.Subscribe)), make([]error, len(t.Subscribe))
	for i, s := range t.Subscribe {
		all[i], errs[i] = CompileSelection(s, i)
	}
	return all, errors.Join(errs...)
}

// Wants tells whether the subscription takes the dataset.
func (s *Selection) Wants(d Asset, now time.Time) (bool, error) {
	if s.filter == nil {
		return true, nil
	}
	return evaluate(s.filter, map[string]any{"dataset": d}, now)
}

// Accepts tells whether the subscription accepts the terms of an offer.
func (s *Selection) Accepts(d Asset, o Offer, now time.Time) (bool, error) {
	if s.accept == nil {
		return o.Unconstrained(), nil
	}
	return evaluate(s.accept, map[string]any{"dataset": d, "offer": o}, now)
}

// Validate is a tenant.Validator: every expression of the document compiles.
func Validate(t *tenant.Tenant) error {
	var errs []error
	for i, r := range t.Approve.Rules {
		if _, err := compile(approveEnv, fmt.Sprintf("approve.rules[%d].when", i), r.When); err != nil {
			errs = append(errs, err)
		}
	}
	_, err := CompileSelections(t)
	return errors.Join(append(errs, err)...)
}

var _ tenant.Validator = Validate

// Select returns the first acceptable offer of a dataset; problem.Unprocessable with the reason if there is none.
func (s *Selection) Select(d Asset, offers []Offer, now time.Time) (int, error) {
	var last error
	for i, o := range offers {
		ok, err := s.Accepts(d, o, now)
		if err != nil {
			last = err
			continue
		}
		if ok {
			return i, nil
		}
	}
	if last != nil {
		return -1, problem.Wrap(problem.Unprocessable, last, "no offer of %s could be judged", d.Name)
	}
	return -1, problem.New(problem.Unprocessable, "none of the %d offers of %s is acceptable", len(offers), d.Name)
}
