package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/claudebench/claudebench/internal/api"
)

const (
	// secretPrefix makes tokens recognisable to people and to programs that scan for leaked
	// secrets.
	secretPrefix = "cbt_"
	// secretLetters is the length of two texts of rand.Text: 52 letters of 5 bits.
	secretLetters = 52
	// hashScheme is the prefix of a token's hash in the file.
	hashScheme = "sha256:"
)

// NewSecret generates a token and its hash as it appears in the auth file.
func NewSecret() (secret, hash string) {
	secret = secretPrefix + rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(secret))
	return secret, hashScheme + hex.EncodeToString(sum[:])
}

// wellFormed reports whether secret has the form of NewSecret. It does not report whether it is a
// token.
func wellFormed(secret string) bool {
	letters, ok := strings.CutPrefix(secret, secretPrefix)
	if !ok || len(letters) != secretLetters {
		return false
	}
	return strings.Trim(letters, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// NewEntry generates a secret for a token, and returns its entry for the auth file as a YAML list
// with one element.
func NewEntry(t api.Token) (entry, secret string, err error) {
	secret, hash := NewSecret()
	var list [1]struct {
		Name           string   `yaml:"name"`
		Token          string   `yaml:"token"`
		Roles          []string `yaml:"roles,flow"`
		InstancePrefix string   `yaml:"instancePrefix,omitempty"`
	}
	list[0].Name, list[0].Token, list[0].Roles, list[0].InstancePrefix = t.Name, hash, t.Roles, t.InstancePrefix
	text, err := yaml.Marshal(list)
	if err != nil {
		return "", "", fmt.Errorf("write the entry of %s: %w", t.Name, err)
	}
	return string(text), secret, nil
}
