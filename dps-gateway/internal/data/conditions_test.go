package data

import (
	"net/http"
	"testing"
)

// FuzzRange holds the parser to what makes a range safe to serve: it lies within the representation, and has bytes.
func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-", "bytes=-5", "bytes=5-2", "bytes=0-0,2-3", "bytes=99999999999999999999-", "bytes=1-99999999999999999999", "bytes = 1 - 2"} {
		f.Add(s, "", int64(10))
	}
	f.Add("bytes=0-1", `"tag"`, int64(5)<<32)
	f.Fuzz(func(t *testing.T, text, ifRange string, size int64) {
		if size < 0 {
			return
		}
		h := http.Header{"Range": {text}}
		if ifRange != "" {
			h.Set("If-Range", ifRange)
		}
		part, whole, ok := rangeOf(h, `"tag"`, size)
		switch {
		case whole && (!ok || part != span{0, size}):
			t.Errorf("%q of %d: the whole is %+v, %v", text, size, part, ok)
		case !whole && ok && (part.offset < 0 || part.length < 1 || part.offset > size-part.length):
			t.Errorf("%q of %d: %+v", text, size, part)
		case !whole && ifRange != "" && ifRange != `"tag"`:
			t.Errorf("%q with If-Range %q: %+v", text, ifRange, part)
		}
	})
}

func FuzzEntityTags(f *testing.F) {
	f.Add(`"a", W/"tag"`, true)
	f.Add(`*`, false)
	f.Add(`"`, false)
	f.Fuzz(func(_ *testing.T, list string, weak bool) { listHas(list, `"tag"`, weak) })
}
