package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of times in /proc: Linux always reports 100 ticks a second to programs.
const clockTick = 10 * time.Millisecond

// process is a line of /proc/<pid>/stat.
type process struct {
	parent int
	name   string
	cpu    time.Duration
}

// usage is the CPU time used so far, by kind of process: Redis, the coordinators, Postgres, and
// this program, which generates the load. It is empty without /proc.
type usage map[string]time.Duration

// usage returns the CPU time of this program and of everything it started.
func (st *stack) usage() usage {
	all := map[int]process{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has exited since
		}
		if pid, p, ok := parseStat(string(text)); ok {
			all[pid] = p
		}
	}
	self := os.Getpid()
	ours := func(pid int) bool {
		for ; pid > 1; pid = all[pid].parent {
			if pid == self {
				return true
			}
		}
		return false
	}
	u := maps.Clone(st.ended)
	for pid, p := range all {
		if !ours(pid) {
			continue
		}
		switch {
		case pid == self:
			u["generator"] += p.cpu
		case p.name == "redis-server", p.name == "valkey-server":
			u["redis"] += p.cpu
		case p.name == "postgres":
			u["postgres"] += p.cpu
		case slices.ContainsFunc(st.programs, func(c *program) bool { return c.cmd.Process.Pid == pid }):
			u["coordinator"] += p.cpu
		}
	}
	return u
}

func parseStat(line string) (pid int, p process, ok bool) {
	begin, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if begin < 0 || end < begin {
		return 0, p, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line[:begin]))
	fields := strings.Fields(line[end+1:])
	if err != nil || len(fields) < 13 {
		return 0, p, false
	}
	p.name = line[begin+1 : end]
	p.parent, _ = strconv.Atoi(fields[1])
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	p.cpu = time.Duration(user+system) * clockTick
	return pid, p, true
}

// per returns a text with the CPU time in microseconds that each kind of process used per operation
// since then.
func (u usage) per(n float64, since usage) string {
	var parts []string
	for _, name := range []string{"redis", "coordinator", "postgres", "node", "generator"} {
		if d := u[name] - since[name]; d >= clockTick && n > 0 {
			parts = append(parts, fmt.Sprintf("%s %.1f", name, float64(d.Microseconds())/n))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "core µs each: " + strings.Join(parts, ", ")
}
