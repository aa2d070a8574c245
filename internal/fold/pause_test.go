package fold_test

import (
	"strings"
	"testing"
)

const (
	pauseAll  = `queue.paused {"roles":null,"reason":null,"by":"ops","pausedAt":"A"}`
	pauseNone = `queue.paused {"roles":[],"reason":"r","by":"ops","pausedAt":"A"}`
	pauseGPU  = `queue.paused {"roles":["gpu"],"reason":null,"by":"ops","pausedAt":"A"}`
	resumeAll = `queue.resumed {"roles":null,"by":"ops","pausedAt":"A","resumedAt":"B"}`
)

func TestFoldHoldsPausesAgainstClaims(t *testing.T) {
	t.Parallel()
	begin := []string{registerW1, registerW2, createT3}
	for name, c := range map[string]struct {
		lines []string
		told  string // "" if all is valid
	}{
		"claimed in a pause of all":       {[]string{pauseAll, claimT3("w1", 1, 2)}, "task t-3 is claimed while its queue is paused"},
		"claimed in a pause of its queue": {[]string{pauseNone, claimT3("w1", 1, 2)}, "task t-3 is claimed while its queue is paused"},
		"claimed in another pause":        {[]string{pauseGPU, claimT3("w1", 1, 2)}, ""},
		"claimed after the pause":         {[]string{pauseAll, resumeAll, claimT3("w1", 1, 3)}, ""},
		"claimed by its owner":            {[]string{assignT3("w1", "requested", "null"), pauseAll, claimT3("w1", 1, 3), electW1}, "task t-3 was claimed while its queue was paused, and the call that claimed it did not end it"},
		"ended by its owner":              {[]string{assignT3("w1", "requested", "null"), pauseAll, claimT3("w1", 1, 3), completeT3("w1", 1, 1)}, ""},
		"assigned by request":             {[]string{pauseAll, assignT3("w1", "requested", "null")}, ""},
		"auto-assigned":                   {[]string{pauseAll, assignT3("w1", "instance_registered", "null")}, "is assigned to w1 (instance_registered) while its queue is paused"},
		"taken over":                      {[]string{assignT3("w1", "instance_registered", "null"), pauseAll, assignT3("w2", "rebalanced", `"w1"`)}, "is assigned to w2 (rebalanced) while its queue is paused"},
		"paused twice":                    {[]string{pauseGPU, pauseAll, pauseGPU}, `the queue of roles ["gpu"] was paused already`},
		"resumed without a pause":         {[]string{pauseGPU, resumeAll}, "all queues was not paused"},
		"a flush":                         {[]string{pauseAll, `system.flushed {"redis":1,"timestamp":"x","firstSeq":1,"lastSeq":4}`, pauseAll}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, told := story(t, 1, 1, append(append([]string{}, begin...), c.lines...)...)
			if c.told == "" && len(told) > 0 {
				t.Errorf("told %q", told)
			}
			if c.told != "" && (len(told) == 0 || !strings.Contains(strings.Join(told, "\n"), c.told)) {
				t.Errorf("did not tell %q but %q", c.told, told)
			}
		})
	}
	if _, told := story(t, 100, 100, resumeAll, pauseAll, `task.claimed {"taskId":"t-7","workerId":"w1","attempt":3,"previousStatus":"pending","waited":99999}`); len(told) > 0 {
		t.Errorf("of objects older than the log, it told %q", told)
	}
}
