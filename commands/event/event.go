// Package event is the domain of the events in the log. Each method event.* has one file, named
// after it, with the method's params, result, limits and script. Package commands lists its
// Methods.
package event

import "github.com/claudebench/claudebench/internal/command"

// Methods returns the methods of the domain event, in the order in which they are documented.
func Methods() ([]*command.Method, error) { return command.Collect(getMethod) }
