package task

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/params"
)

const (
	// maxSearch is the maximum length of a text to search for, in characters. No task has a longer one.
	maxSearch = 500
	// maxMembers and maxMembersBytes bound the metadata of a filter, because each member is compared
	// in every row.
	maxMembers      = 8
	maxMembersBytes = 4 << 10
)

// refineFilter adds to the schema of params that include those of api.TaskFilterParams what their Go
// types cannot express.
func refineFilter(p map[string]*jsonschema.Schema) {
	params.Enum(p["status"], api.TaskStatuses...)
	params.Enum(p["statuses"].Items, api.TaskStatuses...)
	p["statuses"].MinItems, p["statuses"].MaxItems = new(1), new(len(api.TaskStatuses))
	params.Priority(p["priority"])
	p["text"].MaxLength = new(maxSearch)
	p["error"].MinLength, p["error"].MaxLength = new(1), new(maxSearch)
	p["metadata"].MinProperties, p["metadata"].MaxProperties = new(1), new(maxMembers)
	for _, name := range []string{"createdAfter", "createdBefore", "updatedAfter", "updatedBefore"} {
		p[name].MinLength, p[name].MaxLength, p[name].Format = new(1), new(params.MaxMoment), params.MomentFormat
	}
}

// filterOf returns the filter that params describe. path is in front of their names in errors: "", or
// "filter." if the params are members of a param filter. The error is an *api.Error.
func filterOf(path string, p api.TaskFilterParams) (api.TaskFilter, error) {
	f := api.TaskFilter{
		AssignedTo: string(p.AssignedTo), Priority: p.Priority, Role: string(p.Role), Text: p.Text, Error: p.Error, Metadata: p.Metadata,
	}
	switch {
	case p.Status != "" && p.Statuses != nil:
		return f, api.InvalidParams(path + "statuses parameter: it cannot be together with status")
	case p.Status != "":
		f.Statuses = []string{p.Status}
	case p.Statuses != nil:
		f.Statuses = slices.Compact(slices.Sorted(slices.Values(p.Statuses)))
	}
	if len(p.Metadata) > maxMembersBytes {
		return f, api.InvalidParams(path + "metadata parameter must be at most 4096 bytes long")
	}
	seen := map[string]bool{}
	for name := range jsontext.Members(p.Metadata) {
		if seen[name] {
			return f, api.InvalidParams(fmt.Sprintf("%smetadata parameter: %q is repeated", path, name))
		}
		seen[name] = true
	}
	for _, one := range []struct {
		param, text string
		to          *time.Time
	}{
		{"createdAfter", p.CreatedAfter, &f.CreatedAfter},
		{"createdBefore", p.CreatedBefore, &f.CreatedBefore},
		{"updatedAfter", p.UpdatedAfter, &f.UpdatedAfter},
		{"updatedBefore", p.UpdatedBefore, &f.UpdatedBefore},
	} {
		if one.text == "" {
			continue
		}
		var err error
		if *one.to, err = params.Moment(path+one.param, one.text); err != nil {
			return f, err
		}
	}
	for _, span := range []struct {
		param      string
		from, till time.Time
	}{{"created", f.CreatedAfter, f.CreatedBefore}, {"updated", f.UpdatedAfter, f.UpdatedBefore}} {
		if !span.from.IsZero() && !span.till.IsZero() && !span.from.Before(span.till) {
			return f, api.InvalidParams(fmt.Sprintf("%[1]s%[2]sBefore parameter: it must be later than %[2]sAfter", path, span.param))
		}
	}
	return f, nil
}

// searches returns the first param of a filter that reads every task that the other params leave, ""
// if there is none.
func searches(f *api.TaskFilter) string {
	switch {
	case f.Text != "":
		return "text"
	case f.Error != "":
		return "error"
	case f.Metadata != nil:
		return "metadata"
	case f.Role != "":
		return "role"
	}
	return ""
}
