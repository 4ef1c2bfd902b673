package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/tidegate/tidegate/infra/internal/supervisor"
)

// nginx is a web server with nothing but what the comparison needs: files by sendfile, and in front of it, by proxy_pass, itself.
type nginx struct {
	process *supervisor.Process
	files   string // address: the files themselves
	proxy   string // address: the same by proxy_pass
}

const nginxConf = `daemon off;
%[1]sworker_processes 2;
pid %[2]s/pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  default_type application/octet-stream;
  client_body_temp_path %[2]s/body;
  proxy_temp_path %[2]s/proxy;
  fastcgi_temp_path %[2]s/fastcgi;
  uwsgi_temp_path %[2]s/uwsgi;
  scgi_temp_path %[2]s/scgi;
  upstream itself { server %[3]s; keepalive 128; }
  server { listen %[3]s; root %[5]s; }
  server {
    listen %[4]s;
    location / {
      proxy_pass http://itself;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_max_temp_file_size 0;
      proxy_buffer_size 64k;
      proxy_buffers 16 64k;
      proxy_busy_buffers_size 256k;
    }
  }
}
`

func startNginx(ctx context.Context, ps *processes, dir, root string) (*nginx, error) {
	bin, err := exec.LookPath("nginx")
	if err != nil {
		bin, err = exec.LookPath("/usr/sbin/nginx")
	}
	if err != nil {
		return nil, fmt.Errorf("run 'make bench-tools': %w", err)
	}
	addrs, err := freeAddrs(2)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("nginx: %w", err)
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n" // its workers must be able to read the folder, which is nobody else's
	}
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, user, dir, addrs[0], addrs[1], root), 0o600); err != nil {
		return nil, fmt.Errorf("nginx: %w", err)
	}
	n := &nginx{files: addrs[0], proxy: addrs[1]}
	n.process, err = ps.ready(ctx, supervisor.Program{
		Name: "nginx", Path: bin, Args: []string{"-p", dir, "-c", conf, "-e", "stderr"}, Env: baseEnv(), Log: filepath.Join(dir, "log"),
		Health: "http://" + addrs[0] + "/" + healthFile,
	})
	return n, err
}

// healthFile is what nginx is asked for to see that it is ready.
const healthFile = "small"

// wrk runs the load generator on one URL over so many connections and returns what it measured.
type wrk struct {
	perSecond float64
	p50, p99  float64 // ms
}

func (b *bench) wrk(ctx context.Context, connections int, url, authorization string) (*wrk, error) {
	bin, err := exec.LookPath("wrk")
	if err != nil {
		return nil, fmt.Errorf("run 'make bench-tools': %w", err)
	}
	seconds := max(1, int(b.load.Seconds()))
	ctx, cancel := context.WithTimeout(ctx, b.load+callTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, "-t1", fmt.Sprintf("-c%d", connections), fmt.Sprintf("-d%ds", seconds), "--latency", //nolint:gosec // our own arguments
		"-H", "Authorization: "+authorization, url)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("wrk: %w: %s", err, out)
	}
	return parseWrk(string(out))
}

// parseWrk reads wrk's report. Answers other than 2xx and 3xx, and broken connections, are faults.
func parseWrk(out string) (*wrk, error) {
	w := &wrk{}
	for l := range strings.Lines(out) {
		f := strings.Fields(l)
		switch {
		case strings.Contains(l, "Non-2xx") || strings.Contains(l, "Socket errors"):
			return nil, fmt.Errorf("wrk: %s", strings.TrimSpace(l))
		case len(f) != 2:
		case f[0] == "Requests/sec:":
			if _, err := fmt.Sscanf(f[1], "%g", &w.perSecond); err != nil {
				return nil, fmt.Errorf("wrk: %q: %w", l, err)
			}
		case f[0] == "50%" || f[0] == "99%":
			var v float64
			var unit string
			if _, err := fmt.Sscanf(f[1], "%g%s", &v, &unit); err != nil {
				return nil, fmt.Errorf("wrk: %q: %w", l, err)
			}
			v = v * map[string]float64{"us": 1, "ms": 1e3, "s": 1e6, "m": 60e6}[unit] / 1e3
			if f[0] == "50%" {
				w.p50 = v
			} else {
				w.p99 = v
			}
		}
	}
	if w.perSecond == 0 {
		return nil, fmt.Errorf("wrk: the report has no rate: %s", out)
	}
	return w, nil
}
