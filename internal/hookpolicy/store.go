package hookpolicy

import (
	"encoding/json"
	"sync/atomic"
)

// Store holds the current policy of a file. It is safe for concurrent use. A nil *Store has no
// opinion on anything.
type Store struct {
	path    string
	current atomic.Pointer[Policy]
}

// Open reads a policy. Its errors are of type *FileError.
func Open(path string) (*Store, error) {
	s := &Store{path: path}
	if err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload reads the file again. If it returns an error, the current policy stays in force.
func (s *Store) Reload() error {
	p, err := Load(s.path)
	if err != nil {
		return err
	}
	s.current.Store(p)
	return nil
}

// Len returns the number of rules.
func (s *Store) Len() int { return s.current.Load().Len() }

// Decide returns the decision of the current policy, as Policy.Decide does.
func (s *Store) Decide(tool string, input json.RawMessage) (Decision, bool) {
	if s == nil {
		return Decision{}, false
	}
	return s.current.Load().Decide(tool, input)
}

// DecideUnread returns the decision of the current policy, as Policy.DecideUnread does.
func (s *Store) DecideUnread(tool string) (Decision, bool) {
	if s == nil {
		return Decision{}, false
	}
	return s.current.Load().DecideUnread(tool)
}
