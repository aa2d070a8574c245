package claudecode

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// maxFile is the maximum size of a file that is edited, in bytes.
const maxFile = 4 << 20

// Change is what Write did with a file.
type Change struct {
	Name string // relative to the project's folder
	// Backup is the copy of the file as it was, relative to the folder. It is empty if the file is
	// new or unchanged.
	Backup string
	// Same is set if the file already had everything.
	Same bool
}

// edit is a change that is prepared.
type edit struct {
	name  string
	old   []byte // nil if there is no such file
	mode  fs.FileMode
	text  []byte
	draft string // the file that becomes the new one
}

// Write merges what the project needs into its files. It prepares all files before it replaces the
// first, each by a rename. It follows no symbolic link out of the folder, and it does not replace a
// file that is one.
func (n Needs) Write(dir string) (_ []Change, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	edits := []*edit{{name: ServersFile}, {name: SettingsFile}}
	for i, merge := range []func([]byte) ([]byte, error){n.servers, n.settings} {
		e := edits[i]
		if err := e.read(root); err != nil {
			return nil, err
		}
		if e.text, err = merge(e.old); err != nil {
			return nil, fmt.Errorf("%s cannot be edited: %w; correct it, or add what 'claudebench init claude-code' prints by hand; nothing was changed", e.name, err)
		}
	}
	defer func() {
		for _, e := range edits {
			if e.draft != "" {
				_ = root.Remove(e.draft) // it is there only after an error
			}
		}
	}()
	for _, e := range edits {
		if err := e.prepare(root); err != nil {
			return nil, fmt.Errorf("write %s: %w; nothing was changed", e.name, err)
		}
	}
	var changes []Change
	for _, e := range edits {
		c, err := e.apply(root)
		if err != nil {
			return changes, fmt.Errorf("write %s: %w", e.name, err)
		}
		changes = append(changes, c)
	}
	return changes, nil
}

// read reads the file as it is.
func (e *edit) read(root *os.Root) error {
	info, err := root.Lstat(e.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.mode = 0o644
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%s is a symbolic link; replace it by the file, or add what 'claudebench init claude-code' prints by hand", e.name)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", e.name)
	}
	e.mode = info.Mode().Perm()
	f, err := root.Open(e.name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	e.old, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(e.old) > maxFile {
		err = fmt.Errorf("%s is longer than %d bytes", e.name, maxFile)
	}
	return err
}

func (e *edit) same() bool { return e.old != nil && bytes.Equal(e.old, e.text) }

// prepare writes the new text beside the file.
func (e *edit) prepare(root *os.Root) error {
	if e.same() {
		return nil
	}
	if err := root.MkdirAll(path.Dir(e.name), 0o755); err != nil {
		return err
	}
	var err error
	e.draft, err = create(root, e.name+".new", e.text, e.mode)
	return err
}

// apply keeps a copy of the file and replaces it.
func (e *edit) apply(root *os.Root) (Change, error) {
	c := Change{Name: e.name, Same: e.same()}
	if c.Same {
		return c, nil
	}
	if e.old != nil {
		var err error
		if c.Backup, err = create(root, e.name+".bak", e.old, e.mode); err != nil {
			return c, err
		}
	}
	if err := root.Rename(e.draft, e.name); err != nil {
		return c, err
	}
	e.draft = ""
	return c, nil
}

// maxCopies is how many files with one name and a number create tries.
const maxCopies = 1000

// create writes a new file and returns its name: base, or base with a number if that exists.
func create(root *os.Root, base string, text []byte, mode fs.FileMode) (name string, err error) {
	var f *os.File
	for i := range maxCopies {
		if name = base; i > 0 {
			name = fmt.Sprintf("%s.%d", base, i)
		}
		f, err = root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Chmod(mode) // whatever the umask is
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, root.Remove(name))
	}
	return name, nil
}
