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

// bullmqLives adds n jobs, in bulk or one at a time, works them, and returns jobs a second.
func bullmqLives(ctx context.Context, st *stack, dir string, n int, mode string) (float64, error) {
	_, port, err := net.SplitHostPort(st.server.Addr())
	if err != nil {
		return 0, fmt.Errorf("run BullMQ: %w", err)
	}
	var out, failed bytes.Buffer
	cmd := exec.CommandContext(ctx, "node", "life.js", port, st.server.Password(), strconv.Itoa(n), mode, taskText)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &failed
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("run BullMQ: %w\n%s", err, failed.Bytes())
	}
	st.ended["node"] += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	var life struct {
		Seconds float64
		Done    int
	}
	if err := json.Unmarshal(out.Bytes(), &life); err != nil || life.Done != n {
		return 0, fmt.Errorf("BullMQ printed %q for %d jobs: %w", out.Bytes(), n, err)
	}
	return float64(n) / life.Seconds, nil
}
