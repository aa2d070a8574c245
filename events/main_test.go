package events

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/claudebench/claudebench/internal/testenv"
)

func TestMain(m *testing.M) {
	// Watermill's conformance suite leaves these of its own behind: it reads no further once it has
	// seen enough.
	const multiplier = "github.com/ThreeDotsLabs/watermill/internal/subscriber.(*multiplier).Subscribe"
	testenv.Main(m, goleak.IgnoreAnyFunction(multiplier+".func2"), goleak.IgnoreAnyFunction(multiplier+".func3"))
}
