package server

import (
	"context"
	"sync"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/redisconn"
	"github.com/claudebench/claudebench/projections"
)

// stores describes the stores for system.info.
type stores struct {
	redis    *redisconn.Inspector
	embedded bool
	postgres *postgresInspector // nil without Postgres
}

// describe returns what system.info says about the stores.
func (s *Server) describe() stores {
	d := stores{redis: s.inspector, embedded: s.embedded}
	if s.pool != nil {
		d.postgres = &postgresInspector{ask: s.pool.Settings, status: func(ctx context.Context) string {
			status, _ := s.postgres(ctx)
			return status
		}}
	}
	return d
}

// Redis implements system.Stores.
func (s stores) Redis(ctx context.Context) api.RedisInfo {
	if s.embedded {
		return api.RedisInfo{
			Status: storeOK, Product: "in-memory", Version: api.Unknown, Mode: "standalone", Role: "master", Policy: "noeviction",
			Persistence: api.RedisPersistence{AOF: "off", Fsync: "no", LastAOFWrite: api.Unknown, LastSnapshotWrite: api.Unknown},
			Warnings: []string{"Redis is inside the coordinator's process and keeps nothing on disk: everything is lost when the coordinator ends; " +
				"install Redis 7 or Valkey."},
		}
	}
	settings, err := s.redis.Settings(ctx)
	info := api.RedisInfo{
		Status: storeOK, Product: settings.Product, Version: settings.Version, Mode: settings.Mode, Role: settings.Role, Policy: settings.Policy,
		Persistence: api.RedisPersistence{
			AOF: settings.AppendOnly, Fsync: settings.Fsync, LastAOFWrite: settings.LastWrite, LastSnapshotWrite: settings.LastSnapshot,
		},
		Warnings: settings.Warnings(),
	}
	if err != nil {
		info.Status, info.Warnings = storeUnavailable, []string{}
	}
	if settings.UsedMemory >= 0 {
		info.MemoryUsed = &settings.UsedMemory
	}
	if settings.MaxMemory >= 0 {
		info.MaxMemory = &settings.MaxMemory
	}
	return info
}

// Postgres implements system.Stores.
func (s stores) Postgres(ctx context.Context) *api.PostgresInfo {
	if s.postgres == nil {
		return nil
	}
	info := s.postgres.read(ctx)
	return &info
}

const (
	// postgresFresh is how long the description of Postgres is reused.
	postgresFresh = 5 * time.Second
	// postgresPatience is how long Postgres has to reply.
	postgresPatience = time.Second
)

// postgresInspector reads the settings of Postgres. It is safe for concurrent use.
type postgresInspector struct {
	ask    func(context.Context) (projections.Settings, error)
	status func(context.Context) string

	mu    sync.Mutex
	asked time.Time
	last  api.PostgresInfo
}

// read returns the description as it was at most five seconds ago. It returns within about a
// second, and does not end early with ctx, because other callers wait for the same result.
func (p *postgresInspector) read(ctx context.Context) api.PostgresInfo {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.asked.IsZero() && time.Since(p.asked) < postgresFresh {
		return p.last
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), postgresPatience)
	defer cancel()
	p.last = api.PostgresInfo{
		Version: api.Unknown, Fsync: api.Unknown, SynchronousCommit: api.Unknown, FullPageWrites: api.Unknown, Warnings: []string{},
	}
	var asked sync.WaitGroup
	asked.Go(func() { p.last.Status = p.status(ctx) })
	if s, err := p.ask(ctx); err == nil {
		p.last.Version, p.last.Fsync, p.last.SynchronousCommit, p.last.FullPageWrites = s.Version, s.Fsync, s.SynchronousCommit, s.FullPageWrites
		p.last.Warnings = s.Warnings()
	}
	asked.Wait()
	p.asked = time.Now()
	return p.last
}
