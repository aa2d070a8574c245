package doctor

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/claudebench/claudebench/internal/auth"
)

// checkTokens checks the auth file. Its tokens have no end of their own.
func checkTokens(_ context.Context, e *exam) []Finding {
	if e.AuthFile == "" {
		return []Finding{skipped("no --auth-file was given")}
	}
	tokens, err := auth.Open(e.AuthFile)
	if err != nil {
		return []Finding{{
			Level: Fail, Text: err.Error(), Do: "correct the file: a coordinator does not start with it, and keeps the tokens that it has",
		}}
	}
	return []Finding{ok("the auth file is valid and has %s, which do not expire", amount(int64(tokens.Len()), "token"))}
}

// Shares of a disk that are free below which it warns and fails.
const (
	littleDisk    = 0.1
	tooLittleDisk = 0.05
)

// checkDisk checks how full the disks of the folders are.
func checkDisk(_ context.Context, e *exam) (list []Finding) {
	if len(e.Folders) == 0 {
		return []Finding{skipped("no folder is known; pass --disk DIR on the machine that has it")}
	}
	for _, folder := range e.Folders {
		var s unix.Statfs_t
		if err := unix.Statfs(folder, &s); err != nil {
			list = append(list, Finding{Level: Unknown, Text: fmt.Sprintf("the disk of %s cannot be read: %v", folder, err), Do: "correct the folder"})
			continue
		}
		block := uint64(s.Bsize) //nolint:gosec // positive
		// As df: what only root may use counts neither as free nor as there.
		free := uint64(s.Bavail) * block //nolint:unconvert // of another type on other systems
		list = append(list, judgeDisk(folder, free, (s.Blocks-s.Bfree)*block+free))
	}
	return list
}

func judgeDisk(folder string, free, all uint64) Finding {
	share := float64(free) / float64(max(all, 1))
	f := ok("the disk of %s has %s free, %.0f%% of %s", folder, size(int64(free)), 100*share, size(int64(all))) //nolint:gosec // no disk is so large
	const act = "make room, or give it more: when the disk is full, Redis rejects every command"
	switch {
	case share < tooLittleDisk:
		f.Level, f.Do = Fail, act
	case share < littleDisk:
		f.Level, f.Do = Warn, act
	}
	return f
}
