package tenant

import (
	"fmt"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

func (c checker) buckets(t *Tenant) {
	seen := map[string]int{}
	for i, b := range t.Buckets {
		at := fmt.Sprintf("buckets[%d].", i)
		c.name(at+"name", b.Name, seen)
		c.bucketURL(at+"url", b.URL)
		if strings.HasPrefix(b.URL, "file:") {
			c.absent(at+"credentialsFile", b.CredentialsFile, "for a folder")
		}
		c.secretFile(at+"credentialsFile", b.CredentialsFile)
	}
}

func (c checker) bucketURL(at, v string) {
	if !c.required(at, v) {
		return
	}
	c.length(at, v, maxText)
	u, err := url.Parse(v)
	switch {
	case err == nil && u.User != nil:
		c.add(at, "holds credentials, expected is a URL without")
	case err != nil || (u.Scheme != "file" && u.Scheme != "s3"):
		c.add(at, "%s is not the URL of a bucket, expected is file:///path or s3://bucket?region=…&endpoint=…", redact(v))
	case u.Fragment != "":
		c.add(at, "%s has a fragment, expected is a URL without", quote(v))
	case u.Scheme == "file" && (u.Host != "" || !strings.HasPrefix(u.Path, "/")):
		c.add(at, "%s does not name an absolute path, expected is file:///path", quote(v))
	case u.Scheme == "s3" && u.Host == "":
		c.add(at, "%s does not name a bucket, expected is s3://bucket?region=…&endpoint=…", quote(v))
	}
}

func (c checker) policies(t *Tenant) {
	seen := map[string]int{}
	for i, p := range t.Policies {
		at := fmt.Sprintf("policies[%d].", i)
		c.name(at+"name", p.Name, seen)
		c.odrl(at+"access", p.Access)
		c.odrl(at+"contract", p.Contract)
	}
}

// odrl checks the outline of a policy as the control plane will: an ODRL Set, whose lists are not empty (an empty list is
// refused there, see its JSON schema). What the constraints mean is the control plane's business.
func (c checker) odrl(at string, policy map[string]any) {
	if typ, ok := policy["@type"]; ok && typ != "Set" {
		c.add(at+".@type", "is not Set, which is the only type that a policy definition may have")
	}
	for _, list := range []string{"permission", "prohibition", "obligation"} {
		v, ok := policy[list]
		if !ok {
			continue
		}
		rules, ok := v.([]any)
		if !ok || len(rules) == 0 {
			c.add(at+"."+list, "expected is a list of at least one rule; leave it out if there is none")
			continue
		}
		for i, r := range rules {
			rule, ok := r.(map[string]any)
			if !ok {
				c.add(fmt.Sprintf("%s.%s[%d]", at, list, i), "expected is a mapping with an action")
			} else if rule["action"] == nil {
				c.add(fmt.Sprintf("%s.%s[%d].action", at, list, i), "is missing")
			}
		}
	}
}

// Asset properties that the publisher sets, and private properties that an asset's public ones must not repeat.
var reserved = []string{"@id", "id", "name", "contenttype", "size", "sha256", "modified", "bucket", "objectKey", "tidegateOffer"}

var placeholder = regexp.MustCompile(`\{[A-Za-z]*\}`)

func (c checker) publish(t *Tenant) {
	seen := map[string]int{}
	for i, r := range t.Publish {
		at := fmt.Sprintf("publish[%d].", i)
		c.name(at+"name", r.Name, seen)
		_, found := t.Bucket(r.Bucket)
		c.ref(at+"bucket", r.Bucket, "buckets", found)
		_, found = t.Policy(r.Policy)
		c.ref(at+"policy", r.Policy, "policies", found)
		c.prefix(at+"prefix", r.Prefix)
		for j, pattern := range r.Exclude {
			p := fmt.Sprintf("%sexclude[%d]", at, j)
			if _, err := path.Match(pattern, ""); err != nil {
				c.add(p, "%s is not a pattern like *.tmp", quote(pattern))
			}
			c.required(p, pattern)
		}
		c.metadata(at+"metadata", r.Metadata)
	}
}

func (c checker) metadata(at string, metadata map[string]string) {
	if len(metadata) > MaxItems {
		c.add(at, "has %d entries, at most %d are taken", len(metadata), MaxItems)
	}
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		value := metadata[name]
		p := at + "." + name
		if slices.Contains(reserved, name) {
			c.add(p, "is set by the publisher, expected is another name")
		}
		c.length(p, value, maxText)
		for _, ph := range placeholder.FindAllString(value, -1) {
			if ph != "{key}" && ph != "{name}" && ph != "{bucket}" {
				c.add(p, "%s is not one of {key}, {name}, {bucket}", ph)
			}
		}
	}
}

func (c checker) sinks(t *Tenant) {
	seen := map[string]int{}
	for i, s := range t.Sinks {
		at := fmt.Sprintf("sinks[%d].", i)
		c.name(at+"name", s.Name, seen)
		_, found := t.Bucket(s.Bucket)
		c.ref(at+"bucket", s.Bucket, "buckets", found)
		c.prefix(at+"prefix", s.Prefix)
	}
}
