package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/redisconn"
	"github.com/claudebench/claudebench/internal/subscribers"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/lua"
	"github.com/claudebench/claudebench/projections"
)

// exam is one run of doctor. What several checks need is read once.
type exam struct {
	Options
	scripts lua.Scripts

	settings func() (redisconn.Settings, error)
	log      func() (logView, error)
	readers  func() (*api.SubscribersResult, error)
	inViews  func() (views, error)
	ready    func() (response, error)
}

func newExam(ctx context.Context, o Options) *exam {
	e := &exam{Options: o, scripts: lua.NewReadOnlyRunner(o.Redis).On(o.Keys.Log())}
	e.settings = once(ctx, redisconn.NewInspector(o.Redis, o.Keys.Log()).Settings)
	e.log = once(ctx, e.readLog)
	e.inViews = once(ctx, e.readViews)
	e.readers = once(ctx, e.readReaders)
	e.ready = once(ctx, e.readReady)
	return e
}

// once returns a function that reads at its first call, and then returns the same.
func once[T any](ctx context.Context, read func(context.Context) (T, error)) func() (T, error) {
	return sync.OnceValues(func() (T, error) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return read(ctx)
	})
}

// logView is what the log holds, and the last verification.
type logView struct {
	Clock        int64             `json:"clock,string"` // of Redis, ms since 1970
	Seq          int64             `json:"seq,string"`
	Base         int64             `json:"base,string"`
	Events       int64             `json:"events"`
	First        events.ID         `json:"first"`
	Last         events.ID         `json:"last"`
	Flushed      bool              `json:"flushed"`
	Verification map[string]string `json:"verification"`

	asked, answered time.Time // by the clock of this machine
}

// now returns the time of Redis.
func (l logView) now() time.Time { return time.UnixMilli(l.Clock) }

var getAuditStatus = lua.Bind[lua.NoArgs]("get_audit_status")

func (e *exam) readLog(ctx context.Context) (l logView, err error) {
	asked := time.Now()
	reply, err := getAuditStatus.RunCommand(ctx, e.scripts, "", "", "0", lua.NoArgs{})
	if err != nil {
		return l, err
	}
	err = getAuditStatus.Unmarshal(reply, &l)
	l.asked, l.answered = asked, time.Now()
	return l, err
}

// views are the checkpoints of the projections into Postgres.
type views struct {
	at         taskview.Checkpoints
	inPostgres []string
}

func (e *exam) readViews(ctx context.Context) (v views, err error) {
	if e.Postgres == nil {
		return v, nil
	}
	v.inPostgres = []string{"tasks"}
	postgres := projections.PostgresConfig{Pool: e.Postgres}
	tasks, err := projections.NewTasks(postgres).Checkpoint(ctx)
	if err != nil {
		return v, err
	}
	v.at.Tasks = tasks.String()
	index, err := projections.NewEvents(postgres).Checkpoint(ctx)
	if err != nil && !projections.NotMigrated(err) {
		return v, err
	}
	if !index.IsZero() {
		v.at.Events = index.String()
	}
	return v, nil
}

// readReaders lists the readers of the log. It leaves out those in Postgres if that does not reply,
// which the check projections reports.
func (e *exam) readReaders(ctx context.Context) (*api.SubscribersResult, error) {
	v, _ := e.inViews()
	return subscribers.List(ctx, e.scripts, v.at, v.inPostgres...)
}

// alive returns the names of the coordinators that are alive.
func (e *exam) alive(ctx context.Context) ([]string, error) {
	return e.Redis.ZRange(ctx, e.Keys.Coordinators(), 0, -1).Result()
}

// unread returns the finding for something that could not be read.
func (e *exam) unread(what string, err error) Finding {
	f := Finding{Level: Unknown}
	var postgres *pgconn.PgError
	var connect *pgconn.ConnectError
	var network *net.OpError
	switch {
	case lua.Forbidden(err):
		f.Text = what + " cannot be read: the Redis user lacks a permission"
		f.Do = "give the user the ACL of an auditor (docs/operations.md)"
	case errors.As(err, &postgres) && postgres.Code == "42501":
		f.Text = what + " cannot be read: the Postgres role lacks a permission"
		f.Do = "let the role read: GRANT USAGE ON SCHEMA and GRANT SELECT ON ALL TABLES IN SCHEMA"
	case errors.Is(err, context.DeadlineExceeded):
		f.Text = fmt.Sprintf("%s did not arrive within %s", what, limit)
		f.Do = "see whether the stores are overloaded; run doctor again"
	case errors.Is(err, lua.ErrUnavailable), errors.As(err, &network), errors.As(err, &connect):
		f.Text = what + " cannot be read: the store does not reply" // the check of the store says why
	default:
		f.Text = fmt.Sprintf("%s cannot be read: %v", what, redisconn.Explain(err, e.RedisURL))
		f.Do = "see the findings about redis and postgres"
	}
	return f
}
