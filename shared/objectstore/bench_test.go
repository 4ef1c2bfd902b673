package objectstore_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/objectstore/objectstoretest"
)

func BenchmarkOpenServedByHTTP(b *testing.B) {
	dir := b.TempDir()
	const size = 64 << 20
	write(b, dir, "f", strings.Repeat("x", size))
	s := openFolder(b, dir)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, o, err := s.Open(r.Context(), "f", "", 0, -1)
		if err != nil {
			b.Error(err)
			return
		}
		defer f.Close()
		w.Header().Set("Content-Type", o.ContentType)
		w.Header().Set("Content-Length", strconv.FormatInt(o.Size, 10))
		_, _ = io.Copy(w, f)
	}))
	defer server.Close()
	b.SetBytes(size)
	for b.Loop() {
		c, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
		if n, err := io.Copy(io.Discard, c); n < size || err != nil {
			b.Fatalf("got %d bytes, %v", n, err)
		}
		c.Close()
	}
}

func benchmarkUpload(b *testing.B, s objectstore.Store) {
	b.Helper()
	block := make([]byte, 64<<20)
	_, _ = rand.Read(block)
	b.SetBytes(int64(len(block)))
	for b.Loop() {
		u, err := s.Upload(b.Context(), "k", "id", "", nil)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := u.ReadFrom(b.Context(), bytes.NewReader(block)); err != nil {
			b.Fatal(err)
		}
		if _, err := u.Commit(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUploadToFolder(b *testing.B) { benchmarkUpload(b, openFolder(b, b.TempDir())) }

func BenchmarkUploadToS3(b *testing.B) {
	benchmarkUpload(b, openBucket(b, objectstoretest.StartS3(b).Bucket(b, "bench")))
}

func BenchmarkListFolder(b *testing.B) {
	dir := b.TempDir()
	for i := range 2000 {
		write(b, dir, "d"+strconv.Itoa(i%20)+"/f"+strconv.Itoa(i), "x")
	}
	s := openFolder(b, dir)
	for b.Loop() {
		n := 0
		for _, err := range s.List(b.Context(), "", "") {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 2000 {
			b.Fatal(n)
		}
	}
}
