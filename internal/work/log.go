package work

import (
	"fmt"
	"os"
	"sync"
)

// attemptLog is the file with the output of one attempt. Nil means that there is none.
type attemptLog struct {
	file *os.File
	warn func(text string)
	once sync.Once
}

// log opens the log of an attempt, <task>.<attempt>.log. If that fails, it warns, because a task
// does not depend on its log.
func (p *Program) log(t Task) *attemptLog {
	if p.logs == nil {
		return nil
	}
	l := &attemptLog{warn: func(text string) { p.options.Warn(t.ID, text) }}
	file, err := p.logs.OpenFile(fmt.Sprintf("%s.%d.log", t.ID, t.Attempt), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		l.failed(err)
		return nil
	}
	l.file = file
	return l
}

func (l *attemptLog) write(text []byte) {
	if l == nil {
		return
	}
	if _, err := l.file.Write(text); err != nil {
		l.failed(err)
	}
}

func (l *attemptLog) close() {
	if l == nil {
		return
	}
	if err := l.file.Close(); err != nil {
		l.failed(err)
	}
}

// failed warns once.
func (l *attemptLog) failed(err error) {
	l.once.Do(func() { l.warn(fmt.Sprintf("the log is incomplete: %v", err)) })
}
