package postgres

import (
	"context"
	"strconv"
	"strings"
	"sync"

	"github.com/jmoiron/sqlx"
)

// A statement is assembled of parts. In the text of a part each ? is the next
// parameter, and @ stands before the name of a table, for its schema. $1 is the
// organization in all of them.
type statement struct {
	text   strings.Builder
	prefix string
	args   []any
}

func (d *database) statement(organization any) *statement {
	s := &statement{prefix: d.prefix(), args: make([]any, 1, 32)}
	s.args[0] = organization
	s.text.Grow(4096)
	return s
}

// add appends a part with its arguments, one for each ? of it.
func (s *statement) add(part string, args ...any) *statement {
	next := len(s.args)
	for {
		i := strings.IndexAny(part, "?@")
		if i < 0 {
			break
		}
		s.text.WriteString(part[:i])
		if part[i] == '@' {
			s.text.WriteString(s.prefix)
		} else {
			next++
			s.text.WriteByte('$')
			s.text.WriteString(strconv.Itoa(next))
		}
		part = part[i+1:]
	}
	s.text.WriteString(part)
	s.args = append(s.args, args...)
	if next != len(s.args) {
		panic("postgres: a part of a statement has not one argument for each parameter")
	}
	return s
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
