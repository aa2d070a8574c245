package fleettest

import (
	"encoding/json"
	"slices"
)

type foldInstance struct {
	Roles             []string
	Metadata, Session string
	MaxTasks          int
	RegisteredAt      string
}

func (i *foldInstance) Worker() bool { return slices.Contains(i.Roles, "worker") }

// May reports whether an instance has the roles that a task requires.
func (f *Fold) May(instance string, t *FoldTask) bool {
	i := f.Instances[instance]
	if i == nil {
		return false
	}
	var asked []string
	if t.Roleset != "" {
		_ = json.Unmarshal([]byte(t.Roleset), &asked)
	}
	for _, role := range asked {
		if !slices.Contains(i.Roles, role) {
			return false
		}
	}
	return true
}

func (f *Fold) applyInstance(e Event, p Payload, at string) {
	known := f.Instances[p.ID]
	switch e.Type {
	case "instance.registered":
		if (known == nil) != (p.PreviousRoles == nil) || known != nil && !slices.Equal(known.Roles, p.PreviousRoles) {
			f.breaks(e, "it was registered as %+v", known)
		}
		if p.Resumed && (known == nil || known.Session == "" || known.Session != str(p.SessionID)) {
			f.breaks(e, "resumes the session of %+v", known)
		}
		i := &foldInstance{Roles: p.Roles, Metadata: Text(p.Metadata), Session: str(p.SessionID), RegisteredAt: at, MaxTasks: 10}
		var m struct {
			MaxTasks *float64 `json:"maxTasks"`
		}
		if i.Metadata != "" && json.Unmarshal([]byte(i.Metadata), &m) == nil && m.MaxTasks != nil {
			i.MaxTasks = int(*m.MaxTasks)
		}
		f.Instances[p.ID] = i
	case "instance.unregistered", "instance.failed":
		if known == nil || !slices.Equal(known.Roles, p.Roles) {
			f.breaks(e, "it was registered as %+v", known)
		}
		delete(f.Instances, p.ID)
		if f.Leader == p.ID {
			f.Leader = ""
		}
	case "leader.elected":
		if known == nil || p.Term != f.Term+1 && (!f.afterFlush || f.Term > 0) {
			f.breaks(e, "elects %+v after term %d", known, f.Term)
		}
		f.Leader, f.Term = p.ID, p.Term
	}
}
