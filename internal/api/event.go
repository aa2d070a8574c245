package api

// GetEventParams are the params of event.get.
type GetEventParams struct {
	Seq int64 `json:"seq" jsonschema:"the event's number in the log"`
}
