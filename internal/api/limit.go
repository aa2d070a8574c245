package api

// SetLimitParams are the params of limit.set.
type SetLimitParams struct {
	Key        string `json:"key" jsonschema:"the limitKey of tasks"`
	Concurrent int    `json:"concurrent" jsonschema:"how many of them may be pending or in progress at once"`
}

// SetLimitResult is the result of limit.set.
type SetLimitResult struct {
	Key        string `json:"key"`
	Concurrent int    `json:"concurrent"`
}

// DeleteLimitParams are the params of limit.delete.
type DeleteLimitParams struct {
	Key string `json:"key" jsonschema:"the limitKey of tasks"`
}

// DeleteLimitResult is the result of limit.delete.
type DeleteLimitResult struct {
	Key     string `json:"key"`
	Deleted bool   `json:"deleted" jsonschema:"whether there was such a limit"`
}

// ListLimitsParams are the params of limit.list.
type ListLimitsParams struct{}

// ListLimitsResult is the result of limit.list.
type ListLimitsResult struct {
	Limits []Limit `json:"limits"`
}

// Limit is a limit of concurrent tasks.
type Limit struct {
	Key        string `json:"key"`
	Concurrent int    `json:"concurrent"`
	Running    int    `json:"running" jsonschema:"tasks that are pending or in progress"`
	Waiting    int    `json:"waiting" jsonschema:"tasks that wait for their turn"`
}
