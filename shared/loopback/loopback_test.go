package loopback

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// TestMain lets this program be another process that takes ports and holds them until its input ends.
func TestMain(m *testing.M) {
	if n, err := strconv.Atoi(os.Getenv("LOOPBACK_TEST_TAKE")); err == nil {
		for range n {
			port, err := Ports(1)
			if err != nil {
				panic(err)
			}
			_, _ = fmt.Fprintln(os.Stdout, port)
		}
		_, _ = fmt.Fprintln(os.Stdout, "held")
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestPortsAreFreeBelowTheKernelsAndGivenOnce(t *testing.T) {
	seen := map[int]bool{}
	for range 300 {
		const n = 3
		first, err := Ports(n)
		if err != nil {
			t.Fatal(err)
		}
		for p := first; p < first+n; p++ {
			if seen[p] || p < lowest || p > highest() {
				t.Errorf("port %d, given before: %v; expected one of %d to %d", p, seen[p], lowest, highest())
			}
			seen[p] = true
		}
		ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(first+n-1)))
		if err != nil {
			t.Error(err)
			continue
		}
		defer func() { _ = ln.Close() }()
	}
}

// Without the locks two processes with 1,500 ports each of 22,768 would have a hundred in common.
func TestNoPortIsOfTwoProcesses(t *testing.T) {
	const each = 1500
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LOOPBACK_TEST_TAKE="+strconv.Itoa(each))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = cmd.Wait() }()
	theirs := map[int]bool{}
	for line := ""; line != "held"; {
		if _, err := fmt.Fscanln(out, &line); err != nil {
			t.Fatal(err)
		}
		if p, err := strconv.Atoi(line); err == nil {
			theirs[p] = true
		}
	}
	if len(theirs) != each {
		t.Fatalf("the other process has %d ports", len(theirs))
	}
	for range each {
		p, err := Ports(1)
		if err != nil {
			t.Fatal(err)
		}
		if theirs[p] {
			t.Fatalf("port %d is the other process's", p)
		}
	}
}

func TestAPortInUseIsNotGiven(t *testing.T) {
	first, err := Ports(1)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(first)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	table, _ := open()
	delete(table.own, first)
	if table.take(first, 1) {
		t.Error("it was given")
	}
	if table.take(first-1, 2) {
		t.Error("it was given in a range")
	}
}

func TestTheNumberOfPortsIsBounded(t *testing.T) {
	for _, n := range []int{-1, 0, 101} {
		if p, err := Ports(n); err == nil || !strings.Contains(err.Error(), "expected 1 to 100") {
			t.Errorf("%d ports: %d, %v", n, p, err)
		}
	}
}

func TestTheKernelsRangeIsRead(t *testing.T) {
	for in, want := range map[string]int{"32768\t60999\n": 32768, "49152 65535": 49152, "": 0, "1": 0, "a b": 0} {
		if got, err := parseRange(in); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v; want %d", in, got, err, want)
		}
	}
}
