package redisconn

import (
	"regexp"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

var shownParameter = regexp.MustCompile(`^redis URL: (the parameter [a-zA-Z_-]{1,40}|a parameter after the '\?') is (repeated|not supported; [a-z_ ,S]+)$`)

// FuzzOpen opens arbitrary URLs. An error repeats nothing of the URL, because any part may be a
// password. A client that is returned does not retry by itself.
func FuzzOpen(f *testing.F) {
	for _, seed := range []string{
		"redis://localhost", "redis://u:p@localhost:7000/3", "rediss://[::1]:7000", "redis://a:1,b:2,c", "redis+sentinel://:p@a:26379,b:26379/0?master=main",
		"redis://:secret@", "redis://:sec/ret@localhost:6379/0", "redis://:%zz@h", "redis://h/-1", "redis://h/99999999999999999999", "redis://,", "redis://@@h", "://", "",
		"redis://h:6379x/%zz", "redis://\x00", "redis://u:p%00@h", "redis+sentinel://h?master=%00&sentinel_password=x", "rediss+sentinel://h", "redis:///1", "redis://h/?db=2", "redis://h/1?db=2", "redis://h?db=1&db=1", "redis://h?ssl_cert_reqs=none", "redis://[::1]", "redis://h?a=%zz", "redis+sentinel://h?master=m&sentinel_password=p&q=1", "redis://:p@h?#@",
	} {
		f.Add(seed, "")
		f.Add(seed, "ns")
	}
	said := []string{
		"redis URL: the host is missing", "redis URL: the database must be a whole number, as in redis://host:6379/2 or ?db=2", "redis URL: Sentinel needs ?master=NAME",
		"redis URL: a port must be a number from 1 to 65535", "redis URL: the path and ?db= name different databases",
		"redis URL: a Redis cluster has only database 0; remove the database, and separate fleets with --namespace",
		"redis URL: the scheme must be redis, rediss, redis+sentinel or rediss+sentinel",
		"a Redis cluster needs a namespace (--namespace), which puts all keys into one slot", errUnreadable.Error(),
	}
	f.Fuzz(func(t *testing.T, url, namespace string) {
		client, err := Open(url, namespace)
		if err != nil {
			for _, words := range said {
				if err.Error() == words {
					return
				}
			}
			// An error names a parameter, but not if the query may contain a password.
			_, query, _ := strings.Cut(url, "?")
			if shownParameter.MatchString(err.Error()) && (!strings.Contains(err.Error(), "the parameter ") || !strings.ContainsAny(query, "@")) {
				return
			}
			t.Fatalf("Open(%q) says something of its own: %v", url, err)
		}
		defer client.Close()
		single, ok := client.(*redis.Client)
		if _, cluster := client.(*redis.ClusterClient); cluster && (namespace == "" || !strings.Contains(url, ",")) {
			t.Fatalf("Open(%q, %q) gave a cluster", url, namespace)
		}
		if ok && single.Options().MaxRetries != 0 {
			t.Fatalf("Open(%q): the client retries by itself", url)
		}
	})
}
