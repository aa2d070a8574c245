package process

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestLines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		given []string
		want  string
	}{
		{nil, ""},
		{[]string{"one\ntwo"}, "> one\n> two\n"},
		{[]string{"o", "ne", "\n", "\n", "two\n"}, "> one\n> \n> two\n"},
		{[]string{"one\r\ntwo\r", "\n"}, "> one\n> two\n"},
		{[]string{"50 %\r100 %"}, "> 50 %\r100 %\n"},
		{[]string{strings.Repeat("x", maxLine-1) + "\n"}, "> " + strings.Repeat("x", maxLine-1) + "\n"},
		{[]string{strings.Repeat("x", maxLine)}, "> " + strings.Repeat("x", maxLine-1) + "\n> x\n"},
	} {
		var out bytes.Buffer
		w := NewLines(&out).Prefixed("> ")
		for _, text := range c.given {
			if n, err := w.Write([]byte(text)); n != len(text) || err != nil {
				t.Fatal(n, err)
			}
		}
		if err := w.Close(); err != nil || out.String() != c.want {
			t.Errorf("%.100q is shown as %.100q, want %.100q, %v", c.given, out.String(), c.want, err)
		}
	}
}

// A long line is split between characters, and nothing is lost.
func TestLongLines(t *testing.T) {
	t.Parallel()
	given := strings.Repeat("aé😀", 30_000)
	var out bytes.Buffer
	w := NewLines(&out).Prefixed("")
	for piece := range strings.SplitAfterSeq(given, "é") {
		_, _ = w.Write([]byte(piece))
	}
	_ = w.Close()
	if !utf8.ValidString(out.String()) || strings.ReplaceAll(out.String(), "\n", "") != given {
		t.Error("characters were split or lost")
	}
}

func TestLinesOfFailingWriters(t *testing.T) {
	t.Parallel()
	if _, err := NewLines(failing{}).Prefixed("").Write([]byte("x\n")); err == nil {
		t.Error("no error")
	}
}
