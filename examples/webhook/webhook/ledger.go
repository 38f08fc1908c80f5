package webhook

import (
	"cmp"
	"context"
	"sync"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// ID names a notification: its NotificationUUID is unique in the organization, and not
// beyond.
type ID struct {
	Organization incident.OrganizationID
	Notification uuid.UUID
}

// Ledger remembers which notifications were handled. In a database it is a table with the
// ID as its key: Once begins a transaction, inserts the row, and commits after handle. The
// database has the second of two that insert the same row wait for the first. Where handle
// writes in that transaction too, it acts exactly once, whatever dies meanwhile.
type Ledger interface {
	// Once calls handle, unless a call with the same id has succeeded before. It reports
	// whether this one did: false and a nil error is a repetition.
	//
	// Of several calls with the same id at the same time, in all processes that share the
	// Ledger, it must let one go on and the others wait until that one is over. They must
	// not return nil before: their senders would forget what may still fail. When handle
	// has failed, it must not be remembered, and the next one that waits calls its own.
	//
	// Once returns the error of handle as it is, and may return others. handle does not
	// panic.
	Once(ctx context.Context, id ID, handle func(context.Context) error) (first bool, err error)
}

// DefaultLedgerSize is how many notifications a [MemoryLedger] remembers, in some 10 MiB.
const DefaultLedgerSize = 65_536

// MemoryLedger is a [Ledger] in the memory of one process. It forgets what was handled
// longest ago when it is full, and everything at its end: what is repeated then is handled
// again.
type MemoryLedger struct {
	size int

	mu      sync.Mutex // guards what is below
	handled map[ID]bool
	order   []ID // of handled, from next the longest ago
	next    int
	running map[ID]chan struct{} // closed at the end of the call
}

var _ Ledger = (*MemoryLedger)(nil)

// NewMemoryLedger returns an empty one. A size below 1 is [DefaultLedgerSize].
func NewMemoryLedger(size int) *MemoryLedger {
	return &MemoryLedger{
		size:    cmp.Or(max(size, 0), DefaultLedgerSize),
		handled: map[ID]bool{},
		running: map[ID]chan struct{}{},
	}
}

// Once implements [Ledger].
func (l *MemoryLedger) Once(ctx context.Context, id ID, handle func(context.Context) error) (first bool, err error) {
	if first, err = l.begin(ctx, id); err != nil || !first {
		return false, err
	}
	handled := false
	defer func() { l.end(id, handled) }() // even if handle ends the goroutine
	if err := handle(ctx); err != nil {
		return false, err
	}
	handled = true
	return true, nil
}

// begin waits until nobody handles id, and reports whether it is still to be handled: then
// it is the caller's, until end.
func (l *MemoryLedger) begin(ctx context.Context, id ID) (bool, error) {
	for {
		l.mu.Lock()
		handled, running := l.handled[id], l.running[id]
		if !handled && running == nil {
			l.running[id] = make(chan struct{})
		}
		l.mu.Unlock()
		if handled || running == nil {
			return !handled, nil
		}
		select {
		case <-running:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

func (l *MemoryLedger) end(id ID, handled bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.running[id])
	delete(l.running, id)
	if !handled {
		return
	}
	l.handled[id] = true
	if len(l.order) < l.size {
		l.order = append(l.order, id)
		return
	}
	delete(l.handled, l.order[l.next])
	l.order[l.next] = id
	l.next = (l.next + 1) % l.size
}
