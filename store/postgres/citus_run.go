package postgres

import (
	"context"
	"crypto/sha256"
	"database/sql/driver"
	"fmt"
	"strconv"
	"strings"
	"sync"
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
// store registers a text before its first use. That writes to all servers in two phases, and waits for
// the registrations of others, so that a single server can be in the way of all. Therefore a call
// sends the text itself if registering takes too long or has failed, or if a server does not have the text.
// A transaction cannot wait for another connection, so that it, too, sends texts that are not registered yet.

// The SQLSTATEs of incident_run for a form without a text, for a shard on another server, for a shard that
// perhaps moves, and for a statement that returns no rows: that is one that is not prepared.
const (
	unregistered   = "IS001"
	shardElsewhere = "IS002"
	shardMoves     = "IS003"
	noRows         = "42P11"
	noTuples       = "42601" // the same of incident_read_shards and incident_execute
)

const citusRunSQL = `
SELECT @incident_run($1, $2, $3, $4)`

const citusRunManySQL = `
SELECT number, answer FROM @incident_run_many($1, $2, $3, $4, $5)`

const citusReadShardsSQL = `
SELECT number, answer FROM @incident_read_shards($1, $2, $3, $4, $5)`

// citusExecuteSQL runs prepared statements, and then adds a row with the number 0 if a shard has left the server or
// perhaps moves. See incident_read_shards for the snapshot, which is here that of the statement.
const citusExecuteSQL = `
SELECT number, answer FROM @incident_execute((SELECT $1::text))
UNION ALL
SELECT 0, '' FROM unnest((SELECT $2::bigint[])) s (id)
WHERE NOT EXISTS (
	SELECT FROM pg_dist_placement p
	WHERE p.shardid = s.id AND p.groupid = (SELECT g.groupid FROM pg_dist_local_group g) AND p.xmax = 0
	OFFSET 0
)`

const citusRunAllSQL = `
SELECT shard, answer FROM @incident_run_all($1, $2, $3, $4)`

// citusFunction is a call of a function that runs statements.
type citusFunction struct {
	passedOn sqlText // through the coordinator
	here     sqlText // on the server of the connection: the organization is computed
}

func (d *database) citusFunction(call string) citusFunction {
	return citusFunction{
		passedOn: sqlText{text: d.qualify(call)},
		here:     sqlText{text: d.qualify(strings.Replace(call, "$1", "(SELECT $1::text)", 1))},
	}
}

const (
	// registerWait bounds how long a call waits for the registration of its text.
	registerWait = time.Second
	// registerPause is how long texts are sent after a registration that failed. Citus repeats the
	// second phase of a commit each minute.
	registerPause = time.Minute
)

// registerSQL writes only what is missing: a reference table is written on all servers.
const registerSQL = `
INSERT INTO @incident_statement (form, text)
VALUES ($1, $2)
ON CONFLICT (form) DO NOTHING`

const registeredSQL = `
SELECT text FROM @incident_statement WHERE form = $1`

// citus is the part of a database for Citus.
type citus struct {
	run        citusFunction
	runMany    citusFunction
	readShards citusFunction
	execute    sqlText
	runAll     citusFunction
	register   sqlText
	registered sqlText
	pausedTo   atomic.Int64 // no text is registered until then, in nanoseconds since 1970
	nodes      sqlText
	known      citusNodes
	workers    citusWorkers
	readsLock  atomic.Bool // incident_read_shards is missing

	mu    sync.Mutex       // guards lanes
	lanes map[int64]*lanes // the creations of each server by its group
	crowd crowd            // of all lanes
}

func (d *database) useCitus() {
	d.citus = &citus{
		run:        d.citusFunction(citusRunSQL),
		runMany:    d.citusFunction(citusRunManySQL),
		readShards: d.citusFunction(citusReadShardsSQL),
		execute:    sqlText{text: d.qualify(citusExecuteSQL)},
		runAll:     d.citusFunction(citusRunAllSQL),
		register:   sqlText{text: d.qualify(registerSQL)},
		registered: sqlText{text: d.qualify(registeredSQL)},
		nodes:      sqlText{text: d.qualify(nodesSQL)},
		workers:    citusWorkers{options: d.options, identifySQL: sqlText{text: d.qualify(identifySQL)}},
	}
	// The organizations of a batch without routes may be on several servers.
	d.lanes.apartOnly.Store(true)
}

// delegated is the form of a text for incident_run.
type delegated struct {
	form       string // a UUID: half of the hash of text
	name       string // form without hyphens
	text       string // with @ before the name of a table
	registered atomic.Bool
	forgotten  atomic.Bool // a session has lost it, and the next call sends it: see hasForgotten
}

// delegatedText returns the form of a statement's text.
func (d *database) delegatedText(assembled string) *delegated {
	text := strings.ReplaceAll(assembled, d.prefix(), "@")
	hash := sha256.Sum256([]byte(text))
	form := uuid.UUID(hash[:16]).String()
	return &delegated{form: form, name: strings.ReplaceAll(form, "-", ""), text: text}
}

// appendPrepared appends the name that incident_plan gives to the statement for a shard.
func (d *delegated) appendPrepared(to []byte, shard int64) []byte {
	to = strconv.AppendInt(append(to, "incident_"...), shard, 10)
	return append(append(to, '_'), d.name...)
}

// citusCall is a call of a function with a statement, where an organization is.
type citusCall struct {
	function     *citusFunction
	worker       *citusWorker // nil for a call through the coordinator
	organization any
	form         *delegated
	args         []any // of the function, after the text
	attempt      *attempt
}

// runDelegated runs a statement about an organization by incident_run, or statements about several by
// incident_run_many.
func runDelegated[T any](ctx context.Context, s *Store, st *statement, read func(rowSet) (T, error)) (v T, err error) {
	c := &citusCall{function: &s.citus.run, organization: st.args[0], form: st.sqlText().delegated, attempt: &attempt{}}
	if st.owner != "" {
		c.organization = st.owner
	}
	c.worker = s.worker(ctx, c.organization)
	args := ""
	if st.parts == nil {
		args, err = literals(st.args)
		c.args = []any{args}
	} else {
		args, err = literalsOf(st.parts)
		organizations := new(arrayWriter).texts(len(st.parts), func(i int) string { return st.parts[i].args[0].(counted).value })
		c.function, c.args = &s.citus.runMany, []any{organizations, args}
	}
	if err != nil {
		return v, err
	}
	return runForm(ctx, s, c, func(rows rowSet) (T, error) {
		if st.parts != nil {
			return read(&memberRows{recordRows: recordRows{rowSet: rows}})
		}
		return read(&recordRows{rowSet: rows})
	})
}

// runForm makes a call at the worker, or through the coordinator if the worker cannot be reached.
func runForm[T any](ctx context.Context, s *Store, c *citusCall, read func(rowSet) (T, error)) (v T, err error) {
	text, err := s.textToSend(ctx, c.form)
	if err != nil {
		return v, err
	}
	args := append([]any{c.organization, c.form.form, text}, c.args...)
	reached := false
	if s.tx == nil {
		v, reached, err = runAt(ctx, c.worker, c.attempt, func(session *session) (T, error) {
			return send(ctx, session, &c.function.here, args, func(rows *driverRows) (T, error) { return read(rows) })
		})
	}
	if !reached {
		v, err = runAttempt(ctx, s, c.attempt, &c.function.passedOn, args, read)
	}
	switch sqlState(err) {
	case unregistered:
		c.form.registered.Store(false)
		s.citus.pauseRegistrations()
	case noRows, noTuples:
		c.form.forgotten.Store(true)
	case shardElsewhere:
		s.citus.known.forget()
	}
	return v, err
}

// textToSend returns the text of a call, or nil if the servers have it.
func (s *Store) textToSend(ctx context.Context, t *delegated) (text any, err error) {
	switch {
	case t.forgotten.Load() && t.forgotten.Swap(false):
		return t.text, nil
	case t.registered.Load():
		return nil, nil
	case s.tx != nil || time.Now().UnixNano() < s.citus.pausedTo.Load():
		return t.text, nil
	}
	limited, cancel := context.WithTimeout(ctx, registerWait)
	defer cancel()
	if err := s.registerText(limited, t); err == nil {
		return nil, nil
	}
	s.citus.pauseRegistrations()
	return t.text, ctx.Err()
}

func (c *citus) pauseRegistrations() { c.pausedTo.Store(time.Now().Add(registerPause).UnixNano()) }

// registerText registers a text, and returns once all servers have it.
func (s *Store) registerText(ctx context.Context, t *delegated) error {
	registered, err := s.registeredText(ctx, t.form)
	if err == nil && registered == "" {
		_, err = runText(ctx, s, &s.citus.register, []any{t.form, t.text}, func(rowSet) (none struct{}, err error) { return none, nil })
	}
	if err == nil {
		t.registered.Store(true)
	}
	return err
}

// registeredText returns the text of a form, or "" if there is none.
func (s *Store) registeredText(ctx context.Context, form string) (string, error) {
	return runText(ctx, s, &s.citus.registered, []any{form}, func(rows rowSet) (registered string, err error) {
		err = scanOne(rows, text(&registered))
		return registered, err
	})
}

// literals returns the arguments of a statement as literals, with commas between them. The server converts each to
// the type of its parameter.
func literals(args []any) (string, error) {
	b, err := appendLiterals(make([]byte, 0, 512), args)
	return string(b), err
}

func appendLiterals(to []byte, args []any) ([]byte, error) {
	for i, arg := range args {
		if c, ok := arg.(counted); ok {
			arg = c.value // asking for it would count it as sent
		}
		value, err := driver.DefaultParameterConverter.ConvertValue(arg)
		if err != nil {
			return to, fmt.Errorf("argument %d: %w", i+1, err)
		}
		if i > 0 {
			to = append(to, ',')
		}
		to = appendLiteral(to, value)
	}
	return to, nil
}

// literalsOf returns an array of the literals of each statement.
func literalsOf(all []*statement) (string, error) {
	texts := make([]string, len(all))
	for i, st := range all {
		var err error
		if texts[i], err = literals(st.args); err != nil {
			return "", err
		}
	}
	return new(arrayWriter).texts(len(texts), func(i int) string { return texts[i] }), nil
}

func appendLiteral(b []byte, value driver.Value) []byte {
	switch v := value.(type) {
	case nil:
		return append(b, "NULL"...)
	case int64:
		return append(strconv.AppendInt(append(b, '\''), v, 10), '\'')
	case bool:
		return append(strconv.AppendBool(append(b, '\''), v), '\'')
	case time.Time:
		return appendQuoted(b, string(pq.FormatTimestamp(v)))
	case []byte:
		return appendQuoted(b, string(v))
	case string:
		return appendQuoted(b, v)
	}
	return appendQuoted(b, fmt.Sprint(value))
}

// appendQuoted appends a text as a literal, whatever standard_conforming_strings is.
func appendQuoted(b []byte, text string) []byte {
	if strings.IndexByte(text, '\\') >= 0 {
		b = append(b, 'E')
	}
	b = append(b, '\'')
	for {
		i := strings.IndexAny(text, `'\`)
		if i < 0 {
			return append(append(b, text...), '\'')
		}
		b = append(append(append(b, text[:i]...), text[i]), text[i])
		text = text[i+1:]
	}
}

// hasForgotten reports whether a call failed because a statement is not prepared that it had
// prepared: a transaction that dropped it was rolled back, and so was the setting that says so. A new
// session prepares it again, and so does a call with the text: a pooler may keep the session.
func hasForgotten(err error) bool {
	state := sqlState(err)
	return state == noRows || state == noTuples
}
