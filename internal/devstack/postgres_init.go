package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// findData follows dir/data to the data of an earlier start. It returns "" if there is none.
func findData(dir string) (string, error) {
	link := filepath.Join(dir, "data")
	if _, err := os.Lstat(link); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	dataDir, err := filepath.EvalSymlinks(link)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the link %s points to a folder that does not exist; restore the folder, or remove the link to start with an empty database (the task views are rebuilt from the log)", link)
	}
	if err != nil {
		return "", fmt.Errorf("find the Postgres data: %w", err)
	}
	return dataDir, nil
}

// create creates the complete data folder or nothing: it builds the folder under another name and
// renames it.
func (p *Postgres) create(ctx context.Context, lock *os.File) error {
	dataDir, err := place(p.dir, p.cred)
	if err != nil {
		return err
	}
	building := dataDir + ".new"
	if err := os.RemoveAll(building); err != nil {
		return fmt.Errorf("remove the files of an interrupted start: %w", err)
	}
	if err := os.Mkdir(building, 0o700); err != nil {
		return fmt.Errorf("create the Postgres data: %w", err)
	}
	if err := give(building, p.cred); err != nil {
		return fmt.Errorf("create the Postgres data: %w", err)
	}
	if p.opts.Template != "" {
		err = copyPostgres(p.opts.Template, p.dir, building, p.cred)
	} else {
		err = p.initdb(ctx, building, lock)
	}
	if err != nil {
		return err
	}
	if err := os.Rename(building, dataDir); err != nil {
		return fmt.Errorf("create the Postgres data: %w", err)
	}
	if link := filepath.Join(p.dir, "data"); link != dataDir {
		if err := os.Symlink(dataDir, link); err != nil {
			return fmt.Errorf("create the Postgres data: %w", err)
		}
	}
	return nil
}

// initdb creates an empty cluster. Its only user needs the password of the folder.
func (p *Postgres) initdb(ctx context.Context, building string, lock *os.File) error {
	pw, err := password(p.dir)
	if err != nil {
		return err
	}
	// initdb reads the password as the server's user, who may not read our file.
	pwFile := building + ".pw"
	if err := WriteFile(pwFile, pw+"\n"); err != nil {
		return err
	}
	defer os.Remove(pwFile)
	if err := give(pwFile, p.cred); err != nil {
		return fmt.Errorf("write the password for initdb: %w", err)
	}
	args := []string{
		"-D", building, "-U", postgresRole, "--pwfile=" + pwFile, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C",
	}
	if p.opts.Throwaway {
		args = append(args, "--no-sync", "--wal-segsize=1")
	}
	log, from, err := openLog(p.logPath())
	if err != nil {
		return err
	}
	defer log.Close()
	fail := func(err error) error {
		return &StartError{Server: "Postgres", Err: err, LogPath: p.logPath(), LogTail: logTail(p.logPath(), from)}
	}
	c, err := startChild(command{
		path: filepath.Join(p.install.bindir, "initdb"), args: args, dir: building,
		log: log, lock: lock, cred: p.cred, orphan: syscall.SIGTERM,
	})
	if err != nil {
		return fail(err)
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		return fail(errors.Join(fmt.Errorf("initdb: %w", ctx.Err()), p.killChild(c)))
	}
	if _, exit := c.ended(); exit != nil {
		return fail(fmt.Errorf("initdb: %w", exit))
	}
	return nil
}

// CopyPostgres copies the data and the password of a stopped server into the folder to, as a
// template. Only its owner may read the template, and no server may run in it.
func CopyPostgres(from, to string) error {
	data := filepath.Join(to, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return fmt.Errorf("copy Postgres: %w", err)
	}
	return copyPostgres(from, to, data, nil)
}

// copyPostgres copies the data in the folder from into the existing, empty folder data, changes its
// owner to cred, and copies the password into the folder to.
func copyPostgres(from, to, data string, cred *syscall.Credential) error {
	pw, err := os.ReadFile(filepath.Join(from, "password"))
	if err != nil {
		return fmt.Errorf("copy Postgres: %w", err)
	}
	root, err := findData(from)
	if err != nil {
		return fmt.Errorf("copy Postgres: %w", err)
	}
	if root == "" {
		return fmt.Errorf("copy Postgres: %s contains no data", from)
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		target := filepath.Join(data, path[len(root):])
		if d.IsDir() {
			err = os.Mkdir(target, 0o700)
		} else {
			err = copyFile(path, target)
		}
		if err != nil {
			return err
		}
		return give(target, cred)
	})
	if err != nil {
		return fmt.Errorf("copy Postgres: %w", err)
	}
	return WriteFile(filepath.Join(to, "password"), string(pw))
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}
