package ingest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/shared/problem"
)

const (
	digest     = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:" // of nothing
	digestText = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

func header(fields ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	return h
}

func TestWhatTheHeadOfAPushSays(t *testing.T) {
	for name, c := range map[string]struct {
		header http.Header
		length int64
		want   Request
	}{
		"the whole":                 {header(), 10, Request{Length: 10, Total: 10, Whole: true}},
		"the whole, of any length":  {header(), -1, Request{Length: -1, Total: -1, Whole: true}},
		"the beginning":             {header("Content-Range", "bytes 0-4/10"), 5, Request{Length: 5, Total: 10, Whole: true}},
		"a part":                    {header("Content-Range", "bytes 5-9/10", "Repr-Digest", digest), 5, Request{Start: 5, Length: 5, Total: 10, SHA256: digestText}},
		"a part, chunked":           {header("Content-Range", "bytes 5-9/10"), -1, Request{Start: 5, Length: 5, Total: 10}},
		"nothing follows":           {header("Content-Range", "bytes */10"), 0, Request{Start: 10, Length: 0, Total: 10}},
		"a digest among others":     {header("Repr-Digest", "sha-512=:AAAA:, "+digest, "Content-Type", "text/csv"), 0, Request{Whole: true, SHA256: digestText, ContentType: "text/csv"}},
		"of the content, the whole": {header("Content-Digest", digest), 0, Request{Whole: true, SHA256: digestText}},
		"of the content, a part":    {header("Content-Digest", digest, "Content-Range", "bytes 0-4/10"), 5, Request{Length: 5, Total: 10, Whole: true}},
		"another digest only":       {header("Repr-Digest", "sha-512=:AAAA:"), 0, Request{Whole: true}},
		"a type that is none":       {header("Content-Type", ";;"), 0, Request{Whole: true}},
	} {
		got, err := ParseRequest(c.header, c.length)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff(c.want, *got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func TestHeadsOfAPushThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		header http.Header
		length int64
		field  string
	}{
		"no unit":                     {header("Content-Range", "5-9/10"), 5, "Content-Range"},
		"another unit":                {header("Content-Range", "rows 5-9/10"), 5, "Content-Range"},
		"an unknown total":            {header("Content-Range", "bytes 5-9/*"), 5, "Content-Range"},
		"an end before the start":     {header("Content-Range", "bytes 9-5/10"), 5, "Content-Range"},
		"an end behind the total":     {header("Content-Range", "bytes 5-10/10"), 6, "Content-Range"},
		"another length":              {header("Content-Range", "bytes 5-9/10"), 6, "Content-Range"},
		"a sign":                      {header("Content-Range", "bytes +5-9/10"), 5, "Content-Range"},
		"a number beyond all numbers": {header("Content-Range", "bytes 5-9/99999999999999999999"), 5, "Content-Range"},
		"two ranges":                  {header("Content-Range", "bytes 0-4/10", "Content-Range", "bytes 5-9/10"), 5, "Content-Range"},
		"no range, but a body":        {header("Content-Range", "bytes */10"), 3, "Content-Range"},
		"a digest of another length":  {header("Repr-Digest", "sha-256=:AAAA:"), 0, "Repr-Digest"},
		"a digest without colons":     {header("Repr-Digest", strings.ReplaceAll(digest, ":", "")), 0, "Repr-Digest"},
		"an encoding":                 {header("Content-Encoding", "gzip"), 0, "Content-Encoding"},
	} {
		_, err := ParseRequest(c.header, c.length)
		if e := new(problem.Error); !problem.Is(err, problem.Invalid) || !asProblem(err, &e) || e.Field != c.field {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func asProblem(err error, into **problem.Error) bool {
	e, ok := err.(*problem.Error) //nolint:errorlint // ParseRequest returns this very type
	*into = e
	return ok
}

// FuzzParseRequest holds what is read of any head to what the receiver relies on.
func FuzzParseRequest(f *testing.F) {
	f.Add("bytes 5-9/10", digest, int64(5))
	f.Add("bytes */10", "", int64(0))
	f.Add("bytes 0-0/1", "sha-512=:AA==:, sha-256=:AA==:", int64(-1))
	f.Add("", "sha-256=::", int64(1<<40))
	f.Fuzz(func(t *testing.T, contentRange, reprDigest string, length int64) {
		h := http.Header{"Repr-Digest": {reprDigest}}
		if contentRange != "" {
			h["Content-Range"] = []string{contentRange}
		}
		q, err := ParseRequest(h, max(length, -1))
		if err != nil {
			return
		}
		switch {
		case q.Start < 0 || q.Length < -1 || q.Total < -1:
			t.Errorf("%+v: out of range", q)
		case q.Total >= 0 && q.Length >= 0 && q.Start+q.Length > q.Total:
			t.Errorf("%+v: leads out of the whole", q)
		case q.Whole && q.Start != 0, !q.Whole && q.Start == 0, !q.Whole && q.Total < 0:
			t.Errorf("%+v: what it begins with contradicts what it is", q)
		case q.SHA256 != "" && len(q.SHA256) != 64:
			t.Errorf("%+v: no digest", q)
		}
	})
}
