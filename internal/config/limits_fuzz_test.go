package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzRateLimits parses values of --rate-limits. An accepted value contains no negative limit, and
// is the same after it is formatted and parsed again.
func FuzzRateLimits(f *testing.F) {
	for _, seed := range []string{"", "off", "off,task.create=2", "task.create=0,system.register=100", "a=1,a=2", "=1", "a", "a=", "a=-1", "a=1e3", "a=99999999999999999999", " a = 1 ", "a=b=1", ",,", "off=1", "a=+1", "a=0x10", "\x00=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var limits RateLimits
		if limits.Set(text) != nil {
			return
		}
		for method, n := range limits.Methods {
			if method == "" || n < 0 {
				t.Fatalf("%q limits %q to %d", text, method, n)
			}
		}
		var again RateLimits
		if err := again.Set(limits.String()); err != nil {
			t.Fatalf("%q is written %q: %v", text, limits.String(), err)
		}
		if diff := cmp.Diff(limits, again); diff != "" {
			t.Fatalf("%q is written %q: %s", text, limits.String(), diff)
		}
	})
}
