package events

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/claudebench/claudebench/internal/testenv"
)

func TestMain(m *testing.M) {
	// multiplier is where Watermill's conformance suite leaks goroutines: it stops reading once it
	// has seen enough.
	const multiplier = "github.com/ThreeDotsLabs/watermill/internal/subscriber.(*multiplier).Subscribe"
	testenv.Main(m, goleak.IgnoreAnyFunction(multiplier+".func2"), goleak.IgnoreAnyFunction(multiplier+".func3"))
}
