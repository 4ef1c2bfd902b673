package objectstore_test

import (
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/objectstore/objectstoretest"
	"github.com/tidegate/tidegate/shared/tenant"
)

// TestUploaderProgram is the process that the test below kills: it uploads what it gets, for ever.
func TestUploaderProgram(t *testing.T) {
	url := os.Getenv("UPLOAD_BUCKET")
	if url == "" {
		t.Skip("is started by another test")
	}
	s, err := objectstore.Open(t.Context(), tenant.Bucket{URL: url, CredentialsFile: os.Getenv("UPLOAD_CREDENTIALS")})
	if err != nil {
		t.Fatal(err)
	}
	u, err := s.Upload(t.Context(), "killed.bin", "flow", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = os.Stdout.WriteString("at " + strconv.FormatInt(u.Offset(), 10) + "\n")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = u.ReadFrom(t.Context(), &counter{n: u.Offset()})
}

// period is a content whose length is no multiple of a part's, so that bytes in the wrong place show.
var period = func() []byte {
	b := make([]byte, 1<<20+7)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}()

// counter is an endless content of which each byte is known by its place. It says on stderr how much was taken.
type counter struct{ n, said int64 }

func (c *counter) Read(p []byte) (int, error) {
	m := copy(p, period[c.n%int64(len(period)):])
	c.n += int64(m)
	if c.n-c.said >= 1<<20 {
		c.said = c.n
		_, _ = os.Stderr.WriteString(strconv.FormatInt(c.n, 10) + "\n")
	}
	return m, nil
}

func TestKill9CostsAtMostOnePart(t *testing.T) {
	server := objectstoretest.StartS3(t)
	for name, b := range map[string]tenant.Bucket{"folder": {URL: "file://" + t.TempDir()}, "S3": server.Bucket(t, "killed")} {
		t.Run(name, func(t *testing.T) {
			var taken int64
			for round := range int64(3) {
				cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestUploaderProgram$", "-test.timeout=60s")
				cmd.Env = append(os.Environ(), "UPLOAD_BUCKET="+b.URL, "UPLOAD_CREDENTIALS="+b.CredentialsFile)
				progress, err := cmd.StderrPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				taken = waitForBytes(t, progress, (round+1)*27<<20+round<<19)
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			}
			s := openBucket(t, b)
			u, err := s.Upload(t.Context(), "killed.bin", "flow", "", nil)
			if err != nil {
				t.Fatalf("Upload after kill -9: %v", err)
			}
			// The megabyte is what the program had not yet said.
			if lost := taken - u.Offset(); lost > objectstoretest.AtMostLost+1<<20 {
				t.Errorf("resumed at %d, %d bytes were taken: lost %d", u.Offset(), taken, lost)
			}
			rest := 101<<20 - u.Offset()
			if _, err := u.ReadFrom(t.Context(), io.LimitReader(&counter{n: u.Offset(), said: 1 << 62}, rest)); err != nil {
				t.Fatal(err)
			}
			sum := u.SHA256()
			if _, err := u.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := sumOf(t, s, "killed.bin"); got != sum || got != sumOfContent(101<<20) {
				t.Errorf("the object's digest is %s, the upload said %s", got, sum)
			}
		})
	}
}

// waitForBytes reads a program's count until it has passed n, and returns it.
func waitForBytes(t *testing.T, r io.Reader, n int64) int64 {
	t.Helper()
	buf := make([]byte, 0, 64)
	one := make([]byte, 1)
	for {
		if _, err := r.Read(one); err != nil {
			t.Fatalf("the program ended: %v", err)
		}
		if one[0] != '\n' {
			buf = append(buf, one[0])
			continue
		}
		got, err := strconv.ParseInt(string(buf), 10, 64)
		buf = buf[:0]
		if err == nil && got >= n {
			return got
		}
	}
}
