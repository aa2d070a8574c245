package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/fleet"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/redisconn"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/lua"
	"github.com/claudebench/claudebench/projections"
)

const (
	// startPatience is how long Start waits for Redis.
	startPatience = 15 * time.Second
	// identifyPatience is how long Start waits for Postgres to say which log it follows.
	identifyPatience = 3 * time.Second
)

// connect opens the stores and waits until Redis answers.
func (s *Server) connect(ctx context.Context, cfg *config.Config, embedded bool) error {
	redisconn.LogTo(s.logger)
	var err error
	if s.redis, err = redisconn.Open(cfg.RedisURL, cfg.Namespace); err != nil {
		return err
	}
	space, err := keys.New(cfg.Namespace)
	if err != nil {
		return err
	}
	s.inspector = redisconn.NewInspector(s.redis, space.Log())
	if !embedded {
		if err := s.checkRedis(ctx, cfg); err != nil {
			return err
		}
	}
	if cfg.DatabaseURL == "" {
		s.logger.WarnContext(ctx, "task.list and session.* are unavailable without Postgres; pass --database-url")
		return nil
	}
	s.pool, err = projections.OpenPool(ctx, cfg.DatabaseURL, cfg.Namespace)
	return err
}

// checkRedis waits until Redis answers, and refuses one whose settings can lose data.
func (s *Server) checkRedis(ctx context.Context, cfg *config.Config) error {
	patience, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	retry := time.NewTicker(250 * time.Millisecond)
	defer retry.Stop()
	var last error
	for {
		warning, err := s.inspector.Check(patience, cfg.AllowVolatile)
		if err == nil {
			if warning != "" {
				s.logger.InfoContext(ctx, warning)
			}
			return nil
		}
		err = redisconn.Explain(err, cfg.RedisURL)
		if !redisconn.Temporary(err) {
			return err
		}
		told := last != nil
		if patience.Err() == nil || !told {
			last = err // rather than that the time is over
		}
		if !told {
			s.logger.WarnContext(ctx, "waiting for Redis", "error", err, "at_most", startPatience.String())
		}
		select {
		case <-retry.C:
		case <-patience.Done():
			if ctx.Err() != nil {
				return fmt.Errorf("wait for Redis: %w", ctx.Err())
			}
			return fmt.Errorf("redis did not reply for %s: %w", startPatience, last)
		}
	}
}

// checkCommands asks whether Redis takes commands. A cause that an operator must remove, the ACL,
// stops startup. A cause that passes by itself, such as a failover, is logged.
func (s *Server) checkCommands(ctx context.Context, cfg *config.Config, coordinator *commands.Coordinator) error {
	err := coordinator.Writable(ctx)
	cause := lua.Cause(err)
	switch {
	case cause == "":
		return nil
	case redis.HasErrorPrefix(err, "NOPERM"), strings.Contains(cause, "ACL"):
		return redisconn.Explain(fmt.Errorf("run a script as commands do: %w", err), cfg.RedisURL)
	}
	s.logger.WarnContext(ctx, "Redis accepts no commands yet", "cause", cause, "error", err)
	return nil
}

// checkKeys refuses a Redis in which another program uses the keys of the log, because every
// command would fail with WRONGTYPE.
func (s *Server) checkKeys(ctx context.Context, space keys.Space) error {
	for key, want := range map[string]string{space.Log(): "hash", space.Events(): "stream"} {
		kind, err := s.redis.Type(ctx, key).Result()
		if err == nil && kind != want && kind != "none" {
			return fmt.Errorf("the key %s is a %s, not a %s: another program uses it; choose another database or --namespace", key, kind, want)
		}
	}
	return nil
}

// checkFormat refuses a log that is newer than this program, before anything is changed. If Redis
// does not answer, join asks again.
func (s *Server) checkFormat(ctx context.Context, namespace string) error {
	reader, err := events.NewReader(s.redis, events.ReaderConfig{Namespace: namespace, Logger: s.logger})
	if err != nil {
		return err
	}
	newer := (*events.NewerLogError)(nil)
	if errors.As(reader.CheckFormat(ctx), &newer) {
		return newer
	}
	return nil
}

// join refuses a log that is newer than this program, and settings that differ from those of the
// running coordinators. While Redis takes no commands nothing is compared; Keep compares later and
// reports a difference.
func (s *Server) join(ctx context.Context, cfg *config.Config) error {
	s.fleet = fleet.New(s.scripts, s.version, cfg, s.logger)
	err := s.fleet.Join(ctx, cfg.ReplaceSettings)
	if ctx.Err() == nil && (errors.Is(err, lua.ErrUnavailable) || errors.Is(err, lua.ErrOutcomeUnknown)) {
		s.logger.WarnContext(ctx, "cannot compare the settings with those of other coordinators yet; retrying", "error", err)
		return nil
	}
	return err
}

// openLog returns the identity of the log in Redis, and gives the log one if it has none. Without
// Postgres nothing needs the identity yet, so a Redis that cannot be written does not stop startup.
func (s *Server) openLog(ctx context.Context, redisConfig projections.RedisConfig) (string, error) {
	identity, err := projections.OpenLog(ctx, redisConfig)
	if err != nil && s.pool == nil {
		s.logger.WarnContext(ctx, "cannot store an identity for the log; the next coordinator that starts will", "error", err)
		return "", nil
	}
	return identity, err
}

// openViews sets the task views and the event index of this Redis's log, unless the index is off. It
// refuses a database that follows another log. If the database is unavailable, the identities are
// compared when it is back, before anything is read or written.
func (s *Server) openViews(ctx context.Context, cfg *config.Config, identity string, takeOver bool) error {
	reader, err := events.NewReader(s.redis, events.ReaderConfig{Namespace: cfg.Namespace, Logger: s.logger})
	if err != nil {
		return err
	}
	postgres := projections.PostgresConfig{Pool: s.pool, Logger: s.logger, Identity: identity, Log: reader, TakeOver: takeOver}
	ctx, cancel := context.WithTimeout(ctx, identifyPatience)
	defer cancel()
	s.tasks = projections.NewTasks(postgres)
	if err := s.tasks.Identify(ctx); errors.Is(err, events.ErrForeignLog) {
		return err
	}
	if cfg.NoEventIndex {
		return nil
	}
	s.events = projections.NewEvents(postgres)
	if err := s.events.Identify(ctx); errors.Is(err, events.ErrForeignLog) {
		return err
	}
	return nil
}

// checkpoints reads the checkpoints of the projections into Postgres.
func (s *Server) checkpoints(ctx context.Context) (at taskview.Checkpoints, err error) {
	tasks, err := s.tasks.Checkpoint(ctx)
	if err != nil {
		return taskview.Checkpoints{}, err
	}
	at.Tasks = tasks.String()
	if s.events == nil {
		return at, nil
	}
	index, err := s.events.Checkpoint(ctx)
	if err != nil {
		return taskview.Checkpoints{}, err
	}
	at.Events = index.String()
	return at, nil
}
