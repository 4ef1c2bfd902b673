package bench

import (
	"bufio"
	"fmt"
	"strconv"
)

// wire encodes a command (RESP2).
func wire(args ...string) []byte {
	b := []byte("*" + strconv.Itoa(len(args)) + "\r\n")
	for _, a := range args {
		b = append(b, "$"+strconv.Itoa(len(a))+"\r\n"+a+"\r\n"...)
	}
	return b
}

// skipReply reads a reply (RESP2) and drops it. An error in it is returned.
func skipReply(r *bufio.Reader) error {
	for left := 1; left > 0; left-- {
		l, err := r.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("reply of Redis: %w", err)
		}
		if len(l) < 3 {
			return fmt.Errorf("reply of Redis: %q", l)
		}
		kind, text := l[0], string(l[1:len(l)-2])
		switch kind {
		case '+', ':':
			continue
		case '-':
			return fmt.Errorf("reply of Redis: %s", text)
		case '$', '*':
		default:
			return fmt.Errorf("reply of Redis: %q", l)
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("reply of Redis: %w", err)
		}
		switch {
		case n < 0: // nothing
		case kind == '*':
			left += n
		default:
			if _, err := r.Discard(n + 2); err != nil {
				return fmt.Errorf("reply of Redis: %w", err)
			}
		}
	}
	return nil
}
