package projections

import (
	"context"
	"fmt"
	"time"

	"github.com/claudebench/claudebench/migrations"
)

// Settings are what a Postgres says about itself.
type Settings struct {
	Version           string
	Fsync             string // on or off
	SynchronousCommit string
	FullPageWrites    string // on or off
	ReadOnly          bool   // new transactions cannot write
	Recovering        bool   // it is a standby, or recovers from a crash
}

// Settings asks Postgres for its settings.
func (p *Pool) Settings(ctx context.Context) (s Settings, err error) {
	err = p.queryRow(ctx, `SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit'),
       current_setting('full_page_writes'), current_setting('default_transaction_read_only') = 'on', pg_is_in_recovery()`, nil,
		&s.Version, &s.Fsync, &s.SynchronousCommit, &s.FullPageWrites, &s.ReadOnly, &s.Recovering)
	if err != nil {
		return s, fmt.Errorf("ask Postgres for its settings: %w", err)
	}
	return s, nil
}

// Risk is a setting that can lose the task view, or that stops it.
type Risk struct {
	Stops    bool   // the task view does not advance
	What, Do string // neither ends with a full stop
}

// Risks returns the settings that can lose the task view or stop it. A lost commit
// (synchronous_commit off) is no loss: the checkpoint is lost with it, and the projection applies
// the events again.
func (s Settings) Risks() []Risk {
	var list []Risk
	if s.Fsync == "off" || s.FullPageWrites == "off" {
		list = append(list, Risk{
			What: "Postgres does not protect its files from a crash of its machine (fsync " + s.Fsync + ", full_page_writes " + s.FullPageWrites +
				"): the task view can be damaged then",
			Do: "set both to on. 'claudebench rebuild tasks' makes the view again from the log",
		})
	}
	if s.ReadOnly {
		list = append(list, Risk{
			Stops: true, What: "Postgres accepts no writes (default_transaction_read_only on), so the task view does not advance",
			Do: "set it to off. Managed services set it when the disk is full",
		})
	}
	if s.Recovering {
		list = append(list, Risk{
			Stops: true, What: "Postgres is a read-only standby, so the task view does not advance", Do: "pass the primary with --database-url",
		})
	}
	return list
}

// Warnings returns the risks, a sentence each, with what to do.
func (s Settings) Warnings() []string {
	list := []string{}
	for _, r := range s.Risks() {
		list = append(list, r.What+"; "+r.Do+".")
	}
	return list
}

// Clock returns the time of Postgres.
func (p *Pool) Clock(ctx context.Context) (at time.Time, err error) {
	if err = p.queryRow(ctx, `SELECT clock_timestamp()`, nil, &at); err != nil {
		return at, fmt.Errorf("ask Postgres for its time: %w", err)
	}
	return at, nil
}

// Migrations compares the migrations of the database with those of this program. The error is one
// that NotMigrated reports if no coordinator has migrated the database yet.
func (p *Pool) Migrations(ctx context.Context) (migrations.State, error) {
	return migrations.Read(ctx, p.Pool, p.schema)
}
