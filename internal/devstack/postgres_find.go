package devstack

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// oldestPostgres is the oldest major version that the migrations support.
const oldestPostgres = 14

// install is one Postgres installation on this machine.
type install struct {
	bindir string
	major  int
}

// FindPostgres returns the folder of the binaries of a Postgres of version 14 or newer that
// includes initdb. It prefers the one in PATH, and then the newest in the folders that Debian, Red
// Hat and Homebrew use. The error wraps [ErrNotInstalled].
func FindPostgres() (bindir string, err error) {
	all := postgresInstalls()
	if len(all) == 0 {
		return "", fmt.Errorf("postgres: %w", ErrNotInstalled)
	}
	if all[0].major < oldestPostgres {
		return "", fmt.Errorf("postgres %d or newer (found %d in %s): %w", oldestPostgres, all[0].major, all[0].bindir, ErrNotInstalled)
	}
	return all[0].bindir, nil
}

// postgresInstalls returns the installations on this machine in order of preference. Those that are
// too old are last.
func postgresInstalls() []install {
	var onPath, elsewhere []string
	for _, name := range []string{"postgres", "initdb", "pg_ctl"} {
		if path, ok := findBinary(name); ok {
			// The other binaries are next to the real file, not always next to the link.
			if real, err := filepath.EvalSymlinks(path); err == nil {
				onPath = append(onPath, filepath.Dir(real))
			}
			onPath = append(onPath, filepath.Dir(path))
		}
	}
	if path, ok := findBinary("pg_config"); ok {
		if out, err := exec.Command(path, "--bindir").Output(); err == nil {
			onPath = append(onPath, strings.TrimSpace(string(out)))
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql*/bin",
		"/usr/local/opt/postgresql*/bin", "/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		dirs, _ := filepath.Glob(pattern) // fails only for a bad pattern
		elsewhere = append(elsewhere, dirs...)
	}

	all := inspect(elsewhere)
	slices.SortStableFunc(all, func(a, b install) int { return b.major - a.major })
	all = append(inspect(onPath), all...)
	slices.SortStableFunc(all, func(a, b install) int { return rank(a) - rank(b) })
	return all
}

func rank(i install) int {
	if i.major < oldestPostgres {
		return 1
	}
	return 0
}

// inspect returns the folders that contain a complete server.
func inspect(dirs []string) []install {
	var found []install
	seen := map[string]bool{}
	for _, dir := range dirs {
		if seen[dir] || !executable(filepath.Join(dir, "initdb")) {
			continue
		}
		seen[dir] = true
		if major, err := majorOf(dir); err == nil {
			found = append(found, install{dir, major})
		}
	}
	return found
}

var versionNumber = regexp.MustCompile(`PostgreSQL\) (\d+)`)

// majorOf runs the server in bindir to get its major version.
func majorOf(bindir string) (int, error) {
	out, err := exec.Command(filepath.Join(bindir, "postgres"), "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("ask %s/postgres for its version: %w", bindir, err)
	}
	m := versionNumber.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("ask %s/postgres for its version: it printed %q", bindir, out)
	}
	return strconv.Atoi(string(m[1]))
}

// choosePostgres returns the binaries for dataDir: those of the version that wrote it, or the
// preferred ones for a new folder (major 0).
func choosePostgres(dataDir string, major int, bindir string) (install, error) {
	var all []install
	if bindir != "" {
		v, err := majorOf(bindir)
		if err != nil {
			return install{}, err
		}
		all = []install{{bindir, v}}
	} else {
		if _, err := FindPostgres(); err != nil {
			return install{}, err
		}
		all = postgresInstalls()
	}
	if major == 0 {
		return all[0], nil
	}
	for _, i := range all {
		if i.major == major {
			return i, nil
		}
	}
	return install{}, &VersionError{DataDir: dataDir, Data: major, Found: all[0].major}
}

// dataVersion returns the major version that wrote a data folder, or 0 if there is none.
func dataVersion(dataDir string) (int, error) {
	path := filepath.Join(dataDir, "PG_VERSION")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the version of the Postgres data: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s is not a version: %w", path, err)
	}
	return major, nil
}
