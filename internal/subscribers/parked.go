package subscribers

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/lua"
)

// Parked is an event that a consumer group has given up.
type Parked struct {
	ID         string `json:"id"` // of the parked entry
	At         string `json:"at"` // when it was parked
	Group      string `json:"group"`
	Consumer   string `json:"consumer"`
	Type       string `json:"type"`  // of the topic
	Event      string `json:"event"` // the ID in the log
	Deliveries int64  `json:"deliveries"`
	Reason     string `json:"reason"` // nacked, unanswered or malformed
	Detail     string `json:"detail,omitempty"`
	Data       string `json:"data,omitempty"` // the entry as it was stored; absent if it is long and in the log
}

// parkedPage is the number of entries in one read of the parked events.
const parkedPage = 500

// ListParked returns the parked events, the oldest first: of a group, or of all with "".
func ListParked(ctx context.Context, client redis.UniversalClient, space keys.Space, group string) ([]Parked, error) {
	list := []Parked{}
	for from := "-"; ; {
		page, err := client.XRangeN(ctx, space.Parked(), from, "+", parkedPage).Result()
		if err != nil {
			return nil, fmt.Errorf("read the parked events: %w", err)
		}
		for _, m := range page {
			if p := parkedFrom(m); group == "" || p.Group == group {
				list = append(list, p)
			}
		}
		if len(page) < parkedPage {
			return list, nil
		}
		from = "(" + page[len(page)-1].ID
	}
}

func parkedFrom(m redis.XMessage) Parked {
	text := func(field string) string { s, _ := m.Values[field].(string); return s }
	p := Parked{
		ID: m.ID, Group: text("group"), Consumer: text("consumer"), Type: text("type"), Event: text("event"),
		Reason: text("reason"), Detail: text("detail"), Data: text("data"),
	}
	p.Deliveries, _ = strconv.ParseInt(text("deliveries"), 10, 64) // 0 if another program wrote it
	if id, err := events.ParseID(m.ID); err == nil {
		p.At = time.UnixMilli(id.MS).UTC().Format(events.TimeLayout)
	}
	return p
}

type idsArgs struct{ IDs []string }

var (
	retryParked = lua.Bind[idsArgs]("retry_parked")
	dropParked  = lua.Bind[idsArgs]("drop_parked")
)

// Outcome says what became of parked events. What is not Done stays as it was.
type Outcome struct {
	Done         int64 `json:"done"`         // retried or dropped
	NotParked    int64 `json:"notParked"`    // IDs of no parked event
	WithoutGroup int64 `json:"withoutGroup"` // the group does not exist any more
	Lost         int64 `json:"lost"`         // the log no longer has the event, and the parked entry does not hold it
}

// RetryParked delivers parked events again, each to the group that has parked it, and only to that.
func RetryParked(ctx context.Context, scripts lua.Scripts, ids []string) (Outcome, error) {
	return inPages(ctx, scripts, retryParked, ids)
}

// DropParked deletes parked events.
func DropParked(ctx context.Context, scripts lua.Scripts, ids []string) (Outcome, error) {
	return inPages(ctx, scripts, dropParked, ids)
}

// inPages runs a script that takes IDs and returns counts. An Outcome with an error is that of the
// IDs before.
func inPages(ctx context.Context, scripts lua.Scripts, script lua.Bound[idsArgs], ids []string) (Outcome, error) {
	var all Outcome
	for len(ids) > 0 {
		n := min(len(ids), 100)
		reply, err := script.Run(ctx, scripts, idsArgs{ids[:n]})
		if err != nil {
			return all, err
		}
		counts, _ := reply.([]any)
		for i, into := range []*int64{&all.Done, &all.NotParked, &all.WithoutGroup, &all.Lost} {
			if i < len(counts) {
				*into += lua.Integer(counts[i])
			}
		}
		ids = ids[n:]
	}
	return all, nil
}
