package supervisor

import (
	"bytes"
	"os"
)

// tailBytes is how much of a log's end is looked at.
const tailBytes = 8 << 10

// lastLine returns the last line of a log file: what a program said before it ended.
func lastLine(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return "it wrote no log"
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return "it wrote no log"
	}
	from := max(0, info.Size()-tailBytes)
	b := make([]byte, info.Size()-from)
	n, _ := f.ReadAt(b, from) // a log that shrinks meanwhile gives a shorter tail
	lines := bytes.Split(bytes.TrimSpace(b[:n]), []byte("\n"))
	return string(lines[len(lines)-1])
}
