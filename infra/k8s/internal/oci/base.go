package oci

import (
	"bytes"
	"encoding/pem"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// CertFile is where the bundle of certificate authorities is in an image.
const CertFile = "/etc/ssl/certs/ca-certificates.crt"

// Base are the files that every image has: who it runs as, and whom it trusts. The authorities are those of Mozilla's list, of the
// version that go.mod pins, so that the machine that builds has no part in it.
func Base() []File {
	var certs bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue // trusted under a condition that a bundle can't express
		}
		_ = pem.Encode(&certs, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a buffer takes all
	}
	return []File{
		{Path: "/etc/passwd", Content: []byte("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n")},
		{Path: "/etc/group", Content: []byte("root:x:0:\nnonroot:x:65532:\n")},
		{Path: "/etc/nsswitch.conf", Content: []byte("hosts: files dns\n")},
		{Path: CertFile, Content: certs.Bytes()},
	}
}
