package lua

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/claudebench/claudebench/internal/testenv"
)

// A client that found Redis gone looks for it once a second, and notices up to a second late that
// it was closed meanwhile.
const dialing = "github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"

func TestMain(m *testing.M) { testenv.Main(m, goleak.IgnoreAnyFunction(dialing)) }
