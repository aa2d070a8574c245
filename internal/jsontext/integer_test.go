package jsontext_test

import (
	"encoding/json"
	"math"
	"math/big"
	"testing"

	"github.com/claudebench/claudebench/internal/jsontext"
)

func TestInteger(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0": 0, "-0": 0, "0.0": 0, "0e999999999999999999999": 0, "50": 50, "50.0": 50, "5e1": 50, "0.5E+2": 50, "5000e-2": 50, "-5e1": -50,
		"9007199254740993": 9007199254740993, "9007199254740993.0": 9007199254740993, "900719925474099.3e1": 9007199254740993,
		"9223372036854775807": math.MaxInt64, "9223372036854775808": math.MaxInt64, "-9223372036854775809": math.MinInt64, "1e300": math.MaxInt64,
		"-1e999999999999999999999": math.MinInt64, "9223372036854775807e0": math.MaxInt64,
	} {
		if got, ok := jsontext.Integer([]byte(text)); !ok || got != want {
			t.Errorf("%s: %d, %t; want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"1.5", "1e-1", "9007199254740990.6", "1e-400", "-1e-999999999999999999999", "0.1", "12345e-3", "true", `"1"`, "null", "[1]", "{}", ""} {
		if got, ok := jsontext.Integer([]byte(text)); ok {
			t.Errorf("%s is taken for %d", text, got)
		}
	}
}

func FuzzInteger(f *testing.F) {
	for _, seed := range []string{"1", "-0.0", "1e3", "12.50e1", "9007199254740993.0", "1e-3", "100e-2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var number json.Number
		if len(text) > 40 || json.Unmarshal([]byte(text), &number) != nil || number == "" || text[0] == '"' {
			return
		}
		got, ok := jsontext.Integer([]byte(number))
		exact, known := new(big.Rat).SetString(string(number))
		if !known { // the exponent is too large for it
			return
		}
		if ok != exact.IsInt() {
			t.Fatalf("%s: an integer: %t", number, ok)
		}
		if ok && exact.Num().IsInt64() && exact.Num().Int64() != got {
			t.Fatalf("%s: %d", number, got)
		}
	})
}
