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
// database/sql sends it again silently if lib/pq reports a bad connection, and reports
// neither attempt. Therefore every write is a statement that changes nothing the second
// time, and its call counts what was sent and what was answered.

// call is a write, however often it is sent.
type call struct {
	op       string
	id       callID      // is written with the data, and proves later that this call wrote them
	once     bool        // the write must not be sent twice, because no repetition could be recognized
	again    atomic.Bool // an earlier attempt may have written the data
	sent     atomic.Int64
	answered atomic.Int64
	repeats  repeats
	silences int // attempts without an answer
}

// callID is the random number of a call.
type callID int64

func newCall(op string) *call { return &call{op: op, id: callID(rand.Int64())} }

// counted is an argument of a write. The driver asks for its value each time it sends the
// statement, once it has a connection.
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

// lost reports whether an attempt was sent and not answered.
func (c *call) lost() bool { return c.sent.Load() > c.answered.Load() }

// distrust withdraws an answer: the write may not have been committed.
func (c *call) distrust() { c.sent.Add(1) }

// inTransaction returns the call for a transaction, whose commit alone decides what is
// written: a statement without an answer is then no lost write.
func (c *call) inTransaction() *call {
	inner := &call{op: c.op, id: c.id, once: c.once}
	inner.again.Store(c.again.Load())
	return inner
}

// errAgain means that the statement wrote nothing because of concurrent writers, and must
// run again.
var errAgain = errors.New("others wrote at the same time")

const maxSilences = 6 // attempts without an answer, or refused after such an attempt

// write repeats attempt until its outcome is known. The attempt must use the store that it gets,
// which may be within a transaction.
func (s *Store) write(ctx context.Context, op string, attempt func(*Store, *call) error) error {
	c := newCall(op)
	for {
		var err error
		if c.waitsForTurn(s) {
			_, err = inTurn(ctx, s, c, func(tx *Store) (none struct{}, err error) { return none, attempt(tx, c) })
		} else {
			err = attempt(s, c)
		}
		if done, err := s.concluded(ctx, c, err); done {
			return err
		}
	}
}

// concluded reports whether a call ends with the result of its latest attempt, and returns
// the call's error. Otherwise it has waited, and the caller must repeat the attempt.
func (s *Store) concluded(ctx context.Context, c *call, err error) (done bool, final error) {
	if err == nil && s.tx == nil {
		err = s.confirm(ctx, c)
	}
	if err == nil {
		return true, nil
	}
	c.again.Store(true)
	var conflict *incident.ConflictError
	switch {
	case s.tx != nil:
		return true, s.translate(ctx, c.op, err) // the transaction undoes all of it
	case endOf(ctx) != nil, c.once && c.lost():
		return true, s.callError(ctx, c, err)
	case errors.As(err, &conflict) && c.lost():
		return true, s.callError(ctx, c, err) // the lost attempt may still claim the slot
	case c.repeats.again(ctx, s, err):
		return false, nil
	case isDisturbed(err):
		return true, s.callError(ctx, c, err)
	case isVerdict(err) || !c.lost():
		return true, s.translate(ctx, c.op, err)
	}
	if c.silences++; c.silences == maxSilences {
		return true, s.callError(ctx, c, err)
	}
	pause(ctx, 10*time.Millisecond<<c.silences)
	return false, nil
}

const flushSQL = `
SELECT pg_logical_emit_message(true, 'incident', '')::text WHERE $1 = $1::text`

// confirm returns an error if a successful write might still be lost with the server, because
// an earlier attempt wrote the data and its reply was lost. Perhaps the server ended the
// connection while the commit waited for a synchronous standby. The attempt that finds the
// data commits nothing, and so waits for no standby. confirm commits a message without a
// reader: a commit waits for all earlier commits.
//
// A write without a lost reply needs no confirmation: queryCounted counts no answer that came
// after the end of the context.
func (s *Store) confirm(ctx context.Context, c *call) error {
	if !c.lost() {
		return nil
	}
	err := s.flush(ctx)
	switch {
	case err != nil:
		return hidden{err} // it answers nothing about the write
	case ctx.Err() != nil:
		return errLate
	}
	return nil
}

// flush has the servers write to disk what is committed.
func (s *Store) flush(ctx context.Context) error {
	st := s.statementOfAll("").add(flushSQL)
	if s.citus != nil {
		return s.onNodes(ctx, "flush", st, func() {}, func(citusNode, *shardRows) error { return nil })
	}
	_, err := queryOnce(ctx, s, st, func(rows rowSet) (lsn string, err error) {
		err = scanOne(rows, text(&lsn))
		return lsn, err
	})
	return err
}

// callError returns the error of a call: [incident.ErrUnknownOutcome] if an attempt has no
// answer.
func (s *Store) callError(ctx context.Context, c *call, err error) error {
	if err == nil || !c.lost() {
		return s.translate(ctx, c.op, err)
	}
	if ended := endOf(ctx); ended != nil {
		return fmt.Errorf("postgres: %s: %w: %w", c.op, incident.ErrUnknownOutcome, ended)
	}
	return fmt.Errorf("postgres: %s: %w (%w)", c.op, incident.ErrUnknownOutcome, hidden{err})
}

// hidden has the text of an error, and hides the error from [errors.Is] and [errors.As].
type hidden struct{ err error }

func (h hidden) Error() string { return h.err.Error() }

// isRefusal reports whether the server itself refused a statement, so that the statement
// wrote nothing. An error that ends the connection is not a refusal: it may follow a commit.
func isRefusal(err error) bool {
	e, ok := asServerError(err)
	return ok && e.refused() || isRolledBack(err)
}

// isVerdict reports whether err was found in the stored data, and so answers earlier attempts, too. A
// refusal of the server answers only its own attempt.
func isVerdict(err error) bool {
	return errors.Is(err, incident.ErrNotFound) || errors.Is(err, incident.ErrConflict) || errors.Is(err, incident.ErrInvalid)
}
