package client

import (
	"encoding/json"
	"time"
)

// slack is how much longer than the coordinator the client waits, for the network.
const slack = 5 * time.Second

// repeats says when a call of a method may be repeated although it may have taken effect.
type repeats int

const (
	never     repeats = iota
	always            // it only reads, or doing it twice does the same as doing it once
	withKey           // if it has an idempotencyKey
	withKeys          // if each item has an idempotencyKey
	inSession         // if it names the session of the instance
)

// policy is what a client has to know about a method.
type policy struct {
	timeout time.Duration // the coordinator's
	repeats repeats
}

// policies are those of all methods. TestPolicies compares them with the coordinator's list.
var policies = map[string]policy{
	"system.register":      {5 * time.Second, inSession},
	"system.heartbeat":     {2 * time.Second, always},
	"system.unregister":    {5 * time.Second, inSession},
	"system.health":        {3 * time.Second, always},
	"system.check_health":  {5 * time.Second, always},
	"system.metrics":       {3 * time.Second, always},
	"system.get_state":     {30 * time.Second, always},
	"system.info":          {3 * time.Second, always},
	"system.subscribers":   {3 * time.Second, always},
	"system.batch.process": {30 * time.Second, always},
	"system.quorum.vote":   {5 * time.Second, never},
	"system.discover":      {5 * time.Second, always},
	"system.flush":         {10 * time.Minute, never},
	"task.create":          {5 * time.Second, withKey},
	"task.create_many":     {15 * time.Second, withKeys},
	"task.update":          {5 * time.Second, never},
	"task.assign":          {5 * time.Second, never},
	"task.unassign":        {5 * time.Second, never},
	"task.claim":           {5 * time.Second, withKey},
	"task.complete":        {5 * time.Second, withKey},
	"task.complete_many":   {15 * time.Second, withKeys},
	"task.progress":        {5 * time.Second, always},
	"task.cancel":          {5 * time.Second, always},
	"task.retry":           {5 * time.Second, always},
	"task.cancel_many":     {30 * time.Second, always},
	"task.retry_many":      {30 * time.Second, always},
	"task.delete_many":     {30 * time.Second, always},
	"limit.set":            {5 * time.Second, always},
	"limit.list":           {5 * time.Second, always},
	"limit.delete":         {5 * time.Second, always},
	"task.list":            {10 * time.Second, always},
	"task.get":             {5 * time.Second, always},
	"task.delete":          {5 * time.Second, never},
	"task.history":         {10 * time.Second, always},
	"schedule.put":         {5 * time.Second, always},
	"schedule.get":         {5 * time.Second, always},
	"schedule.list":        {5 * time.Second, always},
	"schedule.delete":      {5 * time.Second, never},
	"session.list":         {10 * time.Second, always},
	"session.get":          {10 * time.Second, always},
	"event.get":            {5 * time.Second, always},
	"queue.pause":          {5 * time.Second, always},
	"queue.resume":         {5 * time.Second, always},
	"audit.verify":         {5 * time.Second, always},
	"audit.status":         {3 * time.Second, always},
	"audit.diff":           {30 * time.Second, always},
	"instance.history":     {10 * time.Second, always},
	"event.list":           {10 * time.Second, always},
	"hook.record":          {100 * time.Millisecond, never},
	"rpc.discover":         {5 * time.Second, always},
}

// unknownTimeout is that of a method that this client does not know. It is that of the slowest one.
const unknownTimeout = 10 * time.Minute

// timeout returns how long a client waits for the answer to a call.
func timeout(method string, params json.RawMessage) time.Duration {
	p, known := policies[method]
	if !known {
		return unknownTimeout + slack
	}
	var given struct {
		WaitMs int64 `json:"waitMs"`
	}
	if method == "task.claim" {
		_ = json.Unmarshal(params, &given) // 0 then; the coordinator will reject it
	}
	return p.timeout + slack + time.Duration(given.WaitMs)*time.Millisecond
}

// repeatable reports whether a call may be repeated although it may have taken effect.
func repeatable(method string, params json.RawMessage) bool {
	type keyed struct {
		IdempotencyKey string `json:"idempotencyKey"`
	}
	var given struct {
		keyed
		Tasks, Items []keyed
		SessionID    string                     `json:"sessionId"`
		Metadata     struct{ SessionID string } `json:"metadata"`
	}
	switch policies[method].repeats {
	case always:
		return true
	case withKey:
		return json.Unmarshal(params, &given) == nil && given.IdempotencyKey != ""
	case withKeys:
		if json.Unmarshal(params, &given) != nil {
			return false
		}
		for _, item := range append(given.Tasks, given.Items...) {
			if item.IdempotencyKey == "" {
				return false
			}
		}
		return true
	case inSession:
		return json.Unmarshal(params, &given) == nil && given.SessionID+given.Metadata.SessionID != ""
	}
	return false
}
