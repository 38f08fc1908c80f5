package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
)

// A statement outside a transaction whose reply is lost may have been committed.
// database/sql sends it again without a word when lib/pq reports a bad
// connection, and says so of none of its attempts. Therefore every write is a
// statement that does nothing the second time, and its call counts what was sent
// and what was answered.

// call is one write, however often it is sent.
type call struct {
	id       callID      // is stored with what the call writes, and tells that it did
	once     bool        // it cannot be told from a repetition, and must not be sent twice
	again    atomic.Bool // it may have been written before
	sent     atomic.Int64
	answered atomic.Int64
}

// callID is the number of a call.
type callID int64

// counted is an argument of a write. The driver asks for its value whenever it
// sends the statement, once it has a connection.
type counted struct {
	value string
	call  *call
}

// Value implements [driver.Valuer].
func (c counted) Value() (driver.Value, error) {
	if c.call.once && c.call.lost() {
		return nil, errOnce
	}
	c.call.sent.Add(1)
	return c.value, nil
}

var errOnce = errors.New("the statement must not be sent again")

// lost reports whether something was sent of which nobody knows what became.
func (c *call) lost() bool { return c.sent.Load() > c.answered.Load() }

// doubt takes an answer back: what it was about may not have been committed.
func (c *call) doubt() { c.sent.Add(1) }

// errAgain means that others were at work and that the statement, which wrote
// nothing, has to run anew.
var errAgain = errors.New("others wrote at the same time")

const maxSilences = 6 // of attempts without an answer

// write makes a call that may be sent more than once, until its outcome is
// known.
func (s *Store) write(ctx context.Context, op string, once func(context.Context, *call) error) error {
	c := &call{id: callID(rand.Int64())}
	var repeats repeats
	silences := 0
	for {
		err := once(ctx, c)
		if err == nil && s.tx == nil {
			err = s.sure(ctx, c)
		}
		if err == nil {
			return nil
		}
		c.again.Store(true)
		if s.tx != nil {
			return s.translate(ctx, op, err) // all of it is undone with the transaction
		}
		var conflict *incident.ConflictError
		switch {
		case ctx.Err() != nil, c.once && c.lost():
			return s.outcome(ctx, op, c, err)
		case errors.As(err, &conflict) && c.lost():
			return s.outcome(ctx, op, c, err) // what was lost may yet claim the slot
		case repeats.again(ctx, s, err):
		case isDisturbed(err):
			return s.outcome(ctx, op, c, err)
		case isAnswer(err) || !c.lost():
			return s.translate(ctx, op, err)
		default:
			if silences++; silences == maxSilences {
				return s.outcome(ctx, op, c, err)
			}
			pause(ctx, 10*time.Millisecond<<silences)
		}
	}
}

const flushSQL = `
SELECT pg_logical_emit_message(true, 'incident', '')::text WHERE $1 = $1::text`

// sure returns an error if what a call wrote, by its own word, might still be lost
// with the server.
//
// It may be if the context has ended: see errLate. And it may be if an earlier
// attempt has written it, whose reply was lost: maybe because the server ended the
// connection while its commit waited for a synchronous standby. The attempt that
// finds it written commits nothing and waits for nobody. A commit of anything, as of
// a message that nobody reads, waits for those before it.
func (s *Store) sure(ctx context.Context, c *call) error {
	if ctx.Err() != nil {
		c.doubt()
		return errLate
	}
	if !c.lost() {
		return nil
	}
	_, err := ask(ctx, s, s.statement("").add(flushSQL), func(rows rowSet) (lsn string, err error) {
		err = each(rows, func() {}, text(&lsn))
		return lsn, err
	})
	switch {
	case err != nil:
		return hidden{err} // no answer about the write
	case ctx.Err() != nil:
		return errLate
	}
	return nil
}

// outcome is the error of a call that ended without success.
func (s *Store) outcome(ctx context.Context, op string, c *call, err error) error {
	if err == nil || !c.lost() {
		return s.translate(ctx, op, err)
	}
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("postgres: %s: %w: %w", op, incident.ErrUnknownOutcome, ended)
	}
	return fmt.Errorf("postgres: %s: %w (%w)", op, incident.ErrUnknownOutcome, hidden{err})
}

// hidden is the text of an error that must not be matched.
type hidden struct{ err error }

func (h hidden) Error() string { return h.err.Error() }

// pause waits for about d. Waiting ends with the context.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d/2 + rand.N(d))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// askWrite is ask for a statement of the call, and counts its answer. The first
// argument of st must be counted.
func askWrite[T any](ctx context.Context, s *Store, c *call, st *statement, read func(rowSet) (T, error)) (T, error) {
	v, err := ask(ctx, s, st, read)
	if err == nil && s.tx == nil && ctx.Err() != nil {
		return v, errLate
	}
	if err == nil || isRefusal(err) {
		c.answered.Add(1)
	}
	return v, err
}

// isRefusal reports whether the server itself has said that a statement failed.
// It has written nothing then. An error that ends the connection is none: it may
// come after a commit.
func isRefusal(err error) bool {
	e, ok := asServerError(err)
	return ok && e.refused() || isRolledBack(err)
}

// isAnswer reports whether err is known to be of a statement that wrote nothing.
func isAnswer(err error) bool {
	return isRefusal(err) || errors.Is(err, incident.ErrNotFound) || errors.Is(err, incident.ErrConflict) ||
		errors.Is(err, incident.ErrInvalid)
}
