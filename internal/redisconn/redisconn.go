// Package redisconn connects to Redis: to a single server, to a cluster or through Sentinel, by one
// URL. It disables the client's own retries, because after a lost reply a retry would run a command
// twice. It checks at startup whether this Redis can be trusted with the data.
package redisconn

import (
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Open returns a client for a URL. It does not connect yet. A cluster requires a namespace, because
// only the keys of one namespace are in one slot. Open rejects URLs of any other form than these:
//
//	redis://[user:password@]host[:port][/db]            or ?db=N for the database
//	rediss://…                                          with TLS
//	redis://[user:password@]host:port,host:port,…       a cluster, by its seeds
//	redis+sentinel://[user:password@]host:port,…[/db]?master=NAME[&sentinel_username=…][&sentinel_password=…]
//	rediss+sentinel://…                                 with TLS
func Open(rawURL, namespace string) (redis.UniversalClient, error) {
	o, err := parseURL(rawURL, namespace)
	if err != nil {
		return nil, err
	}
	o.MaxRetries = -1
	o.DialerRetries = 1
	o.DialTimeout = 2 * time.Second
	o.ReadTimeout = 5 * time.Second
	o.WriteTimeout = 5 * time.Second
	o.ContextTimeoutEnabled = true
	o.DisableIdentity = true
	// Managed services announce their maintenance. The subscription costs a command on each
	// connection.
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewUniversalClient(o), nil
}

// CheckURL returns the error that Open would return, without opening anything.
func CheckURL(rawURL, namespace string) error {
	_, err := parseURL(rawURL, namespace)
	return err
}
