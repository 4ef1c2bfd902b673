package management

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/shared/problem"
)

// A case is two files: x.json, a catalog, and x.golden, how it is read.
func TestCatalogsInEverySpelling(t *testing.T) {
	files, err := filepath.Glob("testdata/catalogs/*.json")
	if err != nil || len(files) < 5 {
		t.Fatalf("found %d catalogs, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var cat catalogDocument
			if err := json.Unmarshal(data, &cat); err != nil {
				t.Fatal(err)
			}
			compare(t, strings.TrimSuffix(file, ".json")+".golden", indent(t, map[string]any{"datasets": cat.datasets, "count": cat.count}))
		})
	}
}

func TestWhatIsNoCatalogIsUpstreamsFault(t *testing.T) {
	for _, body := range []string{`"text"`, `[1,2]`, `17`, `{`, `[]`} {
		cp := serve(t, answer{status: 200, body: body})
		c, _ := cp.client(t)
		if _, err := all(c.Catalog(t.Context(), counterParty, Query{})); !problem.Is(err, problem.Upstream) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestADatasetThatIsNotInTheAnswerIsNotFound(t *testing.T) {
	for _, body := range []string{`{}`, `{"@id":"other"}`, `{"@type":"CatalogError","code":"404"}`} {
		cp := serve(t, answer{status: 200, body: body})
		c, _ := cp.client(t)
		if _, err := c.Dataset(t.Context(), counterParty, "asset-1"); !problem.Is(err, problem.NotFound) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// A page whose places are taken by nested catalogs is full, though it holds few datasets.
func TestNestedCatalogsCountAsEntriesOfAPage(t *testing.T) {
	cp := serve(t,
		answer{status: 200, body: `{"dataset":[{"@id":"1"}],"catalog":[{"@id":"c","@type":"Catalog"}]}`},
		answer{status: 200, body: `{"dataset":{"@id":"2"}}`})
	c, _ := cp.client(t)
	got, err := all(c.Catalog(t.Context(), counterParty, Query{PageSize: 2}))
	if list, _ := got.([]*Dataset); err != nil || len(list) != 2 || list[1].ID != "2" {
		t.Errorf("read %v, %v", got, err)
	}
}

func FuzzCatalog(f *testing.F) {
	files, err := filepath.Glob("testdata/catalogs/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var cat catalogDocument
		if json.Unmarshal(data, &cat) != nil {
			return
		}
		if len(cat.datasets) > cat.count {
			t.Fatalf("%d datasets of %d entries", len(cat.datasets), cat.count)
		}
		for _, d := range cat.datasets {
			if d.ID == "" || d.Properties == nil {
				t.Fatalf("dataset %+v", d)
			}
			for _, o := range d.Offers {
				if o.ID == "" || o.DatasetID != d.ID {
					t.Fatalf("offer %+v of dataset %s", o, d.ID)
				}
			}
		}
		var again catalogDocument // the same document is read the same way each time
		_ = json.Unmarshal(data, &again)
		a, _ := json.Marshal(cat.datasets)
		b, _ := json.Marshal(again.datasets)
		if string(a) != string(b) {
			t.Fatalf("read as %s and as %s", a, b)
		}
	})
}

func FuzzAsset(f *testing.F) {
	f.Add([]byte(`{"@id":"a","properties":{"edc:name":"x","https://w3id.org/edc/v0.0.1/ns/size":{"@value":1},"id":"a"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var a Asset
		if json.Unmarshal(data, &a) != nil {
			return
		}
		if _, err := json.Marshal(a.body()); err != nil {
			t.Fatal(err)
		}
	})
}
