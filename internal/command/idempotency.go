package command

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/claudebench/claudebench/internal/jsontext"
)

// Idempotency returns what a script needs to know a repeated command by: the hash of its method,
// its caller and its idempotency key, and a digest of its params. Without a key both are "".
func (c *Call) Idempotency(key string) (hash, digest string, err error) {
	if key == "" {
		return "", "", nil
	}
	// Decoding and encoding sorts the members, so that the same params in another order are the
	// same.
	var params map[string]any
	if err := jsontext.DecodeNumbers(c.Params, &params); err != nil {
		return "", "", err
	}
	delete(params, "idempotencyKey")
	canonical, err := json.Marshal(params)
	if err != nil {
		return "", "", err
	}
	return Digest(c.Method + "\x00" + c.Caller + "\x00" + key), Digest(string(canonical)), nil
}

// Digest is half a SHA-256 in hex: enough that no two are the same by chance.
func Digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}
