package main

import (
	"io"
	"strings"
	"testing"
)

func TestAStartWithoutConfigurationSaysWhatIsMissing(t *testing.T) {
	err := run(t.Context(), nil, io.Discard)
	for _, want := range []string{"MANIFESTS_DIRS", "DATA_DIR", "SUBSCRIBERS", "INTERNAL_TOKEN_FILE"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%q is more than one line", err)
	}
}
