package direct

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"time"
)

const (
	bufferSize = 4 << 10
	maxHeader  = 1 << 20  // bytes of an answer, but for what follows maxWhole of its body
	maxWhole   = 64 << 10 // bytes of a body that are read at once
	maxInform  = 8        // answers of the class 1xx before the one that counts
)

// errUnanswered says that a connection ended before any byte of an answer came.
var errUnanswered = errors.New("the connection ended before an answer came")

// conn is a connection, used by one request at a time.
type conn struct {
	net      net.Conn
	limit    io.LimitedReader
	r        *bufio.Reader
	w        *bufio.Writer
	since    time.Time // when it was used last
	reusable bool      // the last answer was read to its end, and more may follow
}

func newConn(c net.Conn) *conn {
	n := &conn{net: c}
	n.limit.R = c
	n.r, n.w = bufio.NewReaderSize(&n.limit, bufferSize), bufio.NewWriterSize(c, bufferSize)
	return n
}

func (c *conn) close() { _ = c.net.Close() } // nothing is lost: what was sent is answered, or is not

// exchange sends a request and reads its answer. After an error, and when the connection can't be used again, it is closed, with the
// body of the answer at the latest.
func (c *conn) exchange(r *http.Request) (res *http.Response, err error) {
	ctx := r.Context()
	deadline, _ := ctx.Deadline() // the zero time is none
	if err := c.net.SetDeadline(deadline); err != nil {
		c.close()
		return nil, errUnanswered
	}
	// What has a deadline only needs nobody to wake it.
	stop := context.AfterFunc(ctx, func() { _ = c.net.SetDeadline(time.Unix(1, 0)) }) // it fails on a closed connection only
	res, whole, err := c.answer(r)
	if !stop() && !whole && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	c.reusable = whole && !res.Close && !r.Close && c.r.Buffered() == 0 && ctx.Err() == nil
	if whole && !c.reusable {
		c.close()
	}
	return res, nil
}

// answer sends a request and reads the answer; whole says that its body was read, too.
func (c *conn) answer(r *http.Request) (res *http.Response, whole bool, err error) {
	c.limit.N = maxHeader
	if err := errors.Join(r.Write(c.w), c.w.Flush()); err != nil {
		c.w.Reset(c.net)
		if _, early := c.r.Peek(1); early != nil {
			return nil, false, fmt.Errorf("%w: %w", errUnanswered, err)
		}
	} else if _, err := c.r.Peek(1); err != nil {
		return nil, false, fmt.Errorf("%w: %w", errUnanswered, err)
	}
	for range maxInform {
		if res, err = http.ReadResponse(c.r, r); err != nil {
			return nil, false, fmt.Errorf("the answer: %w", err)
		}
		if res.StatusCode >= http.StatusOK || res.StatusCode == http.StatusSwitchingProtocols {
			whole, err = c.body(res)
			return res, whole, err
		}
	}
	return nil, false, errors.New("the answer: nothing but what informs")
}

// body reads the body, if it is short; of a longer one the caller reads the rest, and closing it closes the connection.
func (c *conn) body(res *http.Response) (whole bool, err error) {
	if res.ContentLength == 0 {
		res.Body = http.NoBody
		return true, nil
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxWhole+1))
	if err != nil {
		return false, fmt.Errorf("the answer: %w", err)
	}
	if len(b) <= maxWhole {
		res.Body = io.NopCloser(bytes.NewReader(b))
		return true, nil
	}
	c.limit.N = math.MaxInt64
	res.Body = &tail{io.MultiReader(bytes.NewReader(b), res.Body), c}
	return false, nil
}

// tail is a body that the caller reads.
type tail struct {
	io.Reader

	c *conn
}

// Close implements io.Closer.
func (t *tail) Close() error {
	t.c.close()
	return nil
}
