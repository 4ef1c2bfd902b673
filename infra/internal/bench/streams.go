package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/tidegate/tidegate/shared/dps"
)

const (
	cutBar      = 100 // ms, p99, from the answer to a suspend at one replica to the end of the stream at another
	openBar     = 400 // MiB for so many streams:
	openStreams = 10_000
	// slack is how many files a gateway and the bench have open beside the streams.
	slack = 200
)

// streams is part f: many open streams that nobody reads from, and streams that are cut by a suspend at another replica.
func streams(ctx context.Context, b *bench) (*Part, error) {
	w, err := newWorld(ctx, b, "streams")
	if err != nil {
		return nil, err
	}
	defer w.close()
	d, err := w.publish(ctx, tenantID(0), "endless", 1024)
	if err != nil {
		return nil, err
	}
	// Sparse, and more than any buffer takes: a stream of it never ends by itself. The gateway serves what is registered, so that the
	// registration follows.
	if err := os.Truncate(filepath.Join(w.bucket(tenantID(0)), d.Key), 1<<40); err != nil {
		return nil, fmt.Errorf("file to serve: %w", err)
	}
	if d, err = w.register(ctx, tenantID(0), w.folder(tenantID(0)), d.Key, d.SHA256); err != nil {
		return nil, err
	}
	if err := w.approve(ctx, tenantID(0), agreement, d); err != nil {
		return nil, err
	}
	other, err := w.startReplica(ctx, "TENANT_CONCURRENT_STREAMS=0", "STALL_TIME=1h")
	if err != nil {
		return nil, err
	}
	s := &streamBench{world: w, other: other, dataset: d.ID}
	p := &Part{}
	if err := s.cuts(ctx, p); err != nil {
		return nil, fmt.Errorf("revocation: %w", err)
	}
	if err := s.idle(ctx, p); err != nil {
		return nil, fmt.Errorf("idle streams: %w", err)
	}
	return p.close(), w.crashed()
}

type streamBench struct {
	*world

	other   *replica
	dataset string
	flows   int
}

// start starts a flow and returns its id, and the request that reads from it at a replica.
func (s *streamBench) start(ctx context.Context, c *conn) (id string, get []byte, err error) {
	s.flows++
	id = flowID(int64(s.flows))
	body, err := startMessage(tenantID(0), id, agreement, s.dataset)
	if err != nil {
		return "", nil, fmt.Errorf("message: %w", err)
	}
	answer, err := s.signal(c, "start", body)
	if err != nil {
		return "", nil, err
	}
	a, err := addressOf(answer)
	if err != nil {
		return "", nil, err
	}
	u, err := url.Parse(a.Endpoint)
	if err != nil {
		return "", nil, fmt.Errorf("endpoint: %w", err)
	}
	return id, request(http.MethodGet, s.other.public, u.EscapedPath(), a.Property(dps.PropertyAuthorization), nil), ctx.Err()
}

func (s *streamBench) signal(c *conn, path string, body []byte) ([]byte, error) {
	t, err := s.outside.token(es256)
	if err != nil {
		return nil, err
	}
	return c.do(request(http.MethodPost, s.signaling, "/participants/"+tenantID(0)+"/dataflows/"+path, t.compact, body))
}

// cuts measures how long a stream at one replica goes on after another has answered the suspend.
func (s *streamBench) cuts(ctx context.Context, p *Part) error {
	p50 := p.figure("suspend answered to the last byte at another replica, p50", "ms", nil)
	p99 := p.figure("suspend answered to the last byte at another replica, p99", "ms", s.b.bar(atMost(cutBar)))
	for run := range s.b.Runs {
		s.b.note("f) %d streams are cut, run %d of %d", s.b.cuts, run+1, s.b.Runs)
		c, err := dial(ctx, s.signaling)
		if err != nil {
			return err
		}
		defer c.close()
		took := make([]time.Duration, s.b.cuts)
		for i := range took {
			if took[i], err = s.cut(ctx, c); err != nil {
				return err
			}
		}
		slices.Sort(took)
		p50.add(percentile(took, 50))
		p99.add(percentile(took, 99))
	}
	p.remark("Revocation: %d streams a run, one after the other, each read as fast as it comes; two gateways, each a process, on one Redis.", s.b.cuts)
	return nil
}

func (s *streamBench) cut(ctx context.Context, c *conn) (time.Duration, error) {
	id, get, err := s.start(ctx, c)
	if err != nil {
		return 0, err
	}
	in, err := dial(ctx, s.other.public)
	if err != nil {
		return 0, err
	}
	defer in.close()
	if _, err := in.Write(get); err != nil {
		return 0, fmt.Errorf("sending: %w", err)
	}
	if err := in.streaming(); err != nil {
		return 0, err
	}
	ended := make(chan time.Time, 1)
	go func() {
		_, _ = io.CopyBuffer(onlyWriter{io.Discard}, in.r, make([]byte, 256<<10)) // it is broken off: that is the point
		ended <- time.Now()
	}()
	if _, err := s.signal(c, id+"/suspend", []byte(`{"messageId":"cut-`+id+`","reason":"measured"}`)); err != nil {
		return 0, err
	}
	answered := time.Now()
	select {
	case at := <-ended:
		return max(at.Sub(answered), 0), nil
	case <-time.After(callTime):
		return 0, errors.New("the stream goes on")
	}
}

// streaming reads the header of an answer that is a stream.
func (c *conn) streaming() error {
	head, err := c.head()
	if err != nil {
		return fmt.Errorf("the answer: %w", err)
	}
	if len(head) < 12 || string(head[9:12]) != "200" {
		return fmt.Errorf("answered %.200s", head)
	}
	return nil
}

// idle opens streams that nobody reads from, and measures what the gateway has resident with all of them open.
func (s *streamBench) idle(ctx context.Context, p *Part) error {
	n := s.b.idle
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	if most := (int(min(limit.Max, 1<<20)) - slack) / 2; n > most {
		n = most
		p.remark("A process may have %d files open here, and a stream is two (the connection and the file): %d streams were opened, the bar is for as many.", limit.Max, n)
	}
	before := p.figure("before the streams, VmRSS", "MiB", nil)
	resident := p.figure(grouped(n)+" idle open streams, VmRSS", "MiB", s.b.bar(atMost(openBar*float64(n)/openStreams)))
	each := p.figure("a stream", "KiB", nil)
	threads := p.figure("threads of the gateway with all of them open", "", nil)
	c, err := dial(ctx, s.signaling)
	if err != nil {
		return err
	}
	defer c.close()
	_, get, err := s.start(ctx, c)
	if err != nil {
		return err
	}
	empty, err := memoryOf(s.other.process.PID(), "VmRSS")
	if err != nil {
		return err
	}
	s.b.note("f) opening %d streams", n)
	open, err := s.open(ctx, get, n)
	defer func() {
		for _, c := range open {
			if c != nil {
				_ = c.Close() // whatever is left in it
			}
		}
	}()
	if err != nil {
		return err
	}
	for range s.b.Runs {
		if err := sleep(ctx, s.b.settle); err != nil {
			return err
		}
		full, err := memoryOf(s.other.process.PID(), "VmRSS")
		if err != nil {
			return err
		}
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", s.other.process.PID()))
		if err != nil {
			return fmt.Errorf("threads: %w", err)
		}
		before.add(empty)
		resident.add(full)
		each.add((full - empty) * 1024 / float64(n))
		threads.add(float64(len(tasks)))
	}
	p.remark("Idle streams are of a file bucket, answered with 200 and not read from: each is stopped by its full socket, as a stream whose consumer is slow.")
	return nil
}

// open opens n streams, by so many hands as there may be connections waiting to be accepted.
func (s *streamBench) open(ctx context.Context, get []byte, n int) ([]net.Conn, error) {
	const hands = 32
	var (
		all    sync.WaitGroup
		conns  = make([]net.Conn, n)
		faults = make([]error, hands)
	)
	for h := range hands {
		all.Go(func() {
			for i := h; i < n && faults[h] == nil; i += hands {
				conns[i], faults[h] = s.openOne(ctx, get)
			}
		})
	}
	all.Wait()
	return conns, errors.Join(faults...)
}

func (s *streamBench) openOne(ctx context.Context, get []byte) (net.Conn, error) {
	d := net.Dialer{Timeout: callTime, Control: smallBuffer}
	c, err := d.DialContext(ctx, "tcp", s.other.public)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	if err := c.SetDeadline(time.Now().Add(callTime)); err != nil {
		return c, fmt.Errorf("connection: %w", err)
	}
	if _, err := c.Write(get); err != nil {
		return c, fmt.Errorf("sending: %w", err)
	}
	head := make([]byte, len("HTTP/1.1 200"))
	if _, err := io.ReadFull(c, head); err != nil {
		return c, fmt.Errorf("the answer: %w", err)
	}
	if string(head[9:]) != "200" {
		return c, fmt.Errorf("answered %s", head)
	}
	return c, nil
}

// smallBuffer keeps what the system holds for a connection that is not read from small.
func smallBuffer(_, _ string, raw syscall.RawConn) error {
	var fault error
	err := raw.Control(func(fd uintptr) {
		fault = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
	})
	return errors.Join(err, fault)
}
