package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"sync/atomic"

	"github.com/claudebench/claudebench/internal/api"
)

// Store has the tokens of an auth file that are in force. It is used from many goroutines at once.
type Store struct {
	path    string
	current atomic.Pointer[tokens]
}

// tokens are those of one reading of the file.
type tokens struct {
	byName map[string]api.Token
	byHash map[slot][]entry
}

// slot is the beginning of a hash, by which entries are found; whether one of them is meant is
// decided by the whole of it.
type slot [8]byte

// Open reads an auth file. The error says what is wrong with it, and where.
func Open(path string) (*Store, error) {
	s := &Store{path: path}
	if err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload reads the file again. What was in force stays so when it returns an error.
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

// Len is how many tokens there are.
func (s *Store) Len() int { return len(s.current.Load().byName) }

// Token returns the token of a name, and whether there is one.
func (s *Store) Token(name string) (api.Token, bool) {
	t, ok := s.current.Load().byName[name]
	return t, ok
}

// identify returns the name of a token, and whether it is in force. How long it takes tells nothing
// that brings anybody nearer to a token: what is compared are hashes, in constant time, and the
// entries to compare with are found by the hash's beginning. Who would learn even all of an entry's
// hash would still have to find what it is the hash of.
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
