package events

import (
	"context"
	"fmt"
	"strconv"
)

// Format is the version of what this build writes into the log: the envelope, the types of events,
// and the versions of their payloads. It rises with each change to these, because an older build
// cannot recognize what it does not know.
//
// Coordinators store it in the log's hash. Programs that need every event refuse a log with a
// higher format.
const Format = 4

// NewerLogError reports that a newer program has written to the log, or is about to.
type NewerLogError struct {
	Format  int64  // of the log
	Program string // the first version that wrote this format; "" if unknown
}

func (e *NewerLogError) Error() string {
	program := "a newer version"
	if e.Program != "" {
		program = "version " + e.Program
	}
	return fmt.Sprintf("the log has format %d, which %s of the program writes, but this version reads formats up to %d; "+
		"use %s or a later version; nothing was changed", e.Format, program, Format, program)
}

// CheckFormat returns a [*NewerLogError] if the log has a format that this build cannot read. A
// reader that needs every event calls it before it starts. Logs of older versions store no format
// and pass.
func (r *Reader) CheckFormat(ctx context.Context) error {
	fields, err := r.client.HMGet(ctx, r.space.Log(), "format", "program").Result()
	if err != nil {
		return fmt.Errorf("read the log's format: %w", err)
	}
	text, noted := fields[0].(string)
	if !noted {
		return nil
	}
	format, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("read the log's format: %w", err)
	}
	if format <= Format {
		return nil
	}
	program, _ := fields[1].(string) // nil if it is not stored
	return &NewerLogError{Format: format, Program: program}
}
