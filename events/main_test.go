package events

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/claudebench/claudebench/internal/testenv"
)

func TestMain(m *testing.M) {
	// Watermill's conformance suite leaves these of its own behind: it reads
	// no further once it has seen enough.
	testenv.Main(m, goleak.IgnoreTopFunction(
		"github.com/ThreeDotsLabs/watermill/internal/subscriber.(*multiplier).Subscribe.func2"))
}
