// Package publishing says what a tenant's publish rules mean: which object of which bucket is on offer, under which ids,
// on which terms. It is pure: bucket-events and asset-publisher must come to the same answer without asking each other.
package publishing

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path"
	"strings"

	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// temporary are the suffixes that programs give to files which they have not finished.
var temporary = []string{".part", ".partial", ".tmp", ".crdownload", ".swp", ".swx", "~"}

// Match returns the first publish rule that the object matches: its bucket, its prefix, and none of its exclude patterns.
// Hidden and unfinished objects match none.
func Match(t *tenant.Tenant, bucket, key string) (tenant.PublishRule, bool) {
	if Ignored(key) {
		return tenant.PublishRule{}, false
	}
	for _, r := range t.Publish {
		if r.Bucket == bucket && strings.HasPrefix(key, r.Prefix) && !excluded(r.Exclude, key) {
			return r, true
		}
	}
	return tenant.PublishRule{}, false
}

// Ignored tells whether the key can never be published: it is none that every kind of store takes (objectstore.CheckKey); a
// segment of it is hidden by a leading dot; or its last segment looks like an unfinished file.
func Ignored(key string) bool {
	if objectstore.CheckKey(key) != nil {
		return true
	}
	for segment := range strings.SplitSeq(key, "/") {
		if strings.HasPrefix(segment, ".") {
			return true
		}
	}
	name := strings.ToLower(path.Base(key))
	for _, suffix := range temporary {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

func excluded(patterns []string, key string) bool {
	name := path.Base(key)
	for _, p := range patterns {
		if ok, err := path.Match(p, name); err == nil && ok { // a malformed pattern is refused when the document is loaded
			return true
		}
	}
	return false
}

// Buckets returns the names of the buckets that the rules publish from, each once, in the order of the rules.
func Buckets(t *tenant.Tenant) []string {
	var names []string
	seen := map[string]bool{}
	for _, r := range t.Publish {
		if !seen[r.Bucket] {
			seen[r.Bucket] = true
			names = append(names, r.Bucket)
		}
	}
	return names
}

// DatasetID is the id of the dataset, and of the EDC asset, that an object is published as: an overwritten object keeps it.
// EDC's ids are global, so it starts with the participant context.
func DatasetID(participantContextID, bucket, key string) string {
	sum := sha256.Sum256([]byte(bucket + "\n" + key))
	return participantContextID + "-" + hex.EncodeToString(sum[:16])
}

// IDs are the ids at the control plane that belong to a publish rule.
type IDs struct {
	AccessPolicy       string
	ContractPolicy     string
	ContractDefinition string // one a rule; also the value of the assets' private property tidegateOffer, by which it selects them
}

// IDsOf returns the ids of a rule.
func IDsOf(participantContextID string, r tenant.PublishRule) IDs {
	return IDs{
		AccessPolicy:       participantContextID + "-" + r.Policy + "-access",
		ContractPolicy:     participantContextID + "-" + r.Policy + "-contract",
		ContractDefinition: participantContextID + "-" + r.Name,
	}
}

// Policies returns the access and the contract policy of a rule as ODRL Sets. An empty template permits use without
// condition.
func Policies(t *tenant.Tenant, r tenant.PublishRule) (access, contract map[string]any, err error) {
	p, ok := t.Policy(r.Policy)
	if !ok {
		return nil, nil, problem.New(problem.Unprocessable, "publish rule %q names the policy %q, which the tenant's document does not have", r.Name, r.Policy)
	}
	return set(p.Access), set(p.Contract), nil
}

// set makes an ODRL Set of a template. EDC wants the type, and takes a Set without permissions for "use is permitted".
func set(template map[string]any) map[string]any {
	out := map[string]any{"@type": "Set"}
	for k, v := range template {
		if k != "@type" && k != "@context" {
			out[k] = v
		}
	}
	return out
}

// Metadata returns the rule's extra asset properties for an object, with {key}, {name} and {bucket} replaced.
func Metadata(r tenant.PublishRule, key string) map[string]string {
	replace := strings.NewReplacer("{key}", key, "{name}", path.Base(key), "{bucket}", r.Bucket)
	out := make(map[string]string, len(r.Metadata))
	for k, v := range r.Metadata {
		out[k] = replace.Replace(v)
	}
	return out
}

// Terms is a digest of all that the tenant's document says of an object's offer: rule, policies, metadata. The dataset
// record keeps it, so that a change of the document is found by the sweep like a change of the object.
func Terms(t *tenant.Tenant, r tenant.PublishRule, key string) string {
	p, _ := t.Policy(r.Policy)
	b, err := json.Marshal([]any{r.Name, r.Policy, p.Access, p.Contract, Metadata(r, key)}) // maps are written in the order of their keys
	if err != nil {
		return "" // a document that came from YAML can be written as JSON; if not, its terms never count as changed
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
