package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/client"
)

// The tutorial shows what feed prints for its sample file.
func TestTutorialShowsTheNumbersOfTheSample(t *testing.T) {
	const sample = "sample.md"
	created := 0
	coordinator := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var call struct {
			Params struct{ Tasks []json.RawMessage }
		}
		if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		created += len(call.Params.Tasks)
		_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":1,"result":{"succeeded":%d}}`, len(call.Params.Tasks))
	}))
	defer coordinator.Close()
	c, err := client.New(coordinator.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	lines, tasks, err := feed(t.Context(), c, sample, 50)
	if err != nil {
		t.Fatal(err)
	}
	if created != tasks {
		t.Errorf("feed counted %d tasks, and the coordinator got %d", tasks, created)
	}

	tutorial, err := os.ReadFile("../../docs/tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{
		"go run ./examples/feed examples/feed/" + sample + "\n",
		"\n" + summary(lines, tasks) + "\n",
		fmt.Sprintf("prints %d,", tasks+4), // with those of the sections on pipelines and retries
	} {
		if !strings.Contains(string(tutorial), shown) {
			t.Errorf("docs/tutorial.md does not contain %q", shown)
		}
	}
}
