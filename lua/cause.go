package lua

import (
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// refusals are the replies with which Redis refuses to run a script, and their causes for an
// operator. A reply with an empty cause needs no operator, because the program itself selects
// another node, sends the source of the script, or tries again.
var refusals = []struct{ prefix, cause string }{
	{"LOADING", "Redis is loading its data"},
	{"READONLY", "this Redis is a read-only replica; use the address of the master"},
	{"MASTERDOWN", "this Redis is a replica that has lost its master"},
	{"CLUSTERDOWN", "the Redis cluster is down"},
	{"BUSY", "another program's script blocks Redis"},
	{"OOM", "Redis has reached its maxmemory and accepts no more data"},
	{"MISCONF", "Redis cannot save to its disk and accepts no writes"},
	{"NOREPLICAS", "Redis has fewer replicas than its min-replicas-to-write"},
	{"NOPERM", forbidden},
	{"NOAUTH", "Redis requires a password, but --redis-url has none"},
	{"WRONGPASS", "Redis rejects the user or password of --redis-url"},
	{"max number of clients", "Redis has reached its maxclients"},
	{"TRYAGAIN", ""},
	{"MOVED", ""},
	{"ASK", ""},
	{"NOSCRIPT", ""},
}

const forbidden = "the ACL of the Redis user forbids a command or a key that it needs"

// Cause returns why Redis refused to run a script, as a sentence for an operator. The sentence
// contains no text from Redis. Cause returns "" for any other error, such as a failed connection.
func Cause(err error) string {
	if refusedInside(err) {
		return forbidden
	}
	_, cause := refusal(err)
	return cause
}

// Forbidden reports whether the ACL of the Redis user forbids a command, a script, or what a script
// does.
func Forbidden(err error) bool { return redis.HasErrorPrefix(err, "NOPERM") || refusedInside(err) }

// refusal reports whether an error is a reply with which Redis refused to run the script, and
// returns the cause.
func refusal(err error) (refused bool, cause string) {
	for _, r := range refusals {
		if redis.HasErrorPrefix(err, r.prefix) {
			return true, r.cause
		}
	}
	return false, ""
}

// refusedInside reports whether the ACL stopped a script that had begun. The script's commands
// before the forbidden one have run.
func refusedInside(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply) &&
		(redis.HasErrorPrefix(err, "NOPERM ACL failure in script") || // Redis 7.2
			strings.Contains(reply.Error(), "The user executing the script can't")) // Redis 7.0
}
