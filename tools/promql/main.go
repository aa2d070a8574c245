// Command promql parses PromQL. It reads expressions from standard input, a JSON array of strings,
// and prints what each of them asks for: a JSON array of the same length. The tests hold dashboards
// and documents to the real metrics by it.
//
// It is a module of its own, because Prometheus's parser comes with more modules than the product
// has.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/prometheus/prometheus/promql/parser"
)

// query is what an expression asks for.
type query struct {
	Selectors []selector `json:"selectors"`
	// Labels are those by which it groups and joins.
	Labels []string `json:"labels"`
	// Error says why it is no PromQL; "" when it is.
	Error string `json:"error,omitempty"`
}

// selector picks the series of a metric by their labels.
type selector struct {
	Metric   string    `json:"metric"`
	Matchers []matcher `json:"matchers"`
}

// matcher picks series by one label. Kind is one of = != =~ !~.
type matcher struct {
	Label string `json:"label"`
	Kind  string `json:"kind"`
	Value string `json:"value"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "promql:", err)
		os.Exit(1)
	}
}

func run() error {
	var expressions []string
	if err := json.NewDecoder(os.Stdin).Decode(&expressions); err != nil {
		return fmt.Errorf("read expressions: %w", err)
	}
	queries := make([]query, len(expressions))
	for i, text := range expressions {
		queries[i] = parse(text)
	}
	if err := json.NewEncoder(os.Stdout).Encode(queries); err != nil {
		return fmt.Errorf("write queries: %w", err)
	}
	return nil
}

func parse(text string) query {
	expression, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		return query{Error: err.Error()}
	}
	q := query{Selectors: []selector{}, Labels: []string{}}
	parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			s := selector{Matchers: []matcher{}}
			for _, m := range n.LabelMatchers {
				if m.Name == "__name__" {
					s.Metric = m.Value
					continue
				}
				s.Matchers = append(s.Matchers, matcher{m.Name, m.Type.String(), m.Value})
			}
			q.Selectors = append(q.Selectors, s)
		case *parser.AggregateExpr:
			q.Labels = append(q.Labels, n.Grouping...)
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				q.Labels = append(append(q.Labels, n.VectorMatching.MatchingLabels...), n.VectorMatching.Include...)
			}
		}
		return nil
	})
	return q
}
