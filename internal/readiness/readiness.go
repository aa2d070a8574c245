// Package readiness reports whether Redis accepts commands. /readyz, system.health and /metrics use
// it.
//
// A Redis that answers PING may still reject every command: because it is a replica, has no memory
// left, has a full disk, or has an ACL that forbids it. The probe therefore runs a script that
// Redis treats as a write.
package readiness

import (
	"context"
	"sync"
	"time"

	"github.com/claudebench/claudebench/lua"
)

const (
	// fresh is how long a result is reused, so that health checks run at most one script a second.
	fresh = time.Second
	// patience is the timeout of the script.
	patience = time.Second
)

var probeWrite = lua.Bind[lua.NoArgs]("probe_write")

// Probe checks whether Redis accepts commands. It is safe for concurrent use.
type Probe struct {
	scripts lua.Scripts

	mu    sync.Mutex
	asked time.Time
	err   error
}

// New returns a probe for a namespace's scripts.
func New(scripts lua.Scripts) *Probe { return &Probe{scripts: scripts} }

// Writable returns nil if Redis accepted a write at most a second ago, or would have. Otherwise it
// returns the error that a command would get; lua.Cause explains it. It returns within about a
// second, whatever is broken. It does not end early with ctx, because other callers wait for the
// same result.
func (p *Probe) Writable(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.asked.IsZero() && time.Since(p.asked) < fresh {
		return p.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	_, p.err = probeWrite.Run(ctx, p.scripts, lua.NoArgs{})
	p.asked = time.Now()
	return p.err
}
