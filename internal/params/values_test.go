package params

import (
	"regexp"
	"testing"
	"unicode/utf8"
)

// The matcher of names agrees with the pattern that schemas show.
func TestNoControlsIsItsPattern(t *testing.T) {
	t.Parallel()
	matches, err := matcher(NoControls)
	if err != nil {
		t.Fatal(err)
	}
	pattern := regexp.MustCompile(NoControls)
	texts := []string{"", "a\xffb", "\xc2\x85", "\u200b"}
	for r := range rune(utf8.MaxRune) {
		texts = append(texts, "a"+string(r))
	}
	for _, s := range texts {
		if want := pattern.MatchString(s); matches(s) != want {
			t.Errorf("%q matches: %t, want %t", s, !want, want)
		}
	}
}
