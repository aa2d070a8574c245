package terminal

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

const (
	barWidth = 30
	// barEvery is the time between two drawings of a bar.
	barEvery = 250 * time.Millisecond
)

// Bar shows on a terminal how far a long read is. A nil Bar shows nothing.
type Bar struct {
	w     io.Writer
	unit  string
	total int64

	mu    sync.Mutex
	began time.Time
	drawn time.Time // zero while nothing is shown
}

// NewBar returns a bar for a number of things, such as events. It returns nil, which shows nothing,
// unless status is a terminal and out is not: otherwise nobody would see the bar, or it would mix
// with what is printed.
func NewBar(status, out io.Writer, total int64, unit string) *Bar {
	if !Is(status) || Is(out) || total <= 0 {
		return nil
	}
	now := time.Now()
	return &Bar{w: status, unit: unit, total: total, began: now}
}

// Show says how many are done.
func (b *Bar) Show(done int64) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if done < b.total && now.Sub(b.drawn) < barEvery {
		return
	}
	b.drawn = now
	fmt.Fprintf(b.w, "\r\x1b[K%s", barText(done, b.total, b.unit, now.Sub(b.began)))
}

// Erase removes the bar, so that something else can be printed. The next Show draws it again.
func (b *Bar) Erase() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.drawn.IsZero() {
		fmt.Fprint(b.w, "\r\x1b[K")
		b.drawn = time.Time{}
	}
}

// barText returns the bar's line.
func barText(done, total int64, unit string, took time.Duration) string {
	done = min(max(done, 0), total)
	full := int(barWidth * done / total)
	text := fmt.Sprintf("[%s%s] %3d %%  %d of %d %s", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), 100*done/total, done, total, unit)
	if done > 0 && took >= time.Second {
		left := time.Duration(float64(took) * float64(total-done) / float64(done))
		text += fmt.Sprintf(", %s left", left.Round(time.Second))
	}
	return text
}
