package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"sync/atomic"

	"github.com/claudebench/claudebench/internal/api"
)

// Store holds the current tokens of an auth file. It is safe for concurrent use.
type Store struct {
	path    string
	current atomic.Pointer[tokens]
}

// tokens is the content of the file after one read.
type tokens struct {
	byName map[string]api.Token
	byHash map[slot][]entry
}

// slot is the beginning of a hash. It finds candidate entries; the whole hash decides between them.
type slot [8]byte

// Open reads an auth file. An error says what is wrong and in which line.
func Open(path string) (*Store, error) {
	s := &Store{path: path}
	if err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload reads the file again. If it returns an error, the current tokens stay in force.
func (s *Store) Reload() error {
	entries, err := readFile(s.path)
	if err != nil {
		return fmt.Errorf("read the auth file: %w", err)
	}
	t := &tokens{byName: map[string]api.Token{}, byHash: map[slot][]entry{}}
	for _, e := range entries {
		t.byName[e.Name] = e.Token
		t.byHash[slot(e.hash[:8])] = append(t.byHash[slot(e.hash[:8])], e)
	}
	s.current.Store(t)
	return nil
}

// Len returns the number of tokens.
func (s *Store) Len() int { return len(s.current.Load().byName) }

// Token returns the token with a name and reports whether it exists.
func (s *Store) Token(name string) (api.Token, bool) {
	t, ok := s.current.Load().byName[name]
	return t, ok
}

// identify returns the name of a token and reports whether it is valid. Its timing reveals nothing
// that helps to find a token: it compares hashes in constant time, and finds the candidates by the
// beginning of the hash. Even a caller that learnt all of an entry's hash would still have to
// invert it.
func (s *Store) identify(secret string) (name string, ok bool) {
	if !wellFormed(secret) {
		return "", false
	}
	hash := sha256.Sum256([]byte(secret))
	for _, e := range s.current.Load().byHash[slot(hash[:8])] {
		if subtle.ConstantTimeCompare(hash[:], e.hash[:]) == 1 {
			return e.Name, true
		}
	}
	return "", false
}
