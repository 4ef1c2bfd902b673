package objectstore

import (
	"errors"
	"io/fs"
	"os"
	"path"

	"github.com/tidegate/tidegate/shared/problem"
)

// publish gives a finished private file its key: visible at once, as a whole, and still there after a power cut. The file's own
// bytes have been synced.
func publish(root *os.Root, f *os.File, name, key string) (Object, error) {
	if err := makeParents(root, path.Dir(key)); err != nil {
		return Object{}, fileError(err, key)
	}
	if info, err := root.Lstat(key); err == nil && info.IsDir() {
		return Object{}, problem.Field("key", "%q is a folder", key)
	}
	if err := root.Rename(name, key); err != nil {
		return Object{}, fileError(err, key)
	}
	if err := syncDir(root, path.Dir(key)); err != nil {
		return Object{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return Object{}, fileError(err, key)
	}
	return fileObject(key, info), nil
}

// makeParents is MkdirAll that syncs what it changes.
func makeParents(root *os.Root, dir string) error {
	if dir == "." {
		return nil
	}
	if info, err := root.Stat(dir); err == nil {
		if !info.IsDir() {
			return problem.Field("key", "%q is an object: nothing can be written below it", dir)
		}
		return nil
	}
	if err := makeParents(root, path.Dir(dir)); err != nil {
		return err
	}
	if err := root.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(root, path.Dir(dir))
}

func syncDir(root *os.Root, dir string) error {
	d, err := root.Open(dir)
	if err != nil {
		return fileError(err, dir)
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fileError(err, dir)
	}
	return nil
}
