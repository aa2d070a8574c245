package main

import (
	"bufio"
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// bullmqFiles are the Node program that drives BullMQ, and the versions of its packages.
//
//go:embed bullmq/package.json bullmq/package-lock.json bullmq/life.js
var bullmqFiles embed.FS

// bullmq is the Node program bullmq/life.js, which runs over all rounds.
type bullmq struct {
	cmd     *exec.Cmd
	orders  io.WriteCloser
	replies *bufio.Reader
	failed  bytes.Buffer // what Node printed on stderr; read only after it has ended
}

// bullmqOrder is a line on the standard input of life.js, and bullmqReply a line on its output.
type (
	bullmqOrder struct {
		Do   string `json:"do"`
		Mode string `json:"mode,omitempty"`
		Jobs int    `json:"jobs,omitempty"`
	}
	bullmqReply struct {
		Done int `json:"done"`
	}
)

// startBullMQ installs BullMQ in a folder of the run and starts Node.
func startBullMQ(ctx context.Context, st *stack) (*bullmq, error) {
	if err := os.CopyFS(st.dir, bullmqFiles); err != nil {
		return nil, fmt.Errorf("write BullMQ's program: %w", err)
	}
	dir := filepath.Join(st.dir, "bullmq")
	install := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("install BullMQ: %w\n%s", err, out)
	}
	_, port, err := net.SplitHostPort(st.server.Addr())
	if err != nil {
		return nil, fmt.Errorf("start Node: %w", err)
	}
	m := &bullmq{cmd: exec.CommandContext(ctx, "node", "life.js", port, st.server.Password(), taskText)}
	m.cmd.Dir, m.cmd.Stderr = dir, &m.failed
	if m.orders, err = m.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start Node: %w", err)
	}
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start Node: %w", err)
	}
	m.replies = bufio.NewReader(out)
	if err := m.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start Node: %w", err)
	}
	st.kinds[m.cmd.Process.Pid] = kindNode
	return m, nil
}

// order sends an order and waits for its reply.
func (m *bullmq) order(o bullmqOrder) (reply bullmqReply, err error) {
	timer := time.AfterFunc(patience, func() { _ = m.cmd.Process.Kill() })
	defer timer.Stop()
	line, err := json.Marshal(o)
	if err != nil {
		return reply, fmt.Errorf("encode an order for Node: %w", err)
	}
	if _, err = m.orders.Write(append(line, '\n')); err == nil {
		line, err = m.replies.ReadBytes('\n')
	}
	if err != nil { // Node has ended, and stop returns why
		return reply, fmt.Errorf("run BullMQ: %w", err)
	}
	if err := json.Unmarshal(line, &reply); err != nil {
		return reply, fmt.Errorf("run BullMQ: it printed %q: %w", line, err)
	}
	return reply, nil
}

// lives adds n jobs, in bulk or one at a time, and works them. The connections of the turn are open
// before it starts.
func (m *bullmq) lives(ctx context.Context, t *turn, n int, mode string) error {
	if _, err := m.order(bullmqOrder{Do: "open", Mode: mode}); err != nil {
		return err
	}
	t.start()
	reply, err := m.order(bullmqOrder{Do: "live", Jobs: n})
	t.stop(n)
	if err != nil {
		return err
	}
	if reply.Done != n {
		return fmt.Errorf("BullMQ worked %d jobs of %d", reply.Done, n)
	}
	if _, err := m.order(bullmqOrder{Do: "close"}); err != nil {
		return err
	}
	return ctx.Err()
}

// stop ends Node.
func (m *bullmq) stop() error {
	_ = m.orders.Close()
	if err := m.cmd.Wait(); err != nil {
		return fmt.Errorf("node: %w\n%s", err, m.failed.Bytes())
	}
	return nil
}
