// Command feed creates a task for each line of a text file, 100 tasks in each call.
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
	"os"
	"strings"

	"github.com/claudebench/claudebench/client"
)

// batch is the number of tasks in one call.
const batch = 100

func main() {
	url := flag.String("url", cmp.Or(os.Getenv("CB_URL"), "http://127.0.0.1:3000"), "URL of the coordinator [CB_URL]")
	priority := flag.Int("priority", 50, "priority of the tasks, 0 to 100")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: feed [--url URL] [--priority N] FILE")
	}
	c, err := client.New(*url, os.Getenv("CB_TOKEN"))
	if err != nil {
		log.Fatal(err)
	}
	lines, tasks, err := feed(context.Background(), c, flag.Arg(0), *priority)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(summary(lines, tasks))
}

func summary(lines, tasks int) string {
	return fmt.Sprintf("%d lines, %d tasks (lines fed earlier keep their tasks)", lines, tasks)
}

// feed returns the number of lines in the file, and of tasks that its lines became, now or earlier.
func feed(ctx context.Context, c *client.Client, path string, priority int) (lines, tasks int, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, err
	}
	sum := sha256.Sum256(content)
	file := hex.EncodeToString(sum[:8])

	var waiting []client.CreateTaskParams
	scanner := bufio.NewScanner(bytes.NewReader(content))
	flush := func() error {
		n, err := create(ctx, c, waiting)
		tasks += n
		waiting = waiting[:0]
		return err
	}
	for scanner.Scan() {
		lines++
		text := strings.TrimSpace(scanner.Text())
		if text == "" {
			continue
		}
		metadata, err := json.Marshal(map[string]any{"file": path, "line": lines})
		if err != nil {
			return lines, tasks, err
		}
		waiting = append(waiting, client.CreateTaskParams{
			Text: text, Priority: &priority, Metadata: metadata, IdempotencyKey: fmt.Sprintf("feed %s line %d", file, lines),
		})
		if len(waiting) == batch {
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

// create creates tasks and returns how many of them exist now.
func create(ctx context.Context, c *client.Client, tasks []client.CreateTaskParams) (created int, err error) {
	if len(tasks) == 0 {
		return 0, nil
	}
	result, err := c.CreateTasks(ctx, tasks...)
	if err != nil {
		return 0, err
	}
	for i, a := range result.Answers {
		if a.Error != nil {
			err = fmt.Errorf("%s: %s %s", tasks[i].IdempotencyKey, a.Error.Message, a.Error.Data)
		}
	}
	return result.Succeeded, err
}
