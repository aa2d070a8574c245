package auth

import (
	"crypto/sha256"
	"strings"
	"testing"
)

// FuzzParse parses auth files. An accepted file grants exactly what it says, and each token only
// once. The error for a rejected file repeats no token.
func FuzzParse(f *testing.F) {
	entry := "- name: fleet-1\n  token: " + hash1 + "\n  roles: [agent]\n  instancePrefix: 'fleet-1:'\n"
	for _, seed := range []string{
		entry, entry + "- {name: ops, token: '" + hash2 + "', roles: [operator, admin]}\n", entry + entry, "", "[]", "{}", "- 1", "---\n" + entry + "---\n" + entry,
		strings.Replace(entry, "[agent]", "&a [agent]", 1) + "- {name: b, token: '" + hash2 + "', roles: *a}",
		"- &a {<<: *a}", "- !!binary aGVsbG8=", strings.Replace(entry, "fleet-1\n", "!!str 1\n", 1), strings.Replace(entry, "token", "? [a, b]\n  : ", 1),
		"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n", strings.Repeat("[", 2000), strings.Repeat("- ", 2000), "\xff\xfe-\x00", "\t- x", "- name: |\n   x\n",
		strings.Replace(entry, hash1, secretPrefix+strings.Repeat("a", 52), 1), "%YAML 9.9\n---\n" + entry,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		entries, err := parse(file)
		if err != nil {
			if len(entries) > 0 {
				t.Fatalf("refused, and yet gave %d tokens", len(entries))
			}
			if strings.Contains(err.Error(), strings.Repeat("1a", 32)) {
				t.Fatalf("the refusal repeats a hash: %v", err)
			}
			return
		}
		names, hashes := map[string]bool{}, map[[sha256.Size]byte]bool{}
		for _, e := range entries {
			if CheckName(e.Name) != nil || CheckRoles(e.Roles) != nil || e.InstancePrefix != "" && CheckPrefix(e.InstancePrefix) != nil {
				t.Fatalf("took %+v", e.Token)
			}
			if names[e.Name] || hashes[e.hash] {
				t.Fatalf("took %s twice", e.Name)
			}
			names[e.Name], hashes[e.hash] = true, true
			if !strings.Contains(string(file), e.Name) && !strings.Contains(string(file), "\\") {
				t.Fatalf("the name %q is not in the file", e.Name)
			}
		}
		if len(entries) == 0 {
			t.Fatal("took a file without a token")
		}
	})
}
