package archive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/claudebench/claudebench/internal/filelock"
)

// InUseError reports that another process writes to the folder.
type InUseError struct {
	Dir string
	PID int // 0 if it is unknown
}

func (e *InUseError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("another process writes to the archive %s", e.Dir)
	}
	return fmt.Sprintf("process %d writes to the archive %s", e.PID, e.Dir)
}

// lockDir locks a folder for this process. Closing the file, or the end of the process, unlocks it.
func lockDir(dir string) (*os.File, error) {
	f, err := filelock.Lock(filepath.Join(dir, lockName))
	var inUse *filelock.InUseError
	if errors.As(err, &inUse) {
		return nil, &InUseError{Dir: dir, PID: inUse.PID}
	}
	if err != nil {
		return nil, fmt.Errorf("lock the archive %s: %w", dir, err)
	}
	return f, nil
}
