package devstack

import (
	"crypto/rand"
	"fmt"

	"github.com/alicebob/miniredis/v2"
)

// Embedded is a Redis inside this process, for machines without Redis. Its data is lost when it
// stops. It supports less than a real Redis: no CONFIG, and no scripts with a "#!lua" line.
type Embedded struct {
	mini     *miniredis.Miniredis
	password string
}

// StartEmbedded starts an embedded Redis on a free port of 127.0.0.1. Its keys expire in real time.
func StartEmbedded() (*Embedded, error) {
	e := &Embedded{mini: miniredis.NewMiniRedis(), password: rand.Text()}
	e.mini.RequireAuth(e.password)
	e.mini.ClockTTL(true)
	if err := e.mini.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start the embedded Redis: %w", err)
	}
	return e, nil
}

// URL returns the URL with the password.
func (e *Embedded) URL() string { return "redis://default:" + e.password + "@" + e.Addr() + "/0" }

// Addr returns the address as host:port.
func (e *Embedded) Addr() string { return e.mini.Addr() }

// Stop stops the server and discards its data.
func (e *Embedded) Stop() { e.mini.Close() }
