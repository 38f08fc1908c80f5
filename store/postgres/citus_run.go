package postgres

import (
	"context"
	"crypto/sha256"
	"database/sql/driver"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"
)

// Citus plans a statement of several parts that write as several distributed steps, and each step
// costs more than the whole statement does on plain tables. Therefore a statement about an
// organization is an argument of the function incident_run. Citus passes the call to the server
// that has the organization, which runs the statement on its own tables.
//
// Citus passes a call on only if the organization is a bare parameter, and if no other argument is
// computed. Any other call would run on the coordinator, where it fails: the organization is
// elsewhere.
//
// A call names its statement by a form, and each server finds the text in incident_statement. The
// store registers a text before its first use. A transaction cannot wait for another connection,
// so that it sends texts that are not registered yet.

// unregistered is the SQLSTATE of incident_run for a form without a text.
const unregistered = "IS001"

const citusRunSQL = `
SELECT @incident_run($1, $2, $3, $4)`

const citusRunAllSQL = `
SELECT shard, answer FROM @incident_run_all($1, $2, $3, $4)`

// registerSQL writes only what is missing: a reference table is written on all servers.
const registerSQL = `
INSERT INTO @incident_statement (form, text)
VALUES ($1, $2)
ON CONFLICT (form) DO NOTHING`

const isRegisteredSQL = `
SELECT form::text FROM @incident_statement WHERE form = $1`

// citus is the part of a database for Citus.
type citus struct {
	run          sqlText
	register     sqlText
	isRegistered sqlText
	runAll       sqlText
	nodes        sqlText
	known        citusNodes
}

func (d *database) useCitus() {
	d.citus = &citus{
		run:          sqlText{text: d.qualify(citusRunSQL)},
		register:     sqlText{text: d.qualify(registerSQL)},
		isRegistered: sqlText{text: d.qualify(isRegisteredSQL)},
		runAll:       sqlText{text: d.qualify(citusRunAllSQL)},
		nodes:        sqlText{text: d.qualify(nodesSQL)},
	}
	// The organizations of a batch may be on several servers.
	d.lanes.apartOnly.Store(true)
	d.loads.apart, d.slotLoads.apart = true, true
}

// delegated is the form of a text for incident_run.
type delegated struct {
	form       string // a UUID: half of the hash of text
	text       string // with @ before the name of a table
	registered atomic.Bool
}

// delegatedText returns the form of a statement's text.
func (d *database) delegatedText(assembled string) *delegated {
	text := strings.ReplaceAll(assembled, d.prefix(), "@")
	hash := sha256.Sum256([]byte(text))
	return &delegated{form: uuid.UUID(hash[:16]).String(), text: text}
}

// runDelegated runs a statement about an organization by incident_run.
func runDelegated[T any](ctx context.Context, s *Store, st *statement, read func(rowSet) (T, error)) (T, error) {
	organization := st.args[0]
	if st.owner != "" {
		organization = st.owner
	}
	return runForm(ctx, s, &s.citus.run, organization, st, func(rows rowSet) (T, error) { return read(&recordRows{rowSet: rows}) })
}

// runForm calls a function with a statement, where an organization is.
func runForm[T any](
	ctx context.Context, s *Store, function *sqlText, organization any, st *statement, read func(rowSet) (T, error),
) (v T, err error) {
	t := st.sqlText().delegated
	var text any
	if !t.registered.Load() {
		if s.tx != nil {
			text = t.text
		} else if err := s.registerText(ctx, t); err != nil {
			return v, err
		}
	}
	args, err := argumentTexts(st.args)
	if err != nil {
		return v, err
	}
	v, err = runText(ctx, s, function, []any{organization, t.form, text, args}, read)
	if sqlState(err) == unregistered {
		t.registered.Store(false)
	}
	return v, err
}

// registerText registers a text, and returns once all servers have it.
func (s *Store) registerText(ctx context.Context, t *delegated) error {
	form := ""
	_, err := runText(ctx, s, &s.citus.isRegistered, []any{t.form}, func(rows rowSet) (none struct{}, err error) {
		return none, scanOne(rows, text(&form))
	})
	if err == nil && form == "" {
		_, err = runText(ctx, s, &s.citus.register, []any{t.form, t.text}, func(rowSet) (none struct{}, err error) { return none, nil })
	}
	if err == nil {
		t.registered.Store(true)
	}
	return err
}

// argumentTexts returns the arguments of a statement as an array of texts. The server converts
// each as it would convert a literal.
func argumentTexts(args []any) (string, error) {
	b := append(make([]byte, 0, 512), '{')
	for i, arg := range args {
		if i > 0 {
			b = append(b, ',')
		}
		if c, ok := arg.(counted); ok {
			arg = c.value // asking for it would count it as sent
		}
		value, err := driver.DefaultParameterConverter.ConvertValue(arg)
		if err != nil {
			return "", fmt.Errorf("argument %d: %w", i+1, err)
		}
		b = appendElement(b, value)
	}
	return string(append(b, '}')), nil
}

// appendElement appends an element of an array in the server's text format.
func appendElement(b []byte, value driver.Value) []byte {
	switch v := value.(type) {
	case nil:
		return append(b, "NULL"...)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case bool:
		return strconv.AppendBool(b, v)
	case time.Time:
		return appendQuoted(b, string(pq.FormatTimestamp(v)))
	case []byte:
		return appendQuoted(b, string(v))
	case string:
		return appendQuoted(b, v)
	}
	return appendQuoted(b, fmt.Sprint(value))
}

func appendQuoted(b []byte, text string) []byte {
	b = append(b, '"')
	for i := range len(text) {
		if c := text[i]; c == '"' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, text[i])
	}
	return append(b, '"')
}
