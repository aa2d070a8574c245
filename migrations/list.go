package migrations

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

//go:embed *.sql
var files embed.FS

// migration is one step, taken once. Steps are numbered for ever, by the name of their file.
type migration struct {
	version int64
	name    string
	up      func(context.Context, pgx.Tx) error
}

// all lists the migrations in order.
func all() ([]migration, error) {
	list := []migration{{6, "00006_readable_json.go", makeReadable}}
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("list the migrations: %w", err)
	}
	for _, e := range entries {
		number, _, _ := strings.Cut(e.Name(), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("migration %s: its name does not begin with a number", e.Name())
		}
		text, err := files.ReadFile(e.Name())
		if err != nil {
			return nil, fmt.Errorf("read migration %s: %w", e.Name(), err)
		}
		// What follows this line undoes the migration. goose's program takes it; the coordinator
		// never goes down.
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		list = append(list, migration{version, e.Name(), func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Conn().PgConn().Exec(ctx, up).ReadAll()
			return err
		}})
	}
	slices.SortFunc(list, func(a, b migration) int { return cmp.Compare(a.version, b.version) })
	for i := range list[1:] {
		if list[i].version == list[i+1].version {
			return nil, fmt.Errorf("migrations %s and %s have the same number", list[i].name, list[i+1].name)
		}
	}
	return list, nil
}
