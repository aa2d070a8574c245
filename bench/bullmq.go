package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// bullmqFiles are the Node program that drives BullMQ, and the versions of its packages.
//
//go:embed bullmq/package.json bullmq/package-lock.json bullmq/life.js
var bullmqFiles embed.FS

// errNoNode means that BullMQ cannot be compared here.
var errNoNode = errors.New("node and npm are not installed")

// installBullMQ installs BullMQ in a folder of the run and returns the folder.
func installBullMQ(ctx context.Context, s *site) (string, error) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", errNoNode
		}
	}
	if err := os.CopyFS(s.dir, bullmqFiles); err != nil {
		return "", fmt.Errorf("write BullMQ's program: %w", err)
	}
	dir := filepath.Join(s.dir, "bullmq")
	install := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("install BullMQ: %w\n%s", err, out)
	}
	return dir, nil
}

// bullmqLives adds n jobs, in bulk or one at a time, and works them.
func bullmqLives(ctx context.Context, t *turn, dir string, n int, mode string) error {
	_, port, err := net.SplitHostPort(t.st.server.Addr())
	if err != nil {
		return fmt.Errorf("run BullMQ: %w", err)
	}
	var out, failed bytes.Buffer
	cmd := exec.CommandContext(ctx, "node", "life.js", port, t.st.server.Password(), strconv.Itoa(n), mode, taskText)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &failed
	t.start()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run BullMQ: %w\n%s", err, failed.Bytes())
	}
	t.st.ended[kindNode] += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	var life struct {
		Seconds float64
		Done    int
	}
	if err := json.Unmarshal(out.Bytes(), &life); err != nil || life.Done != n {
		return fmt.Errorf("BullMQ printed %q for %d jobs: %w", out.Bytes(), n, err)
	}
	t.stop(n)
	return nil
}
