package incident

import (
	"context"
	"sync"
)

func (m *manager) Join(store Store) (Manager, func(), error) {
	if err := m.joinable(store); err != nil {
		return nil, nil, wrap(err, "join")
	}
	tx := &transaction{publication: m.coherence.BeginJoint(), joined: true}
	done := sync.OnceFunc(func() {
		tx.ended.Store(true)
		tx.publication.EndJoint()
		m.queued(relaySet(tx.queued.Load()))
		m.report(tx.written.take()...)
	})
	return &manager{core: m.core, store: store, tx: tx}, done, nil
}

// joinable returns an error for a store that the Manager cannot join.
func (m *manager) joinable(store Store) error {
	switch {
	case m.tx != nil:
		return invalid("tx", "is a transaction already; call Join of the Manager itself")
	case store == nil:
		return invalid("store", "is required; pass the result of the store's own Join")
	}
	joined, ok := storeAs[JoinedStore](store)
	if !ok || joined.JoinedTo() == nil {
		return invalid("store", "is not joined to a transaction of the host; pass the result of its Join")
	}
	if !isWithin(m.store, joined.JoinedTo()) {
		return invalid("store", "was joined from another store than that of the Manager; call Join of the store that was passed to New")
	}
	return nil
}

// savepoint runs fn in a savepoint of the host's transaction, which can be undone alone.
func (m *manager) savepoint(ctx context.Context, fn func(tx Manager) error) error {
	part := &transaction{publication: m.tx.publication, joined: true, part: true}
	var fnErr error
	err := m.store.InTx(ctx, func(store Store) error {
		defer part.ended.Store(true)
		if fnErr = fn(&manager{core: m.core, store: store, tx: part}); fnErr != nil {
			return fnErr
		}
		return part.failure
	})
	if err == nil {
		m.tx.queued.Or(part.queued.Load())
		m.tx.written.add(part.written.take()...)
	}
	if fnErr != nil {
		return fnErr
	}
	return wrap(err, "transaction")
}
