package postgres

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// A statement is assembled of parts. In the text of a part each ? is the next
// argument, and @ stands before the name of a table, for its schema. $1 is the
// organization in all of them.
//
// What few values are possible for becomes a literal of the text: an int, which
// is an enumeration or a count, an empty string and nil. A time, a UUID, a user, a
// project and a call that come up again are the same parameter, and one project
// is no array. Sending and reading parameters is half of what a statement costs
// beside the writing itself, and the texts are still few.
type statement struct {
	database *database
	text     strings.Builder
	args     []any
}

func (d *database) statement(organization any) *statement {
	s := &statement{database: d, args: make([]any, 1, 32)}
	s.args[0] = organization
	s.text.Grow(4096)
	return s
}

// add appends a part with its arguments, one for each ? of it.
func (s *statement) add(part string, args ...any) *statement {
	pieces := s.database.pieces(part)
	if len(pieces) != len(args)+1 {
		panic("postgres: a part of a statement has not one argument for each ? of it")
	}
	for i, arg := range args {
		s.text.WriteString(pieces[i])
		s.addArg(arg)
	}
	s.text.WriteString(pieces[len(args)])
	return s
}

func (s *statement) addArg(arg any) {
	switch v := arg.(type) {
	case nil:
		s.text.WriteString("NULL")
		return
	case int:
		s.text.WriteString(strconv.Itoa(v))
		return
	case string:
		if v == "" {
			s.text.WriteString("''")
			return
		}
	case *time.Time:
		if v == nil {
			s.addArg(nil)
		} else {
			s.addArg(*v)
		}
		return
	case projectArray:
		if len(v) == 1 {
			s.text.WriteString("ARRAY[")
			s.addArg(v[0])
			s.text.WriteString("::text]")
			return
		}
		arg = idArray(v)
	case incident.UserID:
		if v == "" {
			s.addArg("")
			return
		}
		s.addOnce(arg)
		return
	case time.Time, uuid.UUID, callID, incident.ProjectID:
		s.addOnce(arg)
		return
	}
	s.args = append(s.args, arg)
	s.addNumber(len(s.args))
}

// addOnce adds an argument, or refers to an equal one of its type.
func (s *statement) addOnce(arg any) {
	if i := slices.Index(s.args[1:], arg); i >= 0 {
		s.addNumber(i + 2)
		return
	}
	s.args = append(s.args, arg)
	s.addNumber(len(s.args))
}

// projectArray is an array of projects, of which there is usually one.
type projectArray []incident.ProjectID

func (s *statement) addNumber(n int) {
	s.text.WriteByte('$')
	s.text.WriteString(strconv.Itoa(n))
}

// pieces returns what stands between the arguments of a part, with the names of
// tables complete.
func (d *database) pieces(part string) []string {
	if v, ok := d.parts.Load(part); ok {
		return v.([]string)
	}
	pieces := strings.Split(strings.ReplaceAll(part, "@", d.prefix()), "?")
	d.parts.Store(part, pieces)
	return pieces
}

// statements are those that the pool's connections have prepared, by their text.
type statements struct{ byText sync.Map }

func (p *statements) get(text string) (*sqlx.Stmt, bool) {
	v, ok := p.byText.Load(text)
	if !ok {
		return nil, false
	}
	return v.(*sqlx.Stmt), true
}

// prepare prepares a statement on one connection of the pool. Others do so when
// they first run it.
func (p *statements) prepare(ctx context.Context, pool *sqlx.DB, text string) (*sqlx.Stmt, error) {
	stmt, err := pool.PreparexContext(ctx, text)
	if err != nil {
		return nil, err
	}
	if v, known := p.byText.LoadOrStore(text, stmt); known {
		_ = stmt.Close() // somebody else was faster
		return v.(*sqlx.Stmt), nil
	}
	return stmt, nil
}

func (p *statements) close() {
	p.byText.Range(func(text, stmt any) bool {
		_ = stmt.(*sqlx.Stmt).Close() // what fails to be freed ends with its connection
		p.byText.Delete(text)
		return true
	})
}

// send runs a statement: prepared where it can be, in the transaction where
// there is one.
func (s *Store) send(ctx context.Context, text string, args []any) (*sqlx.Rows, error) {
	stmt, prepared := s.statements.get(text)
	switch {
	case s.tx != nil && prepared:
		return s.tx.StmtxContext(ctx, stmt).QueryxContext(ctx, args...)
	case s.tx != nil:
		// Preparing needs a connection of the pool, which may have no other one.
		s.tx.prepareLater(text)
		return s.tx.QueryxContext(ctx, text, args...)
	case s.options.Unprepared:
		return s.pool.QueryxContext(ctx, text, args...)
	case !prepared:
		var err error
		if stmt, err = s.statements.prepare(ctx, s.pool, text); err != nil {
			return nil, err
		}
	}
	return stmt.QueryxContext(ctx, args...)
}
