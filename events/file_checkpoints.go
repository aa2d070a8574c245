package events

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// FileCheckpoints stores checkpoints in a folder, one file for each name. A save replaces the file at
// once: after a crash of the machine it has the new checkpoint or the one before.
type FileCheckpoints struct {
	Dir string // must exist
}

// checkpointFile is the content of a file.
type checkpointFile struct {
	Name string `json:"name"`
	ID   ID     `json:"id"`
}

// path returns the file of a name. A name may have characters that a file's name may not have.
func (c FileCheckpoints) path(name string) string {
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(c.Dir, hex.EncodeToString(sum[:16])+".json")
}

// Load implements [CheckpointStore].
func (c FileCheckpoints) Load(_ context.Context, name string) (ID, bool, error) {
	text, err := os.ReadFile(c.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err = os.Stat(c.Dir); err == nil {
			return ID{}, false, nil
		}
	}
	if err != nil {
		return ID{}, false, fmt.Errorf("load checkpoint %q: %w", name, err)
	}
	var stored checkpointFile
	if err := json.Unmarshal(text, &stored); err != nil || stored.Name != name {
		return ID{}, false, fmt.Errorf("load checkpoint %q: %s does not hold it; move the file away to start without a checkpoint", name, c.path(name))
	}
	return stored.ID, true, nil
}

// Save implements [CheckpointStore].
func (c FileCheckpoints) Save(_ context.Context, name string, id ID) error {
	if err := c.replace(name, id); err != nil {
		return fmt.Errorf("save checkpoint %q: %w", name, err)
	}
	return nil
}

func (c FileCheckpoints) replace(name string, id ID) error {
	text, err := json.Marshal(checkpointFile{Name: name, ID: id})
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(c.Dir, "checkpoint-*")
	if err != nil {
		return err
	}
	_, err = file.Write(append(text, '\n'))
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), c.path(name))
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}
