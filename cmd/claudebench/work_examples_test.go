package main

import (
	"os"
	"path/filepath"
	"testing"
)

// The scripts in examples are workers.
func TestWorkExamples(t *testing.T) {
	t.Parallel()
	f := newWorkFleet(t)
	for script, want := range map[string]string{
		"shell/words.sh":   `{"words":4}`,
		"claude/worker.sh": `{"arguments":"-p say \"hello\" to me --output-format json","input":""}`,
	} {
		t.Run(script, func(t *testing.T) {
			id := f.create(`say "hello" to me`)[0]
			// A stand-in for Claude Code, which needs an account. It prints what it was given.
			dir := t.TempDir()
			claude := "#!/bin/sh\nprintf '{\"arguments\":\"%s\",\"input\":\"%s\"}' \"$(echo \"$*\" | sed 's/\"/\\\\\"/g')\" \"$(cat)\"\n"
			if err := os.WriteFile(filepath.Join(dir, "claude"), []byte(claude), 0o700); err != nil { //nolint:gosec // it must be executable
				t.Fatal(err)
			}
			path, err := filepath.Abs("../../examples/" + script)
			if err != nil {
				t.Fatal(err)
			}
			r := execute(t, append([]string{"PATH=" + dir + ":" + os.Getenv("PATH")}, f.env...), "work", "--once", "--", path)
			if task := f.get(id); r.code != 0 || string(task.Result) != want {
				t.Errorf("%+v, %s, want %s", r, task.Result, want)
			}
		})
	}
}
