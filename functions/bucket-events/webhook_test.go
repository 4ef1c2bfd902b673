package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/shared/function/functiontest"
)

func TestNotifications(t *testing.T) {
	tests := map[string]struct {
		file string
		path string // of the request
		want []string
	}{
		"MinIO, the object is there":              {"minio-put.json", "/notifications/provider/outbox", []string{"created dir x/ä+b&c.csv"}},
		"versitygw, a multipart upload is done":   {"versitygw-multipart.json", "/notifications/provider/outbox?keys=raw", []string{"created dir x/ä+b&c.csv"}},
		"AWS, a removal of what has gone":         {"aws-delete.json", "/notifications/provider/outbox", []string{"removed gone.csv"}},
		"a late removal of what is there again":   {"versitygw-delete.json", "/notifications/provider/outbox?keys=raw", []string{"created dir x/ä+b&c.csv"}},
		"a test message at set-up":                {"aws-test.json", "/notifications/provider/outbox", nil},
		"several records, some of no interest":    {"aws-several.json", "/notifications/provider/outbox", []string{"created a.txt"}},
		"an object that no rule publishes":        {"minio-log.json", "/notifications/provider/outbox", nil},
		"an object outside of what keys can name": {"aws-traversal.json", "/notifications/provider/outbox", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			b.write("dir x/ä+b&c.csv", "x")
			b.write("a.txt", "a")
			b.write("server.log", "l")
			for range 2 { // the same notification twice
				if code := b.notify(test.path, functiontest.Token, test.file); code != http.StatusNoContent {
					t.Fatalf("status %d", code)
				}
			}
			got := b.told()
			if len(got)%2 != 0 {
				t.Fatalf("told %v", got)
			}
			if diff := cmp.Diff(test.want, got[:len(got)/2:len(got)/2], cmpEmpty); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
			if e := b.broker.Events(); len(e) == 2 && e[0].ID() != e[1].ID() {
				t.Error("the same notification gave two ids")
			}
		})
	}
}

var cmpEmpty = cmp.Transformer("empty", func(s []string) string { return strings.Join(s, "\n") })

func (b *bench) notify(path, secret, file string) int {
	b.t.Helper()
	body, err := os.Open(filepath.Join("testdata", file))
	if err != nil {
		b.t.Fatal(err)
	}
	defer body.Close()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.fn.URL+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if secret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

func TestNotificationsThatAreRefused(t *testing.T) {
	b := newBench(t, nil)
	b.write("a.txt", "a")
	const good = "aws-several.json"
	tests := map[string]struct {
		path, secret, file string
		want               int
	}{
		"without a secret":                 {"/notifications/provider/outbox", "", good, 401},
		"with a wrong one":                 {"/notifications/provider/outbox", "wrong-secret-of-some-length", good, 401},
		"with a wrong one in the URL":      {"/notifications/provider/outbox?key=wrong", "", good, 401},
		"with the right one in the URL":    {"/notifications/provider/outbox?key=" + functiontest.Token, "", good, 204},
		"for an unknown tenant":            {"/notifications/someone/outbox", functiontest.Token, good, 404},
		"for an unknown bucket":            {"/notifications/provider/other", functiontest.Token, good, 404},
		"in an unknown spelling":           {"/notifications/provider/outbox?keys=utf-7", functiontest.Token, good, 400},
		"that are not JSON":                {"/notifications/provider/outbox", functiontest.Token, "not.json", 400},
		"with a key that is badly encoded": {"/notifications/provider/outbox", functiontest.Token, "bad-key.json", 400},
	}
	for name, test := range tests {
		if got := b.notify(test.path, test.secret, test.file); got != test.want {
			t.Errorf("%s: status %d, want %d", name, got, test.want)
		}
	}
	b.broker.Answer(400) // the broker refuses; a full broker would be retried for the time of one event
	if got := b.notify("/notifications/provider/outbox", functiontest.Token, good); got < 400 {
		t.Errorf("with a broker that refuses: status %d", got)
	}
}

func FuzzDecodeNotification(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body, true)
		f.Add(body, false)
	}
	f.Fuzz(func(t *testing.T, body []byte, raw bool) {
		keys := spellingForm
		if raw {
			keys = spellingRaw
		}
		records, err := decodeNotification(body, keys)
		if err == nil && len(records) > maxRecords {
			t.Errorf("%d records", len(records))
		}
		for _, r := range records {
			if r.Key == "" {
				t.Error("a record without a key")
			}
		}
	})
}

func TestAProviderThatDoesNotWaitHasToldNevertheless(t *testing.T) {
	b := newBench(t, nil)
	b.write("a.txt", "a")
	b.broker.Answer(http.StatusServiceUnavailable, http.StatusServiceUnavailable, http.StatusServiceUnavailable) // a broker that takes its time
	body, err := os.Open(filepath.Join("testdata", "aws-several.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.fn.URL+"/notifications/provider/outbox?key="+functiontest.Token, body)
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if _, err := http.DefaultClient.Do(req); !errors.Is(err, context.Canceled) {
			t.Errorf("the provider got an answer: %v", err)
		}
	}()
	for b.broker.Tries() == 0 {
		time.Sleep(time.Millisecond)
	}
	leave()
	<-gone
	b.broker.Wait(t, 1)
}
