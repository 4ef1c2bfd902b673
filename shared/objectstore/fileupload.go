package objectstore

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"syscall"

	"github.com/tidegate/tidegate/shared/problem"
)

const (
	// syncEvery is how much a killed process or a power cut can cost: after so many bytes they are synced and noted.
	syncEvery = 16 << 20
	copyChunk = 256 << 10
)

// fileUpload is a partial file in the private folder, named by the upload's id, and beside it the note (checkpoint) of how much of
// it is safe and which digest that has. The file is locked while the upload is open: of two processes that were given the
// same work one goes on and the other is told to come again.
type fileUpload struct {
	store  *fileStore
	root   *os.Root
	key    string
	name   string // of the partial file
	file   *os.File
	notes  *checkpoints
	offset int64
	synced int64
	sum    digest
}

func (s *fileStore) Upload(ctx context.Context, key, id, _ string, _ json.RawMessage) (Upload, error) {
	root, err := s.writable(ctx, key)
	if err != nil {
		return nil, err
	}
	if id == "" {
		return nil, problem.Field("id", "is empty: an upload is found again by it")
	}
	u := &fileUpload{store: s, root: root, key: key, name: PartialFile(id)}
	if err := u.open(ctx); err != nil {
		_ = u.Close() // the first error counts
		return nil, err
	}
	return u, nil
}

// open locks the partial file and takes up what is safe of it.
func (u *fileUpload) open(ctx context.Context) error {
	if err := u.lock(); err != nil {
		return err
	}
	notes, err := openCheckpoints(u.root, u.name+".note")
	if err != nil {
		return fileError(err, u.key)
	}
	u.notes = notes
	info, err := u.file.Stat()
	if err != nil {
		return fileError(err, u.key)
	}
	size := info.Size()
	if size == 0 { // a new one: an old note belongs to a file that has its key by now
		return u.restart()
	}
	if c, ok := notes.last(size); ok {
		if sum, err := restoreDigest(c.digest); err == nil {
			u.offset, u.sum = c.offset, sum
			return u.truncate()
		}
	}
	// No note that can be trusted: the digest is computed anew, of all that is there.
	u.sum = newDigest()
	u.offset, err = io.Copy(u.sum, &contextReader{ctx, io.NewSectionReader(u.file, 0, size)})
	if err != nil {
		return fileError(err, u.key)
	}
	return u.truncate()
}

// lock opens the partial file and locks it. A file that another process renamed to its key between the two is let go.
func (u *fileUpload) lock() error {
	const tries = 10
	for range tries {
		f, err := u.root.OpenFile(u.name, os.O_RDWR|os.O_CREATE, fileMode)
		if err != nil {
			return fileError(err, u.key)
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			_ = f.Close() // nothing was written
			if errors.Is(err, syscall.EWOULDBLOCK) {
				return problem.New(problem.Unavailable, "another process is at this upload of %q", u.key)
			}
			return fileError(err, u.key)
		}
		mine, err := f.Stat()
		if err == nil {
			if there, err := u.root.Lstat(u.name); err == nil && os.SameFile(mine, there) {
				u.file = f
				return nil
			}
		}
		_ = f.Close() // nothing was written
	}
	return problem.New(problem.Unavailable, "another process is at this upload of %q", u.key)
}

func (u *fileUpload) Offset() int64  { return u.offset }
func (u *fileUpload) SHA256() string { return u.sum.hex() }

// State tells how far the upload is. What it needs to resume lies beside the partial file.
func (u *fileUpload) State() json.RawMessage {
	b, err := json.Marshal(map[string]int64{"offset": u.offset})
	if err != nil { // an integer: cannot happen
		return nil
	}
	return b
}

// ReadFrom ends with ctx between two reads: a reader that can block for long must end with ctx too, as the body of a response
// to a request with ctx does.
func (u *fileUpload) ReadFrom(ctx context.Context, r io.Reader) (n int64, err error) {
	if u.file == nil {
		return 0, problem.New(problem.Internal, "the upload is closed")
	}
	defer func() {
		// What has been written is kept, whatever ended it.
		if serr := u.sync(); serr != nil && err == nil {
			err = serr
		}
	}()
	buf := make([]byte, copyChunk)
	for {
		if err := ctx.Err(); err != nil {
			return n, problem.Wrap(problem.Unavailable, err, "the time is over at byte %d", u.offset)
		}
		m, rerr := r.Read(buf)
		written, werr := u.file.Write(buf[:m])
		_, _ = u.sum.Write(buf[:written]) // a hash never fails
		u.offset += int64(written)
		n += int64(written)
		switch {
		case werr != nil:
			return n, fileError(werr, u.key)
		case errors.Is(rerr, io.EOF):
			return n, nil
		case rerr != nil:
			return n, rerr
		}
		if u.offset-u.synced >= syncEvery {
			if err := u.sync(); err != nil {
				return n, err
			}
		}
	}
}

// sync makes all bytes so far safe and notes it.
func (u *fileUpload) sync() error {
	if u.synced == u.offset {
		return nil
	}
	if err := u.file.Sync(); err != nil {
		return fileError(err, u.key)
	}
	if err := u.notes.add(checkpoint{offset: u.offset, digest: u.sum.state()}); err != nil {
		return fileError(err, u.key)
	}
	u.synced = u.offset
	return nil
}

func (u *fileUpload) Reset(context.Context) error {
	if u.file == nil {
		return problem.New(problem.Internal, "the upload is closed")
	}
	return u.restart()
}

func (u *fileUpload) restart() error {
	// The notes go first: a note must never speak of more than the file has.
	if err := u.notes.clear(); err != nil {
		return fileError(err, u.key)
	}
	u.offset, u.sum = 0, newDigest()
	return u.truncate()
}

// truncate drops what is behind the offset and goes on from there.
func (u *fileUpload) truncate() error {
	if err := u.file.Truncate(u.offset); err != nil {
		return fileError(err, u.key)
	}
	if _, err := u.file.Seek(u.offset, io.SeekStart); err != nil {
		return fileError(err, u.key)
	}
	u.synced = u.offset
	return nil
}

func (u *fileUpload) Commit(ctx context.Context) (Object, error) {
	if u.file == nil {
		return Object{}, problem.New(problem.Internal, "the upload is closed")
	}
	if err := ctx.Err(); err != nil {
		return Object{}, problem.Wrap(problem.Unavailable, err, "%q: the time is over", u.key)
	}
	if err := u.file.Sync(); err != nil {
		return Object{}, fileError(err, u.key)
	}
	object, err := publish(u.root, u.file, u.name, u.key)
	if err != nil {
		return Object{}, err
	}
	_ = u.root.Remove(u.name + ".note") // an old note is harmless, and swept one day
	return object, u.Close()
}

func (u *fileUpload) Close() error {
	if u.notes != nil {
		_ = u.notes.file.Close() // written and of no further use
		u.notes = nil
	}
	if u.file == nil {
		return nil
	}
	err := u.file.Close() // gives the lock back
	u.file = nil
	if err != nil {
		return fileError(err, u.key)
	}
	return nil
}
