package archive

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// storage is a folder that a Writer writes. Tests replace it with one that fails.
type storage interface {
	fs.FS
	Create(name string) (file, error) // for reading and writing; an existing file is kept
	Rename(from, to string) error
	Remove(name string) error
	Mkdir(name string) error
	Sync() error // makes changes of names durable
}

type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
	Size() (int64, error)
}

// folder is a storage on a disk.
type folder string

func (d folder) path(name string) string { return filepath.Join(string(d), filepath.FromSlash(name)) }

func (d folder) Open(name string) (fs.File, error) { return os.DirFS(string(d)).Open(name) }

func (d folder) Create(name string) (file, error) {
	f, err := os.OpenFile(d.path(name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (d folder) Rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }

func (d folder) Remove(name string) error {
	err := os.Remove(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (d folder) Mkdir(name string) error { return os.MkdirAll(d.path(name), 0o700) }

func (d folder) Sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
