package postgres_test

import (
	"testing"
	"time"

	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// The server reads a literal as the argument that it stands for.
func TestLiterals_server(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, pgtest.NewDatabase(t), 1)
	texts := []string{
		"", "a", "it's", "''", `\`, `\'`, `'\''`, `\\'; DROP TABLE incident; --`, "$1", "$$", "E'x'", "/* --", "a\nb\tc\r", "NULL",
		`{"a":"\u00e9"}`, "é 漢字 \U0001f6a8", "a,b)", `"`, "\x01\x7f", "%s", "?",
	}
	at := time.Date(2026, 11, 27, 10, 0, 0, 123456000, time.FixedZone("", -3*3600))
	for _, conforming := range []string{"on", "off"} {
		db.MustExec("SET standard_conforming_strings = " + conforming)
		for _, text := range texts {
			args, err := postgres.Literals(text, []byte(text), int64(-1<<63), true, at, nil)
			mustDo(t, err)
			var same bool
			err = db.Get(&same, "SELECT (ROW($1::text, $1::text, $2::bigint, true, $3::timestamptz, NULL) IS NOT DISTINCT FROM ROW("+args+"))::boolean",
				text, int64(-1<<63), at)
			if err != nil || !same {
				t.Errorf("standard_conforming_strings %s: %q is sent as %s: %v, %v", conforming, text, args, same, err)
			}
		}
	}
}
