package schedule_test

import (
	"testing"

	"github.com/claudebench/claudebench/internal/fleettest"
)

func TestMain(m *testing.M) { fleettest.Main(m) }
