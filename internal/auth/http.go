package auth

import (
	"context"
	"net/http"
	"strings"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/httpapi"
)

// Require passes requests to next if they carry a valid token. It rejects others with status 401 on
// every path, so that they cannot find out which paths exist. Requests that open accepts pass in any
// case; Name returns "" for those without a token. Require does not check roles:
// commands.Coordinator does, by the name.
func (s *Store) Require(next http.Handler, open func(*http.Request) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, why := s.bearer(r)
		switch {
		case why == "":
			r = r.WithContext(context.WithValue(r.Context(), nameKey{}, name))
		case !open(r):
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

// Still reports whether a request that Require has let pass would pass now, with the same name.
// Responses that last long ask it after each Reload.
func (s *Store) Still(r *http.Request) bool {
	name, why := s.bearer(r)
	return why == "" && name == Name(r.Context())
}

// bearer returns the name of the request's token, or why it has none. The reason does not repeat
// what was sent.
func (s *Store) bearer(r *http.Request) (name, why string) {
	given := r.Header.Values("Authorization")
	if secret, ok := subprotocol(r); ok && len(given) == 0 {
		given = []string{"Bearer " + secret}
	}
	if len(given) == 0 {
		return "", "a token is required; send the header Authorization: Bearer <token>"
	}
	scheme, secret, _ := strings.Cut(given[0], " ")
	if len(given) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return "", "send exactly one header Authorization: Bearer <token>"
	}
	name, ok := s.identify(strings.TrimSpace(secret))
	if !ok {
		return "", "a valid token is required, and the one sent is unknown; ask the operator for one"
	}
	return name, ""
}

// subprotocol returns the token that a WebSocket handshake carries as the subprotocol
// bearer.<token>. A page in a browser can set no other header of a handshake.
func subprotocol(r *http.Request) (secret string, ok bool) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return "", false
	}
	for _, list := range r.Header.Values("Sec-Websocket-Protocol") {
		for item := range strings.SplitSeq(list, ",") {
			if secret, ok = strings.CutPrefix(strings.TrimSpace(item), "bearer."); ok {
				return secret, true
			}
		}
	}
	return "", false
}

// nameKey is the context key of the name of a request's token.
type nameKey struct{}

// Name returns the name of the token that a request carried, from its context, or "" if it carried
// none.
func Name(ctx context.Context) string {
	name, _ := ctx.Value(nameKey{}).(string)
	return name
}

// Caller is Name for the options of transports.
func Caller(r *http.Request) string { return Name(r.Context()) }
