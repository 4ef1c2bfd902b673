package demo

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// Rejected is the file that the demo's rules must reject.
const Rejected = "confidential/salaries.csv"

// File is one file of the demo.
type File struct {
	Name   string // with slashes
	Size   int64
	SHA256 string
	Reject bool // the rules must reject it
}

// made are the files that the demo makes if it is given none: the names and sizes that break things.
var made = []struct {
	name string
	size int64
}{
	{"empty.txt", 0},
	{"small.csv", 1 << 10},
	{"one byte.bin", 1},
	{"name with spaces.csv", 20_000},
	{"Übergrößenträger ñ 日本.txt", 3000},
	{"a+b=c & d.json", 4096},
	{"100% sure %20 %2F.txt", 512},
	{"folder/level two/nested.csv", 70_000},
	{"large.bin", 256 << 20},
}

// Make writes the demo's own files, and the one to be rejected, into dir. The same seed gives the same bytes.
func Make(dir string, seed uint64) ([]File, error) {
	rnd := rand.NewChaCha8(seedOf(seed))
	var out []File
	for _, f := range made {
		file, err := Write(dir, f.name, io.LimitReader(rnd, f.size))
		if err != nil {
			return nil, err
		}
		out = append(out, file)
	}
	return out, nil
}

func seedOf(seed uint64) [32]byte {
	var b [32]byte
	for i := range 8 {
		b[i] = byte(seed >> (8 * i))
	}
	return b
}

// Take copies the regular files of a folder, with their folders, into dir. Hidden ones and those that look unfinished are
// left out: they are never published.
func Take(from, dir string) ([]File, error) {
	root, err := os.OpenRoot(from)
	if err != nil {
		return nil, fmt.Errorf("FILES: %w", err)
	}
	defer func() { _ = root.Close() }()
	var out []File
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(entry.Name(), ".") && name != "." {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		src, err := root.Open(name)
		if err != nil {
			return err
		}
		defer func() { _ = src.Close() }()
		file, err := Write(dir, name, src)
		if err != nil {
			return err
		}
		out = append(out, file)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("FILES: %w", err)
	}
	if len(out) == 0 {
		return nil, errors.New("FILES: " + from + " holds no file")
	}
	return out, nil
}

// Secret writes the file that the rules must reject.
func Secret(dir string) (File, error) {
	f, err := Write(dir, Rejected, bytes.NewReader([]byte("name,salary\nnobody,0\n")))
	f.Reject = true
	return f, err
}

// Write writes a file below dir as a careful program does: under another name first, then by a rename. The bucket sees it whole.
func Write(dir, name string, r io.Reader) (File, error) {
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return File{}, fmt.Errorf("folder of %s: %w", name, err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".demo-*")
	if err != nil {
		return File{}, fmt.Errorf("%s: %w", name, err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone after the rename
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(tmp, h), r)
	if err = errors.Join(err, tmp.Close()); err != nil {
		return File{}, fmt.Errorf("%s: %w", name, err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return File{}, fmt.Errorf("%s: %w", name, err)
	}
	return File{Name: name, Size: n, SHA256: hex.EncodeToString(h.Sum(nil))}, nil
}

// Digest is the size and the SHA-256 of a file.
func Digest(path string) (int64, string, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return n, hex.EncodeToString(h.Sum(nil)), err
}
