package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/auth"
)

func newToken() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make tokens for the auth file",
		Long: `Make tokens for the auth file. A coordinator with --auth-file rejects calls without a token
from that file.`,
		Example: `  claudebench token new --name fleet-1 --role agent --instance-prefix fleet-1:`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("token %s: unknown command; the only one is token new", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTokenNew())
	return cmd
}

func newTokenNew() *cobra.Command {
	var name, prefix, file string
	var roles []string
	cmd := &cobra.Command{
		Use:   "new --name NAME --role ROLE",
		Short: "Make a token and its entry for the auth file",
		Long: `Make a token. The token is printed once, to standard output. Its entry for the auth file,
which contains only a hash of the token, is printed to standard error. With --out, the token
is written to a new file that only its owner can read, and is not printed.

Roles: an agent acts for its own instances and tasks; an operator calls every method but
system.flush; an admin calls every method; an auditor only reads.`,
		Example: `  claudebench token new --name fleet-1 --role agent --instance-prefix fleet-1:
  claudebench token new --name ops --role operator --out ops.token 2>> tokens.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if name == "" || len(roles) == 0 {
				return usageError(errors.New("token new: --name and --role are required"))
			}
			entry, secret, err := newEntry(name, roles, prefix, cmd.Flags().Changed("instance-prefix"))
			if err != nil {
				return usageError(err)
			}
			where, out := "on standard output", cmd.OutOrStdout()
			if file != "" {
				f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
				if err != nil {
					return fmt.Errorf("write the token: %w", err)
				}
				defer func() { _ = f.Close() }()
				where, out = "in "+file, f
			}
			// Standard error is valid YAML as a whole, so that it can be appended to the auth file.
			if _, err := fmt.Fprintf(cmd.ErrOrStderr(), `# The token of %[1]s is %[3]s and is not shown again. Its user sends it in CB_TOKEN or in
# the header "Authorization: Bearer …". Append the entry below to the auth file, which the
# coordinator reads at the start and on SIGHUP.
%[2]s`, name, entry, where); err != nil {
				return err
			}
			_, err = fmt.Fprintln(out, secret)
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the token's name; events show it as the actor")
	cmd.Flags().StringSliceVar(&roles, "role", nil, strings.Join(api.Roles(), ", ")+"; repeat the flag for more roles")
	cmd.Flags().StringVar(&prefix, "instance-prefix", "", "the prefix of the instance ids that the token may use")
	cmd.Flags().StringVar(&file, "out", "", "write the token to this new file, readable by its owner only")
	return cmd
}

// newEntry returns a new token and its entry. It checks all values, so that an error comes before
// any output.
func newEntry(name string, roles []string, prefix string, withPrefix bool) (entry, secret string, err error) {
	if err := auth.CheckName(name); err != nil {
		return "", "", fmt.Errorf("--name: %w", err)
	}
	if err := auth.CheckRoles(roles); err != nil {
		return "", "", fmt.Errorf("--role: %w", err)
	}
	if withPrefix {
		if err := auth.CheckPrefix(prefix); err != nil {
			return "", "", fmt.Errorf("--instance-prefix: %w", err)
		}
	}
	return auth.NewEntry(api.Token{Name: name, Roles: roles, InstancePrefix: prefix})
}
