package projections

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/claudebench/claudebench/events"
)

// Session is a row of the table sessions: what the log says about a session of an agent. Times are
// ms since 1970, 0 for none.
type Session struct {
	ID         string
	Source     string // "" if no hook came
	InstanceID string // the last instance that had it; "" for none

	FirstSeq, Seq             int64
	StartedAt, LastActivityAt int64
	EndedAt                   int64
	Events, Prompts           int64
	Allowed, Asked, Denied    int64 // decisions of the policy
	Tools                     []SessionTool
	Todos                     string // JSON text, "" for none
	// Kept reports that a flush kept the row. The next event of the session replaces it.
	Kept bool

	changed bool
}

// SessionTool is what a session did with a tool.
type SessionTool struct {
	Name      string `json:"name"`
	Requested int64  `json:"requested"`
	Finished  int64  `json:"finished"` // including failed ones
	Failed    int64  `json:"failed"`   // including interrupted ones
	Denied    int64  `json:"denied"`   // by the user or by the agent's program
	TotalMS   int64  `json:"totalMs"`
	MaxMS     int64  `json:"maxMs"`
}

// SessionInstance is a row of the table session_instances: an instance had a session from Since
// until Until, in ms since 1970. Until is 0 if it still has it.
type SessionInstance struct {
	InstanceID, SessionID string
	SinceSeq              int64
	Since, Until          int64

	changed bool
}

const (
	// maxSessionTools bounds a row. Further tools of a session count together, as otherTools.
	maxSessionTools = 100
	otherTools      = "(other)"
	// maxToolName is the maximum length of a tool's name in bytes. The rest is cut off.
	maxToolName = 200
	// maxToolTime bounds what one event can add to a sum of times, in ms.
	maxToolTime = 1 << 40
)

// sessionStep is what an event says about a session or about the instance that has one.
type sessionStep struct {
	what      events.Type
	seq, at   int64
	session   string // "" for none
	instance  string
	source    string
	tool      string
	failed    bool
	duration  int64 // ms
	decision  string
	todos     string
	forgetful bool // a flush that deletes the rows
}

// sessionStepOf returns what an event says about sessions; ok is false if that is nothing.
func sessionStepOf(e *events.Envelope, p *fact) (s sessionStep, ok bool, err error) {
	s = sessionStep{what: e.Type, seq: e.Seq, at: e.Timestamp}
	switch e.Type {
	case events.TypeInstanceRegistered:
		// An instance that was not registered before has no session to lose.
		ok = p.SessionID != "" || p.PreviousRoles != nil
		s.instance, s.session, err = StoredText(p.ID), StoredText(p.SessionID), p.err
	case events.TypeInstanceUnregistered:
		ok = p.SessionID != ""
		s.instance, err = StoredText(p.ID), p.err
	case events.TypeInstanceFailed:
		ok = true
		s.instance, err = StoredText(p.ID), p.err
	case events.TypeSystemFlushed:
		flushed, err := events.PayloadAs[events.SystemFlushed](*e)
		s.forgetful = flushed.Postgres != nil
		return s, true, err
	default:
		if fromHooks(e.Type) {
			return s.hook(e)
		}
	}
	return s, ok || err != nil, err
}

func fromHooks(t events.Type) bool {
	return t == events.TypeTodoUpdated || strings.HasPrefix(string(t), "hook.")
}

// hookFact is what the fold reads of the events of hooks and todos. A null is "".
type hookFact struct {
	Source     string          `json:"source"`
	SessionID  string          `json:"sessionId"`
	InstanceID string          `json:"instanceId"`
	Tool       string          `json:"tool"`
	DurationMS int64           `json:"durationMs"`
	Outcome    string          `json:"outcome"`
	Decision   string          `json:"decision"`
	Todos      json.RawMessage `json:"todos"`
}

func (s sessionStep) hook(e *events.Envelope) (_ sessionStep, ok bool, err error) {
	p, err := events.PayloadAs[hookFact](*e)
	if err != nil {
		return s, true, err
	}
	s.session, s.instance, s.source = StoredText(p.SessionID), StoredText(p.InstanceID), StoredText(p.Source)
	s.tool, s.duration, s.decision = toolName(p.Tool), min(max(p.DurationMS, 0), maxToolTime), p.Decision
	s.failed = p.Outcome == events.HookFailed || p.Outcome == events.HookInterrupted
	s.todos, _ = StoredJSON(p.Todos)
	return s, s.session != "", nil
}

func toolName(name string) string {
	name = StoredText(name)
	if len(name) <= maxToolName {
		return name
	}
	cut := maxToolName
	for !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut]
}

// SessionFold folds events into sessions and the instances that have them. It holds what it has
// seen, or what a store has loaded into it. It is not safe for concurrent use.
type SessionFold struct {
	sessions  map[string]*Session
	held      map[string]*SessionInstance // by instance, without those that have ended
	holders   map[string]int              // instances of held, by session
	instances []*SessionInstance          // changed ones, those that have ended too
}

// NewSessionFold returns the fold of no events.
func NewSessionFold() *SessionFold {
	f := &SessionFold{}
	f.reset()
	return f
}

func (f *SessionFold) reset() {
	*f = SessionFold{sessions: map[string]*Session{}, held: map[string]*SessionInstance{}, holders: map[string]int{}}
}

// Apply folds the next event of the log. Its error is that of [events.PayloadAs].
func (f *SessionFold) Apply(e events.Envelope) error {
	switch e.Type {
	case events.TypeInstanceRegistered, events.TypeInstanceUnregistered, events.TypeInstanceFailed, events.TypeSystemFlushed:
	default:
		if !fromHooks(e.Type) {
			return nil
		}
	}
	var p fact
	p.read(&e)
	step, ok, err := sessionStepOf(&e, &p)
	if ok && err == nil {
		f.apply(&step)
	}
	return err
}

// Sessions returns the sessions by ID. Do not change them.
func (f *SessionFold) Sessions() map[string]*Session { return f.sessions }

// Instances returns which instance had which session, in the order of the registrations. Do not
// change them.
func (f *SessionFold) Instances() []*SessionInstance { return f.instances }

func (f *SessionFold) apply(s *sessionStep) {
	switch s.what {
	case events.TypeInstanceRegistered:
		f.register(s)
	case events.TypeInstanceUnregistered, events.TypeInstanceFailed:
		f.leave(s)
	case events.TypeSystemFlushed:
		f.flush(s)
	default:
		f.hook(s)
	}
}

func (f *SessionFold) register(s *sessionStep) {
	if held := f.held[s.instance]; held == nil || held.SessionID != s.session {
		f.leave(s)
		if s.session == "" {
			return
		}
		f.hold(&SessionInstance{InstanceID: s.instance, SessionID: s.session, SinceSeq: s.seq, Since: s.at})
		f.record(f.held[s.instance])
	}
	session := f.touch(s)
	session.InstanceID, session.EndedAt = s.instance, 0
}

func (f *SessionFold) hold(i *SessionInstance) {
	f.held[i.InstanceID] = i
	f.holders[i.SessionID]++
}

func (f *SessionFold) record(i *SessionInstance) {
	if !i.changed {
		i.changed = true
		f.instances = append(f.instances, i)
	}
}

// leave takes the instance's session from it. A session that no instance has any more has ended.
func (f *SessionFold) leave(s *sessionStep) {
	held := f.held[s.instance]
	if held == nil {
		return
	}
	held.Until = s.at
	f.record(held)
	delete(f.held, s.instance)
	f.holders[held.SessionID]--
	if session := f.sessions[held.SessionID]; session != nil && f.holders[held.SessionID] == 0 {
		session.end(s.at)
	}
}

// end is not an activity of the session.
func (s *Session) end(at int64) {
	if s.EndedAt == 0 {
		s.EndedAt, s.changed = at, true
	}
}

// flush marks what a flush keeps: the log does not have its events any more, and its instances are
// gone.
func (f *SessionFold) flush(s *sessionStep) {
	if s.forgetful {
		f.reset()
		return
	}
	for _, held := range f.held {
		held.Until = s.at
		f.record(held)
	}
	clear(f.held)
	clear(f.holders)
	for _, session := range f.sessions {
		session.end(s.at)
		session.Kept, session.changed = true, true
	}
}

// touch returns the session of an event, which is an activity of it.
func (f *SessionFold) touch(s *sessionStep) *Session {
	session := f.sessions[s.session]
	if session == nil || session.Kept {
		session = &Session{ID: s.session, FirstSeq: s.seq, StartedAt: s.at}
		f.sessions[s.session] = session
	}
	session.Seq, session.LastActivityAt, session.changed = s.seq, s.at, true
	session.Events++
	return session
}

func (f *SessionFold) hook(s *sessionStep) {
	session := f.touch(s)
	session.Source = s.source
	if s.instance != "" {
		session.InstanceID = s.instance
	}
	switch s.what {
	case events.TypeHookSessionStarted, events.TypeHookPromptSubmitted, events.TypeHookToolRequested:
		session.EndedAt = 0 // the session was resumed; other hooks may just be late
	case events.TypeHookSessionEnded:
		session.EndedAt = s.at
	}
	switch s.what {
	case events.TypeHookPromptSubmitted:
		session.Prompts++
	case events.TypeHookDecided:
		session.decide(s.decision)
	case events.TypeTodoUpdated:
		session.Todos = s.todos
	case events.TypeHookToolRequested, events.TypeHookPermissionDenied, events.TypeHookToolFinished:
		if s.tool != "" {
			session.tool(s.tool).count(s)
		}
	}
}

func (t *SessionTool) count(s *sessionStep) {
	switch s.what {
	case events.TypeHookToolRequested:
		t.Requested++
	case events.TypeHookPermissionDenied:
		t.Denied++
	default:
		t.Finished++
		if s.failed {
			t.Failed++
		}
		t.TotalMS += s.duration
		t.MaxMS = max(t.MaxMS, s.duration)
	}
}

func (s *Session) decide(decision string) {
	switch decision {
	case "allow":
		s.Allowed++
	case "ask":
		s.Asked++
	case "deny":
		s.Denied++
	}
}

// tool returns the counts of a tool. Tools are in the order of their first use.
func (s *Session) tool(name string) *SessionTool {
	for i := range s.Tools {
		if s.Tools[i].Name == name {
			return &s.Tools[i]
		}
	}
	if len(s.Tools) >= maxSessionTools {
		name = otherTools
		if last := &s.Tools[len(s.Tools)-1]; last.Name == name {
			return last
		}
	}
	s.Tools = append(s.Tools, SessionTool{Name: name})
	return &s.Tools[len(s.Tools)-1]
}
