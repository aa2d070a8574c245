package redisconn

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/redis/go-redis/v9"
)

// LogTo sends what the Redis client says by itself to logger, at debug: at each attempt to connect
// to a Redis that is gone it would write a line to standard error, and an outage would fill a disk.
// Those who call Redis tell its errors already. It holds for the whole process.
func LogTo(logger *slog.Logger) { redis.SetLogger(clientLog{logger}) }

type clientLog struct{ *slog.Logger }

// Printf is what the client calls.
func (l clientLog) Printf(ctx context.Context, format string, v ...any) {
	if l.Enabled(ctx, slog.LevelDebug) {
		l.DebugContext(ctx, "the Redis client says", "text", fmt.Sprintf(format, v...))
	}
}
