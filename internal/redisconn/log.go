package redisconn

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/redis/go-redis/v9"
)

// LogTo sends the Redis client's own messages to logger at level debug. By default the client
// writes a line to standard error on each attempt to connect to an unavailable Redis, which would
// fill a disk during an outage. The callers of Redis report its errors anyway. LogTo applies to the
// whole process.
func LogTo(logger *slog.Logger) { redis.SetLogger(clientLog{logger}) }

type clientLog struct{ *slog.Logger }

// Printf implements the logger of the Redis client.
func (l clientLog) Printf(ctx context.Context, format string, v ...any) {
	if l.Enabled(ctx, slog.LevelDebug) {
		l.DebugContext(ctx, "message of the Redis client", "text", fmt.Sprintf(format, v...))
	}
}
