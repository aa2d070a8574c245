// Package redisconn connects to Redis as the coordinator needs it: one server, a cluster or Sentinel by
// one URL, with the client's own retries off (a lost reply would run a command twice), and checks at the
// start that this Redis can be trusted with the data.
package redisconn

import (
	"crypto/tls"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Open returns a client for a URL; it does not connect yet. Clusters need a namespace, since only the
// keys of one namespace lie in one slot.
//
//	redis://[user:password@]host:port[/db]
//	rediss://…                                          with TLS
//	redis://[user:password@]host:port,host:port,…       a cluster, by its seeds
//	redis+sentinel://[user:password@]host:port,…[/db]?master=NAME[&sentinel_password=…]
func Open(rawURL, namespace string) (redis.UniversalClient, error) {
	one, hosts, err := splitHosts(rawURL)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(one)
	if err != nil {
		return nil, errUnreadable
	}
	o := &redis.UniversalOptions{
		Addrs:                 hosts,
		MaxRetries:            -1,
		DialerRetries:         1,
		DialTimeout:           2 * time.Second,
		ReadTimeout:           5 * time.Second,
		WriteTimeout:          5 * time.Second,
		ContextTimeoutEnabled: true,
		DisableIdentity:       true,
		// Notifications of managed services about their maintenance cost a command at each connection.
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	for i, addr := range o.Addrs {
		if addr == "" {
			return nil, errors.New("redis URL: it names no host")
		}
		if !strings.Contains(addr, ":") {
			o.Addrs[i] = addr + ":6379"
		}
	}
	o.Username = u.User.Username()
	o.Password, _ = u.User.Password()
	if db := strings.Trim(u.Path, "/"); db != "" {
		if o.DB, err = strconv.Atoi(db); err != nil {
			return nil, errors.New("redis URL: the database, behind the host's /, must be a number")
		}
	}
	if strings.HasPrefix(u.Scheme, "rediss") {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	switch u.Scheme {
	case "redis", "rediss":
		if len(o.Addrs) > 1 {
			if namespace == "" {
				return nil, errors.New("a Redis cluster needs a namespace (--namespace), so that all its keys lie in one slot")
			}
			o.IsClusterMode = true
		}
	case "redis+sentinel", "rediss+sentinel":
		o.MasterName = u.Query().Get("master")
		o.SentinelPassword = u.Query().Get("sentinel_password")
		if o.MasterName == "" {
			return nil, errors.New("redis URL: Sentinel needs ?master=NAME")
		}
	default:
		return nil, errors.New("redis URL: the scheme must be redis, rediss, redis+sentinel or rediss+sentinel")
	}
	return redis.NewUniversalClient(o), nil
}

// errUnreadable tells nothing of what is in the URL: where a password is not encoded, any part of the URL may be the password's.
var errUnreadable = errors.New("redis URL: it cannot be read as redis://[user:password@]host:port[/db] " +
	"(in a password, letters such as / ? # @ : and % are written %2F, %3F, %23, %40, %3A and %25)")

// splitHosts takes the hosts out of a URL, and leaves the first in it: net/url knows one host only.
func splitHosts(rawURL string) (one string, hosts []string, err error) {
	scheme, rest, _ := strings.Cut(rawURL, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	start := strings.LastIndexByte(rest[:end], '@') + 1
	if start == 0 && strings.Contains(rest[end:], "@") {
		// The first part of a password would pass for the host, and be told with each error of the network.
		return "", nil, errUnreadable
	}
	hosts = strings.Split(rest[start:end], ",")
	return scheme + "://" + rest[:start] + hosts[0] + rest[end:], hosts, nil
}
