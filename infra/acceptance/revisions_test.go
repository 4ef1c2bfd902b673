package acceptance

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recorder stands before kubectl and writes down what it is told to patch. It says of every question that the first revision has all.
const recorder = `#!/bin/sh
case " $* " in
*" get "*) printf negotiation-approver-00001 ;;
*" patch "*) for a; do printf '%s\000' "$a"; done >>"$RECORD" ;;
esac
`

// The page with the plain commands and the targets change the cluster in the same way.
func TestThePageOfRevisionsHasThePatchesOfTheTargets(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "kubectl"), []byte(recorder), 0o700); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/revisions.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := regexp.MustCompile(`(?s)patch ksvc negotiation-approver --type (\w+) -p '(.*?)'\n`).FindAllStringSubmatch(string(page), -1)
	verbs := []string{"canary", "promote", "rollback"}
	if len(documented) != len(verbs) {
		t.Fatalf("%d patches on the page, want one for each of %v", len(documented), verbs)
	}
	for i, verb := range verbs {
		record := filepath.Join(dir, verb)
		cmd := exec.CommandContext(t.Context(), "../scripts/revisions.sh", verb)
		cmd.Env = []string{
			"PATH=" + dir + ":" + os.Getenv("PATH"), "RECORD=" + record, "FUNCTION=negotiation-approver",
			"IMAGE=registry.example/tidegate/negotiation-approver:v2", "PERCENT=10",
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", verb, err, out)
		}
		b, err := os.ReadFile(record)
		if err != nil {
			t.Fatalf("%s patches nothing: %v", verb, err)
		}
		said := strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
		want := []string{"--namespace", "tidegate", "patch", "ksvc", "negotiation-approver", "--type", documented[i][1], "-p"}
		if diff := cmp.Diff(want, said[:len(said)-1]); diff != "" {
			t.Errorf("%s (-page +target):\n%s", verb, diff)
		}
		if diff := cmp.Diff(parsed(t, documented[i][2]), parsed(t, said[len(said)-1])); diff != "" {
			t.Errorf("%s (-page +target):\n%s", verb, diff)
		}
	}
}

func parsed(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}
