// Package terminal makes text from users safe to print on a terminal. All parts of the program that
// print such text use it.
package terminal

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Is reports whether w is a terminal.
func Is(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Writer returns w. If w is a terminal, it returns a writer that escapes what is written to w.
func Writer(w io.Writer) io.Writer {
	if !Is(w) {
		return w
	}
	return &escaper{w: w}
}

// escaper escapes what is written. It holds back an incomplete character until the rest arrives.
type escaper struct {
	w    io.Writer
	rest []byte
}

func (e *escaper) Write(p []byte) (int, error) {
	text := append(e.rest, p...)
	end := len(text)
	for i := 1; i < utf8.UTFMax && i <= len(text); i++ {
		if c := text[len(text)-i]; utf8.RuneStart(c) {
			if !utf8.FullRune(text[len(text)-i:]) {
				end = len(text) - i
			}
			break
		}
	}
	e.rest = append([]byte(nil), text[end:]...)
	if _, err := io.WriteString(e.w, Escape(string(text[:end]))); err != nil {
		return 0, fmt.Errorf("write to the terminal: %w", err)
	}
	return len(p), nil
}

// Escape replaces characters that a terminal would obey instead of showing: control characters
// except newline and tab, marks that change the direction of text, and the separators of lines and
// paragraphs. It writes them as JSON escapes (\u009b), so JSON text keeps its meaning.
func Escape(text string) string {
	if strings.IndexFunc(text, obeyed) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if obeyed(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func obeyed(r rune) bool {
	switch {
	case r == '\n', r == '\t':
		return false
	case unicode.IsControl(r), r == 0x2028, r == 0x2029:
		return true
	}
	return unicode.Is(unicode.Bidi_Control, r)
}
