package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"go.yaml.in/yaml/v3"
)

// dashboard is the part of Grafana's format that the test needs.
type dashboard struct {
	Panels     []panel
	Templating struct{ List []variable }
}

type panel struct {
	ID         int
	Type       string
	Title      string
	Datasource source
	Targets    []struct {
		Datasource         source
		Expr, LegendFormat string
	}
	GridPos struct{ X, Y, W, H int }
}

type source struct{ Type, UID string }

type variable struct {
	Name, Type string
	Query      any
	Datasource source
}

// query is what tools/promql finds in an expression.
type query struct {
	Selectors []struct {
		Metric   string
		Matchers []matcher
	}
	Labels []string
	Error  string
}

type matcher struct{ Label, Kind, Value string }

// parsed parses expressions with Prometheus's own parser.
func parsed(t *testing.T, expressions []string) []query {
	t.Helper()
	in, err := json.Marshal(expressions)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "run", ".")
	cmd.Dir = "../../tools/promql"
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("parse PromQL: %v", err)
	}
	var queries []query
	if err := json.Unmarshal(out, &queries); err != nil || len(queries) != len(expressions) {
		t.Fatalf("parse PromQL: %v, %s", err, out)
	}
	return queries
}

// series returns the labels of all series of a scrape by metric. Prometheus adds those of the
// target.
func (s scrape) series() map[string][]map[string]string {
	all := map[string][]map[string]string{"up": {{"job": "", "instance": ""}}}
	for name, family := range s.families {
		suffixes := []string{""}
		switch family.GetType() {
		case dto.MetricType_HISTOGRAM:
			suffixes = []string{"_bucket", "_sum", "_count"}
		case dto.MetricType_SUMMARY:
			suffixes = []string{"_sum", "_count"}
		}
		for _, m := range family.GetMetric() {
			for _, suffix := range suffixes {
				labels := map[string]string{"job": "", "instance": ""}
				for _, pair := range m.GetLabel() {
					labels[pair.GetName()] = pair.GetValue()
				}
				if suffix == "_bucket" {
					labels["le"] = "+Inf"
				}
				all[name+suffix] = append(all[name+suffix], labels)
			}
		}
	}
	return all
}

// ask returns what is wrong with a query for these series, or "": an unknown metric or label, or a
// selector that nothing can match.
func ask(q query, all map[string][]map[string]string) string {
	if q.Error != "" {
		return q.Error
	}
	known := map[string]bool{}
	for _, s := range q.Selectors {
		series := all[s.Metric]
		if len(series) == 0 {
			return "there is no metric " + s.Metric
		}
		for label := range series[0] {
			known[label] = true
		}
		if !slices.ContainsFunc(series, func(labels map[string]string) bool { return matches(s.Matchers, labels) }) {
			return fmt.Sprintf("%s has no series with %v", s.Metric, s.Matchers)
		}
	}
	for _, label := range q.Labels {
		if !known[label] {
			return "there is no label " + label
		}
	}
	return ""
}

// matches reports whether the labels of a series match. The labels job and instance belong to the
// target and always match.
func matches(matchers []matcher, labels map[string]string) bool {
	for _, m := range matchers {
		value, there := labels[m.Label]
		if !there {
			return false
		}
		if m.Label == "job" || m.Label == "instance" {
			continue
		}
		fits := m.Value == value
		if strings.HasSuffix(m.Kind, "~") {
			fits = regexp.MustCompile("^(?:" + m.Value + ")$").MatchString(value)
		}
		if fits == strings.HasPrefix(m.Kind, "!") {
			return false
		}
	}
	return true
}

// The dashboard can be imported anywhere, and queries only what a coordinator exports.
func TestDashboard(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board dashboard
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", "5m", "$job", "claudebench", "$instance", "127.0.0.1:3000")
	own := source{"prometheus", "${datasource}"}
	var where, expressions, legends []string
	add := func(place, expr, legend string) {
		if expr = variables.Replace(expr); strings.Contains(expr, "$") {
			t.Errorf("%s: %s has a variable that there is not", place, expr)
		}
		where, expressions, legends = append(where, place), append(expressions, expr), append(legends, legend)
	}
	names := map[string]bool{}
	values := regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)
	for _, v := range board.Templating.List {
		names[v.Name] = true
		if v.Type == "datasource" {
			continue
		}
		m := values.FindStringSubmatch(fmt.Sprint(v.Query.(map[string]any)["query"])) //nolint:forcetypeassert // a test may panic
		if m == nil || v.Datasource != own {
			t.Errorf("variable %s asks %v of %v", v.Name, v.Query, v.Datasource)
			continue
		}
		add("variable "+v.Name, fmt.Sprintf("count by (%s) (%s)", m[2], m[1]), "")
	}
	if diff := cmp.Diff(map[string]bool{"datasource": true, "job": true, "instance": true}, names); diff != "" {
		t.Errorf("variables: -want +got\n%s", diff)
	}
	var rows []string
	ids := map[int]bool{}
	for i, p := range board.Panels {
		if ids[p.ID] || p.GridPos.W == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q has number %d and lies at %+v", p.Title, p.ID, p.GridPos)
		}
		ids[p.ID] = true
		for _, other := range board.Panels[:i] {
			a, b := p.GridPos, other.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panels %q and %q overlap", p.Title, other.Title)
			}
		}
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		if p.Datasource != own || len(p.Targets) == 0 {
			t.Errorf("panel %q asks %v for %v", p.Title, p.Datasource, p.Targets)
		}
		for _, target := range p.Targets {
			if target.Datasource != own {
				t.Errorf("panel %q asks %v", p.Title, target.Datasource)
			}
			add(p.Title, target.Expr, target.LegendFormat)
		}
	}
	if diff := cmp.Diff([]string{"Commands", "Guard", "Queue and tasks", "Projections and log", "Runtime"}, rows); diff != "" {
		t.Errorf("rows: -want +got\n%s", diff)
	}
	c, _ := busy(t)
	all := c.scrape(t).series()
	placeholder := regexp.MustCompile(`\{\{(\w+)\}\}`)
	for i, q := range parsed(t, expressions) {
		if wrong := ask(q, all); wrong != "" {
			t.Errorf("%s: %s: %s", where[i], expressions[i], wrong)
		}
		for _, m := range placeholder.FindAllStringSubmatch(legends[i], -1) {
			grouped := slices.Contains(q.Labels, m[1]) || len(q.Labels) == 0 && m[1] == "instance"
			if !grouped {
				t.Errorf("%s: the legend names %s, which the result of %s has not", where[i], m[1], expressions[i])
			}
		}
	}
}

// The check of the dashboard finds the mistakes that it is meant to find.
func TestDashboardCheckFinds(t *testing.T) {
	t.Parallel()
	all := map[string][]map[string]string{"m_total": {{"job": "", "instance": "", "method": "a"}, {"job": "", "instance": "", "method": "b"}}}
	for i, q := range parsed(t, []string{
		`sum by (method) (rate(m_total{job="x",method="a"}[5m]))`, `m_total{method=~"a|z"}`, `m_total{method!="a"}`, `m_total{method!~"a|c"}`,
		`sum by (methods) (rate(m_total[5m]))`, `rate(m_totals[5m])`, `m_total{methods="a"}`, `m_total{method="c"}`, `m_total{method!~"a|b"}`,
		`sum by (method (m_total)`, `m_total{instance=~"$x"`, `rate(m_total)`, `nothing(m_total)`,
	}) {
		if wrong := ask(q, all); (wrong == "") != (i < 4) {
			t.Errorf("query %d: %q", i, wrong)
		}
	}
}

// The page lists every metric with its type and labels, and no others. Its alerts can fire.
func TestMetricsPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	type metric struct{ Type, Labels string }
	written := map[string]metric{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(claudebench_\\w+)` \\| (\\w+) \\|([^|]*)\\|([^|]*)\\| [^|]+ \\|$").FindAllStringSubmatch(string(page), -1) {
		name, unit := m[1], strings.TrimSpace(m[3])
		if _, twice := written[name]; twice {
			t.Errorf("%s is in the page twice", name)
		}
		if (unit == "seconds") != strings.HasSuffix(name, "_seconds") {
			t.Errorf("%s is said to be in %s", name, unit)
		}
		written[name] = metric{m[2], strings.TrimSpace(m[4])}
	}
	c, _ := busy(t)
	s := c.scrape(t)
	told := map[string]metric{}
	for name, family := range s.ours() {
		var labels []string
		for _, pair := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, pair.GetName())
		}
		told[name] = metric{strings.ToLower(family.GetType().String()), strings.Join(labels, ", ")}
	}
	if diff := cmp.Diff(told, written); diff != "" {
		t.Errorf("what is told, and what docs/metrics.md says: -want +got\n%s", diff)
	}
	for _, label := range []struct{ metric, label string }{
		{"claudebench_commands_total", "outcome"},
		{"claudebench_queue_tasks", "queue"},
		{"claudebench_tasks", "status"},
		{"claudebench_circuit_state", "state"},
		{"claudebench_hooks_total", "outcome"},
		{"claudebench_stream_subscribers", "transport"},
		{"claudebench_streams_ended_total", "reason"},
		{"claudebench_hook_decisions_total", "decision"},
		{"claudebench_projection_lag_events", "projection"},
	} {
		for _, series := range s.series()[label.metric] {
			if value := "`" + series[label.label] + "`"; !strings.Contains(string(page), value) {
				t.Errorf("docs/metrics.md does not tell of %s of %s", value, label.metric)
			}
		}
	}

	var expressions []string
	for _, block := range regexp.MustCompile("(?s)```yaml\n(groups:.*?)```").FindAllStringSubmatch(string(page), -1) {
		var rules struct {
			Groups []struct {
				Rules []struct{ Alert, Expr, For string }
			}
		}
		if err := yaml.Unmarshal([]byte(block[1]), &rules); err != nil {
			t.Fatal(err)
		}
		for _, group := range rules.Groups {
			for _, rule := range group.Rules {
				expressions = append(expressions, rule.Expr)
			}
		}
	}
	if len(expressions) < 5 {
		t.Fatalf("there are the alerts %v", expressions)
	}
	all := s.series()
	for i, q := range parsed(t, expressions) {
		if wrong := ask(q, all); wrong != "" {
			t.Errorf("alert %s: %s", expressions[i], wrong)
		}
	}
	n := 0
	for name, series := range all {
		if n += len(series); strings.HasSuffix(name, "_bucket") {
			n += len(series) * (len(s.families[strings.TrimSuffix(name, "_bucket")].GetMetric()[0].GetHistogram().GetBucket()) - 1)
		}
	}
	var about int
	if m := regexp.MustCompile(`about (\d+) for each coordinator`).FindSubmatch(page); m == nil {
		t.Error("the page does not tell how many series there are")
	} else if about, _ = strconv.Atoi(string(m[1])); max(n, about) > min(n, about)*11/10 {
		t.Errorf("there are %d series, and the page says about %d", n, about)
	}
}
