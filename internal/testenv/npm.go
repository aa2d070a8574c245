package testenv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// npmTimeout allows for 200 MB over a slow connection.
	npmTimeout = 5 * time.Minute
	// npmUnused is how long an installation that no test uses is kept.
	npmUnused = 30 * 24 * time.Hour
)

// npmLock keeps two tests of one package from installing at the same time.
var npmLock sync.Mutex

// NPM returns a folder with the npm packages that package.json and package-lock.json in pinned
// list. The first run installs them into the user's cache, where later runs find them. name is part
// of the folder's name. The file that the pattern wanted matches in the folder must exist: npm
// reports success even if it could not install an optional dependency.
//
// It runs no scripts of the packages. It fails the test if npm is missing or cannot install them.
func NPM(t testing.TB, name string, pinned fs.FS, wanted string) string {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		t.Fatalf("npm is missing, which installs %s for the tests: `make deps` installs it, else https://nodejs.org", name)
	}
	npmLock.Lock()
	defer npmLock.Unlock()
	folder, err := npmInstalled(t.Context(), name, pinned, wanted)
	if err != nil {
		t.Fatalf("install %s for the tests (the first run needs the npm registry): %v", name, err)
	}
	return folder
}

func npmInstalled(ctx context.Context, name string, pinned fs.FS, wanted string) (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	digest, texts := sha256.New(), map[string][]byte{}
	for _, file := range []string{"package.json", "package-lock.json"} {
		if texts[file], err = fs.ReadFile(pinned, file); err != nil {
			return "", err
		}
		digest.Write(texts[file])
	}
	parent := filepath.Join(base, "claudebench")
	folder := filepath.Join(parent, name+"-"+hex.EncodeToString(digest.Sum(nil))[:16])
	if _, err := os.Stat(folder); err == nil {
		now := time.Now()
		return folder, os.Chtimes(folder, now, now)
	}
	if err := os.MkdirAll(parent, 0o755); err != nil { //nolint:gosec // a cache holds no secrets
		return "", err
	}
	// Installed under another name and then renamed: a folder with the final name is complete, even
	// if two test binaries install at the same time.
	fresh, err := os.MkdirTemp(parent, "installing-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(fresh)
	for file, text := range texts {
		if err := os.WriteFile(filepath.Join(fresh, file), text, 0o600); err != nil {
			return "", err
		}
	}
	if err := npmInstall(ctx, fresh, wanted); err != nil {
		return "", err
	}
	if err := os.Rename(fresh, folder); err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, syscall.ENOTEMPTY) {
		return "", err
	}
	npmForget(filepath.Join(parent, name+"-*"))
	return folder, nil
}

func npmInstall(ctx context.Context, folder, wanted string) error {
	ctx, cancel := context.WithTimeout(ctx, npmTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = folder
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	if found, err := filepath.Glob(filepath.Join(folder, filepath.FromSlash(wanted))); err != nil || len(found) == 0 {
		return fmt.Errorf("npm ci installed no %s; the registry may lack the package for this platform (%w)\n%s", wanted, err, out)
	}
	return nil
}

// npmForget removes installations of versions that no test has used for long.
func npmForget(pattern string) {
	folders, _ := filepath.Glob(pattern) // fails only for a bad pattern
	for _, folder := range folders {
		if info, err := os.Lstat(folder); err == nil && time.Since(info.ModTime()) > npmUnused {
			_ = os.RemoveAll(folder) // if it fails, the next installation tries again
		}
	}
}
