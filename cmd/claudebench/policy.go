package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/internal/claudehook"
	"github.com/claudebench/claudebench/internal/hookpolicy"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/terminal"
)

func newPolicy() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Check a policy for agents' tools",
		Long: `Check a policy for agents' tools. A coordinator with --hook-policy answers Claude Code's hooks
PreToolUse and PermissionRequest by the rules of that file: allow, ask or deny. docs/agents.md
describes the file.`,
		Example: `  claudebench policy test policy.yaml < hook.json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("policy %s: unknown command; the only one is policy test", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPolicyTest())
	return cmd
}

func newPolicyTest() *cobra.Command {
	return &cobra.Command{
		Use:   "test FILE",
		Short: "Print what a policy decides about hooks from standard input",
		Long: `Print what a policy decides. Standard input has the body of a hook as Claude Code sends it, or
several, one after the other. For each of them, the coordinator's answer is printed to standard
output, and the decision, the rule and the reason to standard error. The answer {} means that
the policy has no opinion. A policy decides only about the hooks PreToolUse and
PermissionRequest.

The exit code is 0 whatever the policy decides, and 2 if the policy or a body is invalid.`,
		Example: `  claudebench policy test policy.yaml < hook.json
  echo '{"hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"rm -rf /"}}' |
    claudebench policy test policy.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			policy, err := hookpolicy.Load(args[0])
			if err != nil {
				return usageError(err)
			}
			return testPolicy(policy, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

// testPolicy prints the answer for each body of the input.
func testPolicy(policy *hookpolicy.Policy, in io.Reader, stdout, stderr io.Writer) error {
	bodies := json.NewDecoder(in)
	for n := 1; ; n++ {
		var body json.RawMessage
		err := bodies.Decode(&body)
		switch {
		case errors.Is(err, io.EOF) && n > 1:
			return nil
		case errors.Is(err, io.EOF):
			return usageError(errors.New("standard input is empty; pass the body of a hook: claudebench policy test FILE < hook.json"))
		case err != nil:
			return usageError(fmt.Errorf("body %d is not a hook of Claude Code: %w", n, err))
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, body); err != nil {
			return usageError(err)
		}
		hook := claudehook.Parse(compact.Bytes())
		switch {
		case hook.Name == "":
			return usageError(fmt.Errorf("body %d is not a hook of Claude Code: hook_event_name is missing", n))
		case claudehook.Asks(hook.Type) && !hasTool(compact.Bytes()):
			return usageError(fmt.Errorf("body %d: tool_name is missing", n))
		}
		answer, human := claudehook.NoOpinion, hook.Name+": no opinion; a policy decides only about PreToolUse and PermissionRequest"
		if claudehook.Asks(hook.Type) {
			tool, called := "", "a tool whose name is not valid" // as the coordinator sees it
			if hook.Tool != nil {
				tool, called = *hook.Tool, *hook.Tool
			}
			human = called + ": no opinion; no rule matches"
			if d, ok := policy.Decide(tool, hook.Input); ok {
				answer = string(claudehook.Answer(hook.Type, d.Decision, d.Reason))
				human = fmt.Sprintf("%s: %s by rule %d", called, d.Decision, d.Rule)
				if d.Reason != "" {
					human += ": " + d.Reason
				}
			}
		}
		if _, err := fmt.Fprintln(stdout, answer); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(stderr, terminal.Escape(human)); err != nil {
			return err
		}
	}
}

// hasTool reports whether the body of a hook says which tool it is about.
func hasTool(body []byte) bool {
	for name := range jsontext.Members(body) {
		if name == "tool_name" {
			return true
		}
	}
	return false
}
