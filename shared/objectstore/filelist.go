package objectstore

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/shared/problem"
)

// List walks the folder, one directory's names in memory at a time. Links are not followed, and a name that can't be a key
// (CheckKey) is passed over: no call could name it.
func (s *fileStore) List(ctx context.Context, prefix, after string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		root, err := s.folder()
		if err != nil {
			yield(Object{}, err)
			return
		}
		w := walk{prefix: prefix, after: after, yield: yield}
		w.dir(ctx, root, "")
	}
}

type walk struct {
	prefix, after string
	yield         func(Object, error) bool
}

type entry struct {
	name string // a folder's with a slash at the end, so that names sort as the keys do
	dir  bool
}

// dir yields the objects below a folder, whose path is "" or ends in a slash. It tells whether to go on.
func (w *walk) dir(ctx context.Context, root *os.Root, at string) bool {
	if err := ctx.Err(); err != nil {
		return w.fail(problem.Wrap(problem.Unavailable, err, "listing: the time is over"))
	}
	entries, err := readDir(root)
	if err != nil {
		return w.fail(fileError(err, at))
	}
	for _, e := range entries {
		p := at + e.name
		if e.dir {
			if !w.mayHold(p) {
				continue
			}
			if !w.subdir(ctx, root, e.name, p) {
				return false
			}
			continue
		}
		if !strings.HasPrefix(p, w.prefix) || p <= w.after || checkFileKey(p) != nil {
			continue
		}
		info, err := root.Lstat(e.name)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
			continue // gone or replaced since the folder was read
		}
		if err != nil {
			return w.fail(fileError(err, p))
		}
		if !w.yield(fileObject(p, info), nil) {
			return false
		}
	}
	return true
}

func (w *walk) subdir(ctx context.Context, root *os.Root, name, at string) bool {
	sub, err := root.OpenRoot(strings.TrimSuffix(name, "/"))
	if errors.Is(err, fs.ErrNotExist) {
		return true // gone since the folder was read
	}
	if err != nil {
		return w.fail(fileError(err, at))
	}
	defer func() { _ = sub.Close() }()
	return w.dir(ctx, sub, at)
}

// mayHold tells whether a key that is asked for can lie in the folder.
func (w *walk) mayHold(dir string) bool {
	if dir == private+"/" {
		return false
	}
	if !strings.HasPrefix(dir, w.prefix) && !strings.HasPrefix(w.prefix, dir) {
		return false
	}
	return dir > w.after || strings.HasPrefix(w.after, dir)
}

func (w *walk) fail(err error) bool {
	w.yield(Object{}, err)
	return false
}

func readDir(root *os.Root) ([]entry, error) {
	d, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }()
	found, err := d.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	entries := make([]entry, 0, len(found))
	for _, f := range found {
		switch {
		case f.IsDir():
			entries = append(entries, entry{f.Name() + "/", true})
		case f.Type().IsRegular():
			entries = append(entries, entry{f.Name(), false})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return entries, nil
}
