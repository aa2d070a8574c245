package devstack

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// outsideBase is where root's Postgres data is if the server's user cannot reach the requested
// folder.
const outsideBase = "/var/lib/claudebench"

// postgresUser returns the user that the server runs as. Nil means the current user. Postgres
// refuses to run as root, so for root it is the owner of existing data, else postgres, _postgres or
// nobody.
func postgresUser(dataDir string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	if info, err := os.Stat(dataDir); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
			return &syscall.Credential{Uid: st.Uid, Gid: st.Gid}, nil
		}
	}
	for _, name := range []string{"postgres", "_postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil || uid == 0 {
			continue
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			continue
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("start Postgres: it cannot run as root, and this machine has no user postgres or nobody; create the user postgres")
}

// reachable reports whether cred can enter dir. It tries, because modes alone do not decide that
// (access lists, mounts).
func reachable(cred *syscall.Credential, dir string) bool {
	if cred == nil {
		return true
	}
	cmd := exec.Command("/bin/sh", "-c", `cd "$1"`, "sh", dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	return cmd.Run() == nil
}

// place returns the folder for the data of a new server: inside dir, or where its user can reach
// it. In that case the link dir/data points to it, so that the next start finds it.
func place(dir string, cred *syscall.Credential) (dataDir string, err error) {
	if reachable(cred, dir) {
		return filepath.Join(dir, "data"), nil
	}
	if err := os.MkdirAll(outsideBase, 0o711); err != nil {
		return "", fmt.Errorf("create a folder that the Postgres user can enter: %w", err)
	}
	// A new name each time: data that another user left in an old folder is not ours.
	base, err := os.MkdirTemp(outsideBase, "postgres-")
	if err != nil {
		return "", fmt.Errorf("create a folder that the Postgres user can enter: %w", err)
	}
	if err := os.Chmod(base, 0o711); err != nil {
		return "", fmt.Errorf("create a folder that the Postgres user can enter: %w", err)
	}
	if !reachable(cred, base) {
		return "", fmt.Errorf("start Postgres: its user (uid %d) can enter neither %s nor %s", cred.Uid, dir, base)
	}
	return filepath.Join(base, "data"), nil
}

// give makes cred the owner of path.
func give(path string, cred *syscall.Credential) error {
	if cred == nil {
		return nil
	}
	if err := os.Lchown(path, int(cred.Uid), int(cred.Gid)); err != nil {
		return fmt.Errorf("make the Postgres user the owner: %w", err)
	}
	return nil
}
