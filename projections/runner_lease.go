package projections

import (
	"context"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/lua"
)

var (
	acquireLease = lua.Bind[acquireLeaseArgs]("acquire_lease")
	releaseLease = lua.Bind[releaseLeaseArgs]("release_lease")
)

type acquireLeaseArgs struct {
	Name, Holder string
	TTL          int64 // ms
	Format       int
}

type releaseLeaseArgs struct{ Name, Holder string }

// lease is the right to run a projection. It spares work and protects nothing: two coordinators
// that both believe to hold it fold each batch once, by the compare of the checkpoint.
type lease struct {
	scripts lua.Scripts
	name    string
	holder  string
	reader  *events.Reader
}

// acquire takes or renews the lease, and reports whether it is ours. The error is an
// *events.NewerLogError if a newer program writes to the log: a fold would meet events that this
// one does not know.
func (l lease) acquire(ctx context.Context) (bool, error) {
	reply, err := acquireLease.Run(ctx, l.scripts, acquireLeaseArgs{l.name, l.holder, leaseTTL.Milliseconds(), events.Format})
	if err != nil {
		return false, err
	}
	if reply == int64(-1) {
		return false, l.reader.CheckFormat(ctx)
	}
	return reply == int64(1), nil
}

// releaseWithin bounds a stop; a lease that could not be given back ends by itself.
const releaseWithin = time.Second

// release returns the lease back, also when ctx has ended.
func (l lease) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseWithin)
	defer cancel()
	_, err := releaseLease.Run(ctx, l.scripts, releaseLeaseArgs{l.name, l.holder})
	return err
}
