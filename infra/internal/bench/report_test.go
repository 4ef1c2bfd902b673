package bench

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBarsAndRatiosOfAReport(t *testing.T) {
	p := &Part{Letter: "x", Title: "A title"}
	a := p.figure("ours", "1/s", atLeast(10))
	b := p.figure("theirs", "1/s", nil)
	c := p.figure("memory", "MiB", atMost(5))
	for _, v := range []float64{9, 30, 12} {
		a.add(v)
		b.add(2 * v)
		c.add(v)
	}
	a.beside(b, "theirs")
	p.close()
	r := &Report{Parts: []Part{*p}}
	if diff := cmp.Diff([]string{"x: memory"}, r.failing()); diff != "" {
		t.Errorf("bars that do not hold (-want +got):\n%s", diff)
	}
	var out bytes.Buffer
	p.print(&out)
	for _, want := range []string{"12.0 (9.00–30.0)", "0.50 × theirs", "≥ 10.0: holds", "≤ 5.00: missed"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}

func TestAFigureIsNotComparedWithNothing(t *testing.T) {
	p := &Part{}
	a, b := p.figure("ours", "s", nil), p.figure("theirs", "s", nil)
	a.add(1)
	b.add(0)
	a.beside(b, "theirs")
	if len(a.Ratios) != 0 {
		t.Errorf("ratios = %v", a.Ratios)
	}
}

func TestMediansAndPercentiles(t *testing.T) {
	if got := median([]float64{5, 1, 3}); got != 3 {
		t.Errorf("median of three is %v", got)
	}
	if got := median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median of four is %v", got)
	}
	var sorted []time.Duration
	for i := range 100 {
		sorted = append(sorted, time.Duration(i+1)*time.Millisecond)
	}
	if p50, p99 := percentile(sorted, 50), percentile(sorted, 99); p50 != 51 || p99 != 100 {
		t.Errorf("p50 %v, p99 %v", p50, p99)
	}
}

func TestReportsOfWrk(t *testing.T) {
	const good = `Running 3s test @ http://127.0.0.1:1/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.20ms    0.80ms  20.00ms   90.00%
    Req/Sec    20.10k     1.00k   22.00k    70.00%
  Latency Distribution
     50%  820.00us
     75%    1.10ms
     90%    1.90ms
     99%    1.02s 
  60000 requests in 3.00s, 70.00MB read
Requests/sec:  19999.50
Transfer/sec:     23.33MB
`
	got, err := parseWrk(good)
	if err != nil {
		t.Fatal(err)
	}
	if want := (wrk{perSecond: 19999.5, p50: 0.82, p99: 1020}); *got != want {
		t.Errorf("got %+v, want %+v", *got, want)
	}
	for name, bad := range map[string]string{
		"answers that are none": good + "  Non-2xx or 3xx responses: 12\n",
		"broken connections":    good + "  Socket errors: connect 0, read 3, write 0, timeout 0\n",
		"nothing":               "unable to connect\n",
	} {
		if _, err := parseWrk(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestWhatMonitorShows(t *testing.T) {
	for line, want := range map[string][]string{
		"+1700000000.123456 [0 127.0.0.1:5000] \"evalsha\" \"ab\" \"1\" \"k y\" \"a\\n\\\"\\x00b\"\r\n": {"evalsha", "ab", "1", "k y", "a\n\"\x00b"},
		"+1700000000.123456 [0 lua] \"hget\" \"k\"\r\n":                                                 nil,
		"+OK\r\n": nil,
	} {
		if diff := cmp.Diff(want, monitored(line)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", line, diff)
		}
	}
}

func TestRepliesOfRedis(t *testing.T) {
	r := bufio.NewReader(strings.NewReader("*3\r\n$3\r\na\r\n\r\n*1\r\n:7\r\n$-1\r\n+OK\r\n-ERR no\r\n"))
	for i, want := range []string{"", "", "reply of Redis: ERR no", "reply of Redis: EOF"} {
		got := ""
		if err := skipReply(r); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("reply %d: %q, want %q", i, got, want)
		}
	}
}

func TestIDsArePutInPlace(t *testing.T) {
	b := wire("set", "k:"+flowID(7), "v "+flowID(7))
	put(b, ends(b, flowID(7)), 1234)
	if want := wire("set", "k:"+flowID(1234), "v "+flowID(1234)); !bytes.Equal(b, want) {
		t.Errorf("got %q, want %q", b, want)
	}
}
