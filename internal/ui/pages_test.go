package ui_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Pictures of each page, in both themes on a desktop, and on a phone. `go test -artifacts` keeps them.
func TestScreenshots(t *testing.T) {
	t.Parallel()
	f := start(t, nil).live().repeating()
	folder := t.ArtifactDir()
	tab := f.open(t)
	for _, page := range pages {
		for _, size := range []struct {
			name          string
			width, height int64
		}{{"", 1280, 800}, {"-375", 375, 812}} {
			for _, theme := range []string{"light", "dark"} {
				if size.width == 375 && theme == "dark" {
					continue
				}
				tab.Size(size.width, size.height)
				tab.Theme(theme)
				tab.Go(page.path)
				ready(tab, page.name)
				status(tab, "Live")
				tab.SeesNot("Loading…")
				name := filepath.Join(folder, page.name+"-"+theme+size.name+".png")
				if err := os.WriteFile(name, tab.Shot(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	t.Logf("the pictures are in %s", strings.TrimSuffix(folder, "/"))
}
