package main

import (
	"net/http"
	"testing"
	"time"
)

// FuzzAnswers holds what is read of any consumer's answers to what a push relies on.
func FuzzAnswers(f *testing.F) {
	f.Add(200, "5", "?0", "sha-256=:AAAA:", "1")
	f.Add(200, "10", "?1", "", "")
	f.Add(409, "99999999999999999999", "?1", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:", "-1")
	f.Add(503, "", "", "", "99999999")
	const digest, size = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 10
	f.Fuzz(func(t *testing.T, status int, offset, complete, repr, retry string) {
		res := &http.Response{StatusCode: status, Header: http.Header{
			"Upload-Offset": {offset}, "Upload-Complete": {complete}, "Repr-Digest": {repr}, "Retry-After": {retry},
		}}
		there, err := readThere(res, digest, size)
		switch {
		case there.offset < 0 || there.offset > size:
			t.Errorf("goes on at %d of %d", there.offset, size)
		case there.offset > 0 && repr == "":
			t.Errorf("goes on at %d of an unnamed version", there.offset)
		case there.complete && (err != nil || status/100 != 2):
			t.Errorf("complete by %d, %v", status, err)
		}
		done, err := readResult(res, digest)
		if done && (err != nil || status/100 != 2 || (offset != "" && complete != "?1")) {
			t.Errorf("done by %d %q %q, %v", status, offset, complete, err)
		}
		if wait := patience(err); wait > time.Minute || wait < 0 {
			t.Errorf("waits %v", wait)
		}
	})
}
