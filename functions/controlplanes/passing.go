package controlplanes

import "github.com/tidegate/tidegate/shared/problem"

// Passing turns a refusal of the tenant's credentials into a passing fault (Unavailable). It says something of a token, a
// scope or a clock, nothing of the event that is handled: that one must come again when the credentials are in order. And a
// refusal of ours must never be taken for a decision about a counterparty. Other errors pass unchanged.
func Passing(err error) error {
	if problem.Is(err, problem.Unauthenticated) || problem.Is(err, problem.Forbidden) {
		return problem.Wrap(problem.Unavailable, err, "the tenant's credentials are not accepted")
	}
	return err
}
