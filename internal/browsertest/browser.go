// Package browsertest drives a real Chromium for tests of pages. Only tests import it.
//
// A test binary has one Chromium, which the first [Open] starts and testenv.Main ends. Each [Tab] has
// a profile of its own, so tests run in parallel. A tab finds elements as a person does: by their
// role and name in the accessibility tree, and by the text that is shown. It waits until they are
// there and clicks where they are drawn.
//
// An error on the console, an exception, a violation of the Content-Security-Policy and a dialog of
// the browser fail the test. Without Chromium or Chrome, a test fails and says what to install.
package browsertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/claudebench/claudebench/internal/testenv"
)

// stopTimeout is how long Chromium may take to end.
const stopTimeout = 20 * time.Second

// places are where packages install the browser. tools/deps.sh looks there too.
var places = []string{
	"chromium", "google-chrome", "google-chrome-stable",
	"/Applications/Chromium.app/Contents/MacOS/Chromium", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
}

// shared is the Chromium of the test binary: the context that tabs derive from. The first call starts
// it.
var shared = sync.OnceValues(launch)

func launch() (context.Context, error) {
	program, err := find()
	if err != nil {
		return nil, err
	}
	// chromedp talks to it through a pipe, so it opens no port. It adds --no-sandbox only for root, and
	// kills Chromium when this process dies.
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program),
		chromedp.WindowSize(1280, 800), chromedp.Flag("force-prefers-reduced-motion", true),
		chromedp.Flag("lang", "en-US"), chromedp.Env("LANGUAGE=en_US", "TZ=UTC"))
	allocator, release := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	end := func() error {
		soon, done := context.WithTimeout(ctx, stopTimeout)
		defer done()
		err := chromedp.Cancel(soon)
		cancel()
		release()
		return err
	}
	if err := chromedp.Do(ctx); err != nil { // starts it
		return nil, errors.Join(err, end())
	}
	testenv.AtEnd(func() error {
		if err := end(); err != nil {
			return fmt.Errorf("end Chromium: %w", err)
		}
		return nil
	})
	return ctx, nil
}

func find() (string, error) {
	for _, place := range places {
		if program, err := exec.LookPath(place); err == nil {
			return program, nil
		}
	}
	return "", fmt.Errorf("%w: Chromium or Google Chrome; `make deps` installs it", os.ErrNotExist)
}
