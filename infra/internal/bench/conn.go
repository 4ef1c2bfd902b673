package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// callTime bounds one call. What takes longer is no figure but a fault.
const callTime = 30 * time.Second

// conn is one keep-alive connection on which ready-made requests are sent: a load generator that shares the machine with what
// it measures must cost little, and Go's own client costs about as much as the server.
type conn struct {
	net.Conn

	r *bufio.Reader
}

func dial(ctx context.Context, addr string) (*conn, error) {
	c, err := (&net.Dialer{Timeout: callTime}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return &conn{c, bufio.NewReaderSize(c, 16<<10)}, nil
}

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

// do sends a request and reads the answer, which must be 200.
func (c *conn) do(request []byte) ([]byte, error) {
	if err := c.SetDeadline(time.Now().Add(callTime)); err != nil {
		return nil, fmt.Errorf("connection: %w", err)
	}
	if _, err := c.Write(request); err != nil {
		return nil, fmt.Errorf("sending: %w", err)
	}
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return nil, fmt.Errorf("the answer: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // read to its end
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("the answer: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered %d: %s", res.StatusCode, body)
	}
	return body, nil
}
