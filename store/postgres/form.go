package postgres

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jmoiron/sqlx"
)

// form is what all statements of one shape have in common: their text, and the
// statement that the pool's connections have prepared.
type form struct {
	text     string
	prepared atomic.Pointer[sqlx.Stmt] // nil until one connection has
}

// forms are those that the store has sent, and the parts that they are made of.
type forms struct {
	mu      sync.RWMutex // guards what is below
	byShape map[string]*form
	parts   map[string]*part // by their text
}

// part returns a part by its text, in which the names of tables are completed.
func (d *database) part(text string) *part {
	d.forms.mu.RLock()
	p := d.forms.parts[text]
	d.forms.mu.RUnlock()
	if p != nil {
		return p
	}
	d.forms.mu.Lock()
	defer d.forms.mu.Unlock()
	if p := d.forms.parts[text]; p != nil {
		return p
	}
	if d.forms.parts == nil {
		d.forms.parts = map[string]*part{}
	}
	p = &part{number: uint64(len(d.forms.parts)), pieces: strings.Split(d.complete(text), "?")}
	d.forms.parts[text] = p
	return p
}

// complete puts the schema before the names of tables.
func (d *database) complete(text string) string { return strings.ReplaceAll(text, "@", d.prefix()) }

// form returns that of the statement's shape.
func (s *statement) form() *form {
	all := &s.database.forms
	all.mu.RLock()
	f := all.byShape[string(s.shape)]
	all.mu.RUnlock()
	if f != nil {
		return f
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	if f := all.byShape[string(s.shape)]; f != nil {
		return f
	}
	if all.byShape == nil {
		all.byShape = map[string]*form{}
	}
	f = &form{text: s.text()}
	all.byShape[string(s.shape)] = f
	return f
}

// prepare prepares the form on one connection of the pool. Others do so when they
// first run it.
func (f *form) prepare(ctx context.Context, pool *sqlx.DB) (*sqlx.Stmt, error) {
	if stmt := f.prepared.Load(); stmt != nil {
		return stmt, nil
	}
	stmt, err := pool.PreparexContext(ctx, f.text)
	if err != nil {
		return nil, err
	}
	if !f.prepared.CompareAndSwap(nil, stmt) {
		_ = stmt.Close() // somebody else was faster
	}
	return f.prepared.Load(), nil
}

func (all *forms) close() {
	all.mu.Lock()
	defer all.mu.Unlock()
	for _, f := range all.byShape {
		if stmt := f.prepared.Swap(nil); stmt != nil {
			_ = stmt.Close() // what fails to be freed ends with its connection
		}
	}
}

// send runs a statement: prepared where it can be, in the transaction where
// there is one.
func (s *Store) send(ctx context.Context, f *form, args []any) (*sqlx.Rows, error) {
	stmt := f.prepared.Load()
	switch {
	case s.tx != nil && stmt != nil:
		return s.tx.StmtxContext(ctx, stmt).QueryxContext(ctx, args...)
	case s.tx != nil:
		// Preparing needs a connection of the pool, which may have no other one.
		s.tx.prepareLater(f)
		return s.tx.QueryxContext(ctx, f.text, args...)
	case !s.wire.prepares.Load():
		return s.pool.QueryxContext(ctx, f.text, args...)
	case stmt == nil:
		var err error
		if stmt, err = f.prepare(ctx, s.pool); err != nil {
			return nil, err
		}
	}
	return stmt.QueryxContext(ctx, args...)
}
