package clustertest

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// watcher remembers each pod that the namespace has had, and keeps what it wrote: a function's pod is gone a moment after its work,
// and its log with it.
type watcher struct {
	api api
	dir string // of the logs

	mu    sync.Mutex
	seen  map[string]time.Time // pod → when it was seen first
	of    map[string]string    // pod → its function, if it is one's
	taken map[string]bool      // containers whose log is being kept
	logs  sync.WaitGroup
}

// watchPods watches until the test ends.
func watchPods(t *testing.T, a api, dir string) *watcher {
	t.Helper()
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	w := &watcher{api: a, dir: dir, seen: map[string]time.Time{}, of: map[string]string{}, taken: map[string]bool{}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			w.look(ctx)
			select {
			case <-ctx.Done():
			case <-time.After(poll):
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-ended; w.logs.Wait() })
	return w
}

func (w *watcher) look(ctx context.Context) {
	list, err := w.api.pods(ctx, namespace, "")
	if err != nil {
		return // the next look finds what this one did not
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range list {
		p := &list[i]
		if _, ok := w.seen[p.Metadata.Name]; !ok {
			w.seen[p.Metadata.Name] = time.Now()
			w.of[p.Metadata.Name] = p.Metadata.Labels[functionLabel]
		}
		for _, c := range p.Status.ContainerStatuses {
			// A container that was started again has a new log.
			id := fmt.Sprintf("%s.%s.%d", p.Metadata.Name, c.Name, c.RestartCount)
			if c.State.Running == nil || w.taken[id] {
				continue
			}
			w.taken[id] = true
			w.logs.Go(func() { w.keep(ctx, id, p.Metadata.Name, c.Name) })
		}
	}
}

// keep follows a container's log to its end.
func (w *watcher) keep(ctx context.Context, id, pod, container string) {
	r, err := w.api.open(ctx, fmt.Sprintf("/api/v1/namespaces/%s/pods/%s/log?container=%s&follow=true&timestamps=true", namespace, pod, container))
	if err != nil {
		return // it was gone before
	}
	defer func() { _ = r.Close() }()
	f, err := os.Create(filepath.Join(w.dir, id+".log"))
	if err != nil {
		return
	}
	_, _ = io.Copy(f, r) // as much of it as there is
	_ = f.Close()
}

// woken are the functions that got a pod since then, sorted.
func (w *watcher) woken(since time.Time) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for pod, at := range w.seen {
		if f := w.of[pod]; f != "" && at.After(since) && !slices.Contains(names, f) {
			names = append(names, f)
		}
	}
	slices.Sort(names)
	return names
}
