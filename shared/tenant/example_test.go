package tenant_test

import (
	"fmt"

	"github.com/tidegate/tidegate/shared/tenant"
)

func ExampleLoad() {
	t, err := tenant.Load("testdata/complete/provider.yaml")
	if err != nil {
		fmt.Println(err)
		return
	}
	rule := t.Approve.Rules[0]
	fmt.Printf("%s: rule %s of line %d: %s\n", t.ParticipantContextID, rule.Name, t.Line("approve.rules[0]"), rule.Then)

	_, err = tenant.Load("testdata/broken/limits.yaml")
	fmt.Println(err)
	// Output:
	// provider: rule known-partners of line 117: approve
	// testdata/broken/limits.yaml:15: limits.concurrentStreams: -1 is negative, expected is 0 (the default) or more
	// testdata/broken/limits.yaml:16: limits.bytesPerSecond: -5 is negative, expected is 0 (the default) or more
}
