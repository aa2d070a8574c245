// Command feed creates a task for each line of a text file, in JSON-RPC batches of 100 calls.
//
//	go run ./examples/feed examples/feed/sample.md
//
// Each line has its own idempotency key. If feed stops halfway, run it again within a day: no line
// becomes a second task. If the coordinator requires a token, set CB_TOKEN.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"log" //nolint:depguard // an example for people to read, in a terminal
	"net/http"
	"os"
	"strings"
)

// batch is the number of calls in one request.
const batch = 100

func main() {
	url := flag.String("url", cmp.Or(os.Getenv("CB_URL"), "http://127.0.0.1:3000"), "URL of the coordinator [CB_URL]")
	priority := flag.Int("priority", 50, "priority of the tasks, 0 to 100")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: feed [--url URL] [--priority N] FILE")
	}
	lines, tasks, err := feed(*url, flag.Arg(0), *priority)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(summary(lines, tasks))
}

func summary(lines, tasks int) string {
	return fmt.Sprintf("%d lines, %d tasks (lines fed earlier keep their tasks)", lines, tasks)
}

type request struct {
	Version string `json:"jsonrpc"`
	ID      int    `json:"id"`
	Method  string `json:"method"`
	Params  any    `json:"params"`
}

// feed returns the number of lines in the file, and of tasks that its lines became, now or earlier.
func feed(url, path string, priority int) (lines, tasks int, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, err
	}
	sum := sha256.Sum256(content)
	file := hex.EncodeToString(sum[:8])

	var requests []request
	scanner := bufio.NewScanner(bytes.NewReader(content))
	flush := func() error {
		n, err := send(url, requests)
		tasks += n
		requests = requests[:0]
		return err
	}
	for scanner.Scan() {
		lines++
		text := strings.TrimSpace(scanner.Text())
		if text == "" {
			continue
		}
		requests = append(requests, request{Version: "2.0", ID: lines, Method: "task.create", Params: map[string]any{
			"text": text, "priority": priority, "metadata": map[string]any{"file": path, "line": lines},
			"idempotencyKey": fmt.Sprintf("feed %s line %d", file, lines),
		}})
		if len(requests) == batch {
			if err := flush(); err != nil {
				return lines, tasks, err
			}
		}
	}
	if err := scanner.Err(); err != nil {
		return lines, tasks, err
	}
	return lines, tasks, flush()
}

// send sends a batch of calls and returns how many of them succeeded.
func send(url string, requests []request) (created int, err error) {
	if len(requests) == 0 {
		return 0, nil
	}
	body, err := json.Marshal(requests)
	if err != nil {
		return 0, err
	}
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url+"/rpc", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	if token := os.Getenv("CB_TOKEN"); token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	var answers []struct {
		ID    int             `json:"id"`
		Error json.RawMessage `json:"error"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answers); err != nil {
		return 0, fmt.Errorf("read the replies: %w", err)
	}
	for _, a := range answers {
		if a.Error != nil {
			err = fmt.Errorf("line %d: %s", a.ID, a.Error)
			continue
		}
		created++
	}
	return created, err
}
