package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os/exec"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/internal/claudecode"
)

func newInit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Set up an agent's program for a coordinator",
		Long: `Set up an agent's program for a coordinator. There is one program so far: Claude Code.
docs/agents.md describes what is set up.`,
		Example: `  claudebench init claude-code --write`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("init %s: unknown program; the only one is claude-code", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newInitClaudeCode())
	return cmd
}

func newInitClaudeCode() *cobra.Command {
	c := &target{}
	var dir string
	var roles []string
	var write bool
	cmd := &cobra.Command{
		Use:   "claude-code",
		Short: "Print or write what a project of Claude Code needs",
		Long: `Print what a project of Claude Code needs to use a coordinator: the MCP server claudebench in
.mcp.json, which 'claudebench mcp' runs, and in .claude/settings.json the hooks that report to
the coordinator what the agent does. With --write, merge it into the project's files. Everything
else in them stays as it is, and the old file is kept as .mcp.json.bak or settings.json.bak. A
second run changes nothing.

The files contain no token. If the coordinator needs one, set CB_TOKEN where you start claude.`,
		Example: `  claudebench init claude-code
  claudebench init claude-code --write
  claudebench init claude-code --write --dir ~/project --roles worker,reviewer --url https://cb.example`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			needs := claudecode.Needs{URL: c.baseURL(), Roles: roles}
			if err := checkNeeds(needs); err != nil {
				return usageError(err)
			}
			if !write {
				return printNeeds(cmd.OutOrStdout(), needs)
			}
			changes, err := needs.Write(dir)
			return errors.Join(printChanges(cmd.OutOrStdout(), changes, dir, needs.URL), err)
		},
	}
	c.bindURL(cmd)
	cmd.Flags().StringVar(&dir, "dir", ".", "the project's folder")
	cmd.Flags().StringSliceVar(&roles, "roles", []string{"worker"}, "the roles of the agent's instance, separated by commas")
	cmd.Flags().BoolVar(&write, "write", false, "merge it into the project's files")
	return cmd
}

// checkNeeds returns an error for flags that Claude Code could not use.
func checkNeeds(needs claudecode.Needs) error {
	u, err := url.Parse(needs.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("--url must be http:// or https:// with a host, but is %q", needs.URL)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("--url must have no user, query or fragment; pass a token in CB_TOKEN")
	}
	if len(needs.Roles) == 0 || slices.ContainsFunc(needs.Roles, func(r string) bool { return strings.TrimSpace(r) == "" || strings.Contains(r, "$") }) {
		return errors.New("--roles must be names separated by commas, such as worker,reviewer")
	}
	return nil
}

func printNeeds(w io.Writer, needs claudecode.Needs) error {
	files, err := needs.Files()
	if err != nil {
		return err
	}
	for _, f := range files {
		if _, err := fmt.Fprintf(w, "%s:\n\n%s\n", f.Name, f.Text); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(w, "Nothing was written. Pass --write to merge this into the project's files.")
	return err
}

func printChanges(w io.Writer, changes []claudecode.Change, dir, url string) error {
	if len(changes) == 0 {
		return nil
	}
	for _, c := range changes {
		what := "written"
		switch {
		case c.Same:
			what = "unchanged; it has everything already"
		case c.Backup != "":
			what = "changed; the old file is " + c.Backup
		}
		if _, err := fmt.Fprintf(w, "%s: %s\n", c.Name, what); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, `
Next:
  1. Run a coordinator at %s, for example with 'claudebench up'.
  2. If it needs a token, set CB_TOKEN.
  3. Start claude in %s and approve the MCP server claudebench. Then say: work on the tasks of claudebench
`, url, dir)
	if _, missing := exec.LookPath("claudebench"); missing != nil {
		_, err = fmt.Fprintln(w, "\nclaudebench is not in PATH, where Claude Code looks for it. Install it there first.")
	}
	return err
}
