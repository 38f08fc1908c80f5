package postgres

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jmoiron/sqlx"
)

// form is what all statements of one shape have in common: their text. Connections
// keep it prepared: see [session].
type form struct {
	text string

	// What is below is for the transactions of hosts, whose connection only
	// database/sql knows.
	joined atomic.Bool               // one has sent it
	stmt   atomic.Pointer[sqlx.Stmt] // nil until it is prepared for them
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

// prepareJoined prepares a form on the pool that a host's transaction has sent
// unprepared, so that the next one finds it prepared.
func (s *Store) prepareJoined(ctx context.Context, f *form) error {
	if !f.joined.Load() || f.stmt.Load() != nil || !s.wire.prepares.Load() {
		return nil
	}
	stmt, err := s.pool.PreparexContext(ctx, f.text)
	if err != nil {
		return err
	}
	if !f.stmt.CompareAndSwap(nil, stmt) {
		_ = stmt.Close() // somebody else was faster
	}
	return nil
}

func (all *forms) close() {
	all.mu.Lock()
	defer all.mu.Unlock()
	for _, f := range all.byShape {
		if stmt := f.stmt.Swap(nil); stmt != nil {
			_ = stmt.Close() // what fails to be freed ends with its connection
		}
	}
}
