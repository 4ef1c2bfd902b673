package bench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// Report is everything that was measured.
type Report struct {
	Machine Machine `json:"machine"`
	Runs    int     `json:"runs"`
	Short   bool    `json:"short,omitempty"`
	Parts   []Part  `json:"parts"`
}

// Part is one table.
type Part struct {
	Letter  string    `json:"letter"`
	Title   string    `json:"title"`
	Notes   []string  `json:"notes,omitempty"`
	Figures []*Figure `json:"figures"`
}

// Figure is one row: the samples of all runs, in order.
type Figure struct {
	Name    string    `json:"name"`
	Unit    string    `json:"unit"`
	Samples []float64 `json:"samples"`
	Median  float64   `json:"median"`
	Ratios  []Ratio   `json:"ratios,omitempty"`
	Bar     *Bar      `json:"bar,omitempty"`
}

// Ratio is a figure over another one: the median of what each run gave.
type Ratio struct {
	To    string  `json:"to"`
	Value float64 `json:"value"`
}

// Bar is what a figure's median must not go below, or above.
type Bar struct {
	Least *float64 `json:"least,omitempty"`
	Most  *float64 `json:"most,omitempty"`
	Holds bool     `json:"holds"`
}

func atLeast(v float64) *Bar { return &Bar{Least: &v} }
func atMost(v float64) *Bar  { return &Bar{Most: &v} }

// figure adds a row that samples are added to; bar may be nil.
func (p *Part) figure(name, unit string, bar *Bar) *Figure {
	f := &Figure{Name: name, Unit: unit, Bar: bar}
	p.Figures = append(p.Figures, f)
	return f
}

func (p *Part) remark(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

func (f *Figure) add(v float64) { f.Samples = append(f.Samples, v) }

// beside compares a figure with another one of the same runs. It is called when all samples are there.
func (f *Figure) beside(to *Figure, name string) {
	if r := ratios(f.Samples, to.Samples); len(r) > 0 {
		f.Ratios = append(f.Ratios, Ratio{name, median(r)})
	}
}

// close computes what follows from the samples.
func (p *Part) close() *Part {
	for _, f := range p.Figures {
		f.Median = median(f.Samples)
		if b := f.Bar; b != nil {
			b.Holds = (b.Least == nil || f.Median >= *b.Least) && (b.Most == nil || f.Median <= *b.Most)
		}
	}
	return p
}

func (r *Report) failing() []string {
	var out []string
	for _, p := range r.Parts {
		for _, f := range p.Figures {
			if f.Bar != nil && !f.Bar.Holds {
				out = append(out, p.Letter+": "+f.Name)
			}
		}
	}
	return out
}

func (r *Report) head(w io.Writer) {
	m := r.Machine
	line(w, "%d cores (%s), %s, %s; load average %.2f at the start; median of %d runs (min–max)", m.Cores, m.CPU, m.System, m.Go, m.Load, r.Runs)
	if m.Load > 1 {
		line(w, "The machine is busy (load average above 1): ratios and CPU times may be read, absolute figures and bars may not be trusted.")
	}
	if r.Short {
		line(w, "A short run: it shows that the bench works, its figures mean nothing.")
	}
}

func (r *Report) foot(w io.Writer) {
	line(w, "\nload average %.2f at the end", r.Machine.LoadAtEnd)
	if f := r.failing(); len(f) > 0 {
		line(w, "bars that do not hold: %s", strings.Join(f, "; "))
	}
}

func (p *Part) print(w io.Writer) {
	line(w, "\n%s) %s\n", p.Letter, p.Title)
	t := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
	line(t, "\tmedian (min–max)\tunit\tbeside\tbar\t")
	for _, f := range p.Figures {
		line(t, "%s\t%s\t%s\t%s\t%s\t", f.Name, f.spread(), f.Unit, f.besides(), f.Bar)
	}
	_ = t.Flush() // as line
	for _, n := range p.Notes {
		line(w, "  %s", n)
	}
}

func (f *Figure) spread() string {
	switch len(f.Samples) {
	case 0:
		return "–"
	case 1:
		return number(f.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", number(f.Median), number(slices.Min(f.Samples)), number(slices.Max(f.Samples)))
}

func (f *Figure) besides() string {
	out := make([]string, len(f.Ratios))
	for i, r := range f.Ratios {
		out[i] = fmt.Sprintf("%.2f × %s", r.Value, r.To)
	}
	return strings.Join(out, ", ")
}

// String says the bar and whether it holds.
func (b *Bar) String() string {
	if b == nil {
		return ""
	}
	word, sign, limit := "missed", "≥", b.Least
	if limit == nil {
		sign, limit = "≤", b.Most
	}
	if b.Holds {
		word = "holds"
	}
	return fmt.Sprintf("%s %s: %s", sign, number(*limit), word)
}

// number shows three digits that count.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100 || v == 0:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

func line(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format+"\n", args...) // a terminal that has gone
}
