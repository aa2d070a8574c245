package answers

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// makes is a call whose answer has so many bytes, of at most most.
func makes(size int, most int64, making func()) func(context.Context) (json.RawMessage, *api.Error) {
	return func(ctx context.Context) (json.RawMessage, *api.Error) {
		if err := Reserve(ctx, most); err != nil {
			var failed *api.Error
			errors.As(err, &failed)
			return nil, failed
		}
		making()
		return make(json.RawMessage, size), nil
	}
}

func nothing() {}

// left is how much room nobody has.
func left(b *Budget) (free int64) {
	for bit := int64(Room); bit > 0; bit /= 2 {
		if free+bit <= Room && b.room.TryAcquire(bit) {
			free += bit
		}
	}
	b.room.Release(free)
	return free
}

func TestLargeAnswersAreMadeOneAfterAnother(t *testing.T) {
	t.Parallel()
	b := NewBudget()
	x := b.Exchange(1)
	var now, most atomic.Int64
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			result, failed := x.Call(t.Context(), makes(1000, maxMaking, func() {
				most.Store(max(most.Load(), now.Add(1)))
				now.Add(-1)
			}))
			if failed != nil || len(result) != 1000 {
				t.Errorf("%d bytes, %v", len(result), failed)
			}
		})
	}
	all.Wait()
	if most.Load() != 1 {
		t.Errorf("%d were made at once", most.Load())
	}
	x.Release()
	if free := left(b); free != Room {
		t.Errorf("%d bytes are left of %d", free, Room)
	}
}

// Calls with short answers run at once, however many.
func TestShortAnswersNeedNoRoom(t *testing.T) {
	t.Parallel()
	b := NewBudget()
	if !b.room.TryAcquire(Room) {
		t.Fatal("there is no room")
	}
	x := b.Exchange(1)
	var meet, all sync.WaitGroup
	meet.Add(200)
	for range 200 {
		all.Go(func() {
			_, failed := x.Call(t.Context(), func(context.Context) (json.RawMessage, *api.Error) {
				meet.Done()
				meet.Wait()
				return json.RawMessage("1"), nil
			})
			if failed != nil {
				t.Error(failed)
			}
		})
	}
	all.Wait()
	x.Release()
	b.room.Release(Room)
}

func TestARequestHoldsABoundedNumberOfBytes(t *testing.T) {
	t.Parallel()
	b := NewBudget()
	x := b.Exchange(2)
	for range 3 {
		if _, failed := x.Call(t.Context(), makes(4<<20, 8<<20, nothing)); failed != nil {
			t.Fatal(failed)
		}
	}
	if free := left(b); free != Room-3*2*4<<20 {
		t.Errorf("%d bytes are left", free)
	}
	for _, call := range []func(context.Context) (json.RawMessage, *api.Error){
		makes(1, 1, nothing), func(context.Context) (json.RawMessage, *api.Error) { return nil, nil },
	} {
		if _, failed := x.Call(t.Context(), call); failed == nil || failed.Code != api.CodeInvalidRequest {
			t.Errorf("one more: %v", failed)
		}
	}
	x.Release()
	if free := left(b); free != Room {
		t.Errorf("%d bytes are left", free)
	}
}

// What finds no room is refused before it is made, after a while, and once in a request.
func TestWithoutRoomLargeAnswersAreRefused(t *testing.T) {
	t.Parallel()
	b := NewBudget()
	if !b.room.TryAcquire(Room - 1<<20) {
		t.Fatal("there is no room")
	}
	x := b.Exchange(1)
	for range 50 {
		_, failed := x.Call(t.Context(), makes(1, 2<<20, func() { t.Error("was made") }))
		if failed == nil || failed.Code != api.CodeRateLimited {
			t.Fatalf("answered %v", failed)
		}
	}
	if _, failed := x.Call(t.Context(), makes(1, 1<<20, nothing)); failed != nil {
		t.Errorf("what fits: %v", failed)
	}
	// What was not reserved has happened, and is answered.
	if result, failed := x.Call(t.Context(), func(context.Context) (json.RawMessage, *api.Error) { return make(json.RawMessage, 3<<20), nil }); failed != nil || len(result) != 3<<20 {
		t.Errorf("a long answer that was not reserved: %v", failed)
	}
	x.Release()
	b.room.Release(Room - 1<<20)
	if free := left(b); free != Room {
		t.Errorf("%d bytes are left", free)
	}
}
