package seal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/claudebench/claudebench/internal/sealtree"
	"github.com/claudebench/claudebench/lua"
)

// LeaseName is the name of the sealer's lease.
const LeaseName = "seal"

var (
	readSeal   = lua.Bind[readSealArgs]("read_seal")
	recordSeal = lua.Bind[recordSealArgs]("record_seal")
	stopSeal   = lua.Bind[stopSealArgs]("stop_seal")
	giveUpSeal = lua.Bind[giveUpSealArgs]("give_up_seal")
)

type readSealArgs struct{ ID string }

type recordSealArgs struct {
	Holder, Verifier, Identity string
	OldSize                    int64
	OldRoot                    string
	Size                       int64
	Root, Last                 string
	Note                       []byte
}

type stopSealArgs struct{ Verifier, Why string }

type giveUpSealArgs struct{ Verifier string }

// Record is the last checkpoint that was signed, as Redis has it.
type Record struct {
	Verifier  string `json:"verifier"` // "" if the log has no seals
	Identity  string `json:"identity"`
	Size      int64  `json:"size,string"`
	Root      string `json:"root"`
	Last      string `json:"last"` // ID of the last sealed event
	Note      string `json:"note"`
	At        int64  `json:"at,string"`        // ms
	Stopped   string `json:"stopped"`          // why sealing has stopped for good; "" if it has not
	StoppedAt int64  `json:"stoppedAt,string"` // ms
}

// State is what Redis knows of the seals at one moment.
type State struct {
	Record   Record
	Identity string // of the log
	Seq      int64  // of the log's last event
	There    bool   // whether the log has the event that was asked for, or a flush or trim removed it
	// Events and Age are how far the seals are behind the log.
	Events int64
	Age    time.Duration
	// Held reports whether a coordinator seals.
	Held bool
}

// Read reads what Redis knows of the seals. id may be the ID of an event, for State.There.
func Read(ctx context.Context, scripts lua.Scripts, id string) (State, error) {
	var reply struct {
		Record   Record `json:"record"`
		Identity string `json:"identity"`
		Seq      int64  `json:"seq,string"`
		There    bool   `json:"there"`
		Events   int64  `json:"events,string"`
		MS       int64  `json:"ms,string"`
		Held     bool   `json:"held"`
	}
	if err := readSeal.Decode(ctx, scripts, readSealArgs{id}, &reply); err != nil {
		return State{}, fmt.Errorf("read the record of the seals: %w", err)
	}
	return State{
		Record: reply.Record, Identity: reply.Identity, Seq: reply.Seq, There: reply.There, Held: reply.Held,
		Events: reply.Events, Age: time.Duration(reply.MS) * time.Millisecond,
	}, nil
}

// GiveUp gives up the tree that is recorded, so that a new one can begin in an empty folder with a
// key that has not signed a tree of this log.
func GiveUp(ctx context.Context, scripts lua.Scripts, verifier string) error {
	_, err := giveUpSeal.Run(ctx, scripts, giveUpSealArgs{verifier})
	if hasCode(err, "SEAL_KEY_USED") {
		return errKeyUsed
	}
	if err != nil {
		return fmt.Errorf("give up the old tree: %w", err)
	}
	return nil
}

var errKeyUsed = &RefusedError{"this key has signed a tree of this log already, and a key signs one tree only: make another one with 'claudebench keys new'"}

func hasCode(err error, code string) bool {
	var refused *lua.Error
	return errors.As(err, &refused) && refused.Code == code
}

// CheckEmpty returns an error if a folder has seals. A new tree begins in an empty one.
func CheckEmpty(path string) error {
	dir := sealtree.OpenDir(path)
	_, there, err := dir.Info()
	if err != nil {
		return err
	}
	if _, err := dir.Checkpoint(context.Background()); err == nil || there {
		return &RefusedError{path + " has seals already; a new tree begins in an empty folder"}
	}
	return nil
}
