package jsontext

import (
	"bytes"
	"math"
	"strconv"
)

// MaxInteger is the largest integer that every reader of JSON and every script represents exactly:
// 2^53-1, JavaScript's Number.MAX_SAFE_INTEGER. The smallest is its negative.
const MaxInteger = 1<<53 - 1

// Integer parses a JSON number whose value is an integer, however it is written (50, 50.0, 5e1),
// and reports whether it is one. A value outside int64 is returned as the nearest int64. Nothing is
// rounded.
func Integer(number []byte) (n int64, ok bool) {
	n, err := strconv.ParseInt(string(number), 10, 64)
	if err == nil {
		return n, true
	}
	if len(number) == 0 || number[0] != '-' && (number[0] < '0' || number[0] > '9') {
		return 0, false
	}
	mantissa, exponent := number, 0
	if e := bytes.IndexAny(number, "eE"); e >= 0 {
		mantissa = number[:e]
		// An exponent outside int saturates. It decides the size of the value as any large exponent
		// does.
		exponent, _ = strconv.Atoi(string(number[e+1:]))
		exponent = max(min(exponent, math.MaxInt32), math.MinInt32)
	}
	unsigned, negative := bytes.CutPrefix(mantissa, []byte("-"))
	whole, fraction, _ := bytes.Cut(unsigned, []byte("."))
	digits := append(bytes.Clone(whole), fraction...)
	exponent -= len(fraction)
	significant := bytes.TrimRight(digits, "0")
	exponent += len(digits) - len(significant)
	significant = bytes.TrimLeft(significant, "0")
	if len(significant) == 0 {
		return 0, true
	}
	if exponent < 0 {
		return 0, false
	}
	limit := int64(math.MaxInt64)
	sign := ""
	if negative {
		limit, sign = math.MinInt64, "-"
	}
	const maxDigits = 19 // of an int64
	if len(significant)+exponent > maxDigits {
		return limit, true
	}
	n, err = strconv.ParseInt(sign+string(significant)+string(bytes.Repeat([]byte("0"), exponent)), 10, 64)
	if err != nil {
		return limit, true
	}
	return n, true
}
