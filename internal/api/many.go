package api

// ManyResult is the result of a method that takes many items.
type ManyResult[R any] struct {
	Succeeded int             `json:"succeeded"`
	Failed    int             `json:"failed"`
	Answers   []ItemAnswer[R] `json:"answers" jsonschema:"for each item, in order: result, as the method for one item returns it, or error, with code, message and data"`
}

// ItemAnswer is the answer to one item: a result or an error.
type ItemAnswer[R any] struct {
	Result *R         `json:"result,omitempty"`
	Error  *ItemError `json:"error,omitempty"`
}

// ItemError is an error of the API.
type ItemError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    Value  `json:"data,omitempty"`
}
