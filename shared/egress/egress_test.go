package egress_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/shared/egress"
)

func TestOnlyAddressesOfThePublicInternetArePublic(t *testing.T) {
	for _, s := range []string{"1.1.1.1", "93.184.216.34", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8"} {
		if !egress.Public(netip.MustParseAddr(s)) {
			t.Errorf("%s is refused", s)
		}
	}
	for _, s := range []string{
		"127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "0.0.0.0", "0.1.2.3", "100.64.0.1",
		"192.0.0.8", "198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fd00::1", "ff02::1",
		"::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::", "fec0::1",
	} {
		if egress.Public(netip.MustParseAddr(s)) {
			t.Errorf("%s is taken", s)
		}
	}
}

func get(t *testing.T, c *http.Client, url string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), err
}

func TestThePrivateNetworkIsReachedOnlyIfAllowed(t *testing.T) {
	hits := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits++
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "/", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, "inside")
	}))
	defer srv.Close()
	strict, open := egress.NewClient(egress.Options{}), egress.NewClient(egress.Options{AllowPrivate: true})
	defer open.CloseIdleConnections()
	for _, url := range []string{srv.URL, strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)} {
		if _, err := get(t, strict, url); !errors.Is(err, egress.ErrNotPublic) {
			t.Errorf("%s: %v", url, err)
		}
	}
	if hits != 0 {
		t.Errorf("%d requests came through", hits)
	}
	if body, err := get(t, open, srv.URL); err != nil || body != "inside" {
		t.Errorf("where it is allowed: %q, %v", body, err)
	}
	if _, err := get(t, open, srv.URL+"/away"); !errors.Is(err, egress.ErrRedirect) {
		t.Errorf("a redirect: %v", err)
	}
}
