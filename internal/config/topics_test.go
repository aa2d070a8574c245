package config

import (
	"strings"
	"testing"
)

func TestTopics(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"all": "all", "none": "none", "task.failed, task.created": "task.created,task.failed",
	} {
		var got Topics
		if err := got.Set(text); err != nil || got.String() != want {
			t.Errorf("%q is read as %s, %v; want %s", text, got.String(), err, want)
		}
	}
	if zero := (Topics{}); zero.String() != "all" {
		t.Errorf("the default is %s", zero.String())
	}
	for bad, part := range map[string]string{
		"": "", "task.creatd": "did you mean task.created", "all,task.created": "", "task.created,task.created": "repeated", "task.*": "",
	} {
		var topics Topics
		if err := topics.Set(bad); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: %v, want an error with %q", bad, err, part)
		}
	}
}
