package objectstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tidegate/tidegate/shared/problem"
)

const (
	fileMode = 0o644 // what is delivered is read by other users of the machine
	dirMode  = 0o755

	// Left behind by processes that were killed, swept when the store is first written to.
	keepTemporary = 24 * time.Hour
	keepUpload    = 14 * 24 * time.Hour
)

// fileStore is a folder. Every path goes through an os.Root, which keeps it in the folder whatever links lie there.
type fileStore struct {
	dir string

	mu    sync.Mutex
	root  *os.Root
	swept bool
}

// openFile opens file:///absolute/path, or file://./relative/path.
func openFile(u *url.URL) (Store, error) {
	dir := u.Path
	switch u.Host {
	case "", "localhost":
	case ".":
		dir = strings.TrimPrefix(dir, "/")
	default:
		return nil, problem.Field("url", "%q names a host: expected file:///path", u)
	}
	if len(u.Query()) > 0 {
		return nil, problem.Field("url", "%q has a query: a folder takes none", u)
	}
	if dir == "" {
		return nil, problem.Field("url", "%q names no folder: expected file:///path", u)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, problem.New(problem.Unavailable, "the bucket folder %s: %w", dir, err)
	}
	s := &fileStore{dir: dir}
	if _, err := s.folder(); err != nil {
		return nil, err
	}
	return s, nil
}

// folder returns the root. It looks whether the path still leads to the same folder: a root goes on to show a folder that was
// removed, as an empty one, and everything in the bucket would seem to be gone.
func (s *fileStore) folder() (*os.Root, error) {
	info, err := os.Stat(s.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, problem.New(problem.Unavailable, "the bucket folder %s is not there", s.dir)
	case err != nil:
		return nil, problem.New(problem.Unavailable, "the bucket folder %s: %w", s.dir, err)
	case !info.IsDir():
		return nil, problem.New(problem.Unavailable, "%s is no folder", s.dir)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root != nil {
		if old, err := s.root.Stat("."); err == nil && os.SameFile(old, info) {
			return s.root, nil
		}
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, problem.New(problem.Unavailable, "the bucket folder %s: %w", s.dir, err)
	}
	s.root, s.swept = root, false // an old one may be in use; the collector closes it
	return root, nil
}

func (s *fileStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	root := s.root
	s.root = nil
	if root == nil {
		return nil
	}
	return root.Close()
}

func (s *fileStore) Head(ctx context.Context, key string) (Object, error) {
	root, err := s.at(ctx, key)
	if err != nil {
		return Object{}, err
	}
	info, err := root.Lstat(key)
	if err != nil {
		return Object{}, fileError(err, key)
	}
	if !info.Mode().IsRegular() {
		return Object{}, notFound(key)
	}
	return fileObject(key, info), nil
}

func (s *fileStore) Open(ctx context.Context, key, etag string, offset, length int64) (io.ReadCloser, Object, error) {
	root, err := s.at(ctx, key)
	if err != nil {
		return nil, Object{}, err
	}
	info, err := root.Lstat(key)
	if err == nil && !info.Mode().IsRegular() {
		return nil, Object{}, notFound(key)
	}
	if err != nil {
		return nil, Object{}, fileError(err, key)
	}
	// Not blocking: a pipe that took the file's place must not hold the caller.
	f, err := root.OpenFile(key, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, Object{}, fileError(err, key)
	}
	r, object, err := openAt(f, key, etag, offset, length)
	if err != nil {
		_ = f.Close() // the first error counts
		return nil, Object{}, err
	}
	return r, object, nil
}

func openAt(f *os.File, key, etag string, offset, length int64) (io.ReadCloser, Object, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, Object{}, fileError(err, key)
	}
	if !info.Mode().IsRegular() {
		return nil, Object{}, notFound(key)
	}
	object := fileObject(key, info)
	if etag != "" && etag != object.ETag {
		return nil, Object{}, stale(key)
	}
	if offset < 0 || offset > object.Size {
		return nil, Object{}, problem.Field("offset", "%d is outside of %q, which has %d bytes", offset, key, object.Size)
	}
	if offset > 0 {
		if _, err := f.Seek(offset, io.SeekStart); err != nil {
			return nil, Object{}, fileError(err, key)
		}
	}
	rest := object.Size - offset
	if length >= 0 {
		rest = min(rest, length)
	}
	return &fileReader{file: f, limited: io.LimitedReader{R: f, N: rest}}, object, nil
}

// fileReader reads a range of a file. It ends where the file ended when it was opened, even if the file grows.
type fileReader struct {
	file    *os.File
	limited io.LimitedReader
}

func (r *fileReader) Read(p []byte) (int, error) { return r.limited.Read(p) }
func (r *fileReader) Close() error               { return r.file.Close() }

// File is the file itself, at the offset that was asked for.
func (r *fileReader) File() *os.File { return r.file }

// WriteTo hands a limited file to the writer, which is what net/http and net recognise to have the kernel send it.
func (r *fileReader) WriteTo(w io.Writer) (int64, error) {
	if to, ok := w.(io.ReaderFrom); ok {
		return to.ReadFrom(&r.limited)
	}
	return io.Copy(w, &r.limited)
}

func (s *fileStore) Put(ctx context.Context, key, _ string, r io.Reader) (Object, error) {
	root, err := s.writable(ctx, key)
	if err != nil {
		return Object{}, err
	}
	name := path.Join(private, "put-"+randomName())
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return Object{}, fileError(err, key)
	}
	object, err := func() (Object, error) {
		if _, err := io.Copy(f, &contextReader{ctx, r}); err != nil {
			return Object{}, fileError(err, key)
		}
		if err := f.Sync(); err != nil {
			return Object{}, fileError(err, key)
		}
		return publish(root, f, name, key)
	}()
	if cerr := f.Close(); err == nil && cerr != nil {
		err = fileError(cerr, key)
	}
	if err != nil {
		_ = root.Remove(name) // a later sweep finds it
		return Object{}, err
	}
	return object, nil
}

func (s *fileStore) Delete(ctx context.Context, key string) error {
	root, err := s.at(ctx, key)
	if err != nil {
		return err
	}
	info, err := root.Lstat(key)
	if err == nil && !info.Mode().IsRegular() {
		return nil // a folder or a link is no object
	}
	if err == nil {
		err = root.Remove(key)
	}
	if err != nil {
		if err := fileError(err, key); !problem.Is(err, problem.NotFound) {
			return err
		}
		return nil
	}
	return syncDir(root, path.Dir(key))
}

// at checks a key and returns the root for it.
func (s *fileStore) at(ctx context.Context, key string) (*os.Root, error) {
	if err := checkFileKey(key); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "%q: the time is over", key)
	}
	return s.folder()
}

// writable is at, with the private folder made ready.
func (s *fileStore) writable(ctx context.Context, key string) (*os.Root, error) {
	root, err := s.at(ctx, key)
	if err != nil {
		return nil, err
	}
	if err := root.Mkdir(private, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fileError(err, private)
	}
	s.mu.Lock()
	sweep := !s.swept
	s.swept = true
	s.mu.Unlock()
	if sweep {
		sweepPrivate(root, time.Now())
	}
	return root, nil
}

// sweepPrivate removes what killed processes left long ago. It is a service, not a promise: what fails is tried another day.
func sweepPrivate(root *os.Root, now time.Time) {
	dir, err := root.Open(private)
	if err != nil {
		return
	}
	defer func() { _ = dir.Close() }()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		keep := keepUpload
		if strings.HasPrefix(name, "put-") {
			keep = keepTemporary
		}
		name = path.Join(private, name)
		if info, err := root.Lstat(name); err == nil && info.Mode().IsRegular() && now.Sub(info.ModTime()) > keep {
			_ = root.Remove(name)
		}
	}
}

func fileObject(key string, info fs.FileInfo) Object {
	return Object{
		Key: key, Size: info.Size(), ETag: fileTag(info), ContentType: ContentType(key), Modified: info.ModTime().UTC(),
	}
}

// fileTag is a file's tag: inode, time of change in nanoseconds and size. A file that is replaced has another inode, one that is
// written to in place another time.
func fileTag(info fs.FileInfo) string {
	var inode uint64
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		inode = st.Ino
	}
	return fmt.Sprintf("%x-%x-%x", inode, info.ModTime().UnixNano(), info.Size())
}

func randomName() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context //nolint:containedctx // lives as long as the one call that makes it
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
