package management

import (
	"context"
	"net/http"

	"github.com/tidegate/tidegate/shared/problem"
)

// get reads one object.
func get[T any](ctx context.Context, c *Client, path string) (*T, error) {
	out := new(T)
	if _, err := c.do(ctx, call{method: http.MethodGet, path: path}, out); err != nil {
		return nil, err
	}
	return out, nil
}

// create posts an object under an id that we give. exists reads it back, in case a try without an answer made it.
func (c *Client) create(ctx context.Context, path string, body any, exists func() (bool, error)) error {
	unsure, err := c.do(ctx, call{method: http.MethodPost, path: path, body: body}, nil)
	if !unsure || !problem.Is(err, problem.Conflict) {
		return err
	}
	if ok, verr := exists(); verr != nil || !ok {
		return err
	}
	return nil
}

// update puts an object.
func (c *Client) update(ctx context.Context, path string, body any) error {
	_, err := c.do(ctx, call{method: http.MethodPut, path: path, body: body}, nil)
	return err
}

// remove deletes an object. One that is not there has been deleted.
func (c *Client) remove(ctx context.Context, path string) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: path}, nil)
	if problem.Is(err, problem.NotFound) {
		return nil
	}
	return err
}

// command posts what must not happen twice: it is repeated only if it was not sent.
func (c *Client) command(ctx context.Context, path string, body any) error {
	_, err := c.do(ctx, call{method: http.MethodPost, path: path, body: body, once: true}, nil)
	return err
}

// idResponse is the answer to a create.
type idResponse struct {
	ID string `json:"@id"`
}

// readBack makes a create's exists function of a read and the id of what it reads.
func readBack[T any](get func() (*T, error), same func(*T) bool) func() (bool, error) {
	return func() (bool, error) {
		v, err := get()
		return err == nil && same(v), err
	}
}
