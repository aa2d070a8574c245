package sealtree

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/claudebench/claudebench/internal/filelock"
)

// Info says what a folder seals. It is written once.
type Info struct {
	Format    int    `json:"format"`
	Identity  string `json:"identity"`  // of the log, in cb:log
	Namespace string `json:"namespace"` // of the fleet
	Verifier  string `json:"verifier"`  // the public key that signs
}

const (
	infoFormat     = 1
	checkpointName = "checkpoint"
	own            = ".seal" // what only the sealer uses; it is not served
	infoName       = own + "/log.json"
	lockName       = own + "/lock"
	temporary      = ".tmp-" // prefix of files that are not whole yet

	// parallelWrites is how many files are written and synced at the same time.
	parallelWrites = 8
	// partialsKept is how many partial tiles of the right edge stay, for readers with an older
	// checkpoint. Those of older checkpoints are cut from wider ones.
	partialsKept = 3
)

// Dir is a folder of seals. One Dir at a time writes to it; reading needs no lock.
type Dir struct {
	path string
	lock *os.File // nil if it is only read
	// Before, if not nil, is called before each change of the folder with its path. An error stops
	// the change. It is for tests.
	Before func(path string) error
}

// OpenDir returns a folder for reading.
func OpenDir(path string) *Dir { return &Dir{path: path} }

// LockDir creates the folder if it does not exist, and locks it for this process until Close.
func LockDir(path string) (*Dir, error) {
	if err := os.MkdirAll(filepath.Join(path, own), 0o755); err != nil {
		return nil, fmt.Errorf("create the folder of the seals: %w", err)
	}
	f, err := filelock.Lock(filepath.Join(path, lockName))
	var inUse *filelock.InUseError
	if errors.As(err, &inUse) {
		return nil, fmt.Errorf("%w: %s is in use by process %d", ErrInUse, path, inUse.PID)
	}
	if err != nil {
		return nil, fmt.Errorf("lock the folder of the seals: %w", err)
	}
	return &Dir{path: path, lock: f}, nil
}

// ErrInUse means that another process seals into the folder.
var ErrInUse = errors.New("lock the folder of the seals")

// Path returns the folder's path.
func (d *Dir) Path() string { return d.path }

// Close releases the lock.
func (d *Dir) Close() error {
	if d.lock == nil {
		return nil
	}
	return d.lock.Close()
}

// Info reads what the folder seals. ok is false for an empty folder.
func (d *Dir) Info() (info Info, ok bool, err error) {
	text, err := os.ReadFile(filepath.Join(d.path, infoName))
	if errors.Is(err, fs.ErrNotExist) {
		return Info{}, false, nil
	}
	if err != nil {
		return Info{}, false, fmt.Errorf("read the folder of the seals: %w", err)
	}
	if err := json.Unmarshal(text, &info); err != nil {
		return Info{}, false, fmt.Errorf("read %s: %w", filepath.Join(d.path, infoName), err)
	}
	if info.Format != infoFormat {
		return Info{}, false, fmt.Errorf("read %s: its format is %d, and this program knows format %d", filepath.Join(d.path, infoName), info.Format, infoFormat)
	}
	return info, true, nil
}

// WriteInfo makes the folder that of a new tree.
func (d *Dir) WriteInfo(info Info) error {
	info.Format = infoFormat
	text, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return err
	}
	return d.replace(infoName, append(text, '\n'))
}

// Checkpoint implements Source.
func (d *Dir) Checkpoint(context.Context) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(d.path, checkpointName))
	if err != nil {
		return nil, fmt.Errorf("read the checkpoint: %w", err)
	}
	return text, nil
}

// Read implements Source. A partial tile that was removed is cut from a wider one.
func (d *Dir) Read(_ context.Context, tile tlog.Tile) ([]byte, error) {
	path := d.file(tile)
	data, err := os.ReadFile(path)
	if err == nil || tile.W == width || !errors.Is(err, fs.ErrNotExist) {
		return data, readError(err)
	}
	whole := tile
	whole.W = width
	if data, err = os.ReadFile(d.file(whole)); err == nil {
		return cut(data, tile)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, readError(err)
	}
	for _, w := range partials(filepath.Dir(path)) {
		if w > tile.W {
			if data, err = os.ReadFile(filepath.Join(filepath.Dir(path), strconv.Itoa(w))); err == nil {
				return cut(data, tile)
			}
		}
	}
	return nil, readError(err)
}

func readError(err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("read the seals: %w", err)
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return &unreadableError{err}
}

// partials returns the widths of the partial tiles in a folder, in rising order.
func partials(dir string) []int {
	entries, _ := os.ReadDir(dir) // without a folder there are none
	var widths []int
	for _, e := range entries {
		if w, err := strconv.Atoi(e.Name()); err == nil && w > 0 && w < width {
			widths = append(widths, w)
		}
	}
	slices.Sort(widths)
	return widths
}

func (d *Dir) file(tile tlog.Tile) string {
	return filepath.Join(d.path, filepath.FromSlash(torchwood.TilePath(tile)))
}

// Load reads the right edge of a tree of the folder, for appending.
func (d *Dir) Load(tree tlog.Tree) (*Tree, error) {
	return Load(tree, Tiles(context.Background(), d))
}

// Write writes files and syncs them and their folders. A file is replaced in one step.
func (d *Dir) Write(files []File) error {
	dirs, err := d.makeDirs(files)
	if err != nil {
		return err
	}
	errs := make([]error, len(files)+len(dirs))
	var writing sync.WaitGroup
	slots := make(chan struct{}, parallelWrites)
	each := func(i int, do func() error) {
		slots <- struct{}{}
		writing.Go(func() {
			defer func() { <-slots }()
			errs[i] = do()
		})
	}
	for i, f := range files {
		each(i, func() error { return d.write(d.file(f.Tile), f.Data) })
	}
	writing.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for i, dir := range dirs {
		each(i, func() error { return syncDir(dir) })
	}
	writing.Wait()
	return errors.Join(errs...)
}

// makeDirs makes the folders of files. It returns those that must be synced: they, and the parents
// of new ones.
func (d *Dir) makeDirs(files []File) ([]string, error) {
	touched := map[string]bool{}
	for _, f := range files {
		dir := filepath.Dir(d.file(f.Tile))
		if touched[dir] {
			continue
		}
		touched[dir] = true
		for at := dir; at != d.path; at = filepath.Dir(at) {
			if _, err := os.Stat(at); err == nil {
				break
			}
			touched[filepath.Dir(at)] = true
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("write the seals: %w", err)
		}
	}
	dirs := make([]string, 0, len(touched))
	for dir := range touched {
		dirs = append(dirs, dir)
	}
	return dirs, nil
}

// Publish replaces the checkpoint.
func (d *Dir) Publish(checkpoint []byte) error { return d.replace(checkpointName, checkpoint) }

// replace replaces a file of the folder and syncs its folder.
func (d *Dir) replace(name string, data []byte) error {
	path := filepath.Join(d.path, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write the seals: %w", err)
	}
	if err := d.write(path, data); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// write writes a file next to its place, syncs it and renames it.
func (d *Dir) write(path string, data []byte) (err error) {
	if d.Before != nil {
		if err := d.Before(path); err != nil {
			return err
		}
	}
	f, err := os.CreateTemp(filepath.Dir(path), temporary+"*")
	if err != nil {
		return fmt.Errorf("write the seals: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write the seals: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync the seals: %w", err)
	}
	err = f.Sync()
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("sync the seals: %w", err)
	}
	return nil
}

// Tidy removes what files that were published make superfluous: the partial tiles of full ones, and
// all but the newest of partial ones. What it cannot remove only takes space.
func (d *Dir) Tidy(files []File) {
	for _, f := range files {
		path := d.file(f.Tile)
		if f.Tile.W == width {
			_ = os.RemoveAll(path + ".p")
			continue
		}
		widths := partials(filepath.Dir(path))
		for i, w := range widths {
			if i < len(widths)-partialsKept {
				_ = os.Remove(filepath.Join(filepath.Dir(path), strconv.Itoa(w)))
			}
		}
	}
}

// Discard removes what a killed sealer left at the right edge of a tree: files that were not whole,
// and partial tiles beyond the tree.
func (d *Dir) Discard(size int64) {
	_ = filepath.WalkDir(filepath.Join(d.path, own), func(path string, e fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(e.Name(), temporary) {
			_ = os.Remove(path)
		}
		return nil
	})
	removeTemporary(d.path)
	levels := []int{-1}
	for level := 0; size>>(height*level) > 0 || level == 0; level++ {
		levels = append(levels, level)
	}
	for _, level := range levels {
		count := size >> (height * max(level, 0))
		whole := d.file(tlog.Tile{H: height, L: level, N: count / width, W: width})
		removeTemporary(filepath.Dir(whole))
		removeTemporary(whole + ".p")
		for _, w := range partials(whole + ".p") {
			if int64(w) > count%width {
				_ = os.Remove(filepath.Join(whole+".p", strconv.Itoa(w)))
			}
		}
	}
}

func removeTemporary(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), temporary) {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
