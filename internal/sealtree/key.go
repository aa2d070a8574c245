package sealtree

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
)

// maxKeyFile bounds a key file.
const maxKeyFile = 4 << 10

// GenerateKey returns a new Ed25519 key in the format of signed notes: the signer, which is secret,
// and the verifier, which is public. The name is also the origin of the checkpoints.
func GenerateKey(name string) (signer, verifier string, err error) {
	if err := CheckName(name); err != nil {
		return "", "", err
	}
	return note.GenerateKey(rand.Reader, name)
}

// CheckName returns an error for a name that a key cannot have.
func CheckName(name string) error {
	if name == "" || len(name) > 200 || !utf8.ValidString(name) ||
		strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == '+' }) {
		return fmt.Errorf("%q cannot be the name of a key: a name has 1 to 200 bytes, without spaces and without +, for example example.com/fleet", name)
	}
	return nil
}

// Signer signs checkpoints.
type Signer struct {
	note.Signer
	// Verifier is the text of the key's public half.
	Verifier string
}

// NewSigner parses the text of a signer key.
func NewSigner(text string) (Signer, error) {
	text = strings.TrimSpace(text)
	signer, err := note.NewSigner(text)
	if err != nil {
		return Signer{}, errors.New("it is not a signer key; 'claudebench keys new' makes one")
	}
	// PRIVATE+KEY+name+hash+base64 of the algorithm and the seed; the base64 may contain a +.
	parts := strings.SplitN(text, "+", 5)
	secret, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(secret) != 1+ed25519.SeedSize {
		return Signer{}, errors.New("it is not an Ed25519 key")
	}
	public, ok := ed25519.NewKeyFromSeed(secret[1:]).Public().(ed25519.PublicKey)
	if !ok {
		return Signer{}, errors.New("it is not an Ed25519 key")
	}
	verifier, err := note.NewEd25519VerifierKey(signer.Name(), public)
	if err != nil {
		return Signer{}, fmt.Errorf("find its verifier key: %w", err)
	}
	return Signer{signer, verifier}, nil
}

// ReadSigner reads a signer key from a file that only its owner can read.
func ReadSigner(path string) (Signer, error) {
	text, mode, err := readKeyFile(path)
	if err != nil {
		return Signer{}, fmt.Errorf("read the signer key: %w", err)
	}
	if mode.Perm()&0o077 != 0 {
		return Signer{}, fmt.Errorf("read the signer key: %s can be read by others (mode %04o); run 'chmod 600' on it", path, mode.Perm())
	}
	signer, err := NewSigner(text)
	if err != nil {
		return Signer{}, fmt.Errorf("read the signer key %s: %w", path, err)
	}
	return signer, nil
}

// ReadVerifier reads a verifier key. What is not such a key is the path of a file with one.
func ReadVerifier(keyOrPath string) (note.Verifier, error) {
	if verifier, err := note.NewVerifier(strings.TrimSpace(keyOrPath)); err == nil {
		return verifier, nil
	}
	text, _, err := readKeyFile(keyOrPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the verifier key: %q is neither a verifier key nor a file", keyOrPath)
	}
	if err != nil {
		return nil, fmt.Errorf("read the verifier key: %w", err)
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("read the verifier key: %s has no verifier key; 'claudebench keys new' prints it", keyOrPath)
	}
	return verifier, nil
}

func readKeyFile(path string) (string, fs.FileMode, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", 0, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return "", 0, fmt.Errorf("%s is not a key file", path)
	}
	text, err := os.ReadFile(path)
	return string(text), info.Mode(), err
}
