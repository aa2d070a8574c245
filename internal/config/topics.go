package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/spelling"
)

// Topics are the event types that have a topic: a stream of their own beside the log. The zero value
// is all types.
type Topics struct {
	Some  bool
	Types []string // if Some is set; sorted
}

// Set parses "all", "none" or "type,…". It implements pflag.Value.
func (t *Topics) Set(text string) error {
	*t = Topics{Some: text != "all"}
	if text == "all" || text == "none" {
		return nil
	}
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		if _, known := events.Version(events.Type(name)); !known {
			return fmt.Errorf("%q is not an event type; did you mean %s? Pass all, none, or types separated by commas (docs/events.md lists them)", name, nearestType(name))
		}
		if slices.Contains(t.Types, name) {
			return fmt.Errorf("%s is repeated", name)
		}
		t.Types = append(t.Types, name)
	}
	slices.Sort(t.Types)
	return nil
}

// String returns the text that Set parses, with the types in alphabetical order.
func (t *Topics) String() string {
	switch {
	case !t.Some:
		return "all"
	case len(t.Types) == 0:
		return "none"
	}
	return strings.Join(t.Types, ",")
}

// Type is the name of the value in --help.
func (t *Topics) Type() string { return "types" }

func nearestType(name string) string {
	types := events.Types()
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = string(t)
	}
	nearest, _ := spelling.Nearest(name, names)
	return nearest
}
