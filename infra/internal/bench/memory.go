package bench

import (
	"context"
	"fmt"
	"io"
	"time"
)

// The bars of the gateway's resident memory, in MiB.
const (
	idleBar   = 30
	streamBar = 64
)

// memory is part d: a fresh gateway at rest, and the same while it streams a large file.
func memory(ctx context.Context, b *bench) (*Part, error) {
	p := &Part{}
	var bars [2]*Bar
	if !b.Short {
		bars = [2]*Bar{atMost(idleBar), atMost(streamBar)}
	}
	idle, idlePeak := p.figure("idle, VmRSS", "MiB", bars[0]), p.figure("idle, VmHWM since its start", "MiB", nil)
	streams := p.figure("streaming "+size(b.large)+", most VmRSS seen", "MiB", bars[1])
	peak := p.figure("streaming "+size(b.large)+", VmHWM", "MiB", bars[1])
	w, err := newWorld(ctx, b, "memory")
	if err != nil {
		return nil, err
	}
	defer w.close()
	large, err := w.serve(ctx, tenantID(0), "large", b.large)
	if err != nil {
		return nil, err
	}
	for i := range b.Runs {
		b.note("d) run %d of %d", i+1, b.Runs)
		w.stopGateway() // a process that has done nothing yet
		if err := w.startGateway(ctx); err != nil {
			return nil, err
		}
		if err := sleep(ctx, b.settle); err != nil {
			return nil, err
		}
		for _, m := range []struct {
			member string
			figure *Figure
		}{{"VmRSS", idle}, {"VmHWM", idlePeak}} {
			v, err := memoryOf(w.gateway.PID(), m.member)
			if err != nil {
				return nil, err
			}
			m.figure.add(v)
		}
		most, err := w.whileStreaming(ctx, large)
		if err != nil {
			return nil, err
		}
		streams.add(most)
		v, err := memoryOf(w.gateway.PID(), "VmHWM")
		if err != nil {
			return nil, err
		}
		peak.add(v)
	}
	p.remark("A fresh process each run, %d tenants; idle is %v after its start. One stream, of a file bucket.", tenants, b.settle)
	return p.close(), w.crashed()
}

// whileStreaming reads a file through the gateway and returns the most memory that it was seen with meanwhile.
func (w *world) whileStreaming(ctx context.Context, s *served) (float64, error) {
	done := make(chan error, 1)
	go func() {
		done <- download(ctx, w.public, s.path, s.authorization, s.dataset.Size, io.Discard)
	}()
	most := 0.0
	for {
		v, err := memoryOf(w.gateway.PID(), "VmRSS")
		if err == nil {
			most = max(most, v)
		}
		select {
		case derr := <-done:
			if derr == nil && most == 0 {
				return 0, fmt.Errorf("the gateway's memory was never seen: %w", err)
			}
			return most, derr
		case <-time.After(5 * time.Millisecond):
		}
	}
}
