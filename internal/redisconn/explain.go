package redisconn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// Explain adds to an error of Redis what it means and what the operator can do. rawURL is the URL
// that was opened. The error repeats no secret from it. Errors that are clear by themselves are
// returned unchanged.
func Explain(err error, rawURL string) error {
	if err == nil {
		return nil
	}
	if advice := advise(err, rawURL); advice != "" {
		return fmt.Errorf("%s: %w", advice, err)
	}
	return err
}

func advise(err error, rawURL string) string {
	secure := strings.HasPrefix(strings.ToLower(rawURL), "rediss")
	var certificate *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var notTLS tls.RecordHeaderError
	var network net.Error
	switch {
	case redis.HasErrorPrefix(err, "NOPERM"):
		return fmt.Sprintf("the Redis user %q lacks a permission; docs/operations.md lists the ACL of each role", user(rawURL))
	case redis.HasErrorPrefix(err, "WRONGPASS"):
		return fmt.Sprintf("Redis rejects the password of user %q; correct the Redis URL (--redis-url, CB_REDIS_URL)", user(rawURL))
	case redis.HasErrorPrefix(err, "NOAUTH"):
		return "Redis requires a password; add it to the Redis URL, as in redis://user:password@host, and pass the URL in CB_REDIS_URL to hide it from other users"
	case redis.HasErrorPrefix(err, "AUTH"):
		return "the Redis URL has a password, but Redis has none; remove it from the URL, or set one in Redis"
	case redis.HasErrorPrefix(err, "LOADING"):
		return "Redis is loading its data"
	case redis.HasErrorPrefix(err, "DB index is out of range"), redis.HasErrorPrefix(err, "invalid DB index"):
		return "this Redis does not have the database in the Redis URL; correct its number"
	case errors.As(err, &certificate), errors.As(err, &unknown):
		return "Redis's certificate is not trusted; use a host name that the certificate contains, and add its CA to the system's (SSL_CERT_FILE)"
	case errors.As(err, &notTLS):
		return "this port does not speak TLS; use redis:// instead of rediss://"
	case !secure && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
		return "Redis closes the connection at once; if this port expects TLS, use rediss:// instead of redis://"
	case secure && (errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) && network.Timeout()):
		return "Redis does not reply; if this port does not speak TLS, use redis:// instead of rediss://"
	}
	return ""
}

// user returns the user name in a URL that Open has accepted. The name of the default user in Redis
// is "default".
func user(rawURL string) string {
	one, _, err := splitHosts(rawURL)
	if err != nil {
		return "default"
	}
	if u, err := url.Parse(one); err == nil && u.User.Username() != "" {
		return u.User.Username()
	}
	return "default"
}
