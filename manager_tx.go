package incident

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/incidentkit/incident/internal/coherence"
)

// transaction is the state that the calls of one InTx or Join share.
type transaction struct {
	publication *coherence.Publication
	failure     error         // the reason why it must not be committed, such as a failed write
	queued      atomic.Uint64 // the relaySet for which it has queued notifications
	written     keyList       // for the watchers
	ended       atomic.Bool

	// lent means that the host has the store within the transaction. It may have undone writes by
	// a savepoint of its own, so that the commit does not tell which of them are in the store.
	lent bool

	joined bool // the host has begun the transaction, and ends it
	part   bool // the transaction is a savepoint of a joined transaction
}

// errBrokenOff is the failure of a transaction in which a call did not return. fn may have
// recovered from a panic that left a write half done.
var errBrokenOff = fmt.Errorf("%w: a part of the transaction panicked or ended its goroutine; it cannot be committed", ErrUnavailable)

// StoreOf returns the store of a Manager. For a Manager of [Manager.InTx] or [Manager.Join],
// it is the store within the transaction.
//
// It is for packages of stores that give access to their own handles, like [StoreAs]: see Tx
// of package postgres. A direct write to the store follows no rule, and the cache does not see it.
//
// It returns [ErrInvalid] for a Manager of another package, and for a transaction that has
// ended or failed.
func StoreOf(m Manager) (Store, error) {
	own := owner(m)
	if own == nil {
		return nil, wrap(invalid("tx", "must be a Manager of this package, such as InTx passes to its function"), "store")
	}
	if err := own.usable(context.Background()); err != nil {
		return nil, wrap(err, "store")
	}
	if own.tx != nil {
		own.tx.lent = true
	}
	return own.store, nil
}

// StoreAs is [StoreOf] for a type of store. It looks behind wrappers, as described at [Store], and
// returns [ErrInvalid] if there is no store of that type.
func StoreAs[S Store](m Manager) (s S, err error) {
	store, err := StoreOf(m)
	if err != nil {
		return s, err
	}
	s, ok := storeAs[S](store)
	if !ok {
		return s, wrap(invalid("tx", "has another kind of store"), "store")
	}
	return s, nil
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
	if err != nil || !tx.lent { // otherwise a read of each written key tells its outcome
		settle(&p, err)
	}
	if err == nil || errors.Is(err, ErrUnknownOutcome) {
		m.queued(relaySet(tx.queued.Load()))
		m.report(tx.written.take()...)
	}
	if err == nil {
		return nil
	}
	if fnErr != nil {
		return fnErr
	}
	return wrap(err, "transaction")
}

// inPart runs fn as part of the transaction. If fn does not return nil, the whole
// transaction has failed, because the store can only undo all of it.
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

// attempt begins a write to the store. A transaction counts as failed until failed is called
// with the outcome, since fn may recover from a panic of the store.
func (m *manager) attempt() {
	if m.tx != nil {
		m.tx.failure = errBrokenOff
	}
}

// failed ends a write that attempt began, and returns err. A transaction with a failed write
// must not be committed. An error for finding nothing to write is not such a failure.
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
