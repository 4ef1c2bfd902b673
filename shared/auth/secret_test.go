package auth

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const (
	oldSecret = "old-secret-0123456789"
	newSecret = "new-secret-0123456789"
)

func contextWithTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}

func TestEveryLineIsAcceptedAndTheFirstIsSent(t *testing.T) {
	s, err := NewSharedSecret(write(t, "secret", newSecret+"\n"+oldSecret+"\r\n\n"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Value() != newSecret {
		t.Errorf("sends %q", s.Value())
	}
	for token, want := range map[string]bool{newSecret: true, oldSecret: true, "": false, newSecret + "x": false, newSecret + "\n" + oldSecret: false} {
		if s.Check(token) != want {
			t.Errorf("Check(%q) = %v", token, !want)
		}
	}
}

func TestANewSecretIsSentAndAnOldOneRefusedWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := write(t, "secret", oldSecret)
		s, err := NewSharedSecret(file)
		if err != nil {
			t.Fatal(err)
		}
		if s.Value() != oldSecret {
			t.Fatalf("sends %q", s.Value())
		}
		mac := s.MAC([]byte("message"))
		if err := os.WriteFile(file+".new", []byte(newSecret), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if s.Value() != newSecret || s.MAC([]byte("message")) == mac || s.CheckMAC([]byte("message"), mac) || s.Check(oldSecret) {
			t.Error("the old secret is in force")
		}
	})
}

func TestARotatedSecretIsAcceptedAtOnceAndABrokenFileKeepsTheLastGoodOne(t *testing.T) {
	file := write(t, "secret", oldSecret)
	s, err := NewSharedSecret(file)
	if err != nil {
		t.Fatal(err)
	}
	written := time.Now()
	replace := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file+".new", time.Time{}, written); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil { // same size and time, another file: as Kubernetes does it
			t.Fatal(err)
		}
	}
	replace(oldSecret)
	if !s.Check(oldSecret) {
		t.Error("a rewritten file is not in force")
	}
	replace(newSecret)
	if !s.Check(newSecret) || s.Check(oldSecret) || s.Value() != newSecret {
		t.Error("the new secret is not in force")
	}
	replace("short")
	if !s.Check(newSecret) || s.Check("short") {
		t.Error("a broken file took the secret out of force")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if !s.Check(newSecret) {
		t.Error("a missing file took the secret out of force")
	}
	replace(oldSecret)
	if !s.Check(oldSecret) || s.Check(newSecret) {
		t.Error("the mended file is not in force")
	}
}

func TestSecretsAreReadWhileTheyAreUsed(t *testing.T) {
	file := write(t, "secret", oldSecret+"\n"+newSecret)
	s, err := NewSharedSecret(file)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if !s.Check(newSecret) {
					t.Error("a secret that every version holds was refused")
					return
				}
				_ = s.Value()
			}
		})
	}
	for i := range 50 {
		text := newSecret
		if i%2 == 0 {
			text += "\n" + oldSecret
		}
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
}

func TestBadSecretFilesAreRefusedWithoutSayingTheSecret(t *testing.T) {
	tests := map[string]struct{ text, says string }{
		"empty":           {"\n \n", "empty"},
		"short":           {"123456789012345", "line 1: has 15 bytes"},
		"a short line":    {oldSecret + "\nshort", "line 2: has 5 bytes"},
		"with a space":    {"secret with spaces 0123456789", "line 1: holds other characters"},
		"too many lines":  {strings.Repeat(oldSecret+"\n", 17), "17 lines"},
		"over the limits": {strings.Repeat("x", maxSecretFile+1), "64 KiB"},
	}
	for name, tt := range tests {
		_, err := NewSharedSecret(write(t, "secret", tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "secret-0123") {
			t.Errorf("%s: %v, want %q and no secret", name, err, tt.says)
		}
	}
	if _, err := NewSharedSecret(t.TempDir() + "/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestTransportSendsTheSecretToTheHostThatWasAskedOnly(t *testing.T) {
	var got []string
	record := func(w http.ResponseWriter, r *http.Request) {
		token, _ := Bearer(r.Header)
		got = append(got, r.URL.Path+" "+token)
	}
	other := httptest.NewServer(http.HandlerFunc(record))
	defer other.Close()
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		record(w, r)
		switch r.URL.Path {
		case "/same":
			http.Redirect(w, r, "/there", http.StatusFound)
		case "/other":
			http.Redirect(w, r, other.URL+"/away", http.StatusFound)
		}
	}))
	defer first.Close()
	s, err := NewSharedSecret(write(t, "secret", oldSecret))
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Transport: s.Transport(nil)}
	for _, path := range []string{"/same", "/other"} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, first.URL+path, nil)
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if req.Header.Get("Authorization") != "" {
			t.Error("the caller's request was changed")
		}
	}
	want := []string{"/same " + oldSecret, "/there " + oldSecret, "/other " + oldSecret, "/away "}
	if strings.Join(got, ",") != strings.Join(want, ",") {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBearerReadsOneWellFormedToken(t *testing.T) {
	tests := map[string]struct {
		values []string
		token  string
	}{
		"a token":              {[]string{"Bearer abc.def-_~+/="}, "abc.def-_~+/="},
		"any case":             {[]string{"bEARER abc"}, "abc"},
		"more than one space":  {[]string{"Bearer   abc"}, "abc"},
		"nothing":              {nil, ""},
		"an empty token":       {[]string{"Bearer "}, ""},
		"no space":             {[]string{"Bearer"}, ""},
		"another scheme":       {[]string{"Basic abc"}, ""},
		"two headers":          {[]string{"Bearer abc", "Bearer def"}, ""},
		"two tokens":           {[]string{"Bearer abc def"}, ""},
		"a comma":              {[]string{"Bearer abc,def"}, ""},
		"a control character":  {[]string{"Bearer abc\x00"}, ""},
		"more than any token ": {[]string{"Bearer " + strings.Repeat("x", maxToken+1)}, ""},
	}
	for name, tt := range tests {
		token, ok := Bearer(http.Header{"Authorization": tt.values})
		if token != tt.token || ok != (tt.token != "") {
			t.Errorf("%s: %q, %v", name, token, ok)
		}
	}
}
