package lua

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// header is the parsed header of a script.
type header struct {
	keys, args []string // names of the slots
	rest       bool     // the last slot stands for any number of arguments
	parts      map[string]string
}

var (
	slotLine = regexp.MustCompile(`^-- (KEYS|ARGV)\[(\d+)(…?)\] ([a-z]+)(\s|$)`)
	partLine = regexp.MustCompile(`^-- (Returns|Errors|Emits) +(.+)$`)
	moreLine = regexp.MustCompile(`^--   +(.+)$`)
)

// readHeader parses the comment at the start of a script. It returns an error unless the comment
// names every slot in order and has the parts Returns, Errors and Emits.
func readHeader(source string) (header, error) {
	h := header{parts: map[string]string{}}
	part := ""
	for line := range strings.Lines(source) {
		line = strings.TrimRight(line, "\n")
		if !strings.HasPrefix(line, "--") {
			break
		}
		if m := slotLine.FindStringSubmatch(line); m != nil {
			slots := &h.args
			if m[1] == "KEYS" {
				slots = &h.keys
			}
			*slots = append(*slots, m[4])
			if n, _ := strconv.Atoi(m[2]); n != len(*slots) || h.rest {
				return h, fmt.Errorf("%q is out of order", line)
			}
			h.rest = m[3] != ""
			part = ""
			continue
		}
		if strings.HasPrefix(line, "-- KEYS") || strings.HasPrefix(line, "-- ARGV") {
			return h, fmt.Errorf("%q is not `-- ARGV[n] name  what it is`", line)
		}
		if m := partLine.FindStringSubmatch(line); m != nil {
			part = m[1]
			if h.parts[part] != "" {
				return h, fmt.Errorf("%s appears twice", part)
			}
			h.parts[part] = m[2]
		} else if m := moreLine.FindStringSubmatch(line); m != nil && part != "" {
			h.parts[part] += " " + m[1]
		}
	}
	for _, name := range []string{"Returns", "Errors", "Emits"} {
		if h.parts[name] == "" {
			return h, fmt.Errorf("the header has no %s", name)
		}
	}
	if !slices.Equal(h.keys, []string{"log"}) {
		return h, fmt.Errorf("the keys are %v, not the log's hash alone", h.keys)
	}
	return h, nil
}
