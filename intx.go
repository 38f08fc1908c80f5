package incident

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/incidentkit/incident/internal/coherence"
)

// transaction is what the calls of one InTx have in common, or those of one Join.
type transaction struct {
	publication *coherence.Publication
	failure     error       // the first write that failed, or what else must not be committed
	queued      atomic.Bool // it has queued notifications
	ended       atomic.Bool

	joined bool // the host has begun the transaction, and ends it
	part   bool // the transaction is a savepoint of a joined one
}

// errBrokenOff is the failure of a transaction in which something did not return: fn may
// have recovered from a panic that left a write half made.
var errBrokenOff = fmt.Errorf("%w: a part of the transaction panicked or ended its goroutine; it cannot be committed", ErrUnavailable)

// StoreOf returns the store that the calls of a Manager go to: for the Manager that
// [Manager.InTx] passes to its function, and for one of [Manager.Join], that is the store
// within the transaction.
//
// It is for packages of stores, which give access to what is their own: see Tx of package
// postgres. What is written to the store itself follows no rule, and no cache hears of it.
//
// It returns [ErrInvalid] for a Manager that is not of this package, and for a transaction
// that has ended or failed.
func StoreOf(m Manager) (Store, error) {
	own, ok := m.(*manager)
	if !ok || own == nil {
		return nil, wrap(invalid("tx", "must be a Manager of this package, such as the one that InTx passes to its function"), "store")
	}
	if err := own.usable(context.Background()); err != nil {
		return nil, wrap(err, "store")
	}
	return own.store, nil
}

func (m *manager) InTx(ctx context.Context, fn func(tx Manager) error) error {
	if err := m.usable(ctx); err != nil {
		return wrap(err, "transaction")
	}
	switch {
	case fn == nil:
		return wrap(invalid("fn", "is required"), "transaction")
	case m.tx == nil:
		return m.inTx(ctx, fn)
	case m.tx.joined && !m.tx.part:
		return m.savepoint(ctx, fn)
	}
	return m.inPart(fn)
}

func (m *manager) inTx(ctx context.Context, fn func(tx Manager) error) error {
	p := m.coherence.Begin()
	tx := &transaction{publication: &p}
	defer p.End(ctx)
	var fnErr error
	err := m.store.InTx(ctx, func(store Store) error {
		defer m.inside.enter(tx)()
		defer tx.ended.Store(true)
		if fnErr = fn(&manager{core: m.core, store: store, tx: tx}); fnErr != nil {
			return fnErr
		}
		return tx.failure
	})
	settle(&p, err)
	if tx.queued.Load() && (err == nil || errors.Is(err, ErrUnknownOutcome)) {
		m.queued()
	}
	if err == nil {
		return nil
	}
	if fnErr != nil {
		return fnErr
	}
	return wrap(err, "transaction")
}

// inPart runs fn as a part of the transaction. A part that did not return nil dooms the
// whole: the store undoes all of it or nothing.
func (m *manager) inPart(fn func(tx Manager) error) error {
	returned := false
	defer func() {
		if !returned {
			m.tx.failure = errBrokenOff
		}
	}()
	err := fn(m)
	returned = true
	m.tx.failure = cmp.Or(m.tx.failure, err)
	return err
}

// attempt begins a write of the store in a transaction, which has failed until the
// outcome is known: fn may recover from a panic in it. See failed.
func (m *manager) attempt() {
	if m.tx != nil {
		m.tx.failure = errBrokenOff
	}
}

// failed ends what attempt began. A write that failed must not be committed; the errors of
// one that found nothing to write do not count.
func (m *manager) failed(err error) error {
	if m.tx == nil {
		return err
	}
	m.tx.failure = nil
	if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrVersionConflict) {
		m.tx.failure = err
	}
	return err
}
