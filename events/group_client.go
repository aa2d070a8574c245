package events

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// groupClient is the caller's Redis client as the wrapped subscriber sees it: the same, but where
// that subscriber's own handling bites.
type groupClient struct {
	redis.UniversalClient
	closing context.Context
	logger  *slog.Logger
	reads   waits
}

func newGroupClient(closing context.Context, client redis.UniversalClient, logger *slog.Logger) *groupClient {
	return &groupClient{UniversalClient: client, closing: closing, logger: logger}
}

// Close does nothing: the wrapped subscriber closes a client that is not its own.
func (c *groupClient) Close() error { return nil }

// XGroupDelConsumer does nothing: between finding a consumer idle and deleting it, it may have
// taken events, which would be lost with it.
func (c *groupClient) XGroupDelConsumer(ctx context.Context, _, _, _ string) *redis.IntCmd {
	return redis.NewIntCmd(ctx)
}

// XReadGroup makes a group again that a flush removed, and waits out an outage here: the wrapped
// subscriber would log it twice a second.
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
			// From the first event kept: what was read before the flush is no longer in the topic,
			// and nothing that came since is missed.
			err = c.UniversalClient.XGroupCreateMkStream(ctx, args.Streams[0], args.Group, "0").Err()
			if err == nil || strings.HasPrefix(err.Error(), "BUSYGROUP") {
				c.logger.Warn("made a consumer group that was gone", "topic", args.Streams[0], "group", args.Group)
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

// XPendingExt finds nothing where there is no group: XReadGroup makes it.
func (c *groupClient) XPendingExt(ctx context.Context, args *redis.XPendingExtArgs) *redis.XPendingExtCmd {
	cmd := c.UniversalClient.XPendingExt(ctx, args)
	if err := cmd.Err(); err != nil && (groupGone(err) || ctx.Err() != nil) {
		cmd.SetErr(nil)
	}
	return cmd
}

// XInfoConsumers finds nothing: its answer only serves to delete consumers.
func (c *groupClient) XInfoConsumers(ctx context.Context, stream, group string) *redis.XInfoConsumersCmd {
	return redis.NewXInfoConsumersCmd(ctx, stream, group)
}

// nothing is the answer of a read that waited in vain.
func nothing(ctx context.Context) *redis.XStreamSliceCmd {
	cmd := redis.NewXStreamSliceCmd(ctx)
	cmd.SetErr(redis.Nil)
	return cmd
}

// groupGone knows how Redis says that the group, or the stream with it, is not there: NOGROUP, or
// UNBLOCKED to who waited in it.
func groupGone(err error) bool {
	return strings.HasPrefix(err.Error(), "NOGROUP") || strings.HasPrefix(err.Error(), "UNBLOCKED")
}
