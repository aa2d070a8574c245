package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/textfile"
)

// entry is a token as the file has it.
type entry struct {
	api.Token
	hash [sha256.Size]byte
	line int
}

// maxFile is the maximum size of an auth file in bytes. That is enough for about ten thousand
// tokens.
const maxFile = 4 << 20

// maxPrefix is the maximum length of an instance's ID.
const maxPrefix = 256

// tokenName matches valid names. They contain no character that separates the token from the
// instance in an event's actor.
var tokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// reserved are actors that are not tokens.
var reserved = []string{"coordinator", "anonymous"}

// CheckName returns an error if a token's name is invalid.
func CheckName(name string) error {
	if !tokenName.MatchString(name) {
		return fmt.Errorf("the name must be 1 to 64 letters, digits, dots, dashes and underscores, and begin with a letter or digit")
	}
	if strings.HasPrefix(name, secretPrefix) {
		return fmt.Errorf("the name must not look like a token, because every event contains the name")
	}
	if _, err := hex.DecodeString(name); err == nil && len(name) == 2*sha256.Size {
		return fmt.Errorf("the name must not be a token's hash, because every event contains the name")
	}
	if slices.Contains(reserved, name) {
		return fmt.Errorf("the name %s is reserved: the log uses it for another actor", name)
	}
	return nil
}

// CheckRoles returns an error if a token's roles are invalid.
func CheckRoles(roles []string) error {
	all := strings.Join(api.Roles(), ", ")
	if len(roles) == 0 {
		return fmt.Errorf("it has no roles; the roles are %s", all)
	}
	for i, role := range roles {
		switch {
		case !slices.Contains(api.Roles(), role):
			return fmt.Errorf("unknown role %s; the roles are %s", shown(role), all)
		case slices.Contains(roles[:i], role):
			return fmt.Errorf("the role %s is repeated", role)
		}
	}
	return nil
}

// CheckPrefix returns an error if the prefix of the IDs of a token's instances is invalid.
func CheckPrefix(prefix string) error {
	if prefix == "" || len(prefix) > maxPrefix || strings.ContainsFunc(prefix, unicode.IsControl) {
		return fmt.Errorf("instancePrefix must be 1 to %d bytes without control characters; leave it out for no limit", maxPrefix)
	}
	return nil
}

// readFile reads an auth file. Its error names the line. It never repeats text that may be a token
// or its hash.
func readFile(path string) ([]entry, error) {
	text, err := textfile.Read(path, maxFile, "make themselves admin")
	if err != nil {
		return nil, err
	}
	entries, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return entries, nil
}

// parse parses a list of tokens. It rejects everything that it does not understand, because a token
// with a misspelt field could have more rights than intended. It walks the nodes itself: the errors
// of yaml's KnownFields repeat text of the file, which may be a token in the wrong place.
func parse(text []byte) ([]entry, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document yaml.Node
	if err := decoder.Decode(&document); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("it must be one YAML document")
	}
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.SequenceNode {
		return nil, errors.New("it must be a list of entries with name, token and roles; 'claudebench token new' makes an entry")
	}
	var entries []entry
	names, hashes := map[string]int{}, map[[sha256.Size]byte]int{}
	for i, node := range document.Content[0].Content {
		e, err := parseEntry(node)
		if err == nil && names[e.Name] > 0 {
			err = fmt.Errorf("line %d has the same name", names[e.Name])
		}
		if err == nil && hashes[e.hash] > 0 {
			err = fmt.Errorf("line %d has the same token", hashes[e.hash])
		}
		if err != nil {
			who := fmt.Sprintf("entry %d", i+1)
			if e.Name != "" {
				who += " (" + e.Name + ")"
			}
			return nil, fmt.Errorf("line %d, %s: %w", e.line, who, err)
		}
		names[e.Name], hashes[e.hash] = e.line, e.line
		entries = append(entries, e)
	}
	if len(entries) == 0 {
		return nil, errors.New("it has no tokens, so every call would be rejected; 'claudebench token new' makes an entry")
	}
	return entries, nil
}

// parseEntry parses one token. If it fails, the entry has its line, and its name if that was parsed
// before.
func parseEntry(node *yaml.Node) (entry, error) {
	e := entry{line: node.Line}
	if node.Kind != yaml.MappingNode {
		return e, errors.New("it must be a map with the fields name, token and roles")
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		field, value := node.Content[i], node.Content[i+1]
		e.line = field.Line
		if seen[field.Value] {
			return e, fmt.Errorf("the field %s is repeated", shown(field.Value))
		}
		seen[field.Value] = true
		if err := e.set(field, value); err != nil {
			return e, err
		}
	}
	e.line = node.Line
	for _, field := range []string{"name", "token", "roles"} {
		if !seen[field] {
			return e, fmt.Errorf("%s is missing", field)
		}
	}
	return e, nil
}

func (e *entry) set(field, value *yaml.Node) (err error) {
	switch field.Value {
	case "name":
		name, err := text(value, "name")
		if err == nil {
			err = CheckName(name)
		}
		if err == nil {
			e.Name = name
		}
		return err
	case "token":
		e.hash, err = parseHash(value)
		return err
	case "roles":
		if value.Kind != yaml.SequenceNode {
			return errors.New("roles must be a list, such as [agent]")
		}
		for _, item := range value.Content {
			role, err := text(item, "a role")
			if err != nil {
				return err
			}
			e.Roles = append(e.Roles, role)
		}
		return CheckRoles(e.Roles)
	case "instancePrefix":
		if e.InstancePrefix, err = text(value, "instancePrefix"); err != nil {
			return err
		}
		return CheckPrefix(e.InstancePrefix)
	}
	return fmt.Errorf("unknown field %s; the fields are name, token, roles and instancePrefix", shown(field.Value))
}

// shown returns text of the file as an error may repeat it. It hides text that may be a misplaced
// token or hash.
func shown(text string) string {
	if len(text) > 20 || strings.Contains(text, secretPrefix) {
		return "(its name is not shown)"
	}
	return strconv.Quote(text)
}

func text(node *yaml.Node, what string) (string, error) {
	if node.Kind != yaml.ScalarNode || node.Tag != "!!str" {
		return "", fmt.Errorf("%s must be a string; put a value that looks like a number in quotes", what)
	}
	return node.Value, nil
}

// parseHash parses a token's hash. If the file contains the token itself, the error says so without
// repeating it.
func parseHash(node *yaml.Node) (hash [sha256.Size]byte, err error) {
	value, err := text(node, "token")
	if err != nil {
		return hash, err
	}
	digits, ok := strings.CutPrefix(value, hashScheme)
	sum, err := hex.DecodeString(digits)
	if !ok || err != nil || len(sum) != len(hash) {
		return hash, errors.New("token must be sha256: and 64 hex digits: the hash of the token, not the token itself; 'claudebench token new' makes an entry with it")
	}
	return [sha256.Size]byte(sum), nil
}
