package mcpstdio

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// keys makes the idempotency keys of calls. A call that a client sends again under the same JSON-RPC
// id has the same key. So has the next call with the same arguments after one whose answer did not
// reach the client, because the client gave up waiting: that call is taken as its repetition, if it
// comes soon. A later one is meant anew.
type keys struct {
	process string           // random
	now     func() time.Time // time.Now, except in tests

	mu         sync.Mutex
	unanswered []unanswered // oldest first
}

// unanswered is a call whose answer did not reach the client.
type unanswered struct {
	digest, key string
	until       time.Time // until when a repetition is expected
}

const (
	// maxUnanswered is the maximum number of calls to remember.
	maxUnanswered = 100
	// repeatWithin is how soon a model repeats a call.
	repeatWithin = 10 * time.Minute
)

// of returns the key of a call and the digest by which to report its end. Arguments are the same
// whatever the order of their members, and absent ones are the same as none.
func (k *keys) of(id, tool string, arguments []byte) (key, digest string) {
	members := map[string]json.RawMessage{}
	if len(arguments) == 0 || json.Unmarshal(arguments, &members) == nil {
		arguments = encode(members)
		if len(members) == 0 {
			arguments = nil
		}
	}
	sum := sha256.Sum256(append([]byte(tool+"\x00"), arguments...))
	digest = hex.EncodeToString(sum[:])
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	k.unanswered = slices.DeleteFunc(k.unanswered, func(u unanswered) bool {
		if u.digest == digest && u.until.After(now) {
			key = u.key
		}
		return u.digest == digest || !u.until.After(now)
	})
	if key != "" {
		return key, digest
	}
	sum = sha256.Sum256([]byte(k.process + "\x00" + id + "\x00" + digest))
	return "mcp-" + hex.EncodeToString(sum[:16]), digest
}

// unheard notes that the answer to a call did not reach the client.
func (k *keys) unheard(digest, key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.unanswered) >= maxUnanswered {
		k.unanswered = slices.Delete(k.unanswered, 0, 1)
	}
	k.unanswered = append(k.unanswered, unanswered{digest, key, k.now().Add(repeatWithin)})
}
