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

// lease is the right to run a projection. It avoids duplicate work but protects nothing: if two
// coordinators both believe that they hold it, the comparison of the checkpoint makes each batch
// count once.
type lease struct {
	scripts lua.Scripts
	name    string
	holder  string
	reader  *events.Reader
}

// acquire takes or renews the lease, and reports whether this coordinator holds it. The error is an
// *events.NewerLogError if a newer program writes to the log, because a fold would find events that
// this one does not know.
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

// releaseWithin bounds a stop. A lease that could not be released expires.
const releaseWithin = time.Second

// release releases the lease, even after ctx has ended.
func (l lease) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseWithin)
	defer cancel()
	_, err := releaseLease.Run(ctx, l.scripts, releaseLeaseArgs{l.name, l.holder})
	return err
}
