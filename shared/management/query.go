package management

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"net/http"

	"github.com/tidegate/tidegate/shared/problem"
)

const (
	defaultPageSize = 50
	maxPageSize     = 1000
)

// querySpec is the body of a query, and a member of a catalog request (there without @context).
type querySpec struct {
	Context   []string    `json:"@context,omitempty"`
	Type      string      `json:"@type"`
	Offset    int         `json:"offset"`
	Limit     int         `json:"limit"`
	SortField string      `json:"sortField,omitempty"`
	SortOrder string      `json:"sortOrder,omitempty"`
	Filter    []criterion `json:"filterExpression,omitempty"`
}

// criterion is a Criterion on the wire.
type criterion struct {
	Type string `json:"@type"`
	Criterion
}

func criteria(list []Criterion) []criterion {
	out := make([]criterion, len(list))
	for i, c := range list {
		out[i] = criterion{"Criterion", c}
	}
	return out
}

func (q Query) spec(offset int) querySpec {
	s := querySpec{Type: "QuerySpec", Offset: offset, Limit: q.pageSize(), Filter: criteria(q.Filter)}
	if q.SortField != "" {
		s.SortField, s.SortOrder = q.SortField, "ASC"
		if q.Desc {
			s.SortOrder = "DESC"
		}
	}
	return s
}

func (q Query) pageSize() int {
	if q.PageSize <= 0 {
		return defaultPageSize
	}
	return min(q.PageSize, maxPageSize)
}

// page is one page of results; count is how many entries the server put into it, those that were left out included.
type page[T any] struct {
	items []*T
	count int
}

// paged yields the results of a query page by page. It stops at a page that is not full, or that begins like the one
// before it, because the server does not page and has said everything. Objects that come or go meanwhile may be missed or
// seen twice: an offset is all that the API has.
func paged[T any](c *Client, q Query, fetch func(querySpec) (page[T], error), id func(*T) string) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		offset, first := 0, ""
		for range c.limits.pages {
			p, err := fetch(q.spec(offset))
			if err != nil {
				yield(nil, err)
				return
			}
			if len(p.items) > 0 {
				if head := id(p.items[0]); head == first && offset > 0 {
					return
				} else {
					first = head
				}
			}
			for _, item := range p.items {
				if !yield(item, nil) {
					return
				}
			}
			if p.count != q.pageSize() { // short: the last; longer than asked for: the server gave all
				return
			}
			offset += p.count
		}
		yield(nil, problem.New(problem.TooLarge, "the query has more than %d pages of %d results", c.limits.pages, q.pageSize()))
	}
}

// query pages through POST {resource}/request.
func query[T any](ctx context.Context, c *Client, resource string, q Query, id func(*T) string) iter.Seq2[*T, error] {
	return paged(c, q, func(s querySpec) (page[T], error) {
		s.Context = jsonLD
		var items many[T]
		_, err := c.do(ctx, call{method: http.MethodPost, path: at(resource, "request"), body: s}, &items)
		return page[T]{items, len(items)}, err
	}, id)
}

// many is a list that JSON-LD may have compacted to its only entry.
type many[T any] []*T

// UnmarshalJSON takes an array, a single object, or null.
func (m *many[T]) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	*m = nil
	if bytes.Equal(data, []byte("null")) {
		return nil
	}
	if len(data) > 0 && data[0] == '[' {
		var list []*T
		if err := json.Unmarshal(data, &list); err != nil {
			return err
		}
		for _, item := range list {
			if item != nil {
				*m = append(*m, item)
			}
		}
		return nil
	}
	one := new(T)
	if err := json.Unmarshal(data, one); err != nil {
		return err
	}
	*m = many[T]{one}
	return nil
}
