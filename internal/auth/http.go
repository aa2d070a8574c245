package auth

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/httpapi"
)

// Require lets only bearers of a token pass to next, but for the open paths, which tell them from
// others by Name. Others are answered with status 401, whatever path they ask for, so that they do
// not learn which there are. Which roles a call needs is not its concern: commands.Coordinator
// decides that by the name.
func (s *Store) Require(next http.Handler, open ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, why := s.bearer(r)
		switch {
		case why == "":
			r = r.WithContext(context.WithValue(r.Context(), nameKey{}, name))
		case !slices.Contains(open, r.URL.Path):
			challenge := `Bearer realm="claudebench"`
			if r.Header.Get("Authorization") != "" {
				challenge += `, error="invalid_token"` // RFC 6750, section 3
			}
			w.Header().Set("WWW-Authenticate", challenge)
			httpapi.WriteError(w, http.StatusUnauthorized, api.Unauthorized(why))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// bearer returns the name of a request's token, or what is wrong. It does not repeat what was sent.
func (s *Store) bearer(r *http.Request) (name, why string) {
	given := r.Header.Values("Authorization")
	if len(given) == 0 {
		return "", "this needs a token, in the header Authorization: Bearer <token>"
	}
	scheme, secret, _ := strings.Cut(given[0], " ")
	if len(given) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return "", "the header must be one: Authorization: Bearer <token>"
	}
	name, ok := s.identify(strings.TrimSpace(secret))
	if !ok {
		return "", "this needs a token that is in use: the one given is none of this server's"
	}
	return name, ""
}

// nameKey is under which a request's context holds the name of its token.
type nameKey struct{}

// Name is the name of the token that a request came with, from its context; "" when it came with
// none.
func Name(ctx context.Context) string {
	name, _ := ctx.Value(nameKey{}).(string)
	return name
}

// Caller is Name for the transports' options.
func Caller(r *http.Request) string { return Name(r.Context()) }
