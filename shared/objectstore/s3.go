package objectstore

import (
	"context"
	"net/url"

	"github.com/tidegate/tidegate/shared/problem"
)

func openS3(_ context.Context, u *url.URL, _ string) (Store, error) {
	return nil, problem.Field("url", "%q", u.Host)
}
