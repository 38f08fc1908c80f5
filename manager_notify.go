package incident

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"

	"github.com/incidentkit/incident/internal/cursor"
)

func (m *manager) Parked(ctx context.Context, f ParkedFilter) (ParkedPage, error) {
	page, err := m.parked(ctx, f)
	return page, wrap(err, "parked notifications of %q", f.OrganizationID)
}

// parkedCursorSize is the least size of a cursor's payload: identifier and sequence. The name of
// the reminder follows.
const parkedCursorSize = 16

func (m *manager) parked(ctx context.Context, f ParkedFilter) (ParkedPage, error) {
	var none ParkedPage
	if err := m.usable(ctx); err != nil {
		return none, err
	}
	if err := checkParked(f.OrganizationID, f.Notifier, f.Identifier); err != nil {
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
	q := ParkedQuery{
		OrganizationID: f.OrganizationID, Notifier: f.Notifier, Identifier: f.Identifier,
		Limit: limit + 1, // the last tells whether there is a next page
	}
	scope := cursor.NewScope("parked", string(f.OrganizationID))
	scope.Add(f.Notifier)
	scope.AddNumber(f.Identifier)
	if f.Cursor != "" {
		if q.After, err = decodeParked(scope, f.Cursor); err != nil {
			return none, err
		}
	}
	found, err := outbox.Parked(ctx, q)
	switch {
	case err != nil:
		return none, err
	case len(found) <= limit:
		return ParkedPage{Notifications: listed(found)}, nil
	}
	return ParkedPage{Notifications: found[:limit], Next: scope.Encode(encodeParked(&found[limit-1]))}, nil
}

// decodeParked returns the position of a cursor.
func decodeParked(scope *cursor.Scope, token string) (p ParkedPosition, err error) {
	payload, ok := scope.Decode(token, parkedCursorSize, parkedCursorSize+MaxIDSize)
	if !ok {
		return p, errCursor
	}
	p.Identifier = int64(binary.BigEndian.Uint64(payload))
	p.Sequence = int64(binary.BigEndian.Uint64(payload[8:]))
	p.Reminder = string(payload[parkedCursorSize:])
	return p, nil
}

// encodeParked returns the payload of a cursor after a parked notification.
func encodeParked(p *ParkedNotification) []byte {
	sequence, name := p.Sequence, ""
	if p.Reminder != nil {
		sequence, name = p.Reminder.At.UnixMicro(), p.Reminder.Name
	}
	payload := binary.BigEndian.AppendUint64(nil, uint64(p.Incident.Identifier))
	return append(binary.BigEndian.AppendUint64(payload, uint64(sequence)), name...)
}

func (m *manager) Replay(ctx context.Context, sel ParkedSelection) (int, error) {
	n, err := m.eachBatch(ctx, sel, OutboxStore.Replay)
	if n > 0 || errors.Is(err, ErrUnknownOutcome) {
		m.queued(m.relays.set(sel.Notifier))
	}
	return n, wrap(err, "replay notifications of %q", sel.OrganizationID)
}

func (m *manager) DiscardParked(ctx context.Context, sel ParkedSelection) (int, error) {
	n, err := m.eachBatch(ctx, sel, OutboxStore.DiscardParked)
	return n, wrap(err, "discard notifications of %q", sel.OrganizationID)
}

// parkedBatch is how many notifications a call of the store replays or discards.
const parkedBatch = 1000

// eachBatch calls do with one batch of the selected notifications after the other, and returns
// the sum of their numbers.
func (m *manager) eachBatch(
	ctx context.Context, sel ParkedSelection, do func(OutboxStore, context.Context, ParkedQuery) (ParkedBatch, error),
) (n int, err error) {
	if err := m.usable(ctx); err != nil {
		return 0, err
	}
	if err := checkParked(sel.OrganizationID, sel.Notifier, sel.Identifier); err != nil {
		return 0, err
	}
	outbox, err := m.outbox()
	if err != nil {
		return 0, err
	}
	q := ParkedQuery{OrganizationID: sel.OrganizationID, Notifier: sel.Notifier, Identifier: sel.Identifier, Limit: parkedBatch}
	for {
		m.attempt()
		b, err := do(outbox, ctx, q)
		if err = m.failed(err); err != nil {
			return n, err
		}
		n += b.Count
		if b.Count < parkedBatch {
			return n, nil
		}
		q.After = b.Last
	}
}

// checkParked validates the fields that select parked notifications.
func checkParked(org OrganizationID, notifier string, identifier int64) error {
	if err := checkID("organizationId", org, false); err != nil {
		return err
	}
	if err := checkID("notifier", notifier, true); err != nil {
		return err
	}
	if identifier < 0 {
		return invalid("identifier", "must not be negative")
	}
	return nil
}

func (m *manager) Discard(ctx context.Context, notifier string) (int, error) {
	n, err := m.discard(ctx, notifier)
	return n, wrap(err, "discard notifications for %q", notifier)
}

func (m *manager) discard(ctx context.Context, notifier string) (n int, err error) {
	if err := m.usable(ctx); err != nil {
		return 0, err
	}
	if err := checkID("notifier", notifier, true); err != nil {
		return 0, err
	}
	switch {
	case m.tx != nil:
		return 0, invalid("tx", "does not discard; call Discard of the Manager itself")
	case m.relays.named(notifier) != nil:
		return 0, invalid("notifier", "is in the options of this Manager; take it from the options of all processes first")
	}
	outbox, err := m.outbox()
	if err != nil {
		return 0, err
	}
	for {
		deleted, err := outbox.Discard(ctx, notifier, parkedBatch)
		n += deleted
		if err != nil || deleted == 0 {
			return n, err
		}
	}
}

// outbox returns the store as an OutboxStore.
func (m *manager) outbox() (OutboxStore, error) {
	if outbox, ok := storeAs[OutboxStore](m.store); ok {
		return outbox, nil
	}
	return nil, invalid("store", "keeps no notifications; use one that is an OutboxStore")
}

// queued wakes relays of this process after a write that queued activities for them. In a
// transaction it leaves this to the end of the transaction.
func (m *manager) queued(set relaySet) {
	if m.tx != nil {
		m.tx.queued.Or(uint64(set))
		return
	}
	for i, r := range m.relays.all {
		if set&(1<<i) == 0 {
			continue
		}
		r.Wake()
		if !m.running.Load() && !r.isElsewhere() && r.warned.CompareAndSwap(false, true) {
			r.logger.log(context.Background(), slog.LevelWarn, "incident: a notification is queued, but this process delivers none until Manager.Run runs; "+
				"use NotifyElsewhere as the Notifier if other processes deliver it")
		}
	}
}

// unqueued logs a warning if this Manager does not queue its activities, but another Manager
// of the store does.
func (m *manager) unqueued() {
	if len(m.relays.all) > 0 || m.warned.Load() {
		return
	}
	used, ok := storeAs[UsedOutbox](m.store)
	if ok && used.Queued() && m.warned.CompareAndSwap(false, true) {
		m.options.Logger.Warn("incident: a Manager without a Notifier writes to a store for which another Manager queues notifications: " +
			"nobody is notified of its writes; give it the same Notifier, or NotifyElsewhere")
	}
}
