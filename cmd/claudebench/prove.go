package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/audit"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/sealtree"
)

// sealsTimeout bounds the read of one file of seals over HTTP.
const sealsTimeout = 30 * time.Second

// sealFlags select the seals of a log.
type sealFlags struct{ seals, key, since, save string }

func (f *sealFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.seals, "seals", "", "the seals: a folder, or an address such as http://127.0.0.1:3000/tlog (with the token in CB_TOKEN)")
	cmd.Flags().StringVar(&f.key, "key", "", "the verifier key that 'claudebench keys new' printed, or a file with it")
}

// check returns an error for flags that do not belong together.
func (f *sealFlags) check(cmd *cobra.Command) error {
	switch {
	case (f.seals == "") != (f.key == ""):
		return fmt.Errorf("%s: --seals and --key belong together; pass both or neither", cmd.Name())
	case f.seals == "" && (f.since != "" || f.save != ""):
		return fmt.Errorf("%s: --since and --save need --seals", cmd.Name())
	}
	return nil
}

func (f *sealFlags) open() (sealtree.Source, note.Verifier, error) {
	key, err := sealtree.ReadVerifier(f.key)
	if err != nil {
		return nil, nil, usageError(err)
	}
	if strings.HasPrefix(f.seals, "http://") || strings.HasPrefix(f.seals, "https://") {
		source, err := sealtree.NewHTTPSource(&http.Client{Timeout: sealsTimeout}, f.seals, os.Getenv(config.Token))
		return source, key, usageError(err)
	}
	return sealtree.OpenDir(f.seals), key, nil
}

// verify compares the log with its seals.
func (f *sealFlags) verify(cmd *cobra.Command, client redis.UniversalClient, space keys.Space, stored events.Archive, asJSON bool) error {
	source, key, err := f.open()
	if err != nil {
		return err
	}
	o := audit.SealOptions{Source: source, Key: key}
	if f.since != "" {
		if o.Since, err = os.ReadFile(f.since); err != nil {
			return usageError(fmt.Errorf("read the checkpoint that you kept: %w", err))
		}
	}
	var foreign []events.ForeignEntry
	o.Foreign = func() []events.ForeignEntry { return foreign }
	o.Log, err = events.NewReader(client, events.ReaderConfig{
		Namespace: space.Namespace(), Archive: stored, OnForeign: func(e events.ForeignEntry) { foreign = append(foreign, e) },
	})
	if err != nil {
		return err
	}
	report, err := audit.VerifySeals(cmd.Context(), o)
	if errors.Is(err, audit.ErrSeals) {
		return err
	}
	if err != nil {
		return unavailableError(err)
	}
	if asJSON {
		err = report.WriteJSON(cmd.OutOrStdout())
	} else {
		_, err = report.WriteTo(cmd.OutOrStdout())
	}
	switch {
	case err != nil:
		return err
	case !report.OK:
		return exitError{code: exitFailed}
	case f.save != "":
		if err := devstack.WriteFile(f.save, report.Checkpoint); err != nil {
			return fmt.Errorf("keep the checkpoint: %w", err)
		}
	}
	return nil
}

func newProve() *cobra.Command {
	cfg := &config.Config{}
	seals := sealFlags{}
	var out, check string
	cmd := &cobra.Command{
		Use:   "prove EVENT | prove --check FILE",
		Short: "Prove that an event is in the sealed log",
		Long: `Write a file that proves that an event is in the sealed log: the event, its proof of inclusion
and the signed checkpoint, in the format tlog-proof of C2SP. EVENT is the ID of an event, or its
seq. The event comes from Redis or the archive.

With --check, check such a file. That needs the verifier key, and neither Redis, a coordinator
nor the seals.

Exit codes: 0 if the event is proven, 1 if it is not, 2 for wrong usage, 3 if something cannot be
read.`,
		Example: `  claudebench prove 4711 --seals ./seals --key fleet.pub
  claudebench prove --check 4711.tlog-proof --key fleet.pub`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case (check == "") == (len(args) == 0):
				return usageError(errors.New("prove needs an event, or --check and the file of a proof"))
			case check != "" && (seals.key == "" || seals.seals != ""):
				return usageError(errors.New("prove --check needs --key, and no --seals"))
			case check != "":
				return checkProof(cmd, check, seals.key)
			case seals.key == "" || seals.seals == "":
				return usageError(errors.New("prove needs --seals and --key"))
			}
			seq, err := parseSeq(args[0])
			if err != nil {
				return usageError(err)
			}
			source, key, err := seals.open()
			if err != nil {
				return err
			}
			client, space, err := openStores(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer func() { _ = client.Close() }()
			stored, closeArchive, err := openArchive(cmd, cfg)
			if err != nil {
				return err
			}
			defer closeArchive()
			log, err := events.NewReader(client, events.ReaderConfig{Namespace: space.Namespace(), Archive: stored})
			if err != nil {
				return err
			}
			file, err := prove(cmd.Context(), log, source, key, seq)
			if err != nil {
				return err
			}
			if out == "" {
				out = strconv.FormatInt(seq, 10) + ".tlog-proof"
			}
			if err := devstack.WriteFile(out, string(file)); err != nil {
				return fmt.Errorf("write the proof: %w", err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), out)
			return err
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "the file of the proof (default: the seq, with .tlog-proof)")
	cmd.Flags().StringVar(&check, "check", "", "check the proof in this file")
	seals.bind(cmd)
	bindArchive(cmd, cfg)
	bindRedis(cmd, cfg)
	cfg.BindLog(cmd.Flags())
	return cmd
}

// parseSeq returns the seq of an event, which is the second part of its ID.
func parseSeq(event string) (int64, error) {
	if seq, err := strconv.ParseInt(event, 10, 64); err == nil && seq > 0 {
		return seq, nil
	}
	id, err := events.ParseID(event)
	if err != nil {
		return 0, fmt.Errorf("%q is neither the ID of an event nor its seq", event)
	}
	return id.Seq, nil
}

// prove returns the proof of an event. It reads a few tiles and one event.
func prove(ctx context.Context, log *events.Reader, source sealtree.Source, key note.Verifier, seq int64) ([]byte, error) {
	signed, err := source.Checkpoint(ctx)
	if err != nil {
		return nil, unavailableError(err)
	}
	tree, err := sealtree.Open(signed, key)
	if err != nil {
		return nil, err
	}
	if tree.N == 0 {
		return nil, errors.New("nothing is sealed yet")
	}
	first, _, err := sealtree.ReadLeaf(ctx, source, tree, 0)
	if err != nil {
		return nil, err
	}
	begin, err := sealtree.ParseLeaf(first)
	if err != nil {
		return nil, err
	}
	if seq < begin.Seq || seq >= begin.Seq+tree.N {
		return nil, fmt.Errorf("seq %d is not sealed: the seals have seqs %d to %d", seq, begin.Seq, begin.Seq+tree.N-1)
	}
	bytes, inclusion, err := sealtree.ReadLeaf(ctx, source, tree, seq-begin.Seq)
	if err != nil {
		return nil, err
	}
	leaf, err := sealtree.ParseLeaf(bytes)
	if err != nil {
		return nil, err
	}
	if leaf.Gone != "" {
		return nil, fmt.Errorf("seq %d was %s before it was sealed", seq, leaf.Gone)
	}
	id, err := events.ParseID(leaf.ID)
	if err != nil {
		return nil, err
	}
	entry, there, err := log.At(ctx, id)
	if err != nil {
		return nil, unavailableError(err)
	}
	if !there {
		return nil, fmt.Errorf("event %s is sealed, and Redis does not have it any more; pass --archive-dir with an archive that has it", id)
	}
	file := sealtree.FormatProof(leaf.ID, entry.Raw, seq-begin.Seq, inclusion, signed)
	if _, err := sealtree.CheckProof(file, key); err != nil {
		return nil, fmt.Errorf("event %s of the log is not what was sealed: %w", id, err)
	}
	return file, nil
}

// maxProof bounds the file of a proof: the envelope in base64, and some hashes.
const maxProof = 64 << 20

func checkProof(cmd *cobra.Command, path, keyOrPath string) error {
	key, err := sealtree.ReadVerifier(keyOrPath)
	if err != nil {
		return usageError(err)
	}
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxProof {
		err = fmt.Errorf("%s is too large for a proof", path)
	}
	var file []byte
	if err == nil {
		file, err = os.ReadFile(path)
	}
	if err != nil {
		return usageError(fmt.Errorf("read the proof: %w", err))
	}
	proven, err := sealtree.CheckProof(file, key)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "OK: event %s is leaf %d of the %d that %s has sealed.\n%s\n",
		proven.ID, proven.Index, proven.Tree.N, sealtree.KeyID(key), proven.Envelope)
	return err
}
