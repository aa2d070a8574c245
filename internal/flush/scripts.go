package flush

import "github.com/claudebench/claudebench/lua"

// The scripts of a flush, and their arguments. Times are in ms.
var (
	beginFlush        = lua.Bind[beginFlushArgs]("begin_flush")
	holdFlush         = lua.Bind[holdFlushArgs]("hold_flush")
	fenceFlush        = lua.Bind[fenceFlushArgs]("fence_flush")
	spareInstances    = lua.Bind[spareInstancesArgs]("spare_instances")
	undoFlush         = lua.Bind[undoFlushArgs]("undo_flush")
	deleteFlushedKeys = lua.Bind[deleteFlushedKeysArgs]("delete_flushed_keys")
	finishFlush       = lua.Bind[finishFlushArgs]("finish_flush")
)

type (
	beginFlushArgs struct {
		Context, Subject string
		Calls            int
		ID, Holder       string
		Lease            int64
		Postgres         bool
	}
	// holdFlushArgs without a Lease only read the state. A Lease of 0 releases the lease.
	holdFlushArgs struct {
		Holder string
		Lease  *int64
	}
	fenceFlushArgs struct {
		ID, Holder string
		Lease      int64
	}
	spareInstancesArgs struct {
		ID, Holder string
		Offset     int
		TTL        int64
	}
	undoFlushArgs struct {
		ID, Holder, Phase string
		TTL               int64
	}
	deleteFlushedKeysArgs struct {
		ID, Holder    string
		Lease         int64
		Tasks, Cursor string
	}
	finishFlushArgs struct{ ID, Holder string }
)
