package fold

import (
	"encoding/json"
	"slices"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// Instance is an instance according to the log. It is kept after the instance left. JSON is text,
// "" for none.
type Instance struct {
	ID           string
	Registered   bool
	Roles        string // JSON array
	Metadata     string
	Session      string
	RegisteredAt int64 // ms since 1970
	MaxTasks     int64
	Worker       bool
	Status       string // ACTIVE, IDLE or BUSY
	Seq          int64  // of its registration or a later election, not of its status

	// partial is set if the instance registered before the log begins.
	partial  bool
	roles    []string
	assigned map[int64]*Task
	active   map[int64]*Task
	auto     int64 // how many of assigned are auto-assigned
}

// The statuses of an instance.
const (
	statusActive = "ACTIVE"
	statusIdle   = "IDLE"
	statusBusy   = "BUSY"
)

// defaultMaxTasks is how many tasks auto-assignment gives a worker without maxTasks.
const defaultMaxTasks = 10

// instance returns an instance. It creates an unknown one as not registered, or, if the instance
// may be older than the log, as registered and partial.
func (f *Fold) instance(id string) *Instance {
	i := f.instances[id]
	if i == nil {
		i = &Instance{
			ID: id, Registered: !f.whole, partial: !f.whole,
			assigned: map[int64]*Task{}, active: map[int64]*Task{},
		}
		f.instances[id] = i
	}
	return i
}

// settle updates what is derived from an instance's queues after they have changed.
func (s step) settle(id string) {
	i := s.instance(id)
	if !i.Registered {
		return
	}
	i.Status = statusIdle
	if len(i.active) > 0 {
		i.Status = statusBusy
	}
}

// Holds returns the number of tasks that are assigned to the instance or claimed by it.
func (i *Instance) Holds() int64 { return int64(len(i.assigned) + len(i.active)) }

// fits reports whether the instance has every role of a role set, which is a JSON array or "".
func (i *Instance) fits(set string) bool {
	for _, role := range roleList(set) {
		if !slices.Contains(i.roles, role) {
			return false
		}
	}
	return true
}

// enrolled is the payload of instance.registered with the roles as they were written.
type enrolled struct {
	ID            string          `json:"id"`
	Roles         json.RawMessage `json:"roles"`
	Metadata      json.RawMessage `json:"metadata"`
	SessionID     *string         `json:"sessionId"`
	Resumed       bool            `json:"resumed"`
	PreviousRoles json.RawMessage `json:"previousRoles"`
}

func (s step) registered(p enrolled) {
	i := s.instance(p.ID)
	previous := document(p.PreviousRoles)
	switch {
	case i.partial && previous == "":
		i.Registered = false
	case i.partial:
		i.Roles, i.roles, i.Registered = previous, roleList(previous), true
		s.enrol(i, +1)
	case i.Registered && previous == "":
		s.tell("the event says that %s was not registered, but it was, with roles %s", p.ID, i.Roles)
	case !i.Registered && previous != "":
		s.tell("the event says that %s was registered with roles %s, but it was not registered", p.ID, previous)
	case previous != "" && previous != i.Roles:
		s.tell("the event says that %s had roles %s, but it had %s", p.ID, previous, i.Roles)
	}
	if p.Resumed && (!i.Registered || !i.partial && (i.Session == "" || i.Session != deref(p.SessionID))) {
		s.tell("%s resumes session %q, but did not have that session", p.ID, deref(p.SessionID))
	}
	roles := roleList(string(p.Roles))
	if !p.Resumed {
		s.setAside(i, KindActive, events.ReasonSessionChanged)
	}
	if previous != "" && !(&Instance{roles: roles}).fits(previous) {
		s.setAside(i, KindAssigned, events.ReasonRolesChanged)
	}
	if i.Registered {
		s.enrol(i, -1)
	}
	i.partial, i.Registered = false, true
	i.Roles, i.roles = string(p.Roles), roles
	i.Metadata, i.Session, i.RegisteredAt = document(p.Metadata), deref(p.SessionID), s.e.Timestamp
	i.MaxTasks, i.Worker = maxTasks(i.Metadata), slices.Contains(roles, "worker")
	i.Status, i.Seq = statusActive, s.e.Seq
	s.enrol(i, +1)
}

// enrol counts an instance in (+1) or out (-1).
func (s step) enrol(i *Instance, by int64) {
	s.living += by
	for n, role := range i.roles {
		if !slices.Contains(i.roles[:n], role) {
			add(s.roles, role, by)
		}
	}
}

// gone is the payload of instance.unregistered or instance.failed with the roles as they were
// written.
type gone struct {
	ID              string          `json:"id"`
	Roles           json.RawMessage `json:"roles"`
	TasksReassigned int64           `json:"tasksReassigned"`
}

func (s step) departed(p gone) {
	i := s.instance(p.ID)
	switch {
	case !i.Registered:
		s.tell("%s is not registered", p.ID)
	case i.partial:
		i.Roles, i.roles = string(p.Roles), roleList(string(p.Roles))
		s.enrol(i, +1)
	case i.Roles != string(p.Roles):
		s.tell("the event says that %s had roles %s, but it had %s", p.ID, p.Roles, i.Roles)
	case s.whole && i.Holds() != p.TasksReassigned:
		s.tell("the event says that %d tasks were taken from %s, but it had %d", p.TasksReassigned, p.ID, i.Holds())
	}
	reason := events.ReasonInstanceFailed
	if s.e.Type == events.TypeInstanceUnregistered {
		reason = events.ReasonInstanceUnregistered
	}
	s.setAside(i, KindActive, reason)
	s.setAside(i, KindAssigned, reason)
	if i.Registered {
		s.enrol(i, -1)
	}
	i.Registered, i.partial, i.Seq = false, false, s.e.Seq
	if s.leader == p.ID {
		s.leader = ""
	}
}

// roleList decodes a JSON array of roles. Any other text has no roles.
func roleList(text string) []string {
	var roles []string
	if text == "" || json.Unmarshal([]byte(text), &roles) != nil {
		return nil
	}
	return roles
}

// roleset returns the role set that a task's metadata requires: a sorted JSON array without
// duplicates, or "" if it requires no roles.
func roleset(metadata string) string {
	set := ""
	members(metadata, func(name string, value json.RawMessage) bool {
		if name != "roles" {
			return true
		}
		set = "" // the last one counts, as for the commands
		if roles := roleList(string(value)); len(roles) > 0 {
			slices.Sort(roles)
			if text, err := events.EncodePayload(slices.Compact(roles)); err == nil {
				set = string(text)
			}
		}
		return true
	})
	return set
}

// maxTasks returns how many tasks an instance's metadata lets auto-assignment give it.
func maxTasks(metadata string) int64 {
	most := int64(defaultMaxTasks)
	members(metadata, func(name string, value json.RawMessage) bool {
		if name == "maxTasks" {
			if n, ok := jsontext.Integer(value); ok {
				most = n
			}
		}
		return true
	})
	return most
}
