package spelling

import "testing"

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"CB_LISTEN", "CB_REDIS_URL", "CB_RATE_LIMITS"}
	for name, want := range map[string]struct {
		nearest string
		edits   int
	}{
		"CB_LISTEN":     {"CB_LISTEN", 0},
		"CB_LISTN":      {"CB_LISTEN", 1},
		"CB_REDDIS_URL": {"CB_REDIS_URL", 1},
		"CB_RATE_LIMIT": {"CB_RATE_LIMITS", 1},
		"CB_REDIS_URI":  {"CB_REDIS_URL", 1},
		"":              {"CB_LISTEN", 9},
	} {
		if nearest, edits := Nearest(name, known); nearest != want.nearest || edits != want.edits {
			t.Errorf("Nearest(%q) = %q, %d; want %+v", name, nearest, edits, want)
		}
	}
	if nearest, edits := Nearest("x", nil); nearest != "" || edits != -1 {
		t.Errorf("without names: %q, %d", nearest, edits)
	}
}
