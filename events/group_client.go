package events

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// groupClient is the Redis client that the wrapped subscriber sees. It is the caller's client,
// except for the calls that the wrapped subscriber handles badly.
type groupClient struct {
	redis.UniversalClient
	closing context.Context
	logger  *slog.Logger
	reads   waits
}

func newGroupClient(closing context.Context, client redis.UniversalClient, logger *slog.Logger) *groupClient {
	return &groupClient{UniversalClient: client, closing: closing, logger: logger}
}

// Close does nothing, because the wrapped subscriber would close the caller's client.
func (c *groupClient) Close() error { return nil }

// XGroupDelConsumer does nothing. A consumer that was idle a moment ago may have taken events
// since, and they would be lost with it.
func (c *groupClient) XGroupDelConsumer(ctx context.Context, _, _, _ string) *redis.IntCmd {
	return redis.NewIntCmd(ctx)
}

// XReadGroup recreates a group that a flush removed. It also waits during outages, which the
// wrapped subscriber would log twice a second.
func (c *groupClient) XReadGroup(ctx context.Context, args *redis.XReadGroupArgs) *redis.XStreamSliceCmd {
	down := outage{logger: c.logger, step: "reading the topic " + args.Streams[0]}
	retry := backoff{first: 50 * time.Millisecond, last: 2 * time.Second}
	for {
		if !c.reads.enter(c.closing) {
			return nothing(ctx)
		}
		cmd := c.UniversalClient.XReadGroup(ctx, args)
		err := cmd.Err()
		if err != nil && groupGone(err) {
			// Start at the first event kept: events that were read before the flush are no longer
			// in the topic, and none that came since is missed.
			err = c.UniversalClient.XGroupCreateMkStream(ctx, args.Streams[0], args.Group, "0").Err()
			if err == nil || strings.HasPrefix(err.Error(), "BUSYGROUP") {
				c.logger.Warn("created a missing consumer group again", "topic", args.Streams[0], "group", args.Group)
				err = redis.Nil
				cmd = nothing(ctx)
			}
		}
		c.reads.leave()
		if err == nil || errors.Is(err, redis.Nil) {
			down.worked()
			return cmd
		}
		if ctx.Err() != nil || c.closing.Err() != nil {
			return nothing(ctx)
		}
		down.failed(err)
		if retry.wait(ctx) != nil {
			return nothing(ctx)
		}
	}
}

// XPendingExt returns nothing if the group does not exist; XReadGroup creates it.
func (c *groupClient) XPendingExt(ctx context.Context, args *redis.XPendingExtArgs) *redis.XPendingExtCmd {
	cmd := c.UniversalClient.XPendingExt(ctx, args)
	if err := cmd.Err(); err != nil && (groupGone(err) || ctx.Err() != nil) {
		cmd.SetErr(nil)
	}
	return cmd
}

// XInfoConsumers returns nothing, because its result is only used to delete consumers.
func (c *groupClient) XInfoConsumers(ctx context.Context, stream, group string) *redis.XInfoConsumersCmd {
	return redis.NewXInfoConsumersCmd(ctx, stream, group)
}

// nothing returns the result of a read that timed out.
func nothing(ctx context.Context) *redis.XStreamSliceCmd {
	cmd := redis.NewXStreamSliceCmd(ctx)
	cmd.SetErr(redis.Nil)
	return cmd
}

// groupGone reports whether err means that the group or its stream does not exist. Redis replies
// NOGROUP, or UNBLOCKED to a client that waited in it.
func groupGone(err error) bool {
	return strings.HasPrefix(err.Error(), "NOGROUP") || strings.HasPrefix(err.Error(), "UNBLOCKED")
}
