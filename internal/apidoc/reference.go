package apidoc

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// referencePreface is what the command tree does not know.
//
//go:embed reference_preface.md
var referencePreface string

// setting is a flag with the commands that accept it.
type setting struct {
	flag     *pflag.Flag
	commands []string
}

// RenderReference returns the page of the program's settings and commands. variable returns the
// environment variable of a flag, or "" if it has none.
func RenderReference(root *cobra.Command, variable func(flag string) string) string {
	var commands []*cobra.Command
	var visit func(*cobra.Command)
	visit = func(parent *cobra.Command) {
		for _, c := range parent.Commands() {
			if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
				continue
			}
			if c.Runnable() {
				commands = append(commands, c)
			}
			visit(c)
		}
	}
	visit(root)
	var b strings.Builder
	b.WriteString(referencePreface)
	b.WriteString("\n## Settings\n\n| flag | variable | default | commands | meaning |\n|---|---|---|---|---|\n")
	for _, s := range settings(commands) {
		fmt.Fprintf(&b, "| `--%s` | %s | %s | %s | %s |\n", s.flag.Name, code(variable(s.flag.Name)), fallback(s.flag),
			commandNames(s.commands), meaning(s.flag))
	}
	b.WriteString("\n## Commands\n")
	for _, c := range commands {
		fmt.Fprintf(&b, "\n### %s\n\n%s.\n\n```\n%s\n```\n", shortPath(c), strings.TrimSuffix(c.Short, "."), c.UseLine())
		if c.Long != "" {
			fmt.Fprintf(&b, "\n%s\n", paragraphs(c.Long))
		}
		if c.Example != "" {
			fmt.Fprintf(&b, "\n```sh\n%s\n```\n", unindent(c.Example))
		}
	}
	return b.String()
}

// settings returns the flags of all commands sorted by name, each once.
func settings(commands []*cobra.Command) []*setting {
	var all []*setting
	for _, c := range commands {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name == "help" || f.Name == "version" {
				return
			}
			i := slices.IndexFunc(all, func(s *setting) bool { return s.flag.Name == f.Name && s.flag.Usage == f.Usage })
			if i < 0 {
				i = len(all)
				all = append(all, &setting{flag: f})
			}
			all[i].commands = append(all[i].commands, shortPath(c))
		})
	}
	slices.SortStableFunc(all, func(a, b *setting) int { return strings.Compare(a.flag.Name, b.flag.Name) })
	return all
}

// shortPath returns the command as a user types it after the program's name.
func shortPath(c *cobra.Command) string {
	return strings.TrimPrefix(c.CommandPath(), c.Root().Name()+" ")
}

func commandNames(names []string) string {
	for i, name := range names {
		names[i] = code(name)
	}
	return strings.Join(names, " ")
}

// fallback returns the default of a flag as the page shows it. The user's own folder differs
// between machines, so the page shows a fixed path.
func fallback(f *pflag.Flag) string {
	switch {
	case f.Name == "data-dir":
		return "`~/.local/state/claudebench`"
	case f.DefValue == "false" || f.DefValue == "[]":
		return ""
	}
	return code(f.DefValue)
}

// meaning returns the flag's usage without the environment variable, which has its own column.
func meaning(f *pflag.Flag) string {
	usage, _, _ := strings.Cut(f.Usage, " [CB_")
	return strings.NewReplacer("\n", " ", "|", `\|`).Replace(usage)
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

// paragraphs joins the lines of each paragraph of a help text; an indented block becomes code.
func paragraphs(text string) string {
	blocks := strings.Split(text, "\n\n")
	for i, block := range blocks {
		if strings.HasPrefix(block, "  ") {
			blocks[i] = "```\n" + unindent(block) + "\n```"
			continue
		}
		blocks[i] = strings.ReplaceAll(block, "\n", " ")
	}
	return strings.Join(blocks, "\n\n")
}

func unindent(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, "  ")
	}
	return strings.Join(lines, "\n")
}
