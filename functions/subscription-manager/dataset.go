package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tidegate/tidegate/functions/rules"
	"github.com/tidegate/tidegate/shared/management"
)

// The properties of a dataset that we look at. Tidegate publishes all of them; of another provider's dataset some may be missing.
const (
	propertyName        = "name"
	propertySHA256      = "sha256"
	propertySize        = "size"
	propertyContentType = "contenttype"
	propertyVersion     = "version"
	propertyModified    = "modified"
)

// maxVersion bounds a version that is no digest, in bytes.
const maxVersion = 256

func property(d *management.Dataset, name string) string {
	switch v := d.Properties[name].(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}

// versionOf tells versions of a dataset apart: its digest in lower case, or what a provider without one says of its version.
func versionOf(d *management.Dataset) string {
	if v := strings.ToLower(property(d, propertySHA256)); isDigest(v) {
		return v
	}
	for _, name := range []string{propertySHA256, propertyVersion, propertyModified} {
		if v := property(d, name); v != "" {
			return strings.ToValidUTF8(v[:min(len(v), maxVersion)], "")
		}
	}
	return "unversioned"
}

// isDigest tells whether a version is a SHA-256 in lower-case hex: the bytes can be held to it.
func isDigest(v string) bool {
	return len(v) == 64 && strings.Trim(v, "0123456789abcdef") == ""
}

// sizeOf is the size that the provider promises, in bytes; -1 if it promises none.
func sizeOf(d *management.Dataset) int64 {
	n, err := strconv.ParseInt(property(d, propertySize), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// nameOf is the name under which a dataset is delivered.
func nameOf(d *management.Dataset) string {
	if n := property(d, propertyName); n != "" {
		return n
	}
	return d.ID
}

func assetOf(d *management.Dataset) rules.Asset {
	return rules.Asset{ID: d.ID, Name: nameOf(d), ContentType: property(d, propertyContentType), Size: sizeOf(d), Properties: d.Properties}
}

// distributes tells whether a dataset is offered with a transfer type.
func distributes(d *management.Dataset, transferType string) bool {
	return slices.ContainsFunc(d.Distributions, func(x management.Distribution) bool { return x.Format == transferType })
}
