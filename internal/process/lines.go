package process

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"unicode/utf8"
)

// Lines writes lines of several commands to one writer. Lines are never mixed.
type Lines struct {
	mu sync.Mutex
	w  io.Writer
}

// NewLines returns Lines that write to w.
func NewLines(w io.Writer) *Lines { return &Lines{w: w} }

// maxLine is the maximum number of bytes of a line. A longer one becomes several lines.
const maxLine = 16 << 10

// Prefixed returns a writer for the output of one command. It writes complete lines, each with the
// prefix before it. Close writes what is left.
func (l *Lines) Prefixed(prefix string) io.WriteCloser {
	return &prefixed{lines: l, prefix: []byte(prefix)}
}

// prefixed is not safe for concurrent use.
type prefixed struct {
	lines  *Lines
	prefix []byte
	rest   []byte // an incomplete line, shorter than maxLine
	out    []byte
}

func (p *prefixed) Write(text []byte) (int, error) {
	p.out = p.out[:0]
	p.rest = append(p.rest, text...)
	left := p.rest
	for {
		end := bytes.IndexByte(left[:min(len(left), maxLine)], '\n')
		switch {
		case end >= 0:
			p.line(bytes.TrimSuffix(left[:end], []byte("\r")))
			left = left[end+1:]
			continue
		case len(left) >= maxLine:
			end = maxLine - 1
			for end > maxLine-utf8.UTFMax && !utf8.RuneStart(left[end]) {
				end--
			}
			p.line(left[:end])
			left = left[end:]
			continue
		}
		break
	}
	p.rest = append(p.rest[:0], left...)
	return len(text), p.flush()
}

func (p *prefixed) Close() error {
	p.out = p.out[:0]
	if len(p.rest) > 0 {
		p.line(p.rest)
		p.rest = nil
	}
	return p.flush()
}

func (p *prefixed) line(text []byte) {
	p.out = append(append(append(p.out, p.prefix...), text...), '\n')
}

func (p *prefixed) flush() error {
	if len(p.out) == 0 {
		return nil
	}
	p.lines.mu.Lock()
	defer p.lines.mu.Unlock()
	if _, err := p.lines.w.Write(p.out); err != nil {
		return fmt.Errorf("show output: %w", err)
	}
	return nil
}
