package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/seal"
	"github.com/claudebench/claudebench/internal/sealtree"
	"github.com/claudebench/claudebench/lua"
)

func newSeal() *cobra.Command {
	cfg := &config.Config{}
	var once, newTree bool
	cmd := &cobra.Command{
		Use:   "seal --seal-dir DIR --seal-key FILE",
		Short: "Seal the log beside a coordinator",
		Long: `Seal the log as 'claudebench serve --seal-dir' does, without a coordinator: append a leaf for each
event to a Merkle tree in a folder, and publish signed checkpoints. At most one process seals a
log at a time; the others wait.

Seal ends with an error if the folder does not fit the log: it was restored from a backup, or
belongs to another log or key. If the log lost events that are sealed, sealing stops for good.
--new-tree then gives up the old tree and begins a new one, which needs an empty folder and a key
that never signed. Keep the old folder: it is the evidence of what was lost.`,
		Example: `  claudebench seal --seal-dir ./seals --seal-key fleet.key
  claudebench seal --once --new-tree --seal-dir ./seals-2 --seal-key fleet-2.key`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cfg.SealDir == "" && cfg.SealKey == "" {
				return usageError(errors.New("seal needs --seal-dir and --seal-key ('claudebench keys new' makes a key)"))
			}
			if err := cfg.CheckSeals(); err != nil {
				return usageError(err)
			}
			signer, err := sealtree.ReadSigner(cfg.SealKey)
			if err != nil {
				return err
			}
			return sealLog(cmd.Context(), cfg, signer, once, newTree)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "seal what is in the log now, and end")
	cmd.Flags().BoolVar(&newTree, "new-tree", false, "give up the tree that this log has, and begin a new one")
	cfg.BindSeals(cmd.Flags())
	bindRedis(cmd, cfg)
	cfg.BindLog(cmd.Flags())
	return cmd
}

func sealLog(ctx context.Context, cfg *config.Config, signer sealtree.Signer, once, newTree bool) error {
	client, space, err := openStores(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	if err := logExists(ctx, client, space); err != nil {
		return err
	}
	scripts := lua.NewRunner(client).On(space.Log())
	if newTree {
		if err := seal.CheckEmpty(cfg.SealDir); err != nil {
			return err
		}
		if err := seal.GiveUp(ctx, scripts, signer.Verifier); err != nil {
			return err
		}
	}
	sealer, err := seal.New(seal.Config{
		Client: client, Scripts: scripts, Keys: space, Dir: cfg.SealDir, Signer: signer, Logger: newLogger(cfg),
	})
	if err != nil {
		return err
	}
	if once {
		return sealer.RunOnce(ctx)
	}
	err = sealer.RunUntil(ctx, func(seal.Status) bool { return false })
	return unlessStopped(ctx, err)
}
