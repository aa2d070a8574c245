package server

import (
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/testenv"
)

// A coordinator stores the format that it writes, and the first version that wrote it. It also
// starts with data of a version that stored none.
func TestTheLogsFormatIsNoted(t *testing.T) {
	t.Parallel()
	cfg := settings(t, nil)
	rdb, log := redisOf(t, cfg), keysOf(t, cfg).Log()
	run := func(version string) {
		t.Helper()
		s, err := Start(t.Context(), cfg, Options{Logger: quiet, Version: version})
		if err != nil {
			t.Fatal(err)
		}
		newClient(t, s.Addr()).create(t, params{"text": "x"})
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	noted := func(want string) {
		t.Helper()
		if hash := logHash(t, cfg, rdb); hash["format"] != strconv.Itoa(events.Format) || hash["program"] != want {
			t.Errorf("%s holds %v, want program %s", log, hash, want)
		}
	}
	run("v1")
	noted("v1")
	run("v2") // it writes the same format
	noted("v1")
	if err := rdb.HSet(t.Context(), log, "format", events.Format-1).Err(); err != nil {
		t.Fatal(err)
	}
	run("v3")
	noted("v3")
	if err := rdb.HDel(t.Context(), log, "format", "program").Err(); err != nil {
		t.Fatal(err)
	}
	run("v4")
	noted("v4")
}

// A program that cannot listen changes nothing: the format stays that of the programs that run.
func TestAProgramThatCannotListenRaisesNoFormat(t *testing.T) {
	t.Parallel()
	cfg := settings(t, nil)
	rdb, log := redisOf(t, cfg), keysOf(t, cfg).Log()
	older := strconv.Itoa(events.Format - 1)
	if err := rdb.HSet(t.Context(), log, "format", older, "program", "v1").Err(); err != nil {
		t.Fatal(err)
	}
	before := logHash(t, cfg, rdb)
	cfg.Listen = testenv.Redis(t).Addr()
	if s, err := Start(t.Context(), cfg, Options{Logger: quiet, Version: "v2"}); err == nil {
		_ = s.Stop(t.Context())
		t.Fatal("it started on an address that is taken")
	}
	if after := logHash(t, cfg, rdb); !maps.Equal(after, before) {
		t.Errorf("%s holds %v, want %v as before", log, after, before)
	}
}

// When a newer program starts beside this one, this one's projections stop and its commands
// continue. Starting this program again is rejected and changes nothing.
func TestANewerProgramBesideThisOne(t *testing.T) {
	t.Parallel()
	cfg := settings(t, nil)
	c := start(t, cfg)
	c.create(t, params{"text": "x"})
	caughtUp(t, c)
	rdb, space := redisOf(t, cfg), keysOf(t, cfg)
	if err := rdb.HSet(t.Context(), space.Log(), "format", events.Format+1, "program", "v9.1.0").Err(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		_, r := c.readyz(t)
		aside := true
		for _, p := range r.Projections {
			aside = aside && !p.Holder && strings.Contains(p.Error, "v9.1.0")
		}
		return aside && r.Ready && r.Degraded && strings.Contains(strings.Join(r.Reasons, " "), "v9.1.0"), fmt.Sprintf("%+v", r)
	})
	before := rdb.HGetAll(t.Context(), space.State()).Val()
	c.create(t, params{"text": "while the newer one folds"})

	hash := logHash(t, cfg, rdb)
	_, err := Start(t.Context(), cfg, Options{Logger: quiet, Version: "v1"})
	if newer := (*events.NewerLogError)(nil); !errors.As(err, &newer) || !strings.Contains(err.Error(), "v9.1.0") {
		t.Errorf("a start says %v", err)
	}
	if after := logHash(t, cfg, rdb); fmt.Sprint(after) != fmt.Sprint(hash) {
		t.Errorf("the refused start has made %v of %v", after, hash)
	}
	if after := rdb.HGetAll(t.Context(), space.State()).Val(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("the state was folded further: %v, before %v", after, before)
	}
}
