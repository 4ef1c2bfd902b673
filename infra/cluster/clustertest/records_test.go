package clustertest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/infra/internal/demo"
	"github.com/tidegate/tidegate/shared/gatewayapi"
)

// records is what the gateway keeps of the way of the files.
type records struct {
	datasets   map[string]gatewayapi.Dataset // by key in the provider's bucket
	decisions  map[string][]gatewayapi.Decision
	deliveries map[string][]gatewayapi.Delivery // by the key at the consumer's
}

func (w *world) records(ctx context.Context) (records, error) {
	r := records{map[string]gatewayapi.Dataset{}, map[string][]gatewayapi.Decision{}, map[string][]gatewayapi.Delivery{}}
	names := map[string]string{}
	for d, err := range gatewayapi.List[gatewayapi.Dataset](ctx, w.gateway, "provider", gatewayapi.KindDataset) {
		if err != nil {
			return r, fmt.Errorf("datasets: %w", err)
		}
		r.datasets[d.Key], names[d.ID] = d, d.Key
	}
	for d, err := range gatewayapi.List[gatewayapi.Decision](ctx, w.gateway, "provider", gatewayapi.KindDecision) {
		if err != nil {
			return r, fmt.Errorf("decisions: %w", err)
		}
		name := names[d.DatasetID]
		r.decisions[name] = append(r.decisions[name], d)
	}
	for d, err := range gatewayapi.List[gatewayapi.Delivery](ctx, w.gateway, "consumer", gatewayapi.KindDelivery) {
		if err != nil {
			return r, fmt.Errorf("deliveries: %w", err)
		}
		r.deliveries[d.Key] = append(r.deliveries[d.Key], d)
	}
	return r, nil
}

// recordsOf reads the records when the last file's are complete: an object is visible a moment before its record says so.
func (w *world) recordsOf(t *testing.T, files []demo.File) records {
	t.Helper()
	var r records
	eventually(t, time.Minute, func() error {
		var err error
		if r, err = w.records(t.Context()); err != nil {
			return err
		}
		for _, f := range files {
			if !f.Reject && done(r.deliveries[f.Name]) == 0 {
				return fmt.Errorf("the delivery of %s is not recorded as done", f.Name)
			}
		}
		return nil
	})
	return r
}

func done(ds []gatewayapi.Delivery) int {
	n := 0
	for _, d := range ds {
		if d.Done {
			n++
		}
	}
	return n
}

// once asserts that each file was published, approved and delivered, and delivered once, that the ones that the rules reject were
// not, and that no work was given up.
func (w *world) once(t *testing.T, files []demo.File) records {
	t.Helper()
	r := w.recordsOf(t, files)
	for _, f := range files {
		if f.Reject {
			w.assertRejected(t, f, r)
			continue
		}
		if n := done(r.deliveries[f.Name]); n != 1 {
			t.Errorf("%s was delivered %d times", f.Name, n)
		}
		if r.datasets[f.Name].SHA256 != f.SHA256 {
			t.Errorf("%s is on offer with digest %q, want %q", f.Name, r.datasets[f.Name].SHA256, f.SHA256)
		}
		for _, d := range r.decisions[f.Name] {
			if d.Verdict != gatewayapi.Approved {
				t.Errorf("%s was delivered and has the verdict %s by %s", f.Name, d.Verdict, d.Rule)
			}
		}
	}
	w.nothingParked(t)
	return r
}

func (w *world) assertRejected(t *testing.T, f demo.File, r records) {
	t.Helper()
	if len(r.deliveries[f.Name]) > 0 || w.arrived(t.Context(), f) == nil {
		t.Errorf("%s was delivered, although the rules reject it", f.Name)
	}
	for _, d := range r.decisions[f.Name] {
		if d.Verdict != gatewayapi.Rejected {
			t.Errorf("%s has the verdict %s by %s, although the rules reject it", f.Name, d.Verdict, d.Rule)
		}
	}
}

// nothingParked asserts that no work was given up.
func (w *world) nothingParked(t *testing.T) {
	t.Helper()
	for _, pc := range []string{"provider", "consumer"} {
		for p, err := range w.gateway.Parked(t.Context(), pc) {
			if err != nil {
				t.Fatal(err)
			}
			t.Errorf("work of %s was given up: %s of %s: %s", pc, p.EventType, p.Subject, p.Reason)
		}
	}
}

// table writes when what happened to each file, counted from when it was put into the bucket.
func table(t *testing.T, files []demo.File, put map[string]time.Time, r records) {
	t.Helper()
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "%-32s %10s %10s %10s %10s  %s\n", "file", "bytes", "published", "decided", "delivered", "decision")
	since := func(name string, at time.Time) string {
		if at.IsZero() {
			return "-"
		}
		return fmt.Sprintf("%.1f s", at.Sub(put[name]).Seconds())
	}
	for _, f := range files {
		var decided, delivered time.Time
		decision := "-"
		for _, d := range r.decisions[f.Name] {
			if decided.IsZero() || d.DecidedAt.Before(decided) {
				decided, decision = d.DecidedAt, string(d.Verdict)+" by "+d.Rule
			}
		}
		for _, d := range r.deliveries[f.Name] {
			if d.Done {
				delivered = d.UpdatedAt
			}
		}
		_, _ = fmt.Fprintf(&b, "%-32s %10d %10s %10s %10s  %s\n", f.Name, f.Size,
			since(f.Name, r.datasets[f.Name].PublishedAt), since(f.Name, decided), since(f.Name, delivered), decision)
	}
	t.Log("\n" + b.String())
}

// decided tells whether there is a decision on a file.
func (w *world) decided(ctx context.Context, f demo.File) error {
	r, err := w.records(ctx)
	if err == nil && len(r.decisions[f.Name]) == 0 {
		err = fmt.Errorf("there is no decision on %s", f.Name)
	}
	return err
}
