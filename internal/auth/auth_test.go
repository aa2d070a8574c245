package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/claudebench/claudebench/internal/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hash1 and hash2 are well-formed hashes of no token.
var (
	hash1 = "sha256:" + strings.Repeat("1a", 32)
	hash2 = "sha256:" + strings.Repeat("2b", 32)
)

// write writes an auth file.
func write(t *testing.T, path, format string, args ...any) string {
	t.Helper()
	if path == "" {
		path = filepath.Join(t.TempDir(), "tokens.yaml")
	}
	if err := os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, format string, args ...any) *Store {
	t.Helper()
	s, err := Open(write(t, "", format, args...))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Content that is not understood stops startup, and the error names the line.
func TestSecrets(t *testing.T) {
	t.Parallel()
	secret, hash := NewSecret()
	other, _ := NewSecret()
	sum := sha256.Sum256([]byte(secret))
	if secret == other || hash != "sha256:"+hex.EncodeToString(sum[:]) || !wellFormed(secret) || !wellFormed(other) {
		t.Fatalf("%s %s", secret, hash)
	}
	if len(secret) < len("cbt_")+256/5 {
		t.Errorf("%d letters are fewer than 256 bits", len(secret))
	}
	for _, s := range []string{"", "cbt_", secret[4:], secret + "A", secret[:len(secret)-1], secret[:len(secret)-1] + "1", strings.ToLower(secret), "hunter2"} {
		if wellFormed(s) {
			t.Errorf("%q passes for a token", s)
		}
	}
}

// The hash of a chosen password in the file does not make the password a token.
func TestOnlyMadeTokensAreTokens(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte("hunter2"))
	s := open(t, "- {name: a, token: 'sha256:%x', roles: [admin]}\n", sum)
	if name, ok := s.identify("hunter2"); ok {
		t.Errorf("hunter2 is %s", name)
	}
}

// Entries whose hashes have the same beginning are distinguished by the whole hash, and only by a
// comparison in constant time.
func TestIdentifyComparesWholeHashes(t *testing.T) {
	t.Parallel()
	secret, hash := NewSecret()
	begins := hash[:7+16]
	s := open(t, "- {name: a, token: '%s%s', roles: [admin]}\n- {name: b, token: '%s', roles: [agent]}\n- {name: c, token: '%s', roles: [agent]}\n",
		begins, strings.Repeat("0", 48), hash, begins+strings.Repeat("f", 48))
	if name, ok := s.identify(secret); !ok || name != "b" {
		t.Errorf("it is %q, %t", name, ok)
	}
	if other, _ := NewSecret(); true {
		if name, ok := s.identify(other); ok {
			t.Errorf("another is %q", name)
		}
	}

	// subtle's comparison must be the only one of hashes in the package: no ==, no bytes.Equal, no
	// hash as a map key except its beginning.
	files, err := parser.ParseFile(token.NewFileSet(), "store.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	constant := 0
	ast.Inspect(files, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if n.Sel.Name == "ConstantTimeCompare" {
				constant++
			}
			if n.Sel.Name == "Equal" || n.Sel.Name == "EqualFold" {
				t.Errorf("store.go compares with %s", n.Sel.Name)
			}
		case *ast.BinaryExpr:
			for _, side := range []ast.Expr{n.X, n.Y} {
				if sel, ok := side.(*ast.SelectorExpr); ok && sel.Sel.Name == "hash" {
					t.Error("store.go compares a hash by an operator")
				}
				if id, ok := side.(*ast.Ident); ok && (id.Name == "hash" || id.Name == "secret") {
					t.Errorf("store.go compares %s by an operator", id.Name)
				}
			}
		}
		return true
	})
	if constant != 1 {
		t.Errorf("store.go compares in constant time in %d places", constant)
	}
}

// A reload replaces the tokens at once. An invalid file replaces nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	first, hash := NewSecret()
	second, hashed := NewSecret()
	path := write(t, "", "- {name: a, token: '%s', roles: [agent]}\n", hash)
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	known := func(secret string) bool { _, ok := s.identify(secret); return ok }
	write(t, path, "- {name: a, token: '%s', roles: [root]}\n", hashed)
	if err := s.Reload(); err == nil || !strings.Contains(err.Error(), `unknown role "root"`) {
		t.Errorf("a bad file: %v", err)
	}
	if !known(first) || known(second) {
		t.Error("a bad file changed the tokens")
	}
	write(t, path, "- {name: b, token: '%s', roles: [admin]}\n", hashed)
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Token("a"); ok || known(first) || !known(second) {
		t.Error("the tokens are still the old ones")
	}
}

func TestRequire(t *testing.T) {
	t.Parallel()
	secret, hash := NewSecret()
	stranger, _ := NewSecret()
	s := open(t, "- {name: a, token: '%s', roles: [agent]}\n", hash)
	h := s.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s|%s", Caller(r), Name(r.Context()))
	}), func(r *http.Request) bool { return r.URL.Path == "/healthz" })
	for name, wire := range map[string]struct {
		path      string
		header    []string
		status    int
		body      string
		challenge string
	}{
		"token":                   {"/rpc", []string{"Bearer " + secret}, 200, "a|a", ""},
		"scheme in small letters": {"/rpc", []string{"bearer  " + secret}, 200, "a|a", ""},
		"none":                    {"/rpc", nil, 401, "Authorization: Bearer", `Bearer realm="claudebench"`},
		"empty":                   {"/rpc", []string{""}, 401, "Authorization: Bearer", `Bearer realm="claudebench"`},
		"another's":               {"/rpc", []string{"Bearer " + stranger}, 401, "a valid token", `Bearer realm="claudebench", error="invalid_token"`},
		"no secret":               {"/rpc", []string{"Bearer"}, 401, "a valid token", `Bearer realm="claudebench", error="invalid_token"`},
		"the hash":                {"/rpc", []string{"Bearer " + hash}, 401, "a valid token", `Bearer realm="claudebench", error="invalid_token"`},
		"basic":                   {"/rpc", []string{"Basic " + secret}, 401, "exactly one", `Bearer realm="claudebench", error="invalid_token"`},
		"two":                     {"/rpc", []string{"Bearer " + secret, "Bearer " + secret}, 401, "exactly one", `Bearer realm="claudebench", error="invalid_token"`},
		"no such path":            {"/nothing", nil, 401, "token", `Bearer realm="claudebench"`},
		"below an open path":      {"/healthz/x", nil, 401, "token", `Bearer realm="claudebench"`},
		"open":                    {"/healthz", nil, 200, "|", ""},
		"open, wrong token":       {"/healthz", []string{"Bearer " + stranger}, 200, "|", ""},
		"open, token":             {"/healthz", []string{"Bearer " + secret}, 200, "a|a", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodPost, wire.path, nil)
			for _, value := range wire.header {
				r.Header.Add("Authorization", value)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != wire.status || !strings.Contains(w.Body.String(), wire.body) || w.Header().Get("WWW-Authenticate") != wire.challenge {
				t.Errorf("%d %s %q", w.Code, w.Body, w.Header().Get("WWW-Authenticate"))
			}
			if w.Code != http.StatusUnauthorized {
				return
			}
			var answer struct {
				Error struct {
					Code          int
					Message, Data string
				}
			}
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Error.Code != api.CodeUnauthorized ||
				answer.Error.Message != "Unauthorized" || answer.Error.Data == "" {
				t.Errorf("the body is %s", w.Body)
			}
			for _, told := range []string{secret, stranger, hash[7:]} {
				if strings.Contains(w.Body.String(), told) {
					t.Errorf("the answer repeats what was sent: %s", w.Body)
				}
			}
		})
	}
}

// During concurrent calls and reloads, each call sees either the old file or the new one.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	secret, hash := NewSecret()
	path := write(t, "", "- {name: a, token: '%s', roles: [agent]}\n", hash)
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 2000 {
				if name, ok := s.identify(secret); !ok || name != "a" {
					t.Errorf("it is %q, %t", name, ok)
					return
				}
			}
		})
	}
	for range 50 {
		if err := s.Reload(); err != nil {
			t.Error(err)
		}
	}
	group.Wait()
}

func BenchmarkIdentify(b *testing.B) {
	const many = 10_000
	var secret string
	var file []byte
	for i := range many {
		made, hash := NewSecret()
		secret = made
		file = fmt.Appendf(file, "- {name: a%d, token: '%s', roles: [agent]}\n", i, hash)
	}
	path := filepath.Join(b.TempDir(), "tokens.yaml")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		b.Fatal(err)
	}
	s, err := Open(path)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, ok := s.identify(secret); !ok {
			b.Fatal("unknown")
		}
	}
}

// A user who can write the file could become admin.
// Without a writer, opening a pipe waits, and so would all reloads after it: a token that is removed
// later would stay in force.
