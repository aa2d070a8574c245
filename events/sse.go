package events

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxLine bounds a line of a stream of server-sent events. It is more than the largest event.
const maxLine = 16 << 20

// sseFrame is one block of a stream of server-sent events.
// See https://html.spec.whatwg.org/multipage/server-sent-events.html.
type sseFrame struct {
	id    string // "" if the block has none
	event string // "" for the standard's default
	data  []byte // nil if the block has none: it only moves the position
}

// sseReader reads a stream of server-sent events.
type sseReader struct {
	r    *bufio.Reader
	line []byte
}

func newSSEReader(r io.Reader) *sseReader { return &sseReader{r: bufio.NewReaderSize(r, 32<<10)} }

// next returns the next block that has an id, an event or data. The block's data is the caller's.
func (s *sseReader) next() (sseFrame, error) {
	var f sseFrame
	for {
		line, err := s.readLine()
		if err != nil {
			return sseFrame{}, err
		}
		if len(line) == 0 {
			if f.id == "" && f.event == "" && f.data == nil {
				continue // only comments
			}
			return f, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "id":
			f.id = string(value)
		case "event":
			f.event = string(value)
		case "data":
			if f.data != nil {
				f.data = append(f.data, '\n')
			}
			f.data = append(f.data, value...)
			if f.data == nil {
				f.data = []byte{}
			}
		}
	}
}

// readLine returns a line without its end. It is valid until the next call.
func (s *sseReader) readLine() ([]byte, error) {
	s.line = s.line[:0]
	for {
		part, err := s.r.ReadSlice('\n')
		if len(s.line)+len(part) > maxLine {
			return nil, fmt.Errorf("a line of the stream is longer than %d bytes", maxLine)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			s.line = append(s.line, part...)
			continue
		case errors.Is(err, io.EOF):
			return nil, io.ErrUnexpectedEOF // what an unfinished block holds does not count
		case err != nil:
			return nil, err
		}
		if len(s.line) > 0 {
			s.line = append(s.line, part...)
			part = s.line
		}
		return bytes.TrimSuffix(part[:len(part)-1], []byte("\r")), nil
	}
}
