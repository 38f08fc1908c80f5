package incident

import (
	"context"
	"encoding/binary"

	"github.com/incidentkit/incident/internal/cursor"
)

func (m *manager) Parked(ctx context.Context, f ParkedFilter) (ParkedPage, error) {
	page, err := m.parked(ctx, f)
	return page, wrap(err, "parked notifications of %q", f.OrganizationID)
}

// parkedCursorSize is the size of a cursor's payload: identifier and sequence.
const parkedCursorSize = 16

func (m *manager) parked(ctx context.Context, f ParkedFilter) (ParkedPage, error) {
	var none ParkedPage
	if err := m.usable(ctx); err != nil {
		return none, err
	}
	if err := checkID("organizationId", f.OrganizationID, false); err != nil {
		return none, err
	}
	limit, err := checkPageSize(f.Limit)
	if err != nil {
		return none, err
	}
	outbox, err := m.outbox()
	if err != nil {
		return none, err
	}
	q := ParkedQuery{OrganizationID: f.OrganizationID, Limit: limit + 1} // the last tells whether there is a next page
	scope := cursor.NewScope("parked", string(f.OrganizationID))
	if f.Cursor != "" {
		payload, err := decodeCursor(scope, f.Cursor, parkedCursorSize)
		if err != nil {
			return none, err
		}
		q.AfterIdentifier = int64(binary.BigEndian.Uint64(payload))
		q.AfterSequence = int64(binary.BigEndian.Uint64(payload[8:]))
	}
	found, err := outbox.Parked(ctx, q)
	switch {
	case err != nil:
		return none, err
	case len(found) <= limit:
		return ParkedPage{Notifications: listed(found)}, nil
	}
	last := found[limit-1]
	payload := binary.BigEndian.AppendUint64(nil, uint64(last.Incident.Identifier))
	return ParkedPage{
		Notifications: found[:limit],
		Next:          scope.Encode(binary.BigEndian.AppendUint64(payload, uint64(last.Sequence))),
	}, nil
}

func (m *manager) Replay(ctx context.Context, key Key) (int, error) {
	n, err := m.replay(ctx, key)
	return n, wrap(err, "replay notifications of %s", key)
}

func (m *manager) replay(ctx context.Context, key Key) (int, error) {
	if err := m.usable(ctx); err != nil {
		return 0, err
	}
	if err := checkKey(key); err != nil {
		return 0, err
	}
	outbox, err := m.outbox()
	if err != nil {
		return 0, err
	}
	m.attempt()
	n, err := outbox.Replay(ctx, key)
	if err = m.failed(err); err == nil && n > 0 {
		m.queued()
	}
	return n, err
}

// outbox returns the store as an OutboxStore.
func (m *manager) outbox() (OutboxStore, error) {
	if outbox, ok := m.store.(OutboxStore); ok {
		return outbox, nil
	}
	return nil, invalid("store", "keeps no notifications; use one that is an OutboxStore")
}

// queued wakes the relay of this process after a write that queued activities. In a
// transaction it leaves this to the end of the transaction.
func (m *manager) queued() {
	switch {
	case m.relay == nil:
	case m.tx != nil:
		m.tx.queued.Store(true)
	default:
		m.relay.Wake()
		if !m.running.Load() && m.options.Notifier != NotifyElsewhere && m.relay.warned.CompareAndSwap(false, true) {
			m.options.Logger.Warn("incident: a notification is queued, but this process delivers none until Manager.Run runs; " +
				"use NotifyElsewhere as the Notifier if other processes deliver it")
		}
	}
}

// unqueued logs one warning if this Manager does not queue its activities, but another Manager
// of the store does.
func (m *manager) unqueued() {
	if m.relay != nil || m.warned.Load() {
		return
	}
	used, ok := m.store.(UsedOutbox)
	if ok && used.Queued() && m.warned.CompareAndSwap(false, true) {
		m.options.Logger.Warn("incident: a Manager without a Notifier writes to a store for which another Manager queues notifications: " +
			"nobody is notified of its writes; give it the same Notifier, or NotifyElsewhere")
	}
}
