package main

import (
	"io"
	"strings"
	"testing"
)

func TestAStartWithoutConfigurationSaysWhatIsMissing(t *testing.T) {
	err := run(t.Context(), nil, io.Discard)
	for _, want := range []string{"MANIFESTS_DIRS", "DATA_DIR", "SUBSCRIBERS", "INTERNAL_TOKEN_FILE"} {
		if err == nil || !strings.Contains(err.Error(), "\n  "+want+": is not set: expected ") {
			t.Errorf("%v has no line for %s", err, want)
		}
	}
}
