package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
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
	ended  time.Duration // CPU time of its children that have ended, with their own ended children
}

// usage is the CPU time used so far, by kind of process. It is empty without /proc.
type usage map[string]time.Duration

// The kinds of process in usage.
const (
	kindRedis       = "redis"
	kindCoordinator = "coordinator"
	kindPostgres    = "postgres"
	kindNode        = "node"
	kindGenerator   = "generator" // this program
)

// usage returns the CPU time of this program and of everything it started, including processes that
// have ended, such as backends of Postgres.
func (st *stack) usage() usage {
	// A process that ends between two reads of a scan would be counted twice or not at all. Two
	// scans that see the same processes exclude that.
	all := st.processes()
	for {
		again := st.processes()
		same := maps.EqualFunc(all, again, func(process, process) bool { return true })
		all = again
		if same {
			break
		}
	}
	self := os.Getpid()
	u := maps.Clone(st.ended)
	for pid, p := range all {
		kind := st.kind(all, pid)
		u[kind] += p.cpu
		if pid != self { // the children of this program that have ended are in st.ended
			u[kind] += p.ended
		}
	}
	return u
}

// processes returns this program and everything it started, by process ID.
func (st *stack) processes() map[int]process {
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
	maps.DeleteFunc(all, func(pid int, _ process) bool {
		for pid > 1 && pid != self {
			pid = all[pid].parent
		}
		return pid != self
	})
	return all
}

// kind returns the kind of a process: that of the nearest ancestor whose kind is known.
func (st *stack) kind(all map[int]process, pid int) string {
	for {
		p, ok := all[pid]
		switch {
		case !ok || pid == os.Getpid():
			return kindGenerator
		case st.kinds[pid] != "":
			return st.kinds[pid]
		case p.name == "redis-server", p.name == "valkey-server":
			return kindRedis
		case p.name == "postgres":
			return kindPostgres
		}
		pid = p.parent
	}
}

func parseStat(line string) (pid int, p process, ok bool) {
	begin, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if begin < 0 || end < begin {
		return 0, p, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line[:begin]))
	fields := strings.Fields(line[end+1:])
	if err != nil || len(fields) < 15 {
		return 0, p, false
	}
	p.name = line[begin+1 : end]
	p.parent, _ = strconv.Atoi(fields[1])
	ticks := func(user, system string) time.Duration {
		a, _ := strconv.Atoi(user)
		b, _ := strconv.Atoi(system)
		return time.Duration(a+b) * clockTick
	}
	p.cpu, p.ended = ticks(fields[11], fields[12]), ticks(fields[13], fields[14])
	return pid, p, true
}

// since returns the CPU time used since an earlier reading.
func (u usage) since(before usage) usage {
	used := usage{}
	for kind, d := range u {
		used[kind] = d - before[kind]
	}
	return used
}

// per returns a text with the CPU time in microseconds that each kind of process used for each of n
// operations.
func (u usage) per(n int) string {
	var parts []string
	for _, kind := range []string{kindRedis, kindCoordinator, kindPostgres, kindNode, kindGenerator} {
		if d := u[kind]; d >= clockTick && n > 0 {
			parts = append(parts, fmt.Sprintf("%s %.1f", kind, float64(d.Microseconds())/float64(n)))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "core µs each: " + strings.Join(parts, ", ")
}
