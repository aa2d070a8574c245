// Package apidoc generates docs/api.md from the list of commands and docs/events.md from the
// registry of events, so the documentation matches what is decoded and checked. `make generate`
// writes the files; the package's test fails when a file is out of date.
package apidoc

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/eventschema"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// preface is what is the same for all methods.
//
//go:embed preface.md
var preface string

// Render returns the page of the methods.
func Render(methods []*command.Method) string {
	var b strings.Builder
	b.WriteString(preface)
	b.WriteString("\n## Methods\n\nThe limit is in calls a minute for each actor. The breaker opens after that many consecutive failures of Redis or Postgres, and rejects calls for that time.\n\n| method | limit | timeout | breaker |\n|---|---|---|---|\n")
	for _, m := range methods {
		limit := strconv.Itoa(m.Limit)
		if m.CountsAs != "" {
			limit = "each item counts as `" + m.CountsAs + "`"
		}
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s | %d → %s |\n", m.Name, strings.ReplaceAll(m.Name, ".", ""), limit, seconds(m.Timeout),
			m.Breaker.Failures, seconds(m.Breaker.Open))
	}
	for _, m := range methods {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n", m.Name, m.Description)
		table(&b, "param", m.Params, true)
		if slices.Contains(m.Result.Required, "attempt") {
			b.WriteString("\nThe result is [the task](#the-task).\n")
			continue
		}
		table(&b, "result", m.Result, false)
	}
	return b.String()
}

func seconds(d time.Duration) string { return fmt.Sprintf("%g s", d.Seconds()) }

// table lists the properties of an object in the order of the Go type. Properties of nested objects
// are written with a dot.
func table(b *strings.Builder, what string, s *jsonschema.Schema, params bool) {
	if len(s.Properties) == 0 {
		if params {
			b.WriteString("\nNo params.\n")
		}
		return
	}
	fmt.Fprintf(b, "\n| %s | type | |\n|---|---|---|\n", what)
	rows(b, "", s)
}

func rows(b *strings.Builder, prefix string, s *jsonschema.Schema) {
	for _, name := range s.PropertyOrder {
		p := s.Properties[name]
		notes := []string{}
		if !slices.Contains(s.Required, name) {
			notes = append(notes, "optional")
		}
		notes = append(notes, limits(p)...)
		if p.Description != "" {
			notes = append(notes, p.Description)
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", prefix+name, kind(p), strings.Join(notes, "; "))
		if p.PropertyOrder != nil && len(p.Properties) > 0 {
			rows(b, prefix+name+".", p)
		}
	}
}

func kind(s *jsonschema.Schema) string {
	types := s.Types
	if s.Type != "" {
		types = []string{s.Type}
	}
	types = slices.DeleteFunc(slices.Clone(types), func(t string) bool { return t == "null" })
	if len(types) == 0 {
		return "any"
	}
	if s.Items != nil && types[0] == "array" {
		if item := kind(s.Items); item != "any" {
			return "array of " + item + "s"
		}
	}
	return strings.Join(types, " or ")
}

func limits(s *jsonschema.Schema) []string {
	var notes []string
	switch {
	case s.Minimum != nil && s.Maximum != nil && *s.Maximum < jsontext.MaxInteger:
		notes = append(notes, fmt.Sprintf("%.0f to %.0f", *s.Minimum, *s.Maximum))
	case s.Minimum != nil:
		notes = append(notes, fmt.Sprintf("at least %.0f", *s.Minimum))
	}
	if s.MaxLength != nil {
		unit := "characters"
		if *s.MaxLength == 256 { // the limit of ids, which is one of bytes
			unit = "bytes"
		}
		notes = append(notes, fmt.Sprintf("%d to %d %s", min(1, deref(s.MinLength)), *s.MaxLength, unit))
	}
	if s.MaxItems != nil {
		notes = append(notes, fmt.Sprintf("at most %d", *s.MaxItems))
	}
	if s.MaxProperties != nil {
		notes = append(notes, fmt.Sprintf("%d to %d members", deref(s.MinProperties), *s.MaxProperties))
	}
	if s.Const != nil {
		notes = append(notes, fmt.Sprintf("exactly `%v`", *s.Const))
	}
	if len(s.Enum) > 0 {
		var names []string
		for _, v := range s.Enum {
			names = append(names, fmt.Sprintf("`%v`", v))
		}
		notes = append(notes, strings.Join(names, ", "))
	}
	return notes
}

func deref(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

// eventsPreface is what is the same for all events.
//
//go:embed events_preface.md
var eventsPreface string

// RenderEvents returns the page of the events. example returns the golden envelope of a type.
func RenderEvents(types []events.Type, example func(events.Type) (events.Envelope, error)) (string, error) {
	var b strings.Builder
	b.WriteString(eventsPreface)
	described := map[string]events.Type{} // by the Go type of the payload
	for _, t := range types {
		envelope, err := example(t)
		if err != nil {
			return "", fmt.Errorf("example of %s: %w", t, err)
		}
		var payload bytes.Buffer
		if err := json.Indent(&payload, envelope.Payload, "", "  "); err != nil {
			return "", fmt.Errorf("example of %s: %w", t, err)
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s Version %d.\n\n", t, eventschema.Summary(t), envelope.V)
		if same, ok := described[eventschema.Name(t)]; ok {
			fmt.Fprintf(&b, "The members are those of [%s](#%s).\n", same, strings.NewReplacer(".", "").Replace(string(same)))
		} else {
			described[eventschema.Name(t)] = t
			schema, err := eventschema.Payload(t)
			if err != nil {
				return "", err
			}
			b.WriteString("| member | type | meaning |\n|---|---|---|\n")
			members(&b, "", schema)
		}
		fmt.Fprintf(&b, "\n```json\n%s\n```\n", payload.String())
	}
	return b.String(), nil
}

// members lists the members of a payload, those of objects in it with a dot.
func members(b *strings.Builder, prefix string, s *jsonschema.Schema) {
	for _, name := range s.PropertyOrder {
		p := s.Properties[name]
		meaning := p.Description
		if !slices.Contains(s.Required, name) {
			meaning = "optional; " + meaning
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", prefix+name, eventschema.Kind(p), meaning)
		members(b, prefix+name+".", p)
		if p.Items != nil {
			members(b, prefix+name+"[].", p.Items)
		}
	}
}
