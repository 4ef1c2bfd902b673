package bench

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/tidegate/tidegate/shared/tenant"
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
	s3Peak := p.figure("streaming "+size(b.large)+" from S3, VmHWM", "MiB", bars[1])
	var around processes
	defer around.stop()
	bucket, s3, err := startS3(ctx, &around, filepath.Join(b.dir, "s3"))
	if err != nil {
		return nil, err
	}
	var more []tenant.Bucket
	if s3 {
		more = append(more, bucket)
	}
	w, err := newWorld(ctx, b, "memory", more...)
	if err != nil {
		return nil, err
	}
	defer w.close()
	large, err := w.serve(ctx, tenantID(0), "large", b.large)
	if err != nil {
		return nil, err
	}
	var fromS3 *served
	if s3 {
		d, err := w.publishS3(ctx, tenantID(0), bucket, "large", b.large)
		if err != nil {
			return nil, fmt.Errorf("s3: %w", err)
		}
		if fromS3, err = w.begin(ctx, tenantID(0), d); err != nil {
			return nil, fmt.Errorf("s3: %w", err)
		}
		if err := w.verify(ctx, fromS3); err != nil {
			return nil, fmt.Errorf("s3: %w", err)
		}
	} else {
		p.remark("VERSITYGW names no S3 server ('make test-tools' installs one): streaming from S3 is not measured.")
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
		if fromS3 == nil {
			continue
		}
		w.stopGateway()
		if err := w.startGateway(ctx); err != nil {
			return nil, err
		}
		if _, err := w.whileStreaming(ctx, fromS3); err != nil {
			return nil, fmt.Errorf("s3: %w", err)
		}
		if v, err = memoryOf(w.gateway.PID(), "VmHWM"); err != nil {
			return nil, err
		}
		s3Peak.add(v)
	}
	if fromS3 == nil {
		p.Figures = slices.DeleteFunc(p.Figures, func(f *Figure) bool { return f == s3Peak })
	}
	p.remark("A fresh process each run, %d tenants; idle is %v after its start. One stream, of a file bucket, or of an S3 server by reference.", tenants, b.settle)
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
