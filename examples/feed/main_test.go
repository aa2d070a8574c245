package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// The tutorial shows what feed prints for its sample file.
func TestTutorialShowsTheNumbersOfTheSample(t *testing.T) {
	const sample = "sample.md"
	created := 0
	coordinator := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var calls []struct {
			ID int `json:"id"`
		}
		if err := json.NewDecoder(r.Body).Decode(&calls); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		created += len(calls)
		_ = json.NewEncoder(w).Encode(calls)
	}))
	defer coordinator.Close()
	lines, tasks, err := feed(coordinator.URL, sample, 50)
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
		fmt.Sprintf("prints %d,", tasks),
	} {
		if !strings.Contains(string(tutorial), shown) {
			t.Errorf("docs/tutorial.md does not contain %q", shown)
		}
	}
}
