package fleettest

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/claudebench/claudebench/internal/testenv"
)

// dialing is where a client that lost Redis tries to connect, once a second. It notices up to a
// second late that it was closed.
const dialing = "github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"

// Main runs the tests of a package with their servers, and fails if goroutines leak.
func Main(m *testing.M) { testenv.Main(m, goleak.IgnoreAnyFunction(dialing)) }
