package process

import (
	"os"
	"testing"

	"github.com/claudebench/claudebench/internal/testenv"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(ownerMode); mode != "" {
		own(mode)
	}
	testenv.Main(m)
}
