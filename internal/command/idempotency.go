package command

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/claudebench/claudebench/internal/jsontext"
)

// Idempotency returns what identifies a repeated command to a script: the hash of its method, its
// caller and its idempotency key, and a digest of its params. Without a key both are "".
func (c *Call) Idempotency(key string) (hash, digest string, err error) {
	if key == "" {
		return "", "", nil
	}
	// Decoding and encoding sorts the members, so their order does not matter.
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

// Digest returns half of a SHA-256 in hex, which is long enough to exclude accidental collisions.
func Digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}
