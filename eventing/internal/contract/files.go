package contract

import (
	"path/filepath"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/eventing/localbroker/manifest"
)

// Files makes all files of the contract: content by path below root, the folder of the module eventing, whose sources and
// manifests it reads.
func Files(root string) (map[string][]byte, error) {
	comments, err := ReadComments(filepath.Join(root, "catalogue"))
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, d := range catalogue.All() {
		if out["catalogue/schemas/"+d.Type+".schema.json"], err = Schema(&d, comments); err != nil {
			return nil, err
		}
	}
	set, err := manifest.LoadDirs(filepath.Join(root, "manifests"))
	if err != nil {
		return nil, err
	}
	consumers, err := Consumers(set)
	if err != nil {
		return nil, err
	}
	out["asyncapi.yaml"], err = AsyncAPI(consumers)
	return out, err
}
