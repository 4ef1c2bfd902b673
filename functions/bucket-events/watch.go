package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/functions/publishing"
	"github.com/tidegate/tidegate/shared/objectstore"
)

const (
	maxWaiting   = 100_000                // changed files that are held until they settle; what is over is found by a sweep
	eventBuffer  = 1024                   // of fsnotify, on top of the kernel's queue
	longestTick  = 250 * time.Millisecond // between two looks at what has settled
	shortestTick = 5 * time.Millisecond
	firstSweep   = 500 * time.Millisecond // pause before a sweep that failed is tried again; it doubles
	lastSweep    = 30 * time.Second
)

// watcher tells changes in the folders of file:// buckets as they happen. It keeps nothing on disk: it sweeps when it
// starts, when tenants change, and whenever the kernel or its own bounds made it miss something. One goroutine owns the state.
type watcher struct {
	tenants tenants
	sweeper *sweeper
	teller  *changeTeller
	log     zerolog.Logger
	now     func() time.Time

	fs      *fsnotify.Watcher
	settler *settler
	folders map[string]folder   // by path: the roots
	dirs    map[string]struct{} // every folder that is watched
	absent  map[string]bool     // roots that were not there, so that it's logged once
	ghosts  map[string]struct{} // folders that went away a moment ago: the kernel tells it twice, and they are no objects

	reload  chan struct{} // tenants have changed
	touched chan change   // from sweeps
	told    chan change   // from the tellers: last is zero if it has been told, else it must settle again
	swept   chan error

	stopped chan struct{}

	sweepAt    time.Time // zero = no sweep is wanted
	sweeping   bool
	sweepPause time.Duration
	slots      int // tellers that are free
	work       sync.WaitGroup
}

// folder is the root of one or more buckets.
type folder struct{ buckets []place } // key is empty

// newWatcher returns a watcher; tellers is how many changes are told at a time. Its sweeper's unsettled objects come to it.
func newWatcher(ts tenants, sw *sweeper, teller *changeTeller, settle time.Duration, tellers int, log zerolog.Logger) *watcher {
	w := &watcher{
		tenants: ts, sweeper: sw, teller: teller, log: log, now: time.Now,
		settler: newSettler(settle, maxWaiting), folders: map[string]folder{}, dirs: map[string]struct{}{}, absent: map[string]bool{}, ghosts: map[string]struct{}{},
		reload: make(chan struct{}, 1), touched: make(chan change), told: make(chan change), swept: make(chan error, 1),
		stopped: make(chan struct{}), sweepPause: firstSweep, slots: tellers,
	}
	sw.unsettled = w.unsettled
	return w
}

// unsettled takes an object that a sweep has found too young. The sweep waits until the watcher has it.
func (w *watcher) unsettled(ctx context.Context, pc, bucket string, o objectstore.Object, created bool) {
	select {
	case w.touched <- change{place: place{pc, bucket, o.Key}, size: o.Size, created: created, last: w.now()}:
	case <-ctx.Done():
	case <-w.stopped:
	}
}

// tenantsChanged makes the watcher look at the tenants again.
func (w *watcher) tenantsChanged() {
	select {
	case w.reload <- struct{}{}:
	default: // it will look anyway
	}
}

// run watches until ctx ends.
func (w *watcher) run(ctx context.Context) error {
	defer close(w.stopped)
	fs, err := fsnotify.NewBufferedWatcher(eventBuffer)
	if err != nil {
		return err
	}
	defer func() { _ = fs.Close() }() // it only reads
	w.fs = fs
	defer w.work.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	tick := time.NewTicker(min(max(w.settler.after/4, shortestTick), longestTick))
	defer tick.Stop()
	w.look()
	w.sweepAt = w.now()
	for {
		w.start(ctx)
		select {
		case <-ctx.Done():
			return nil
		case e, open := <-fs.Events:
			if !open {
				return errors.New("the file system watcher has ended")
			}
			w.event(e)
		case err := <-fs.Errors:
			w.missed(err)
		case <-w.reload:
			w.look()
			w.sweepAt = w.now()
		case c := <-w.touched:
			w.touch(c)
		case c := <-w.told:
			w.slots++
			w.settler.done(c.place)
			if !c.last.IsZero() {
				w.touch(c)
			}
		case err := <-w.swept:
			w.afterSweep(err)
		case <-tick.C:
			if len(w.absent) > 0 {
				w.look()
			}
		}
	}
}

// start sends tellers after what has settled, and a sweep if one is due.
func (w *watcher) start(ctx context.Context) {
	now := w.now()
	for _, c := range w.settler.due(now, w.slots) {
		w.slots--
		w.work.Go(func() {
			again := w.teller.tell(ctx, c)
			select {
			case w.told <- again:
			case <-ctx.Done():
			}
		})
	}
	if w.sweepAt.IsZero() || w.sweeping || now.Before(w.sweepAt) {
		return
	}
	w.sweeping, w.sweepAt = true, time.Time{}
	w.work.Go(func() { w.swept <- w.sweeper.sweep(w.log.WithContext(ctx)) })
}

func (w *watcher) afterSweep(err error) {
	w.sweeping = false
	clear(w.ghosts)
	if err == nil {
		w.sweepPause = firstSweep
		return
	}
	w.log.Warn().Err(err).Dur("again_in", w.sweepPause).Msg("the sweep is not complete")
	w.wantSweep(w.sweepPause)
	w.sweepPause = min(w.sweepPause*2, lastSweep)
}

func (w *watcher) wantSweep(in time.Duration) {
	if at := w.now().Add(in); w.sweepAt.IsZero() || at.Before(w.sweepAt) {
		w.sweepAt = at
	}
}

// event takes one notification of the kernel.
func (w *watcher) event(e fsnotify.Event) {
	if !e.Has(fsnotify.Create) && !e.Has(fsnotify.Write) && !e.Has(fsnotify.Remove) && !e.Has(fsnotify.Rename) {
		return
	}
	if _, was := w.dirs[e.Name]; was && (e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename)) {
		// A folder has gone with all that was in it, and no event tells what that was.
		w.forget(e.Name)
		w.ghosts[e.Name] = struct{}{}
		w.wantSweep(w.settler.after)
		return
	}
	info, err := os.Lstat(e.Name)
	switch {
	case err == nil && info.IsDir():
		if e.Has(fsnotify.Create) {
			w.watchTree(e.Name) // what was put into it before the watch stood is found by walking it
		}
	case err == nil && info.Mode().IsRegular():
		w.touchPath(e.Name, info.Size(), e.Has(fsnotify.Create))
	case err != nil:
		if _, folder := w.ghosts[e.Name]; !folder {
			w.touchPath(e.Name, -1, false)
		}
	}
}

// missed notes that changes may have been lost: a sweep finds them.
func (w *watcher) missed(err error) {
	if err == nil {
		return
	}
	hint := ""
	if errors.Is(err, errNoSpace) {
		hint = "raise fs.inotify.max_user_watches"
	}
	w.log.Warn().Err(err).Str("hint", hint).Msg("changes of files may have been missed, sweeping")
	if errors.Is(err, fsnotify.ErrEventOverflow) {
		for dir := range w.folders { // folders may have come into being
			w.watchTree(dir)
		}
	}
	w.wantSweep(max(w.settler.after, firstSweep))
}

// touchPath touches the object that a file is, in every bucket whose folder it lies in.
func (w *watcher) touchPath(path string, size int64, created bool) {
	for dir, f := range w.folders {
		rel, inside := strings.CutPrefix(path, strings.TrimSuffix(dir, "/")+"/")
		if !inside {
			continue
		}
		for _, b := range f.buckets {
			w.touch(change{place: place{b.pc, b.bucket, filepath.ToSlash(rel)}, size: size, created: created, last: w.now()})
		}
	}
}

func (w *watcher) touch(c change) {
	t, ok := w.tenants.Get(c.pc)
	if !ok {
		return
	}
	if _, ok := publishing.Match(t, c.bucket, c.key); !ok {
		return
	}
	if !w.settler.touch(c) {
		w.wantSweep(max(w.settler.after, firstSweep))
	}
}
