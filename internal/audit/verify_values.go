package audit

import (
	"strconv"
)

// This file makes texts of values that are compared.

// text returns a script's value as text, "" for nil.
func text(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case int64:
		return strconv.FormatInt(value, 10)
	}
	return ""
}

// number returns a script's value or a score as an integer. The result is false if it is no number.
func number(value any) (int64, bool) {
	switch value := value.(type) {
	case int64:
		return value, true
	case string:
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			return n, true
		}
		f, err := strconv.ParseFloat(value, 64)
		return int64(f), err == nil
	}
	return 0, false
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

// decimalSet returns a number that counts from 1 as text, "" for 0.
func decimalSet(n int64) string {
	if n == 0 {
		return ""
	}
	return decimal(n)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
