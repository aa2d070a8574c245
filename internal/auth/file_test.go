package auth

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/api"
)

func TestFile(t *testing.T) {
	t.Parallel()
	s := open(t, `# the fleet's
- name: fleet-1
  token: %s
  roles: [agent]
  instancePrefix: "fleet-1:"
- {name: ops, roles: [operator, auditor], token: "%s"}
`, hash1, "sha256:"+strings.ToUpper(hash2[7:]))
	if got, ok := s.Token("fleet-1"); !ok || got.Name != "fleet-1" || !slices.Equal(got.Roles, []string{"agent"}) || got.InstancePrefix != "fleet-1:" {
		t.Errorf("fleet-1 is %+v, %t", got, ok)
	}
	if got, ok := s.Token("ops"); !ok || !slices.Equal(got.Roles, []string{"operator", "auditor"}) || got.InstancePrefix != "" {
		t.Errorf("ops is %+v, %t", got, ok)
	}
	if _, ok := s.Token(""); ok || s.Len() != 2 {
		t.Errorf("a token without a name: %t; %d tokens", ok, s.Len())
	}
}

func TestFileRefused(t *testing.T) {
	t.Parallel()
	secret, _ := NewSecret()
	good := "- name: a\n  token: " + hash1 + "\n  roles: [agent]\n"
	for name, wire := range map[string]struct{ text, want string }{
		"unknown field":     {good + "  role: admin\n", `line 4, entry 1 (a): unknown field "role"`},
		"duplicate name":    {good + "- name: a\n  token: " + hash2 + "\n  roles: [agent]\n", "line 4, entry 2 (a): line 1 has the same name"},
		"duplicate token":   {good + "- name: b\n  token: " + hash1 + "\n  roles: [agent]\n", "line 4, entry 2 (b): line 1 has the same token"},
		"duplicate field":   {good + "  roles: [admin]\n", `line 4, entry 1 (a): the field "roles" is repeated`},
		"no roles":          {"- name: a\n  token: " + hash1 + "\n  roles: []\n", "line 3, entry 1 (a): it has no roles; the roles are agent, operator, admin, auditor"},
		"roles missing":     {"- name: a\n  token: " + hash1 + "\n", "line 1, entry 1 (a): roles is missing"},
		"unknown role":      {"- name: a\n  token: " + hash1 + "\n  roles: [agent, root]\n", `line 3, entry 1 (a): unknown role "root"`},
		"role twice":        {"- name: a\n  token: " + hash1 + "\n  roles: [agent, agent]\n", "the role agent is repeated"},
		"roles no list":     {"- name: a\n  token: " + hash1 + "\n  roles: agent\n", "roles must be a list"},
		"role no text":      {"- name: a\n  token: " + hash1 + "\n  roles: [1]\n", "a role must be a string"},
		"name missing":      {"- token: " + hash1 + "\n  roles: [agent]\n", "line 1, entry 1: name is missing"},
		"name of two words": {"- name: a/b\n  token: " + hash1 + "\n  roles: [agent]\n", "line 1, entry 1: the name must be"},
		"name of another":   {"- name: coordinator\n  token: " + hash1 + "\n  roles: [agent]\n", "is reserved"},
		"name a number":     {"- name: 12\n  token: " + hash1 + "\n  roles: [agent]\n", "name must be a string"},
		"token missing":     {"- name: a\n  roles: [agent]\n", "token is missing"},
		"token in clear":    {"- name: a\n  token: " + secret + "\n  roles: [agent]\n", "line 2, entry 1 (a): token must be sha256: and 64 hex digits: the hash of the token, not the token itself"},
		"token as name":     {"- name: " + secret + "\n  token: " + hash1 + "\n  roles: [agent]\n", "line 1, entry 1: the name must not look like a token"},
		"token as role":     {"- name: a\n  token: " + hash1 + "\n  roles: [" + secret + "]\n", "unknown role (its name is not shown)"},
		"token as field":    {good + "  " + secret + ": 1\n", "unknown field (its name is not shown)"},
		"hash as field":     {good + "  " + hash1[7:] + ": 1\n", "unknown field (its name is not shown)"},
		"hash too short":    {"- name: a\n  token: sha256:abcd\n  roles: [agent]\n", "64 hex digits"},
		"hash of nothing":   {"- name: a\n  token: 'sha256:'\n  roles: [agent]\n", "64 hex digits"},
		"empty prefix":      {good + "  instancePrefix: \"\"\n", "line 4, entry 1 (a): instancePrefix must be"},
		"prefix a list":     {good + "  instancePrefix: [x]\n", "instancePrefix must be a string"},
		"prefix controls":   {good + "  instancePrefix: \"a\\nb\"\n", "instancePrefix must be"},
		"no list":           {"tokens:\n" + good, "it must be a list of entries"},
		"no entry":          {"- just text\n", "line 1, entry 1: it must be a map with the fields"},
		"empty":             {"", "it must be a list of entries"},
		"an empty list":     {"[]\n", "it has no tokens"},
		"two documents":     {good + "---\n" + good, "one YAML document"},
		"no YAML":           {good + "\t- x: [", "line 4"},
		"anchors":           {"- &a\n  name: a\n  token: " + hash1 + "\n  roles: [agent]\n- *a\n", "entry 2: it must be a map with the fields"},
		"merge":             {good + "  <<: {roles: [admin]}\n", `unknown field "<<"`},
		"huge":              {good + strings.Repeat("# filler\n", maxFile/9+1), "is longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Open(write(t, "", "%s", wire.text))
			if err == nil || !strings.Contains(err.Error(), wire.want) || !strings.Contains(err.Error(), "tokens.yaml") {
				t.Fatalf("%v, want %s", err, wire.want)
			}
			for _, told := range []string{secret[:12], hash1[7:15]} {
				if strings.Contains(err.Error(), told) {
					t.Errorf("the error tells what it must not: %v", err)
				}
			}
		})
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none.yaml")); err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestAFileThatOthersCanWriteIsRefused(t *testing.T) {
	t.Parallel()
	entry, _, err := NewEntry(api.Token{Name: "a", Roles: []string{api.RoleAgent}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	if err := os.WriteFile(path, []byte(entry), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, taken := range map[os.FileMode]bool{0o600: true, 0o644: true, 0o666: false, 0o620: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); (err == nil) != taken || err != nil && !strings.Contains(err.Error(), "chmod go-w "+path) {
			t.Errorf("mode %#o: %v", mode, err)
		}
	}
}

func TestAPipeIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	refused := make(chan error, 1)
	go func() {
		_, err := Open(path)
		refused <- err
	}()
	select {
	case err := <-refused:
		if err == nil || !strings.Contains(err.Error(), path+" is not a regular file") {
			t.Errorf("a pipe: %v", err)
		}
	case <-time.After(10 * time.Second):
		w, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_ = w.Close()
		t.Errorf("reading the file waits for a writer, and then returns %v", <-refused)
	}
}
