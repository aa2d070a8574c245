package ui_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/browsertest"
	"github.com/claudebench/claudebench/internal/testenv"
)

// longTask is how long a task of a page's main thread may take. Its CPU time counts, because the other
// work of the machine is not the page's.
const longTask = 50 * time.Millisecond

// program starts the coordinator as a program of its own, without the race detector, which would make
// it too slow for what is measured here: the browser.
func program(t testing.TB) *fleet {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "claudebench")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../cmd/claudebench").CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	log := &testenv.Screen{}
	cmd := exec.Command(binary, "serve", "--listen", "127.0.0.1:0", "--rate-limits", "off", "--token-rate-limits", "off", "--byte-limit", "0", "--namespace", testenv.Namespace(t),
		"--redis-url", testenv.Redis(t).URL(), "--database-url", testenv.Postgres(t), "--log-format", "json")
	cmd.Stderr = log
	testenv.Launch(t, cmd)
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	t.Cleanup(transport.CloseIdleConnections)
	f := &fleet{t: t, http: &http.Client{Transport: transport, Timeout: 30 * time.Second}}
	listening := regexp.MustCompile(`"msg":"listening","address":"(http://[^"]+)"`)
	testenv.Eventually(t, browsertest.Patience, func() (bool, string) {
		found := listening.FindStringSubmatch(log.String())
		if found == nil {
			return false, log.String()
		}
		f.url = found[1]
		return true, ""
	})
	return f
}

// Ten thousand tasks and a thousand events a second leave the pages smooth that show them.
func TestThePagesStaySmooth(t *testing.T) {
	f := program(t)
	for i := range 4 {
		f.register(fmt.Sprintf("worker-%d", i), "worker")
	}
	tasks := func(n int) string {
		list := make([]object, n)
		for i := range list {
			list[i] = object{"text": fmt.Sprintf("one of many, number %d", i), "priority": i % 100}
		}
		text, _ := json.Marshal(object{"tasks": list})
		return string(text)
	}
	many := tasks(100)
	for range 100 {
		f.call("task.create_many", many)
	}
	f.caughtUp()

	// The load: 20 requests a second that make 70 events each: more than a thousand a second, if each takes its time.
	events, stop, done := atomic.Int64{}, make(chan struct{}), make(chan struct{})
	began := time.Now()
	go func() {
		defer close(done)
		body := fmt.Appendf(nil, `{"jsonrpc":"2.0","id":1,"method":"task.create_many","params":%s}`, tasks(70))
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			response, err := f.http.Post(f.url+"/rpc", "application/json", bytes.NewReader(body)) //nolint:noctx // ends with the coordinator
			if err != nil {
				t.Error(err)
				return
			}
			response.Body.Close()
			events.Add(70)
		}
	}()
	for _, page := range []struct{ path, name string }{{"/ui/events", "events"}, {"/ui/tasks", "tasks"}, {"/ui/", "overview"}} {
		tab := f.at(t, page.path, page.name)
		status(tab, "Live")
		var from, until int64
		all := tab.Trace(func() {
			from, until = events.Load(), events.Load()+5000
			testenv.Eventually(t, 2*browsertest.Patience, func() (bool, string) { return events.Load() >= until, fmt.Sprint(events.Load(), " events") })
		})
		if len(all) < 100 {
			t.Fatalf("%s: the trace has only %d tasks", page.path, len(all))
		}
		t.Logf("%s: %d tasks in %d events, the longest took %v of CPU time, in %v", page.path, len(all), events.Load()-from, all[0].CPU, all[0].Wall)
		if all[0].CPU > longTask {
			t.Errorf("%s: the longest tasks took %v", page.path, all[:10])
		}
		tab.Go("about:blank")
	}
	close(stop)
	<-done
	t.Logf("%.0f events/s", float64(events.Load())/time.Since(began).Seconds())
}

// BenchmarkFirstView measures, in a profile that has never seen the dashboard, how long after the
// beginning of the navigation the overview paints its first text, and its largest: the data.
func BenchmarkFirstView(b *testing.B) {
	f := program(b)
	f.live()
	var all, painted []float64
	for b.Loop() {
		tab := f.open(b)
		tab.Go("/ui/")
		ready(tab, "overview")
		// When the attribute was set is in no timing, so the last paint before is taken: the largest text.
		all = append(all, browsertest.Eval[float64](tab, `new Promise((done) => new PerformanceObserver((list) => done(list.getEntries().at(-1).startTime)).observe({ type: "largest-contentful-paint", buffered: true }))`))
		painted = append(painted, browsertest.Eval[float64](tab, `performance.getEntriesByName("first-contentful-paint")[0].startTime`))
	}
	slices.Sort(all)
	slices.Sort(painted)
	b.ReportMetric(painted[len(painted)/2], "ms/first-paint")
	b.ReportMetric(all[len(all)/2], "ms/view")
	b.ReportMetric(all[len(all)-1], "ms/worst")
}
