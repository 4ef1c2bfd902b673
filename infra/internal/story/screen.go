package story

import (
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/tidegate/tidegate/shared/objectstore"
)

const (
	barAfter = time.Second            // a transfer that takes longer gets a bar
	barEvery = 200 * time.Millisecond // between two looks at what has arrived
)

// Screen is where lines go: the terminal, with the bars of running transfers below them, or anything else, without bars.
type Screen struct {
	out   io.Writer
	inbox string
	bars  *mpb.Progress // nil if out is no terminal

	stop chan struct{}
	done chan struct{}
	once sync.Once
	mu   sync.Mutex
}

// NewScreen returns a screen. inbox is the folder of the consumer's bucket: how much of an object has arrived is the size of
// its partial file there.
func NewScreen(out io.Writer, inbox string) *Screen {
	s := &Screen{out: out, inbox: inbox, stop: make(chan struct{}), done: make(chan struct{})}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		s.bars = mpb.New(mpb.WithOutput(out), mpb.WithRefreshRate(barEvery))
	}
	return s
}

// Write writes lines above the bars.
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bars != nil {
		return s.bars.Write(p)
	}
	return s.out.Write(p)
}

// Follow shows the transfers that the teller knows to be running, until Close. Call it at most once.
func (s *Screen) Follow(t *Teller) {
	if s.bars == nil {
		close(s.done)
		return
	}
	go func() {
		defer close(s.done)
		shown := map[string]*mpb.Bar{}
		tick := time.NewTicker(barEvery)
		defer tick.Stop()
		for {
			select {
			case <-s.stop:
				for _, b := range shown {
					b.Abort(true)
				}
				return
			case <-tick.C:
				s.show(t.Running(), shown)
			}
		}
	}()
}

// show brings the bars up to what is running now.
func (s *Screen) show(running []Track, shown map[string]*mpb.Bar) {
	still := make(map[string]bool, len(running))
	for _, tr := range running {
		if time.Since(tr.Started) < barAfter || tr.Size == 0 {
			continue
		}
		still[tr.FlowID] = true
		bar := shown[tr.FlowID]
		if bar == nil {
			bar = s.bars.AddBar(tr.Size, mpb.BarRemoveOnComplete(),
				mpb.PrependDecorators(decor.Name(tr.Name, decor.WCSyncSpaceR)),
				mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f"), decor.Name("  "), decor.Percentage()))
			shown[tr.FlowID] = bar
		}
		if info, err := os.Stat(filepath.Join(s.inbox, filepath.FromSlash(objectstore.PartialFile(tr.FlowID)))); err == nil {
			bar.SetCurrent(min(info.Size(), tr.Size))
		}
	}
	for id, bar := range shown {
		if !still[id] {
			bar.Abort(true)
			delete(shown, id)
		}
	}
}

// Close takes the bars away; lines can still be written.
func (s *Screen) Close() {
	s.once.Do(func() {
		close(s.stop)
		select {
		case <-s.done:
		case <-time.After(time.Second): // never followed
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.bars != nil {
			s.bars.Wait()
			s.bars = nil
		}
	})
}
