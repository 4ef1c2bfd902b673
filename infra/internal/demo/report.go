package demo

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidegate/tidegate/infra/internal/story"
)

// Result is what became of one file.
type Result struct {
	File

	Dropped time.Time // when it was put into the provider's bucket
	Track   story.Track
	Arrived string // the SHA-256 at the consumer's; "" = it is not there
	Fault   string // what is wrong; "" = all is as it must be
}

// judge says what is wrong with a result.
func (r *Result) judge() {
	switch {
	case r.Reject && r.Arrived != "":
		r.Fault = "it arrived, although the rules reject it"
	case r.Reject && r.Track.Verdict != "rejected":
		r.Fault = "it was not rejected; the verdict is " + strconv.Quote(r.Track.Verdict)
	case r.Reject && r.Track.Reason == "":
		r.Fault = "it was rejected without a reason"
	case r.Reject:
	case r.Arrived == "":
		r.Fault = "it did not arrive"
	case r.Arrived != r.SHA256:
		r.Fault = "it arrived with another content"
	case r.Track.Verdict != "approved":
		r.Fault = "it arrived without an approval"
	}
}

// Print writes the table of results and returns how many are not as they must be.
func Print(out io.Writer, results []Result) int {
	rows := [][]string{{"file", "size", "published", "agreed", "started", "delivered", "digest", "decision"}}
	faults := 0
	for _, r := range results {
		digest := "equal"
		if r.Reject {
			digest = "-"
		}
		decision := r.Track.Verdict + " by " + r.Track.Rule
		if r.Track.Reason != "" {
			decision += ": " + r.Track.Reason
		}
		if r.Fault != "" {
			faults++
			digest, decision = "FAULT", r.Fault
		}
		rows = append(rows, []string{
			r.Name, story.Bytes(r.Size), since(r.Dropped, r.Track.Published), since(r.Dropped, r.Track.Agreed),
			since(r.Dropped, r.Track.Started), since(r.Dropped, r.Track.Delivered), digest, decision,
		})
	}
	table(out, rows)
	return faults
}

// since is the milliseconds between two moments; "-" if the second has not come.
func since(from, to time.Time) string {
	if to.IsZero() {
		return "-"
	}
	return strconv.FormatInt(to.Sub(from).Milliseconds(), 10) + " ms"
}

// table prints rows in columns; the numbers, all but the first and the last two, to the right.
func table(out io.Writer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i > 0 {
				line.WriteString("  ")
			}
			if i > 0 && i < len(row)-2 {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
		}
		_, _ = fmt.Fprintln(out, strings.TrimRight(line.String(), " "))
	}
}
