// Package textfile reads the files that decide who may do what: the auth file and the policy for
// tools. internal/auth and internal/hookpolicy use it. A file is read as a whole or not at all.
package textfile

import (
	"fmt"
	"io"
	"os"
)

// Read returns the content of a regular file of at most limit bytes. It returns an error if other
// users can write to the file. harm says in that error what they could do: "make themselves admin".
func Read(path string, limit int, harm string) ([]byte, error) {
	// Opening a pipe waits for a writer, and a later reload would wait behind it.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return nil, fmt.Errorf("other users can write to %s (mode %#o) and could %s; run 'chmod go-w %[1]s'", path, mode, harm)
	}
	text, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, err
	}
	if len(text) > limit {
		return nil, fmt.Errorf("%s is longer than %d bytes", path, limit)
	}
	return text, nil
}
