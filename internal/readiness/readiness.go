// Package readiness reports whether Redis takes commands. /readyz, system.health and /metrics ask
// it.
//
// A Redis that answers PING may still refuse every command: as a replica, with its memory used up,
// with a full disk, or by its ACL. The probe therefore runs a script that Redis treats as a write.
package readiness

import (
	"context"
	"sync"
	"time"

	"github.com/claudebench/claudebench/lua"
)

const (
	// fresh is how long an outcome is given to everybody who asks, so that health checks cost Redis
	// one script a second at most.
	fresh = time.Second
	// patience is how long Redis has to answer.
	patience = time.Second
)

var probeWrite = lua.Bind[lua.NoArgs]("probe_write")

// Probe asks Redis whether it takes commands. It is safe for concurrent use.
type Probe struct {
	scripts lua.Scripts

	mu    sync.Mutex
	asked time.Time
	err   error
}

// New returns a probe for a namespace's scripts.
func New(scripts lua.Scripts) *Probe { return &Probe{scripts: scripts} }

// Writable returns nil if Redis took a write, or would have, at most a second ago. Otherwise it
// returns the error that a command would have met; lua.Cause explains it. It returns within about a
// second, whatever is broken, and does not end early with ctx, since others wait for the same
// outcome.
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
