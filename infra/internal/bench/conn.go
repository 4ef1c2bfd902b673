package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// callTime bounds one call. What takes longer is no figure but a fault.
const (
	callTime   = 30 * time.Second
	connTime   = 10 * time.Minute // no connection lives longer
	connBuffer = 16 << 10
	maxBody    = 1 << 20
)

// conn is one keep-alive connection on which ready-made requests are sent: a load generator that shares the machine with what
// it measures must cost little, and Go's own client costs about as much as the server.
type conn struct {
	net.Conn

	r    *bufio.Reader
	body []byte // of the last answer
}

func dial(ctx context.Context, addr string) (*conn, error) {
	c, err := (&net.Dialer{Timeout: callTime}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	if err := c.SetDeadline(time.Now().Add(connTime)); err != nil {
		return nil, fmt.Errorf("connection: %w", err)
	}
	return &conn{Conn: c, r: newReader(c)}, nil
}

func newReader(c net.Conn) *bufio.Reader { return bufio.NewReaderSize(c, connBuffer) }

func (c *conn) close() { _ = c.Close() } // all was read

// request is a request as it goes over the wire.
func request(method, host, path, token string, body []byte) []byte {
	b := make([]byte, 0, 256+len(path)+len(token)+len(body))
	b = append(b, method+" "+path+" HTTP/1.1\r\nHost: "+host+"\r\nAuthorization: Bearer "+token+"\r\n"...)
	if method != http.MethodGet {
		b = append(b, "Content-Type: application/json\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n"...)
	}
	return append(append(b, "\r\n"...), body...)
}

// do sends a request and reads the answer, which must be 200. The answer is good until the next call.
func (c *conn) do(request []byte) ([]byte, error) {
	if _, err := c.Write(request); err != nil {
		return nil, fmt.Errorf("sending: %w", err)
	}
	status, body, err := c.answer()
	if err != nil {
		return nil, fmt.Errorf("the answer: %w", err)
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("answered %d: %s", status, body)
	}
	return body, nil
}

// answer reads an answer. One that says its length, as all small ones of Go's server do, is read without net/http.
func (c *conn) answer() (status int, body []byte, err error) {
	head, err := c.head()
	if err != nil {
		return 0, nil, err
	}
	length, ok := contentLength(head)
	if !ok || len(head) < len("HTTP/1.1 200") {
		return c.anyAnswer()
	}
	if status, err = strconv.Atoi(string(head[9:12])); err != nil {
		return 0, nil, fmt.Errorf("status: %w", err)
	}
	if _, err := c.r.Discard(len(head)); err != nil {
		return 0, nil, err
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	_, err = io.ReadFull(c.r, c.body[:length])
	return status, c.body[:length], err
}

func (c *conn) anyAnswer() (int, []byte, error) {
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }() // read to its end
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	return res.StatusCode, body, err
}

// head waits for a whole header and leaves it in the buffer.
func (c *conn) head() ([]byte, error) {
	for {
		b, err := c.r.Peek(max(1, c.r.Buffered()))
		if err != nil {
			return nil, err
		}
		if i := bytes.Index(b, []byte("\r\n\r\n")); i >= 0 {
			return b[:i+4], nil
		}
		if len(b) == connBuffer {
			return nil, errors.New("its header is too long")
		}
		if _, err := c.r.Peek(len(b) + 1); err != nil {
			return nil, err
		}
	}
}

// contentLength finds the header of that name, spelt in any way.
func contentLength(head []byte) (int, bool) {
	const name = "content-length:"
	for {
		i := bytes.IndexByte(head, '\n')
		if i < 0 || len(head) < i+1+len(name) {
			return 0, false
		}
		if head = head[i+1:]; !bytes.EqualFold(head[:len(name)], []byte(name)) {
			continue
		}
		value, _, _ := bytes.Cut(head[len(name):], []byte("\r\n"))
		n, err := strconv.Atoi(string(bytes.TrimSpace(value)))
		return n, err == nil && n >= 0 && n <= maxBody
	}
}
