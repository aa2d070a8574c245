package timetravel

import (
	"strings"
	"testing"
)

func TestListsAreCutByBytes(t *testing.T) {
	t.Parallel()
	entry := strings.Repeat("x", 98) // 100 bytes of JSON
	list := []string{entry, entry, entry, entry}
	for bytes, want := range map[int]int{0: 1, 99: 1, 100: 2, 250: 3, 400: 4, 1000: 4} {
		if got := len(within(list, bytes)); got != want {
			t.Errorf("within %d bytes are %d entries, want %d", bytes, got, want)
		}
	}
	if len(within([]string{}, 0)) != 0 {
		t.Error("an empty list is no longer empty")
	}
}
