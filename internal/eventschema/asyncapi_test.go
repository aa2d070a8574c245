package eventschema

import (
	"context"
	"embed"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/testenv"
)

//go:embed package.json package-lock.json
var pinned embed.FS

//go:embed validate.mjs
var validate []byte

// The public parser accepts the document, as JSON and as YAML, and refuses a broken one.
func TestAsyncAPIIsValid(t *testing.T) {
	t.Parallel()
	document, err := AsyncAPI()
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := YAML(document)
	if err != nil {
		t.Fatal(err)
	}
	packages, dir := testenv.NPM(t, "asyncapi", pinned, "node_modules/@asyncapi/parser/package.json"), t.TempDir()
	if err := os.Symlink(filepath.Join(packages, "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"validate.mjs": validate, "document.json": document, "document.yaml": asYAML,
		"broken.json": []byte(`{"asyncapi":"3.0.0","info":{"title":"x"},"channels":{"a":{"messages":{"b":{"$ref":"#/nowhere"}}}}}`),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for file, valid := range map[string]bool{"document.json": true, "document.yaml": true, "broken.json": false} {
		cmd := exec.CommandContext(ctx, "node", "validate.mjs", file)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if (err == nil) != valid {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
	}
}
