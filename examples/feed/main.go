// Command feed turns the lines of a text file into tasks, a hundred in a JSON-RPC batch.
//
//	go run ./examples/feed LICENSE
//
// Each line has an idempotency key of its own, so feeding the same file again within a day, perhaps
// because the first time broke off, makes no task twice. Where the coordinator asks for a token, it is taken from
// CB_TOKEN.
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

// batch is how many tasks go in one request.
const batch = 100

func main() {
	url := flag.String("url", cmp.Or(os.Getenv("CB_URL"), "http://127.0.0.1:3000"), "the coordinator (CB_URL)")
	priority := flag.Int("priority", 50, "of the tasks, 0 to 100")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: feed [--url URL] [--priority N] FILE")
	}
	if err := feed(*url, flag.Arg(0), *priority); err != nil {
		log.Fatal(err)
	}
}

type request struct {
	Version string `json:"jsonrpc"`
	ID      int    `json:"id"`
	Method  string `json:"method"`
	Params  any    `json:"params"`
}

func feed(url, path string, priority int) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	file := hex.EncodeToString(sum[:8])

	var requests []request
	lines := bufio.NewScanner(bytes.NewReader(content))
	created, number := 0, 0
	flush := func() error {
		n, err := send(url, requests)
		created += n
		requests = requests[:0]
		return err
	}
	for lines.Scan() {
		number++
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			continue
		}
		requests = append(requests, request{Version: "2.0", ID: number, Method: "task.create", Params: map[string]any{
			"text": text, "priority": priority, "metadata": map[string]any{"file": path, "line": number},
			"idempotencyKey": fmt.Sprintf("feed %s line %d", file, number),
		}})
		if len(requests) == batch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if err := flush(); err != nil {
		return err
	}
	fmt.Printf("%d lines, %d tasks (a line that was fed before is the task that it was)\n", number, created)
	return nil
}

// send makes a batch of calls and counts those that gave a task.
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
		return 0, fmt.Errorf("read the answers: %w", err)
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
