// Package redisconn connects to Redis as the coordinator needs it: one server, a cluster or
// Sentinel by one URL, with the client's own retries off (a lost reply would run a command twice),
// and checks at the start that this Redis can be trusted with the data.
package redisconn

import (
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Open returns a client for a URL; it does not connect yet. Clusters need a namespace, since only
// the keys of one namespace lie in one slot. What is not listed here is refused.
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
	// Notifications of managed services about their maintenance cost a command at each connection.
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewUniversalClient(o), nil
}

// CheckURL returns the error of Open, without opening anything.
func CheckURL(rawURL, namespace string) error {
	_, err := parseURL(rawURL, namespace)
	return err
}
