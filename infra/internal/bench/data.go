package bench

import (
	"context"
	"errors"
	"fmt"
)

const smallSize = 1 << 10

// dataEndpoint is part b: small objects by request rate, a large one by bandwidth, each beside servers that check nothing.
func dataEndpoint(ctx context.Context, b *bench) (*Part, error) {
	w, err := newWorld(ctx, b, "data")
	if err != nil {
		return nil, err
	}
	defer w.close()
	d := &dataBench{world: w}
	pc := tenantID(0)
	if d.small, err = w.serve(ctx, pc, healthFile, smallSize); err != nil {
		return nil, err
	}
	if d.large, err = w.serve(ctx, pc, "large", b.large); err != nil {
		return nil, err
	}
	for _, s := range []*served{d.small, d.large} {
		if err := w.verify(ctx, s); err != nil {
			return nil, err
		}
	}
	if d.nginx, err = startNginx(ctx, &w.processes, w.path("nginx"), w.bucket(pc)); err != nil {
		return nil, err
	}
	proxy, addr, err := startProxy(ctx, &w.processes, w.path("proxy.log"), d.nginx.files)
	if err != nil {
		return nil, err
	}
	d.servers = []server{
		{"gateway", w.public, w.gateway.PID()},
		{"ReverseProxy", addr, proxy.PID()},
		{"nginx proxy_pass", d.nginx.proxy, d.nginx.process.PID()},
		{"nginx", d.nginx.files, d.nginx.process.PID()},
	}
	p := &Part{}
	p.remark("The gateway checks token, live flow and dataset on each request, and takes the file from the bucket. ReverseProxy (Go's httputil) and nginx proxy_pass")
	p.remark("check nothing and fetch from nginx, whose CPU comes on top for ReverseProxy and is included for proxy_pass; nginx has 2 workers, sendfile on. The file is in the page cache.")
	if err := d.requests(ctx, p); err != nil {
		return nil, err
	}
	for _, connections := range []int{1, 4} {
		if err := d.bandwidth(ctx, p, connections); err != nil {
			return nil, err
		}
	}
	return p.close(), w.crashed()
}

type dataBench struct {
	*world

	small, large *served
	nginx        *nginx
	servers      []server // the gateway first
}

type server struct {
	name, addr string
	pid        int
}

// target says how a server is asked for a dataset.
func (d *dataBench) target(s server, f *served) (path, authorization string) {
	if s.addr == d.public {
		return f.path, f.authorization
	}
	return "/" + f.dataset.Key, f.authorization // to be the same request
}

// rows is a figure of each server, and their CPU times.
type rows struct{ figures, cpu []*Figure }

func (d *dataBench) rows(p *Part, what, unit, cpuUnit string, servers []server) rows {
	var r rows
	for _, s := range servers {
		r.figures = append(r.figures, p.figure(what+s.name, unit, nil))
	}
	for _, s := range servers {
		r.cpu = append(r.cpu, p.figure(what+"CPU of "+s.name, cpuUnit, nil))
	}
	return r
}

// compare puts the gateway's rows beside the others'.
func (r *rows) compare(servers []server) {
	for i, s := range servers[1:] {
		r.figures[0].beside(r.figures[i+1], s.name)
		r.cpu[0].beside(r.cpu[i+1], s.name)
	}
}

func (d *dataBench) requests(ctx context.Context, p *Part) error {
	connections := d.b.connection[len(d.b.connection)-1]
	what := "1 KiB, " + plural(connections) + ": "
	r := d.rows(p, what, "GET/s", "µs/GET", d.servers)
	p50, p99 := p.figure(what+"gateway, p50", "ms", nil), p.figure(what+"gateway, p99", "ms", nil)
	for run := range d.b.Runs {
		for i, s := range d.servers {
			d.b.note("b) 1 KiB, %s, run %d of %d", s.name, run+1, d.b.Runs)
			path, authorization := d.target(s, d.small)
			profiled := func() error { return nil }
			if run+i == 0 {
				profiled = d.profile(ctx, "data-small")
			}
			before, err := cpuOf(s.pid)
			if err != nil {
				return err
			}
			m, err := d.b.wrk(ctx, connections, "http://"+s.addr+path, authorization)
			if err := errors.Join(err, profiled()); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			after, err := cpuOf(s.pid)
			if err != nil {
				return err
			}
			r.figures[i].add(m.perSecond)
			r.cpu[i].add(float64((after - before).Microseconds()) / (m.perSecond * max(1, d.b.load.Truncate(1e9).Seconds())))
			if i == 0 {
				p50.add(m.p50)
				p99.add(m.p99)
			}
		}
	}
	r.compare(d.servers)
	if !d.b.Short {
		d.ratioBar(p, what+"gateway over ReverseProxy", r.figures[0], r.figures[1], 1)
	}
	return nil
}

func (d *dataBench) bandwidth(ctx context.Context, p *Part, connections int) error {
	servers := []server{d.servers[0], d.servers[2], d.servers[3]}
	what := size(d.large.dataset.Size) + ", " + plural(connections) + ": "
	r := d.rows(p, what, "MiB/s", "s/GiB", servers)
	for run := range d.b.Runs {
		for i, s := range servers {
			d.b.note("b) %s, %s, %s, run %d of %d", size(d.large.dataset.Size), plural(connections), s.name, run+1, d.b.Runs)
			path, authorization := d.target(s, d.large)
			before, err := cpuOf(s.pid)
			if err != nil {
				return err
			}
			rate, err := downloads(ctx, connections, s.addr, path, authorization, d.large.dataset.Size)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			after, err := cpuOf(s.pid)
			if err != nil {
				return err
			}
			r.figures[i].add(rate)
			r.cpu[i].add((after - before).Seconds() / (float64(d.large.dataset.Size) * float64(connections) / (1 << 30)))
		}
	}
	r.compare(servers)
	if !d.b.Short {
		d.ratioBar(p, what+"gateway over nginx proxy_pass", r.figures[0], r.figures[1], 0.9)
	}
	return nil
}

// ratioBar adds a row for a ratio that has a bar.
func (d *dataBench) ratioBar(p *Part, name string, of, to *Figure, least float64) {
	f := p.figure(name, "×", atLeast(least))
	f.Samples = ratios(of.Samples, to.Samples)
}

func plural(connections int) string {
	if connections == 1 {
		return "1 connection"
	}
	return fmt.Sprintf("%d connections", connections)
}

func size(n int64) string {
	if n >= 1<<30 {
		return fmt.Sprintf("%d GiB", n>>30)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
