package oci

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// SBOM lists what a Go program is made of, as an SPDX 2.3 document in JSON: the program, Go's own library, and each module with its
// version and go.sum's hash. It is read from the binary itself, so it can say nothing that is not in there.
func SBOM(binary, program, version string, at time.Time, digest [sha256.Size]byte) ([]byte, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("SBOM of %s: %w", program, err)
	}
	const root = "SPDXRef-program"
	doc := spdxDocument{
		Version: "SPDX-2.3", License: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: program + "-" + version,
		Namespace: "https://tidegate.io/sbom/" + program + "/" + hex.EncodeToString(digest[:]),
		Creation:  spdxCreation{Created: at.UTC().Format(time.RFC3339), Creators: []string{"Tool: tidegate-images"}},
		Packages: []spdxPackage{
			{ID: root, Name: program, Version: version, License: "Apache-2.0", Purpose: "APPLICATION", Checksums: []spdxChecksum{{"SHA256", hex.EncodeToString(digest[:])}}},
			{
				ID: "SPDXRef-stdlib", Name: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go"), License: "BSD-3-Clause",
				Refs: []spdxRef{{"PACKAGE-MANAGER", "purl", "pkg:golang/stdlib@" + strings.TrimPrefix(info.GoVersion, "go")}},
			},
		},
		Relations: []spdxRelation{
			{"SPDXRef-DOCUMENT", "DESCRIBES", root},
			{root, "DEPENDS_ON", "SPDXRef-stdlib"},
		},
	}
	for _, m := range info.Deps {
		if m.Replace != nil && m.Replace.Version != "" {
			m = m.Replace
		}
		if strings.HasPrefix(m.Path, "github.com/tidegate/tidegate/") {
			continue // the program itself
		}
		p := spdxPackage{
			ID: "SPDXRef-" + notID.ReplaceAllString(m.Path+"-"+m.Version, "-"), Name: m.Path, Version: m.Version, License: "NOASSERTION",
			Refs: []spdxRef{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + m.Path + "@" + m.Version}},
		}
		if m.Sum != "" {
			p.Comment = "go.sum " + m.Sum
		}
		doc.Packages = append(doc.Packages, p)
		doc.Relations = append(doc.Relations, spdxRelation{root, "DEPENDS_ON", p.ID})
	}
	for i := range doc.Packages {
		doc.Packages[i].Location, doc.Packages[i].Copyright = "NOASSERTION", "NOASSERTION"
	}
	return json.MarshalIndent(doc, "", "  ")
}

var notID = regexp.MustCompile(`[^A-Za-z0-9.-]`)

type spdxDocument struct {
	Version   string         `json:"spdxVersion"`
	License   string         `json:"dataLicense"`
	ID        string         `json:"SPDXID"`
	Name      string         `json:"name"`
	Namespace string         `json:"documentNamespace"`
	Creation  spdxCreation   `json:"creationInfo"`
	Packages  []spdxPackage  `json:"packages"`
	Relations []spdxRelation `json:"relationships"`
}

type spdxCreation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	ID        string         `json:"SPDXID"`
	Name      string         `json:"name"`
	Version   string         `json:"versionInfo"`
	Location  string         `json:"downloadLocation"`
	License   string         `json:"licenseConcluded"`
	Copyright string         `json:"copyrightText"`
	Purpose   string         `json:"primaryPackagePurpose,omitempty"`
	Comment   string         `json:"comment,omitempty"`
	Checksums []spdxChecksum `json:"checksums,omitempty"`
	Refs      []spdxRef      `json:"externalRefs,omitempty"`
}

type spdxChecksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type spdxRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type spdxRelation struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}
