package doctor

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/claudebench/claudebench/projections"
)

// oldestPostgres is the oldest supported major version.
const oldestPostgres = 14

// checkPostgres checks that Postgres replies, what it is, and the settings that stop the task view.
func checkPostgres(ctx context.Context, e *exam) []Finding {
	if e.Postgres == nil {
		// Whether the fleet has a Postgres can be seen by who runs its projections.
		n, err := e.Redis.Exists(ctx, e.Keys.Lease("tasks")).Result()
		if err != nil {
			return []Finding{e.unread("whether the fleet uses Postgres", err)}
		}
		if n > 0 {
			return []Finding{{
				Level: Unknown, Text: "a coordinator keeps the task view in Postgres, and doctor does not know where", Do: "pass --database-url",
			}}
		}
		return []Finding{skipped("no coordinator uses Postgres, and no --database-url was given")}
	}
	s, err := e.Postgres.Settings(ctx)
	if err != nil {
		return []Finding{{
			Level: Fail, Text: fmt.Sprintf("Postgres does not reply: %v", err),
			Do: "start Postgres, or correct --database-url; meanwhile commands work, but task.list, session.* and the histories do not",
		}}
	}
	return judgePostgres(s)
}

func judgePostgres(s projections.Settings) (list []Finding) {
	number, _, _ := strings.Cut(s.Version, " ") // "16.4 (Debian 16.4-1)"
	digits, _, _ := strings.Cut(number, ".")
	if major, err := strconv.Atoi(digits); err == nil && major < oldestPostgres {
		list = append(list, Finding{
			Level: Fail, Text: fmt.Sprintf("Postgres %s is too old", number), Do: fmt.Sprintf("upgrade to PostgreSQL %d or newer", oldestPostgres),
		})
	}
	for _, r := range s.Risks() {
		f := Finding{Level: Warn, Text: r.What, Do: r.Do}
		if r.Stops {
			f.Level = Fail
		}
		list = append(list, f)
	}
	if len(list) == 0 {
		list = append(list, ok("Postgres %s", number))
	}
	return list
}

// checkMigrations checks that the database has the tables of this version.
func checkMigrations(ctx context.Context, e *exam) []Finding {
	if e.Postgres == nil {
		return []Finding{skipped("no --database-url was given")}
	}
	s, err := e.Postgres.Migrations(ctx)
	switch {
	case projections.NotMigrated(err):
		return []Finding{{
			Level: Fail, Text: "the database has no tables of this fleet",
			Do: "start a coordinator with this --database-url and --namespace; it creates them",
		}}
	case err != nil:
		return []Finding{e.unread("the migrations of the database", err)}
	case s.Newest > s.Known:
		return []Finding{{
			Level: Fail, Text: fmt.Sprintf("a newer version has migrated the database: it has schema version %d, and this program knows %d", s.Newest, s.Known),
			Do: "replace this program, and every coordinator of its version, by the newer version: theirs cannot write the task view",
		}}
	case len(s.Missing) > 0:
		return []Finding{{
			Level: Warn, Text: "the database lacks migrations of this version: " + strings.Join(s.Missing, ", "),
			Do: "start a coordinator of this version; it migrates the database when it takes over the task view",
		}}
	}
	return []Finding{ok("the database has schema version %d, as this version needs it", s.Newest)}
}
