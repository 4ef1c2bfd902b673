package objectstore_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/tenant"
)

// An upload goes on where an earlier process left it, and shows under its key only when it is committed.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "bucket")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	store, err := objectstore.Open(ctx, tenant.Bucket{Name: "inbox", URL: "file://" + dir})
	if err != nil {
		panic(err)
	}
	defer store.Close()

	const content = "Grüße aus Köln"
	for _, end := range []int{7, len(content)} {
		upload, err := store.Upload(ctx, "grüße +1%.txt", "flow-1", "text/plain", nil)
		if err != nil {
			panic(err)
		}
		fmt.Println("go on at", upload.Offset())
		if _, err := upload.ReadFrom(ctx, strings.NewReader(content[upload.Offset():end])); err != nil {
			panic(err)
		}
		if end == len(content) {
			if _, err := upload.Commit(ctx); err != nil {
				panic(err)
			}
		}
		upload.Close()
	}
	for object, err := range store.List(ctx, "", "") {
		if err != nil {
			panic(err)
		}
		r, _, err := store.Open(ctx, object.Key, object.ETag, 0, -1)
		if err != nil {
			panic(err)
		}
		b, _ := io.ReadAll(r)
		r.Close()
		fmt.Printf("%s: %s\n", object.Key, b)
	}
	// Output:
	// go on at 0
	// go on at 7
	// grüße +1%.txt: Grüße aus Köln
}
