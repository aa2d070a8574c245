package redisconn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// parseURL parses the URLs that Open documents and rejects everything else. No error repeats a
// value of the URL: if a password is not percent-encoded, any part of the URL may belong to it.
func parseURL(rawURL, namespace string) (*redis.UniversalOptions, error) {
	one, hosts, err := splitHosts(rawURL)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(one)
	if err != nil {
		return nil, errUnreadable
	}
	o := &redis.UniversalOptions{}
	if o.Addrs, err = addresses(hosts); err != nil {
		return nil, err
	}
	o.Username = u.User.Username()
	o.Password, _ = u.User.Password()
	sentinel := false
	switch u.Scheme {
	case "redis":
	case "rediss":
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	case "redis+sentinel":
		sentinel = true
	case "rediss+sentinel":
		sentinel, o.TLSConfig = true, &tls.Config{MinVersion: tls.VersionTLS12}
	default:
		return nil, errors.New("redis URL: the scheme must be redis, rediss, redis+sentinel or rediss+sentinel")
	}
	if strings.Contains(one, "#") {
		return nil, errUnreadable
	}
	database := strings.TrimPrefix(u.Path, "/")
	if database, err = setParameters(o, u.RawQuery, database, sentinel); err != nil {
		return nil, err
	}
	if database != "" {
		if o.DB, err = strconv.Atoi(database); err != nil || o.DB < 0 {
			return nil, errors.New("redis URL: the database must be a whole number, as in redis://host:6379/2 or ?db=2")
		}
	}
	if sentinel && o.MasterName == "" {
		return nil, errors.New("redis URL: Sentinel needs ?master=NAME")
	}
	if o.IsClusterMode = len(o.Addrs) > 1 && !sentinel; o.IsClusterMode {
		if namespace == "" {
			return nil, errors.New("a Redis cluster needs a namespace (--namespace), which puts all keys into one slot")
		}
		if o.DB != 0 {
			return nil, errors.New("redis URL: a Redis cluster has only database 0; remove the database, and separate fleets with --namespace")
		}
	}
	return o, nil
}

// setParameters applies the query of the URL. It returns the database that the path or ?db= names.
func setParameters(o *redis.UniversalOptions, query, database string, sentinel bool) (string, error) {
	if query == "" {
		return database, nil
	}
	parameters, err := url.ParseQuery(query)
	if err != nil {
		return "", errUnreadable
	}
	for name, values := range parameters {
		if len(values) > 1 {
			return "", fmt.Errorf("redis URL: %s is repeated", shown(name, query))
		}
		value := values[0]
		switch {
		case name == "db" && value != "":
			if database != "" && database != value {
				return "", errors.New("redis URL: the path and ?db= name different databases")
			}
			database = value
		case name == "master" && sentinel:
			o.MasterName = value
		case name == "sentinel_username" && sentinel:
			o.SentinelUsername = value
		case name == "sentinel_password" && sentinel:
			o.SentinelPassword = value
		default:
			return "", fmt.Errorf("redis URL: %s is not supported; the parameters are db and, with Sentinel, master, sentinel_username "+
				"and sentinel_password", shown(name, query))
		}
	}
	return database, nil
}

var plainName = regexp.MustCompile(`^[a-zA-Z_-]{1,40}$`)

// shown returns the name of a parameter as an error may repeat it. It hides a name that may be part
// of a password.
func shown(name, query string) string {
	if !plainName.MatchString(name) || !strings.Contains(query, name+"=") || strings.Contains(query, "@") || strings.Contains(query, "password=") {
		return "a parameter after the '?'"
	}
	return "the parameter " + name
}

// errUnreadable contains nothing of the URL, for the reason given at parseURL.
var errUnreadable = errors.New("redis URL: it is not of the form redis://[user:password@]host:port[/db]; " +
	"in a password, write / ? # @ : and % as %2F, %3F, %23, %40, %3A and %25")

// splitHosts returns the hosts of a URL, and the URL with only the first of them, because net/url
// supports only one host.
func splitHosts(rawURL string) (one string, hosts []string, err error) {
	scheme, rest, _ := strings.Cut(rawURL, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	start := strings.LastIndexByte(rest[:end], '@') + 1
	if start == 0 && strings.Contains(rest[end:], "@") {
		// The first part of a password would be taken for the host and repeated in each network
		// error.
		return "", nil, errUnreadable
	}
	hosts = strings.Split(rest[start:end], ",")
	return scheme + "://" + rest[:start] + hosts[0] + rest[end:], hosts, nil
}

// addresses adds Redis's default port to hosts without a port.
func addresses(hosts []string) ([]string, error) {
	all := make([]string, len(hosts))
	for i, host := range hosts {
		if bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"); !strings.Contains(host, ":") || bare+"]" == host[min(1, len(host)):] {
			host = net.JoinHostPort(bare, "6379")
		}
		name, port, err := net.SplitHostPort(host)
		if err != nil || strings.ContainsAny(name, " \t") {
			return nil, errUnreadable
		}
		if name == "" {
			return nil, errors.New("redis URL: the host is missing")
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, errors.New("redis URL: a port must be a number from 1 to 65535")
		}
		all[i] = host
	}
	return all, nil
}
