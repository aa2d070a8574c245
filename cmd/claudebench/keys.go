package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/internal/sealtree"
)

func newKeys() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Make keys for seals",
		Long: `Make keys for seals. A coordinator signs the checkpoints of its log with the signer key, and
auditors check them with the verifier key.`,
		Example: `  claudebench keys new example.com/fleet`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("keys %s: unknown command; the only one is keys new", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKeysNew())
	return cmd
}

func newKeysNew() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Make a signer key and its verifier key",
		Long: `Make an Ed25519 key in the format of signed notes. The signer key, which is secret, goes to a
new file that only its owner can read, and is not printed. The verifier key, which auditors
need, is printed, and goes to a file next to it that ends in .pub.

NAME is also the origin in the checkpoints. Use a name that no other log has, such as
example.com/fleet. It contains no spaces and no +.`,
		Example: `  claudebench keys new example.com/fleet`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			signer, verifier, err := sealtree.GenerateKey(args[0])
			if err != nil {
				return usageError(err)
			}
			if file == "" {
				file = path.Base(args[0]) + ".key"
			}
			if err := writeKeys(file, signer, verifier); err != nil {
				return err
			}
			if _, err := fmt.Fprintf(cmd.ErrOrStderr(), "The signer key is in %s; keep it secret. The verifier key is:\n", file); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), verifier)
			return err
		},
	}
	cmd.Flags().StringVar(&file, "out", "", "write the signer key to this new file (default: the last part of NAME, with .key)")
	return cmd
}

// writeKeys writes a key to new files: the signer, readable by its owner only, and the verifier. It
// never replaces a file, because a lost signer key ends its tree.
func writeKeys(file, signer, verifier string) error {
	public := strings.TrimSuffix(file, ".key") + ".pub"
	if err := writeNew(file, signer, 0o600); err != nil {
		return err
	}
	if err := writeNew(public, verifier, 0o644); err != nil {
		return errors.Join(err, os.Remove(file))
	}
	return nil
}

func writeNew(file, text string, mode os.FileMode) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return fmt.Errorf("write the key: %w", err)
	}
	_, err = f.WriteString(text + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the key: %w", errors.Join(err, os.Remove(file)))
	}
	return nil
}
