package fleettest

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/claudebench/claudebench/internal/testenv"
)

// dialing is where a client that found Redis gone looks for it, once a second. It notices up to a
// second late that it was closed meanwhile.
const dialing = "github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"

// Main runs the tests of a package with their servers, and fails when goroutines are left.
func Main(m *testing.M) { testenv.Main(m, goleak.IgnoreAnyFunction(dialing)) }
