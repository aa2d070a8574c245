package lua

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/claudebench/claudebench/internal/testenv"
)

// dialing is a goroutine of a client that has lost Redis. It dials once a second, so it notices up
// to a second late that the client was closed.
const dialing = "github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"

func TestMain(m *testing.M) { testenv.Main(m, goleak.IgnoreAnyFunction(dialing)) }
