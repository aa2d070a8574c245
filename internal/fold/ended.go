package fold

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/claudebench/claudebench/events"
)

// outcome is what became of a task that is not open any more.
type outcome uint64

const (
	wasDeleted outcome = iota + 1
	wasCompleted
	wasFailed
	wasCancelled
)

var outcomes = map[string]outcome{
	events.StatusCompleted: wasCompleted, events.StatusFailed: wasFailed, events.StatusCancelled: wasCancelled,
}

const (
	// pageBits is how many of the low bits of a task's number a word of ended.pages has.
	pageBits, outcomeBits = 10, 3
	// spillAt is how many bytes are kept in memory before they are written to the file.
	spillAt = 1 << 20
	// guess is how much of the file is read for a task. A longer one needs a second read.
	guess = 1 << 10
)

// ended holds the tasks that are finished or were deleted. A log has many more of them than open ones,
// so they are in a temporary file, and memory has eight bytes for each. The file has no name: it ends
// with the process. Few folds need it, because the first megabyte stays in memory.
//
// A task that changes after its end is removed and added again. Its old bytes stay in the file. If the
// file cannot be written, the tasks that end from then on stay in Fold.tasks.
type ended struct {
	// pages has a word for each task, by the high bits of its number: the low bits of the number, the
	// outcome, and where in the file the task is.
	pages map[int64][]uint64
	live  int64 // tasks that were not deleted
	all   int64
	full  bool // the file cannot be written

	spillAt int
	file    *os.File
	written int64  // bytes of the file
	buffer  []byte // what follows them
}

var errDamaged = errors.New("read a finished task: the temporary file is damaged")

func newEnded() *ended { return &ended{pages: map[int64][]uint64{}, spillAt: spillAt} }

func pack(num int64, o outcome, at int64) uint64 {
	return uint64(at)<<(pageBits+outcomeBits) | uint64(o)<<pageBits | uint64(num)&(1<<pageBits-1)
}

func unpack(page int64, word uint64) (num int64, o outcome, at int64) {
	return page<<pageBits | int64(word&(1<<pageBits-1)), outcome(word >> pageBits & (1<<outcomeBits - 1)), int64(word >> (pageBits + outcomeBits))
}

// look returns what became of a task, 0 if it is not here, and where it is.
func (e *ended) look(num int64) (o outcome, at int64) {
	for _, word := range e.pages[num>>pageBits] {
		if n, o, at := unpack(num>>pageBits, word); n == num {
			return o, at
		}
	}
	return 0, 0
}

// add adds a task that is not here. It returns false if there is no room.
func (e *ended) add(t *Task) bool {
	if e.full = e.full || len(e.buffer) >= e.spillAt && e.spill() != nil; e.full {
		return false
	}
	e.index(t.Num, outcomes[t.Status], e.written+int64(len(e.buffer)))
	e.buffer = t.encode(e.buffer)
	e.live++
	return true
}

// deleted adds a task that was deleted, of which nothing is kept.
func (e *ended) deleted(num int64) {
	if o, _ := e.look(num); o == 0 {
		e.index(num, wasDeleted, 0)
	}
}

func (e *ended) index(num int64, o outcome, at int64) {
	e.pages[num>>pageBits] = append(e.pages[num>>pageBits], pack(num, o, at))
	e.all++
}

// remove forgets a task.
func (e *ended) remove(num int64) {
	page := e.pages[num>>pageBits]
	for i, word := range page {
		if n, o, _ := unpack(num>>pageBits, word); n == num {
			page[i] = page[len(page)-1]
			e.pages[num>>pageBits] = page[:len(page)-1]
			e.all--
			if o != wasDeleted {
				e.live--
			}
			return
		}
	}
}

// spill writes the buffer to the file.
func (e *ended) spill() error {
	if e.file == nil {
		file, err := os.CreateTemp("", "claudebench-fold-*")
		if err != nil {
			return fmt.Errorf("create a file for the finished tasks: %w", err)
		}
		if err := os.Remove(file.Name()); err != nil {
			file.Close()
			return fmt.Errorf("create a file for the finished tasks: %w", err)
		}
		e.file = file
	}
	if _, err := e.file.WriteAt(e.buffer, e.written); err != nil {
		return fmt.Errorf("write the finished tasks to %s: %w", os.TempDir(), err)
	}
	e.written += int64(len(e.buffer))
	e.buffer = e.buffer[:0]
	return nil
}

// read returns a task that is at a place of the file.
func (e *ended) read(at int64) (*Task, error) {
	if at >= e.written {
		return decodeTask(e.buffer[at-e.written:])
	}
	text := make([]byte, guess)
	for {
		n, err := e.file.ReadAt(text[:min(int64(len(text)), e.written-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read a finished task: %w", err)
		}
		length, size := binary.Uvarint(text[:n])
		if size <= 0 || length > uint64(e.written-at) {
			return nil, errDamaged
		}
		if whole := size + int(length); whole > len(text) {
			text = make([]byte, whole)
			continue
		}
		return decodeTask(text[:n])
	}
}

// numbers returns the numbers of the tasks that are here, without the deleted ones, in order.
func (e *ended) numbers(yield func(num, at int64) bool) {
	for _, page := range slices.Sorted(maps.Keys(e.pages)) {
		words := slices.Clone(e.pages[page])
		slices.SortFunc(words, func(a, b uint64) int { return int(a&(1<<pageBits-1)) - int(b&(1<<pageBits-1)) })
		for _, word := range words {
			if num, o, at := unpack(page, word); o != wasDeleted && !yield(num, at) {
				return
			}
		}
	}
}

// close closes the file.
func (e *ended) close() {
	if e.file != nil {
		e.file.Close()
		e.file = nil
	}
}

func (t *Task) numbers() []*int64 {
	return []*int64{
		&t.Num, &t.Priority, &t.Attempt, &t.CreatedAt, &t.UpdatedAt, &t.CompletedAt, &t.Seq, &t.QueuedAt, &t.ClaimedAt, &t.LastClaim,
		&t.Waited, &t.Duration, &t.AssignedSeq, &t.RunAt, &t.Failures, &t.Losses, &t.TimeoutAt, &t.CancelAt, &t.doomed,
	}
}

func (t *Task) texts() []*string {
	return []*string{
		&t.Text, &t.Status, &t.AssignedTo, &t.Metadata, &t.Result, &t.Error, &t.PreviousAssignment, &t.Roleset, &t.Options, &t.Progress,
		&t.Cancel, &t.cancelling,
	}
}

func (t *Task) flags() []*bool {
	return []*bool{&t.Auto, &t.partial, &t.extras, &t.hadWaits, &t.unsure}
}

// encode appends a task that is in no queue: the length of what follows, the numbers, the flags, the
// texts, and the errors.
func (t *Task) encode(to []byte) []byte {
	var fixed [512]byte
	b := fixed[:0]
	for _, n := range t.numbers() {
		b = binary.AppendVarint(b, *n)
	}
	var flags uint64
	for i, flag := range t.flags() {
		if *flag {
			flags |= 1 << i
		}
	}
	b = binary.AppendUvarint(b, flags)
	for _, text := range t.texts() {
		b = binary.AppendUvarint(b, uint64(len(*text)))
		b = append(b, *text...)
	}
	b = binary.AppendUvarint(b, uint64(len(t.Errors)))
	for _, text := range t.Errors {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	b = binary.AppendUvarint(b, uint64(len(t.waits)))
	for _, num := range slices.Sorted(maps.Keys(t.waits)) {
		b = binary.AppendVarint(b, num)
	}
	return append(binary.AppendUvarint(to, uint64(len(b))), b...)
}

// decodeTask returns the task at the beginning of what encode has appended.
func decodeTask(b []byte) (*Task, error) {
	d := decoder{b: b}
	d.uvarint()
	t := &Task{}
	for _, n := range t.numbers() {
		*n = d.varint()
	}
	flags := d.uvarint()
	for i, flag := range t.flags() {
		*flag = flags&(1<<i) != 0
	}
	for _, text := range t.texts() {
		*text = d.text()
	}
	for n := d.uvarint(); n > 0 && !d.bad; n-- {
		t.Errors = append(t.Errors, d.text())
	}
	for n := d.uvarint(); n > 0 && !d.bad; n-- {
		if t.waits == nil {
			t.waits = map[int64]bool{}
		}
		t.waits[d.varint()] = true
	}
	if t.Options != "" && json.Unmarshal([]byte(t.Options), &t.options) != nil {
		d.bad = true
	}
	if d.bad {
		return nil, errDamaged
	}
	return t, nil
}

// decoder reads what encode has written.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) varint() int64 {
	n, size := binary.Varint(d.b)
	if size <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) text() string {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.bad = true
		return ""
	}
	text := string(d.b[:n])
	d.b = d.b[n:]
	return text
}
