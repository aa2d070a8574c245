// Package lease lets one coordinator at a time do a piece of work in the background: fold a
// projection, seal the log. It avoids duplicate work but protects nothing, because two coordinators
// may both believe for a moment that they hold a lease. Each user therefore compares what is stored
// before it writes. While Redis fails, nobody holds a lease for longer than its TTL.
package lease

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/lua"
)

// The times of a lease let another coordinator replace a dead one within four seconds.
const (
	// TTL is how long a lease lasts.
	TTL = 3 * time.Second
	// RenewEvery is how often the holder calls Acquire again.
	RenewEvery = time.Second
	// AskEvery is how often the others ask for the lease.
	AskEvery = 250 * time.Millisecond

	// releaseWithin bounds a stop. A lease that could not be released expires.
	releaseWithin = time.Second
)

var (
	acquireLease = lua.Bind[acquireLeaseArgs]("acquire_lease")
	releaseLease = lua.Bind[releaseLeaseArgs]("release_lease")
)

type acquireLeaseArgs struct {
	Name, Holder string
	TTL          int64 // ms
	Format       int
	Position     string
}

type releaseLeaseArgs struct{ Name, Holder string }

// Lease is the right to do the work with a name. All fields but Position are required.
type Lease struct {
	Scripts lua.Scripts // of the log
	Name    string      // the lease's key is cb:service:lease:<Name>
	Holder  string      // the coordinator, for example NewHolder()
	Reader  *events.Reader
	// Position returns the last event that a projection outside Redis has applied, false if it is not
	// known. Redis keeps it while this coordinator holds the lease, and trims no event after it.
	Position func() (events.ID, bool)
}

// NewHolder returns a name for this process: its host, its process ID and a random part.
func NewHolder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown" // the random part alone makes the holder unique
	}
	return fmt.Sprintf("%s:%d:%s", host, os.Getpid(), rand.Text()[:8])
}

// Acquire takes or renews the lease for TTL, and reports whether this coordinator holds it. While a
// flush deletes keys, nobody does. The error is an *events.NewerLogError if a newer program writes
// to the log, because the log may then have events that this one does not know.
func (l Lease) Acquire(ctx context.Context) (bool, error) {
	args := acquireLeaseArgs{Name: l.Name, Holder: l.Holder, TTL: TTL.Milliseconds(), Format: events.Format}
	if l.Position != nil {
		if at, known := l.Position(); known {
			args.Position = at.String()
		}
	}
	reply, err := acquireLease.Run(ctx, l.Scripts, args)
	if err != nil {
		return false, err
	}
	if reply == int64(-1) {
		return false, l.Reader.CheckFormat(ctx)
	}
	return reply == int64(1), nil
}

// Release releases the lease if this coordinator holds it, even after ctx has ended.
func (l Lease) Release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseWithin)
	defer cancel()
	_, err := releaseLease.Run(ctx, l.Scripts, releaseLeaseArgs{l.Name, l.Holder})
	return err
}
