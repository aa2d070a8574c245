package projections_test

import (
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/projections"
)

// Errors about a database URL never contain its password, even if it is not percent-encoded and
// appears in the wrong part.
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

// The pool obeys every setting of the URL, or the URL is rejected.
func TestOpenPoolObeysTheURL(t *testing.T) {
	t.Parallel()
	pool, err := projections.OpenPool(t.Context(), "postgres://u@h/db?connect_timeout=7&application_name=mine&pool_max_conns=3&statement_timeout=5000", "ns")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	c := pool.Config()
	if c.ConnConfig.ConnectTimeout != 7*time.Second || c.MaxConns != 3 || c.ConnConfig.RuntimeParams["application_name"] != "mine" ||
		c.ConnConfig.RuntimeParams["statement_timeout"] != "5000" {
		t.Errorf("it connects with %s, %d connections and %v", c.ConnConfig.ConnectTimeout, c.MaxConns, c.ConnConfig.RuntimeParams)
	}
	if pool, err := projections.OpenPool(t.Context(), "postgres://u:secret@h/db?search_path=mine", "ns"); err == nil {
		pool.Close()
		t.Error("the namespace wins over search_path in silence")
	} else if !strings.Contains(err.Error(), "search_path") || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

// A schema that the URL names is not created, because its name may be a mistake.
func TestASchemaThatIsNotThere(t *testing.T) {
	t.Parallel()
	pool, err := projections.OpenPool(t.Context(), withSettings(t, testenv.Postgres(t), "search_path", "mistyped"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	err = projections.NewTasks(projections.PostgresConfig{Pool: pool, Logger: quiet}).Prepare(t.Context())
	if err == nil || !strings.Contains(err.Error(), `"mistyped"`) {
		t.Errorf("Prepare: %v", err)
	}
}
