package tenant_test

import (
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/tidegate/tidegate/shared/tenant"
)

func TestDurationIsSpelledWithItsUnitInYAML(t *testing.T) {
	type doc struct {
		Every tenant.Duration `yaml:"every"`
	}
	out, err := yaml.Marshal(doc{tenant.Duration(90 * time.Second)})
	if err != nil || string(out) != "every: 1m30s\n" {
		t.Errorf("spelled %q, %v", out, err)
	}
	var back doc
	if err := yaml.Unmarshal(out, &back); err != nil || back.Every != tenant.Duration(90*time.Second) {
		t.Errorf("read %v, %v", back.Every, err)
	}
	if err := yaml.Unmarshal([]byte("every: 90"), &back); err == nil {
		t.Error("a number without a unit was taken")
	}
}
