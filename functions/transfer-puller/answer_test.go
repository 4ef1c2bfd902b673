package main

import (
	"testing"
)

func TestContentRange(t *testing.T) {
	tests := map[string]struct {
		start, end, total int64
		ok                bool
	}{
		"bytes 0-0/1":                      {0, 0, 1, true},
		"bytes 5-9/10":                     {5, 9, 10, true},
		"bytes 5-9/*":                      {5, 9, -1, true},
		"bytes 5-10/10":                    {},
		"bytes 9-5/10":                     {},
		"bytes */10":                       {},
		"bytes -1-5/10":                    {},
		"bytes 0-+1/10":                    {},
		"items 0-0/1":                      {},
		"bytes 0-99999999999999999999/*":   {},
		"bytes 0-9223372036854775807/*":    {},
		"":                                 {},
		"bytes 0x0-0x1/3":                  {},
		"bytes 0 - 1/3":                    {},
		"bytes 4611686018427387903-1/3":    {},
		"bytes 1-2/3/4":                    {},
		"bytes 000000000000000000000-1/10": {},
	}
	for in, want := range tests {
		start, end, total, ok := contentRange(in)
		if ok != want.ok || (ok && (start != want.start || end != want.end || total != want.total)) {
			t.Errorf("%q: %d, %d, %d, %v", in, start, end, total, ok)
		}
	}
}

func TestReprDigest(t *testing.T) {
	empty := "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
	const hexEmpty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	tests := map[string]struct {
		in   []string
		want string
	}{
		"alone":                    {[]string{empty}, hexEmpty},
		"after another algorithm":  {[]string{"sha-512=:AAAA:, " + empty}, hexEmpty},
		"in the second field":      {[]string{"crc32c=:AAAAAA==:", empty}, hexEmpty},
		"with parameters":          {[]string{empty + ";q=1"}, hexEmpty},
		"of the wrong length":      {[]string{"sha-256=:AAAA:"}, ""},
		"not closed":               {[]string{"sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}, ""},
		"not base64":               {[]string{"sha-256=:????:"}, ""},
		"hexadecimal, as some do":  {[]string{"sha-256=" + hexEmpty}, ""},
		"none":                     {nil, ""},
		"of an unknown algorithm":  {[]string{"md5=:AAAA:"}, ""},
		"an empty member in front": {[]string{"," + empty}, hexEmpty},
	}
	for name, test := range tests {
		if got := reprDigest(test.in); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestStrongETag(t *testing.T) {
	for in, want := range map[string]string{`"abc"`: `"abc"`, `""`: `""`, `W/"abc"`: "", `abc`: "", `"a"b"`: "", `"`: "", "": ""} {
		if got := strongETag(in); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-0/1", "bytes 5-9/*", "bytes */10", "bytes 9-5/10", "bytes 0-99999999999999999999/*", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		start, end, total, ok := contentRange(s)
		if ok && (start < 0 || end < start || end-start+1 <= 0 || (total >= 0 && end >= total)) {
			t.Errorf("%q: %d, %d, %d", s, start, end, total)
		}
		if n := unsatisfied(s); n < -1 {
			t.Errorf("%q: %d", s, n)
		}
	})
}

func FuzzReprDigest(f *testing.F) {
	for _, s := range []string{"sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:", "sha-512=:AAAA:", "sha-256=::", ",,,", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d := reprDigest([]string{s}); d != "" && len(d) != 64 {
			t.Errorf("%q: %q", s, d)
		}
	})
}
