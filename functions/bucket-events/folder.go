package main

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/tidegate/tidegate/functions/publishing"
)

// errNoSpace is what the kernel answers when a user has too many watches.
const errNoSpace = syscall.ENOSPC

// folderOf returns the folder of a file:// bucket, as objectstore.Open takes it.
func folderOf(bucketURL string) (string, bool) {
	u, err := url.Parse(bucketURL)
	if err != nil || u.Scheme != "file" || u.Path == "" {
		return "", false
	}
	dir := u.Path
	if u.Host == "." {
		dir = strings.TrimPrefix(dir, "/")
	}
	dir, err = filepath.Abs(dir)
	return dir, err == nil
}

// within tells whether path is dir or lies below it. Both are clean.
func within(dir, path string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// look brings the watched folders to what the tenants' documents say.
func (w *watcher) look() {
	want := map[string]folder{}
	for _, t := range w.tenants.All() {
		for _, name := range publishing.Buckets(t) {
			b, ok := t.Bucket(name)
			if !ok {
				continue
			}
			if dir, ok := folderOf(b.URL); ok {
				f := want[dir]
				f.buckets = append(f.buckets, place{pc: t.ParticipantContextID, bucket: name})
				want[dir] = f
			}
		}
	}
	w.folders = want
	for dir := range w.dirs {
		if !w.needed(dir) {
			w.unwatch(dir)
		}
	}
	for dir := range w.absent {
		if _, ok := want[dir]; !ok {
			delete(w.absent, dir)
		}
	}
	for dir := range want {
		if _, watched := w.dirs[dir]; watched {
			continue
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			if !w.absent[dir] {
				w.absent[dir] = true
				w.log.Warn().Str("folder", dir).Err(err).Msg("the bucket's folder is not there, waiting for it")
			}
			continue
		}
		delete(w.absent, dir)
		w.watchTree(dir)
		w.wantSweep(0)
	}
}

// watchTree watches a folder and all below it, and touches the files that are there. Hidden folders are left out: nothing in
// them is ever published.
func (w *watcher) watchTree(top string) {
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it went away while we walked: its removal is an event of its own
		}
		if !d.IsDir() {
			if info, err := d.Info(); err == nil && info.Mode().IsRegular() && !w.isRoot(top) {
				w.touchPath(path, info.Size(), true)
			}
			return nil
		}
		if path != top && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if err := w.fs.Add(path); err != nil {
			return err
		}
		w.dirs[path] = struct{}{}
		return nil
	})
	if err != nil {
		w.missed(err)
	}
}

func (w *watcher) isRoot(dir string) bool {
	_, ok := w.folders[dir]
	return ok
}

// needed tells whether a folder lies in one that a bucket stands for.
func (w *watcher) needed(dir string) bool {
	for root := range w.folders {
		if within(root, dir) {
			return true
		}
	}
	return false
}

// forget stops watching a folder that has gone, and all below it.
func (w *watcher) forget(top string) {
	for dir := range w.dirs {
		if within(top, dir) {
			w.unwatch(dir)
		}
	}
	for root := range w.folders {
		if within(top, root) && !w.absent[root] {
			w.absent[root] = true
			w.log.Warn().Str("folder", root).Msg("the bucket's folder has gone, waiting for it")
		}
	}
}

func (w *watcher) unwatch(dir string) {
	_ = w.fs.Remove(dir) // the kernel may have dropped it with the folder
	delete(w.dirs, dir)
}
