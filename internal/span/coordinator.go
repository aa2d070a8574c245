package span

import (
	"context"
	"iter"
	"log/slog"

	"github.com/claudebench/claudebench/events"
)

// AtCoordinator returns the log of a coordinator, which is read over HTTP. The client adds the token.
// logger gets the failures of a read that goes on.
func AtCoordinator(url string, client events.HTTPClient, logger *slog.Logger) (Log, error) {
	l := atCoordinator{url, client, logger}
	_, err := l.reader(events.HTTPReaderConfig{}) // checks the URL
	return l, err
}

type atCoordinator struct {
	url    string
	client events.HTTPClient
	logger *slog.Logger
}

func (l atCoordinator) reader(config events.HTTPReaderConfig) (*events.HTTPReader, error) {
	config.Client = l.client
	return events.NewHTTPReader(l.url, "", config)
}

// Last implements Log.
func (l atCoordinator) Last(ctx context.Context) (events.ID, error) {
	r, err := l.reader(events.HTTPReaderConfig{})
	if err != nil {
		return events.ID{}, err
	}
	defer r.Close()
	return r.Last(ctx)
}

// Batches implements Log.
func (l atCoordinator) Batches(ctx context.Context, s Span) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		w := walk{follow: s.Follow, patient: patience, logger: l.logger}
		config := events.HTTPReaderConfig{Types: s.Types, Task: s.Task, Instance: s.Instance, From: s.From, BatchSize: pageSize}
		if s.Follow {
			w.patient = forever
		} else {
			last, err := l.Last(ctx)
			if err != nil {
				yield(Batch{}, err)
				return
			}
			if w.end = s.To; w.end.IsZero() || last.Compare(w.end) < 0 {
				w.end = last
			}
			if config.To = w.end; w.end.IsZero() || s.From.Compare(w.end) > 0 {
				return
			}
		}
		r, err := l.reader(config)
		if err != nil {
			yield(Batch{}, err)
			return
		}
		defer r.Close()
		w.read = r.Read
		w.batches(ctx, yield)
	}
}
