package projections_test

import (
	"strings"
	"testing"

	"github.com/claudebench/claudebench/projections"
)

// What is wrong with a database URL is told without the password in it, also when that is not encoded and stands elsewhere.
func TestOpenPoolKeepsThePasswordToItself(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"postgres://host:port/":                              "port",
		"postgres://u:secret@host:port/db":                   "not of the form",
		"postgres://u:sec/ret@host/db":                       "not of the form",
		"postgres://u:12/secret@host/db":                     "not of the form",
		"postgres://u:%secret@host/db":                       "not of the form",
		"postgres://host/db?password=secret&sslmode=nothing": "not of the form",
		"host=h password=secret sslmode=nothing":             "not of the form",
		"host=h password='secret sslmode=disable":            "not of the form",
	} {
		pool, err := projections.OpenPool(t.Context(), url, "")
		if err == nil {
			pool.Close()
			t.Errorf("OpenPool(%q) takes it", url)
			continue
		}
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "sec") {
			t.Errorf("OpenPool(%q): %v", url, err)
		}
	}
}
