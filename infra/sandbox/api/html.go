package api

import (
	"fmt"
	"html"
	"net/http"
)

// htmlError is the page that EDC's HTTP server answers where no resource does.
func htmlError(w http.ResponseWriter, r *http.Request, status int) {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	text := html.EscapeString(http.StatusText(status))
	w.Header().Set("Content-Type", "text/html;charset=iso-8859-1")
	w.Header().Set("Cache-Control", "must-revalidate,no-cache,no-store")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `<html>
<head>
<meta http-equiv="Content-Type" content="text/html;charset=ISO-8859-1"/>
<title>Error %d %s</title>
</head>
<body>
<h2>HTTP ERROR %d %s</h2>
<table>
<tr><th>URI:</th><td>%s</td></tr>
<tr><th>STATUS:</th><td>%d</td></tr>
<tr><th>MESSAGE:</th><td>%s</td></tr>
</table>

</body>
</html>
`, status, text, status, text, html.EscapeString(scheme+"://"+r.Host+r.URL.RequestURI()), status, text)
}

const whatThisIs = `Tidegate sandbox dataspace

This is NO connector and must not be used as one. It imitates the Management API, the signaling and
the state machines of an EDC-V control plane closely enough to develop and test Tidegate against, with
all participants inside one process. There is no Dataspace Protocol, no credential and no trust here:
nothing that it "agrees" binds anyone. Never expose it, never put real data behind it.

  /management/v5beta/…             Management API
  /signaling/transfers/…           callbacks of data planes
  /idp/.well-known/openid-configuration   identity provider (client credentials, token exchange)
  /sandbox/misbehaviour/{pc}       what goes wrong on purpose (GET, PUT; admin)
  /sandbox/status                  what is stored (GET; admin)
  /healthz                         alive
  /protocol/…                      addresses in catalogs; nothing answers there
`

// home says what this is.
func home(w http.ResponseWriter, r *http.Request) {
	if !acceptsHTML(r) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte(whatThisIs))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = fmt.Fprintf(w, `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Tidegate sandbox – no connector</title></head>
<body><h1>This is no connector</h1><p>It must not be used as one.</p><pre>%s</pre></body></html>
`, html.EscapeString(whatThisIs))
}

// noConnector answers at the DSP addresses.
func noConnector(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusNotImplemented)
	_, _ = w.Write([]byte("The Dataspace Protocol is not served here: this is the Tidegate sandbox, no connector.\n" +
		"Its participants meet inside the process; DSP addresses only name them.\n"))
}
