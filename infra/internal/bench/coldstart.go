package bench

import (
	"bufio"
	"context"
	"debug/buildinfo"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/tidegate/tidegate/infra/internal/local"
	"github.com/tidegate/tidegate/infra/internal/supervisor"
)

// The bars of a function: its start on an idle machine, and its size, more for those that bring S3 along.
const (
	startBar  = 10 // ms
	sizeBar   = 20 // MB
	sizeBarS3 = 26
	startPoll = 100 * time.Microsecond
)

// coldStarts is part c: what a scale from zero costs beyond the pod's own start.
func coldStarts(ctx context.Context, b *bench) (*Part, error) {
	w, err := newWorld(ctx, b, "starts") // for its files; and a gateway that is there, as in a deployment
	if err != nil {
		return nil, err
	}
	defer w.close()
	p := &Part{}
	for _, name := range local.Functions {
		b.note("c) %s", name)
		addrs, err := freeAddrs(1)
		if err != nil {
			return nil, err
		}
		program, err := b.function(name, addrs[0], w)
		if err != nil {
			return nil, err
		}
		var bars [2]*Bar
		if !b.Short {
			bars = [2]*Bar{atMost(startBar), atMost(sizeLimit(program.Path))}
		}
		first := p.figure(name, "ms", bars[0])
		for i := range b.starts + 1 {
			took, err := exec200(ctx, program, addrs[0])
			if err != nil {
				return nil, err
			}
			if i > 0 { // the first one warms the page cache up
				first.add(ms(took))
			}
		}
		info, err := os.Stat(program.Path)
		if err != nil {
			return nil, fmt.Errorf("program: %w", err)
		}
		p.figure(name+", size", "MB", bars[1]).add(float64(info.Size()) / 1e6)
	}
	p.remark("Median of %d starts each, after one that warms up. Eight tenants' documents are read at the start.", b.starts)
	return p.close(), w.crashed()
}

func sizeLimit(program string) float64 {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return sizeBar
	}
	for _, d := range info.Deps {
		if strings.HasSuffix(d.Path, "/service/s3") {
			return sizeBarS3
		}
	}
	return sizeBar
}

// exec200 starts a program, waits for the first 200 of its readiness, and ends it.
func exec200(ctx context.Context, program supervisor.Program, addr string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	began := time.Now()
	p, err := supervisor.Start(program, nopLog)
	if err != nil {
		return 0, err
	}
	defer supervisor.Stop(0, p) // it serves nothing: nothing is lost
	for {
		if ok := probe(ctx, addr); ok {
			return time.Since(began), nil
		}
		if p.Starts() > 1 {
			return 0, p.Ready(ctx) // which says why
		}
		if err := sleep(ctx, startPoll); err != nil {
			return 0, fmt.Errorf("%s is not ready: %w", program.Name, err)
		}
	}
}

// probe asks for readiness once.
func probe(ctx context.Context, addr string) bool {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	defer func() { _ = c.Close() }() // read, or given up
	if _, err := fmt.Fprintf(c, "GET /readyz HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", addr); err != nil {
		return false
	}
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return false
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return false
	}
	_ = res.Body.Close() // not of interest
	return res.StatusCode == http.StatusOK
}
