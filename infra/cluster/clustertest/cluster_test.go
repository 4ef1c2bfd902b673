package clustertest

import "testing"

// TestCluster is one story in chapters: they share the installation, and each starts where the one before has left it.
func TestCluster(t *testing.T) {
	w := install(t)
	for _, chapter := range []struct {
		name string
		run  func(*world, *testing.T)
	}{
		{"everything comes to rest at zero", (*world).rests},
		{"files go from the provider's bucket to the consumer's", (*world).mainJob},
		{"killed pods lose nothing and double nothing", (*world).killedPods},
		{"a node that dies with all its pods loses nothing and doubles nothing", (*world).nodeDies},
		{"a bad revision of the approver approves nothing and loses nothing", (*world).badRevision},
		{"a rolling update of the gateway breaks nothing", (*world).rollingUpdate},
		{"a long transfer goes on slice by slice", (*world).longTransfer},
		{"a tenant's events wake its own functions", (*world).ownLine},
		{"bursts are held where it costs little", (*world).bursts},
		{"a hundred tenants with lines of their own are accepted", (*world).hundredTenants},
		{"functions start as fast as a function can", (*world).coldStarts},
		{"a NetworkPolicy is enforced, or reported as not enforced", (*world).networkPolicy},
	} {
		if !t.Run(chapter.name, func(t *testing.T) { chapter.run(w, t) }) && t.Context().Err() != nil {
			return
		}
	}
}
